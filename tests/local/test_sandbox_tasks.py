"""ECS tasks as sandboxes, of either kind: local/mends/sandbox_tasks.py with sandboxes.py and with containers.py."""

from __future__ import annotations

import json
import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local import sandbox_choice
from tests.local.conftest import left_of
from tests.local.emulators import Emulator, eventually, free_port

PRINTS_EVENT = 'import json\ndef handler(event, context):\n    print("EVENT", json.dumps(event["detail"]))\n'


class Cluster:
    """A cluster whose tasks are sandboxes, with a rule that sends their ends to a function that prints them."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._ecs = emulator.client("ecs")
        self.name = f"cluster-{uuid.uuid4().hex[:8]}"
        self._arn = self._ecs.create_cluster(clusterName=self.name)["cluster"]["clusterArn"]
        container = {"name": "sandbox", "image": "sandbox:1", "environment": [{"name": "FROM", "value": "definition"}]}
        self._ecs.register_task_definition(family=self.name, containerDefinitions=[container])
        self._send_events()

    def _send_events(self) -> None:
        events = self._emulator.client("events")
        function = self._emulator.function(PRINTS_EVENT)
        pattern = {"source": ["aws.ecs"], "detail": {"clusterArn": [self._arn], "lastStatus": ["STOPPED"]}}
        rule = events.put_rule(Name=self.name, EventPattern=json.dumps(pattern))["RuleArn"]
        self._emulator.client("lambda").add_permission(
            FunctionName=function,
            StatementId="events",
            Action="lambda:InvokeFunction",
            Principal="events.amazonaws.com",
            SourceArn=rule,
        )
        events.put_targets(Rule=self.name, Targets=[{"Id": "f", "Arn": function}])

    def run(self, **wanted: Any) -> dict[str, Any]:
        session = f"ses_{uuid.uuid4().hex[:20]}"
        variables = {
            "FILEPATH_AGENTS_URL": f"ws://127.0.0.1:{free_port()}/agents",
            "FILEPATH_SESSION": session,
            "FILEPATH_TOKEN": "the-token",
        }
        environment = [{"name": name, "value": value} for name, value in variables.items()]
        answer = self._ecs.run_task(
            cluster=self.name,
            taskDefinition=self.name,
            startedBy=session,
            overrides={"containerOverrides": [{"name": "sandbox", "environment": environment}]},
            **wanted,
        )
        task: dict[str, Any] = answer["tasks"][0]
        return task

    def task(self, arn: str) -> dict[str, Any]:
        task: dict[str, Any] = self._ecs.describe_tasks(cluster=self.name, tasks=[arn])["tasks"][0]
        return task

    def is_at(self, arn: str, status: str) -> dict[str, Any]:
        def there() -> dict[str, Any] | None:
            task = self.task(arn)
            return task if task["lastStatus"] == status else None

        return eventually(there)

    def stop(self, arn: str) -> dict[str, Any]:
        task: dict[str, Any] = self._ecs.stop_task(cluster=self.name, task=arn, reason="as asked")["task"]
        return task

    def end_event(self, arn: str) -> dict[str, Any]:
        log = self._emulator.home.logs / "functions.log"

        def told() -> dict[str, Any] | None:
            written = log.read_text().splitlines() if log.exists() else []
            lines = (line.partition("EVENT ")[2] for line in written if arn in line)
            return next((json.loads(line) for line in lines if line), None)

        return eventually(told)


@pytest.fixture(scope="module", params=sandbox_choice.KINDS)
def cluster(request: pytest.FixtureRequest, mended: Emulator) -> Iterator[Cluster]:
    if request.param == "containers":
        sandbox_choice.keep(mended.home, sandbox_choice.Choice(request.getfixturevalue("containers")))
    yield Cluster(mended)
    sandbox_choice.keep(mended.home, sandbox_choice.Choice(None))


def agents(session: str) -> list[int]:
    """The processes of a session's agent on this machine."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            variables = (process / "environ").read_bytes().split(b"\0")
            program, command = (process / "exe").readlink().name, (process / "cmdline").read_bytes()
        except OSError:
            continue
        if f"FILEPATH_SESSION={session}".encode() in variables and b"-m\0agent" in command and "python" in program:
            found.append(int(process.name))
    return found


