"""A pytest plugin: runs the tests as they are, and then, for each condition of each write, without it.

The tests are collected once; each run is a fork of that process, as many at once as there are processors.
"""

from __future__ import annotations

import gc
import importlib
import os
import pickle
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from filepath.aws.table import Write
from gates.mutation import conditions, writes
from gates.mutation.conditions import Site, Source
from gates.mutation.recording import Record, Recorder
from gates.mutation.writes import Mutant

PACKAGE = Path(__file__).resolve().parents[2] / "layers/common/filepath"
RUN_SECONDS = 300
"""Without a condition a loop may have no end: that is noticed too."""


# One run, in a process of its own


class Reports:
    """Hears how the tests of this process go."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        seconds = self._record.seconds
        seconds[report.nodeid] = seconds.get(report.nodeid, 0) + report.duration
        if report.failed:
            self._record.failed[report.nodeid] = report.longreprtext


def run(items: list[pytest.Item], begin: Callable[[str], None], record: Record) -> Record:
    """The tests, to the first that fails."""
    hooks, manager = items[0].config.hook, items[0].config.pluginmanager
    manager.unregister(manager.get_plugin("terminalreporter"))
    manager.register(Reports(record))
    for item, following in zip(items, [*items[1:], None], strict=True):
        begin(item.nodeid)
        hooks.pytest_runtest_protocol(item=item, nextitem=following)
        if record.failed:
            break
    return record


def recorded(items: list[pytest.Item], source: Source) -> Record:
    recorder = Recorder()
    writes.observe(source, recorder.write)
    recorder.watch()
    return run(items, recorder.begin, recorder.record)


def mutated(items: list[pytest.Item], source: Source, mutant: Mutant) -> Record:
    def take_out(write: Write, site: Site) -> None:
        if site == mutant.site:
            writes.take_out(write, mutant.demand)

    writes.observe(source, take_out)
    return run(items, lambda _: None, Record())


@dataclass
class Fork:
    """A run in a process of its own, and what it leaves."""

    work: Callable[[], Record]
    file: Path
    pid: int = 0
    begun: float = field(default_factory=time.monotonic)

    def start(self) -> None:
        self.pid = os.fork()
        if self.pid:
            return
        try:
            os.setsid()
            self.file.write_bytes(pickle.dumps(self.work()))
        finally:
            os._exit(0)  # nothing of the parent's is this process's to end

    def is_over(self) -> bool:
        if time.monotonic() - self.begun > RUN_SECONDS:
            os.kill(self.pid, signal.SIGKILL)
        return os.waitpid(self.pid, os.WNOHANG)[0] != 0

    def record(self) -> Record:
        if not self.file.exists():
            return Record(failed={"a run": "It did not end, or ended its process."})
        record: Record = pickle.loads(self.file.read_bytes())  # noqa: S301 - written above
        return record


def side_by_side(runs: list[Callable[[], Record]], directory: Path) -> Iterator[tuple[int, Record]]:
    """The number of each run and its record, as they end."""
    waiting = [Fork(work, directory / str(number)) for number, work in enumerate(runs)]
    for fork in waiting:
        fork.file.unlink(missing_ok=True)
    running: dict[int, Fork] = {}
    numbered = iter(enumerate(waiting))
    while True:
        while len(running) < (os.cpu_count() or 1) and (following := next(numbered, None)):
            number, fork = following
            fork.begun = time.monotonic()
            fork.start()
            running[number] = fork
        if not running:
            return
        for number in [number for number, fork in running.items() if fork.is_over()]:
            yield number, running.pop(number).record()
        time.sleep(0.01)


# All of them


@dataclass
class Findings:
    killed: dict[Mutant, str] = field(default_factory=dict)
    """By which test."""
    survived: list[Mutant] = field(default_factory=list)
    never_made: list[Site] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    """Tests that fail as it is, and how."""

    @property
    def are_good(self) -> bool:
        return not (self.survived or self.never_made or self.broken)


def look(items: list[pytest.Item], source: Source, directory: Path, say: Callable[[str], None]) -> Findings:
    record = Record()
    parts = [items[start :: os.cpu_count() or 1] for start in range(os.cpu_count() or 1)]
    for _, part in side_by_side([partial(recorded, part, source) for part in parts if part], directory):
        record.add(part)
    if record.failed:
        return Findings(broken=record.failed)
    made = {mutant.site for mutant in record.demands}
    findings = Findings(never_made=sorted(set(source.sites) - made))
    by_id = {item.nodeid: item for item in items}
    mutants = sorted(record.demands)
    say(f"{len(mutants)} conditions of {len(made)} writes, in {len(items)} tests")

    def without(mutant: Mutant) -> Record:
        tests = [by_id[test] for test in record.that_could_notice(mutant)]
        return mutated(tests, source, mutant) if tests else Record()

    for number, result in side_by_side([partial(without, mutant) for mutant in mutants], directory):
        mutant = mutants[number]
        if result.failed:
            findings.killed[mutant] = next(iter(result.failed))
        else:
            findings.survived.append(mutant)
        say(line(mutant, source, findings.killed.get(mutant, "SURVIVED")))
    return findings


def line(mutant: Mutant, source: Source, outcome: str) -> str:
    place = f"{Path(mutant.site.path).name}:{mutant.site.line} {source.sites[mutant.site]}"
    return f"{place:<42} {mutant.demand}\n    {outcome.removeprefix('tests/aws/')}"


def warm_up() -> None:
    """What the tests import as they go: once here, not in each fork."""
    for module in ("filepath.rest.app", "filepath.rpc.door", "moto.dynamodb.responses", "moto.s3.responses"):
        importlib.import_module(module)
    gc.freeze()  # a collection would write to memory that the forks share


def pytest_runtestloop(session: pytest.Session) -> bool:
    terminal = session.config.get_terminal_writer()
    source = conditions.read(PACKAGE)
    warm_up()
    with tempfile.TemporaryDirectory() as directory:
        findings = look(session.items, source, Path(directory), terminal.line)
    terminal.line(f"{len(findings.killed)} are held by a test, {len(findings.survived)} by none.")
    for mutant in sorted(findings.survived):
        terminal.line(line(mutant, source, "no test fails without it"), red=True)
    for site in findings.never_made:
        terminal.line(f"{site} {source.sites[site]}: no test makes this write", red=True)
    for test, how in findings.broken.items():
        terminal.line(how)
        terminal.line(f"FAILED {test} - as it is, with nothing taken out", red=True)
    session.testsfailed = 0 if findings.are_good else 1
    return True
