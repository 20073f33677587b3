"""What is said of a command that died of SIGKILL when the kernel was killing for want of memory: agent/memory.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.memory import OutOfMemoryKills, counter


class Group:
    """A control group's count, in the words of the kernel."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.count = 3
        self.kill(0)

    def kill(self, processes: int) -> None:
        self.count += processes
        self.file.write_text(f"low 0\nhigh 0\nmax 12\noom 4\noom_kill {self.count}\noom_group_kill 0\n")


@pytest.fixture
def group(tmp_path: Path) -> Group:
    return Group(tmp_path / "memory.events")


def test_a_death_is_the_kernels_when_its_count_rose_by_it(group: Group) -> None:
    kills = OutOfMemoryKills(group.file)
    assert not kills.explain(1, now=1)
    group.kill(1)
    assert kills.explain(1, now=2)
    assert not kills.explain(1, now=2.1), "one kill explains one death"


def test_of_more_deaths_than_the_kernel_counted_none_is_said_to_be_its(group: Group) -> None:
    kills = OutOfMemoryKills(group.file)
    group.kill(1)
    assert not kills.explain(2, now=1)


def test_a_process_that_takes_its_time_to_die_is_explained_when_it_does(group: Group) -> None:
    kills = OutOfMemoryKills(group.file)
    group.kill(1)
    assert not kills.explain(0, now=1)
    assert kills.explain(1, now=2)


def test_a_kill_of_long_ago_explains_nothing(group: Group) -> None:
    kills = OutOfMemoryKills(group.file)
    group.kill(1)
    assert not kills.explain(0, now=1)
    assert not kills.explain(1, now=10)


def test_without_a_count_nothing_is_said(tmp_path: Path) -> None:
    assert not OutOfMemoryKills(None).explain(1, now=1)
    assert counter("0::/somewhere\n", tmp_path) is None


@pytest.mark.parametrize(
    ("groups", "file"),
    [
        pytest.param("0::/\n", "memory.events", id="version 2, as a container sees it"),
        pytest.param("0::/user.slice/a\n", "user.slice/a/memory.events", id="version 2, by its path"),
        pytest.param("3:memory:/podman/1\n0::/\n", "memory/memory.oom_control", id="version 1 in a container"),
        pytest.param("3:memory:/a/1\n0::/a/1\n", "memory/a/1/memory.oom_control", id="version 1, by its path"),
    ],
)
def test_the_count_is_found_in_the_control_group(tmp_path: Path, groups: str, file: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 0\n")
    assert counter(groups, tmp_path) == path