def test_a_task_comes_to_run_and_stops_with_its_agents_exit_code(mended: Emulator, cluster: Cluster) -> None:
    task = cluster.run()
    assert (task["lastStatus"], task["desiredStatus"]) == ("PROVISIONING", "RUNNING")
    cluster.is_at(task["taskArn"], "RUNNING")
    agents_log = mended.home.logs / f"sandbox-{task['startedBy']}.log"
    eventually(lambda: agents_log.exists() and "INFO agent agent" in agents_log.read_text())
    assert cluster.stop(task["taskArn"])["desiredStatus"] == "STOPPED"
    stopped = cluster.is_at(task["taskArn"], "STOPPED")
    assert (stopped["stopCode"], stopped["stoppedReason"]) == ("UserInitiated", "as asked")
    assert stopped["containers"][0]["exitCode"] == 0


def test_the_end_of_a_task_is_an_event(cluster: Cluster) -> None:
    task = cluster.run()
    arn = task["taskArn"]
    cluster.is_at(arn, "RUNNING")
    cluster.stop(arn)
    event = cluster.end_event(arn)
    assert event["startedBy"] == task["startedBy"]
    assert event["lastStatus"] == event["desiredStatus"] == "STOPPED"


def test_an_agent_that_is_killed_ends_its_task(mended: Emulator, cluster: Cluster) -> None:
    task = cluster.run()
    cluster.is_at(task["taskArn"], "RUNNING")
    agent = eventually(lambda: agents(task["startedBy"]))
    os.kill(agent[0], signal.SIGKILL)
    event = cluster.end_event(task["taskArn"])
    assert (event["stopCode"], event["containers"][0]["exitCode"]) == ("EssentialContainerExited", 137)


def test_a_task_stopped_at_once_still_ends(cluster: Cluster) -> None:
    arn = cluster.run()["taskArn"]
    cluster.stop(arn)
    assert cluster.end_event(arn)["stopCode"] == "UserInitiated"


def test_the_same_client_token_starts_one_task(cluster: Cluster) -> None:
    first = cluster.run(clientToken="once")
    assert first["taskArn"] == _rerun(cluster)["taskArn"]
    cluster.stop(first["taskArn"])


def _rerun(cluster: Cluster) -> dict[str, Any]:
    """The same call again: `run` would dial another port."""
    task = cluster.task(cluster._ecs.list_tasks(cluster=cluster.name)["taskArns"][-1])
    answer = cluster._ecs.run_task(
        cluster=cluster.name,
        taskDefinition=cluster.name,
        startedBy=task["startedBy"],
        overrides=task["overrides"],
        clientToken="once",
    )
    found: dict[str, Any] = answer["tasks"][0]
    return found


def test_a_client_token_with_other_parameters_is_refused(cluster: Cluster) -> None:
    arn = cluster.run(clientToken="other")["taskArn"]
    with pytest.raises(cluster._ecs.exceptions.ConflictException):
        cluster.run(clientToken="other", group="another")
    cluster.stop(arn)


def test_nothing_is_left_of_a_task_that_has_ended(mended: Emulator, cluster: Cluster) -> None:
    task = cluster.run()
    cluster.is_at(task["taskArn"], "RUNNING")
    eventually(lambda: agents(task["startedBy"]))
    cluster.stop(task["taskArn"])
    cluster.is_at(task["taskArn"], "STOPPED")
    eventually(lambda: not list(mended.home.sandboxes.iterdir()))
    assert agents(task["startedBy"]) == []
    if kept := sandbox_choice.kept(mended.home):
        eventually(lambda: not left_of(kept, mended.home))


def test_the_emulator_alone_still_forgets_client_tokens_and_stops_tasks_at_once(plain: Emulator) -> None:
    alone = Cluster(plain)
    wanted = {"cluster": alone.name, "taskDefinition": alone.name, "clientToken": "once"}
    first, second = (alone._ecs.run_task(**wanted)["tasks"][0] for _ in range(2))
    assert first["taskArn"] != second["taskArn"], "of mends/sandbox_tasks.py, client tokens are no longer needed"
    assert alone.stop(first["taskArn"])["lastStatus"] == "STOPPED", "mends/sandbox_tasks.py is no longer needed"
