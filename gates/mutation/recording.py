"""What a run of the tests shows: what each write demands, and in which tests it was refused.

To take a demand out can change nothing in a test where the write was never refused. So the others are all that need
to be run without it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from filepath.aws import clients
from filepath.aws.table import Put, Write
from gates.mutation import writes
from gates.mutation.conditions import Site
from gates.mutation.writes import Mutant


@dataclass
class Record:
    """What a run of the tests showed."""

    demands: dict[Mutant, set[str]] = field(default_factory=lambda: defaultdict(set))
    """The tests in which it was made."""
    refused: dict[Site, set[str]] = field(default_factory=lambda: defaultdict(set))
    """The tests in which it was made and something refused that looked like it."""
    seconds: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    """What is to be said of each test that failed."""

    def add(self, other: Record) -> None:
        for mutant, tests in other.demands.items():
            self.demands[mutant] |= tests
        for site, tests in other.refused.items():
            self.refused[site] |= tests
        self.seconds |= other.seconds
        self.failed |= other.failed

    def that_could_notice(self, mutant: Mutant) -> list[str]:
        """The quickest first. What is refused says nothing of defaults, which are refused silently."""
        tests = self.demands[mutant] if mutant.is_default else self.refused[mutant.site] & self.demands[mutant]
        return sorted(tests, key=lambda test: self.seconds[test])


class Recorder:
    """Notes each write as it is made, and at the wire whether it was refused."""

    def __init__(self) -> None:
        self.record = Record()
        self.test = ""
        self._made: dict[tuple[str, str, str | None], set[Site]] = defaultdict(set)

    def begin(self, test: str) -> None:
        self.test = test
        self._made.clear()

    def write(self, write: Write, site: Site) -> None:
        for demand in writes.demands(write):
            self.record.demands[Mutant(site, demand)].add(self.test)
        key = write.item if isinstance(write, Put) else write.key
        self._made[key["pk"], key["sk"], writes.condition(write)].add(site)

    def watch(self) -> None:
        events = clients._session().events  # noqa: SLF001 - the layer's own clients are those to watch
        events.register("before-call.dynamodb", self._asked)
        events.register("after-call.dynamodb", self._answered)

    def _asked(self, params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["asked"] = params["body"]

    def _answered(self, parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        if "Error" not in parsed:
            return
        asked = json.loads(context["asked"])
        if "TransactItems" in asked:
            reasons = parsed.get("CancellationReasons", [])
            for item, reason in zip(asked["TransactItems"], reasons, strict=False):
                if reason.get("Code") == "ConditionalCheckFailed":
                    self._refused(*item.values())
        elif parsed["Error"].get("Code") == "ConditionalCheckFailedException":
            self._refused(asked)

    def _refused(self, write: dict[str, Any]) -> None:
        key = write.get("Key") or write["Item"]
        for site in self._made[key["pk"]["S"], key["sk"]["S"], write.get("ConditionExpression")]:
            self.record.refused[site].add(self.test)
