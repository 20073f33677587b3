"""A sandbox as a container: local/containers.py and local/passage.py, with the engine of this machine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from local.containers import OUT_OF_MEMORY, Container, Containers, remove_all
from local.home import Home
from local.sandboxes import Ended, Limits, SandboxFailedError
from tests.local.conftest import left_of
from tests.local.emulators import eventually, free_port

LIMITS = Limits(cpu=256, memory_mb=128)
DOCKERFILE = 'FROM {image}\nENTRYPOINT ["/bin/bash", "-c", "eval \\"$COMMAND\\""]\n'


class Inside:
    """Containers that run a shell command where the agent would be."""

    def __init__(self, containers: Containers, directory: Path) -> None:
        self.home = Home(directory, 1, free_port(), 3)
        self.home.prepare()
        self.containers = containers
        self._made: list[tuple[str, Container]] = []

    def start(self, command: str, stop_seconds: float = 10, **environment: str) -> Container:
        name = f"{self.home.directory.parent.name}-{len(self._made)}"
        variables = {"COMMAND": command, **environment}
        container = Container(self.home, self.containers, name, f"ses_{name}", variables, LIMITS, stop_seconds)
        self._made.append((name, container))
        container.start()
        return container

    def log(self) -> str:
        """Of the container started last."""
        file = self.home.logs / f"sandbox-ses_{self._made[-1][0]}.log"
        return file.read_text() if file.exists() else ""

    def has_said(self, words: str) -> None:
        eventually(lambda: words in self.log())

    def ends(self, container: Container) -> Ended:
        return container.wait(threading.Event())

    def stopped(self, container: Container) -> Ended:
        stopping = threading.Event()
        stopping.set()
        return container.wait(stopping)

    def says(self, command: str) -> str:
        container = self.start(command)
        self.ends(container)
        container.remove()
        return self.log()

    def network(self, field: str) -> str:
        """Of the one container that runs."""
        (name,) = left_of(self.containers, self.home)
        wanted = f"{{{{range .NetworkSettings.Networks}}}}{{{{.{field}}}}}{{{{end}}}}"
        return self.containers.engine.run("inspect", "--format", wanted, name).strip()

    def remove(self) -> None:
        for _, container in self._made:
            container.remove()


@pytest.fixture(scope="module")
def shell(containers: Containers) -> Iterator[Containers]:
    """The image, with a shell in the agent's place."""
    name = "localhost/filepath-test-shell:latest"
    dockerfile = DOCKERFILE.format(image=containers.image)
    containers.engine.run("build", "--quiet", "--tag", name, "-", given=dockerfile)
    yield replace(containers, image=name)
    containers.engine.run("image", "rm", name)


@pytest.fixture
def inside(shell: Containers, tmp_path: Path) -> Iterator[Inside]:
    inside = Inside(shell, tmp_path / "home")
    yield inside
    inside.remove()
    assert left_of(shell, inside.home) == []


def test_sigterm_reaches_the_agent_and_its_exit_code_comes_back(inside: Inside) -> None:
    container = inside.start("trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done")
    inside.has_said("ready")
    assert inside.stopped(container) == Ended(7)


def test_an_agent_that_does_not_heed_sigterm_is_killed(inside: Inside) -> None:
    container = inside.start("trap '' TERM; echo ready; while :; do sleep 0.05; done", stop_seconds=1)
    inside.has_said("ready")
    assert inside.stopped(container) == Ended(137)


def test_an_agent_killed_for_memory_is_told_in_ecs_words(inside: Inside) -> None:
    container = inside.start("exec python3 -c 'held = bytearray(500_000_000)'")
    assert inside.ends(container) == Ended(137, OUT_OF_MEMORY)


def test_a_child_killed_for_memory_is_no_reason_for_the_containers_end(inside: Inside) -> None:
    container = inside.start("python3 -c 'held = bytearray(500_000_000)'; echo went on; exit 4")
    assert inside.ends(container) == Ended(4)


def test_the_token_is_in_no_argument_and_no_file(inside: Inside) -> None:
    inside.start("echo $FILEPATH_TOKEN; sleep 60", stop_seconds=1, FILEPATH_TOKEN="a-very-secret-token")
    inside.has_said("a-very-secret-token")
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert b"a-very-secret-token" not in process.read_bytes(), process
        except OSError:
            continue
    assert not list(inside.home.sandboxes.iterdir())


def test_it_holds_no_more_power_than_it_needs(inside: Inside) -> None:
    told = inside.says("grep -E 'CapBnd|NoNewPrivs' /proc/self/status; mount -t tmpfs none /mnt; hostname")
    assert "CapBnd:\t00000000000000fb" in told
    assert "NoNewPrivs:\t1" in told
    assert "permission denied" in told
    assert "sandbox\n" in told


def test_what_a_crashed_stack_left_is_removed(inside: Inside) -> None:
    inside.start("sleep 300")
    assert len(left_of(inside.containers, inside.home)) == 1
    remove_all(inside.containers, replace(inside.home, directory=inside.home.directory / "another"))
    assert len(left_of(inside.containers, inside.home)) == 1
    remove_all(inside.containers, inside.home)
    assert left_of(inside.containers, inside.home) == []


def test_a_container_that_cannot_be_made_says_why(inside: Inside) -> None:
    inside.containers = replace(inside.containers, image="localhost/filepath-no-such-image:1")
    with pytest.raises(SandboxFailedError, match="filepath-no-such-image"):
        inside.start("true")


# The network


@pytest.fixture
def parted(inside: Inside) -> Inside:
    if not inside.containers.has_own_network:
        pytest.skip("only root gives containers a network of their own")
    return inside


def knock(door: int, port: int, *hosts: str) -> str:
    """A command that says of each host whether it is reached (0) or not (1), once the network is set up."""
    set_up = f"until (: <>/dev/tcp/127.0.0.1/{door}) 2>/dev/null; do sleep 0.05; done"
    return f"{set_up}; for host in {' '.join(hosts)}; do (: <>/dev/tcp/$host/{port}) 2>/dev/null; echo $host $?; done"


def test_the_sandbox_door_is_reached_at_its_own_address(parted: Inside) -> None:
    address = f"/dev/tcp/127.0.0.1/{parted.home.sandbox_port}"
    greets = f"until (: <>{address}) 2>/dev/null; do sleep 0.05; done; exec 3<>{address}; echo hello >&3; wc -l <&3"
    with socket.create_server(("127.0.0.1", parted.home.sandbox_port)) as door:
        container = parted.start(greets)
        door.accept()[0].close()
        connection, _ = door.accept()
        with connection, connection.makefile("rwb") as stream:
            assert stream.readline() == b"hello\n"
            stream.write(b"welcome\n" * 100_000)
        assert parted.ends(container) == Ended(0)
        container.remove()
    assert parted.log().strip() == "100000"


def test_this_machine_is_not_reached_by_any_of_its_addresses(parted: Inside) -> None:
    parted.start("sleep 60", stop_seconds=1)
    hosts = ("127.0.0.1", "169.254.169.254", parted.network("Gateway"), outward_address())
    with socket.create_server(("0.0.0.0", 0)) as server:
        told = parted.says(knock(parted.home.sandbox_port, server.getsockname()[1], *hosts))
    assert told.splitlines() == [f"{host} 1" for host in hosts]


def test_sandboxes_do_not_reach_each_other(parted: Inside) -> None:
    parted.start("python3 -u -m http.server 8000", stop_seconds=1)
    parted.has_said("Serving")
    address = parted.network("IPAddress")
    (name,) = left_of(parted.containers, parted.home)
    parted.containers.engine.run("exec", name, "bash", "-c", f": <>/dev/tcp/{address}/8000")  # it is there
    told = parted.says(knock(parted.home.sandbox_port, 8000, "127.0.0.1", address))
    assert told == f"127.0.0.1 1\n{address} 1\n"


def outward_address() -> str:
    """By which others reach this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # a datagram socket that is connected has sent nothing yet
        return str(probe.getsockname()[0])
