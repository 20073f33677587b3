"""ECS tasks as sandboxes of this machine.

AWS starts the task's container, reports each change of its status as an EventBridge event, answers a second RunTask
of the same `clientToken` with the first one's task, and on StopTask sends SIGTERM, waits 30 s and sends SIGKILL.

MiniStack without a container engine only records the task as running, emits no event, starts a second task for the
same token, and marks a stopped task as stopped at once; with one it starts containers whose end it notices when it is
asked, and whose limits, network and environment are not a Fargate task's. Here the sandbox runs as a container
(`containers.py`) or as isolated processes (`sandboxes.py`), and this file plays the ECS agent's part: it keeps the
record true and puts the events on the bus, where the template's own rule decides who hears of them.
"""

# ruff: noqa: SLF001 - a mend reaches into what it mends

from __future__ import annotations

import contextvars
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from local import pulls, sandbox_choice
from local.containers import Container, Containers
from local.engine import EngineFailedError
from local.home import Home
from local.sandboxes import Ended, Limits, Sandbox, SandboxFailedError

Task = dict[str, Any]


def apply(home: Home) -> None:
    from ministack.services import ecs

    ecs._get_docker = lambda: None
    run_task = once_per_client_token(starting_sandboxes(ecs, ecs._run_task, home))
    stop_task = stopping_sandboxes(ecs, ecs._stop_task)
    for name, action in (("RunTask", run_task), ("StopTask", stop_task)):
        ecs._ACTION_MAP[name] = action
    ecs._run_task, ecs._stop_task = run_task, stop_task


@dataclass
class Launch:
    """A task and the sandbox it stands for, from RunTask to STOPPED."""

    task: Task
    sandbox: Sandbox | Container
    pull: Callable[[], None]
    stopping: threading.Event = field(default_factory=threading.Event)
    reason: str = ""


_launches: dict[str, Launch] = {}


def once_per_client_token(run_task: Callable[..., Any]) -> Callable[..., Any]:
    answers: dict[tuple[str, str], tuple[str, Any]] = {}
    starting = threading.Lock()

    def run(data: dict[str, Any]) -> Any:
        token = data.get("clientToken")
        if not token:
            return run_task(data)
        from ministack.core.responses import error_response_json

        wanted = json.dumps(data, sort_keys=True)
        with starting:
            known, answer = answers.get((data.get("cluster", ""), token), (wanted, None))
            if known != wanted:
                message = "The clientToken was used before, with other parameters."
                return error_response_json("ConflictException", message, 400)
            answer = answer or run_task(data)
            answers[data.get("cluster", ""), token] = wanted, answer
            return answer

    return run


def starting_sandboxes(ecs: Any, run_task: Callable[..., Any], home: Home) -> Callable[..., Any]:
    def run(data: dict[str, Any]) -> Any:
        from ministack.core.responses import json_response

        status, headers, body = run_task(data)
        if status != 200:
            return status, headers, body
        answer = json.loads(body)
        tasks = [ecs._tasks[task["taskArn"]] for task in answer["tasks"]]
        for task in tasks:
            task.update(lastStatus="PROVISIONING", startedAt=None, pullStartedAt=None, pullStoppedAt=None)
        answer["tasks"] = [ecs._sanitize(task) for task in tasks]
        for task in tasks:
            _launch(ecs, task, home)
        return json_response(answer)

    return run


def _launch(ecs: Any, task: Task, home: Home) -> None:
    definition = ecs._task_defs[task["taskDefinitionArn"].rpartition("/")[2]]
    container = definition["containerDefinitions"][0]
    name = task["taskArn"].rpartition("/")[2]
    environment = {**_container_environment(container, task), **_fargate_environment(name)}
    limits = _limits(definition, task)
    containers, pull = _containers(home, container["image"])
    seconds = float(container.get("stopTimeout") or 30)
    sandbox = _sandbox(home, containers, name, task, environment, limits, seconds)
    launch = _launches[task["taskArn"]] = Launch(task, sandbox, pull)
    # The emulator's stores are scoped by context variables, which a thread does not inherit.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(_live, ecs, launch), daemon=True)
    thread.start()


def _containers(home: Home, image: str) -> tuple[Containers | None, Callable[[], None]]:
    """How containers are made of the task definition's image, and what is to be done before; None for processes."""
    containers = sandbox_choice.kept(home)
    if containers is None or not pulls.is_in_use(home, image):
        return containers, lambda: None
    return replace(containers, image=image), partial(pulls.pull, home, containers.engine, image)


def _sandbox(
    home: Home,
    containers: Containers | None,
    name: str,
    task: Task,
    environment: dict[str, str],
    limits: Limits,
    stop_seconds: float,
) -> Sandbox | Container:
    if containers:
        return Container(home, containers, name, task["startedBy"], environment, limits, stop_seconds)
    return Sandbox(home, name, task["startedBy"], environment, stop_seconds)


def _limits(definition: dict[str, Any], task: Task) -> Limits:
    asked = task["overrides"]
    return Limits(
        cpu=int(asked.get("cpu") or definition.get("cpu") or 256),
        memory_mb=int(asked.get("memory") or definition.get("memory") or 512),
    )


def _container_environment(container: dict[str, Any], task: Task) -> dict[str, str]:
    entries = list(container.get("environment", []))
    for override in task["overrides"].get("containerOverrides", []):
        if override["name"] == container["name"]:
            entries += override.get("environment", [])
    return {entry["name"]: entry["value"] for entry in entries}


def _fargate_environment(name: str) -> dict[str, str]:
    """What Fargate adds by itself, so that keeping it from commands is put to the test here too."""
    return {
        "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "ECS_AGENT_URI": f"http://169.254.170.2/api/{name}",
        "ECS_CONTAINER_METADATA_URI_V4": f"http://169.254.170.2/v4/{name}",
    }


def _live(ecs: Any, launch: Launch) -> None:
    """One sandbox from its start to its end, in a thread of its own: the kernel ends the sandbox with the thread."""
    task, sandbox = launch.task, launch.sandbox
    try:
        _emit(ecs, task)
        if launch.stopping.is_set() or not _started(ecs, launch):
            return
        ended = sandbox.wait(launch.stopping)
        if launch.stopping.is_set():
            _ended(ecs, task, launch.reason, "UserInitiated", ended)
        else:
            _ended(ecs, task, "Essential container in task exited", "EssentialContainerExited", ended)
    finally:
        _ended(ecs, task, launch.reason, "UserInitiated")
        sandbox.remove()
        _launches.pop(task["taskArn"], None)


def _started(ecs: Any, launch: Launch) -> bool:
    task = launch.task
    ecs._mark_task_pending(task["taskArn"], task)
    _emit(ecs, task)
    try:
        launch.pull()
    except EngineFailedError as error:
        _ended(ecs, task, f"CannotPullContainerError: {error}", "TaskFailedToStart")
        return False
    try:
        launch.sandbox.start()
    except (OSError, SandboxFailedError) as error:
        _ended(ecs, task, f"CannotStartContainerError: {error}", "TaskFailedToStart")
        return False
    ecs._mark_task_running(task["taskArn"], task)
    _emit(ecs, task)
    return True


def _ended(ecs: Any, task: Task, reason: str, stop_code: str, ended: Ended | None = None) -> None:
    if task["lastStatus"] == "STOPPED":
        return
    task["desiredStatus"] = "RUNNING"  # the emulator takes a task that is to stop for one that has
    exit_code = ended.exit_code if ended else None
    if ended and ended.reason:
        task["containers"][0]["reason"] = ended.reason
    if ecs._mark_task_stopped(task["taskArn"], task, reason, stop_code, exit_code=exit_code):
        _emit(ecs, task)


def stopping_sandboxes(ecs: Any, stop_task: Callable[..., Any]) -> Callable[..., Any]:
    def stop(data: dict[str, Any]) -> Any:
        from ministack.core.responses import json_response

        cluster = ecs._resolve_cluster_name(data.get("cluster", "default"))
        task = ecs._resolve_task(data.get("task", ""), cluster) if cluster else None
        launch = _launches.get(task["taskArn"]) if task else None
        if task is None or launch is None:
            return stop_task(data)
        if not launch.stopping.is_set():
            launch.reason = data.get("reason") or "Task stopped by user"
            task.update(desiredStatus="STOPPED", stopCode="UserInitiated", stoppedReason=launch.reason)
            _emit(ecs, task)
            launch.stopping.set()
            launch.sandbox.wake()
        return json_response({"task": ecs._sanitize(task)})

    return stop


def _emit(ecs: Any, task: Task) -> None:
    """A task-state change, delivered beside the task's own life: on AWS events come late and in any order, too."""
    from ministack.core.concurrency import spawn_background
    from ministack.services import eventbridge

    entry = {
        "Source": "aws.ecs",
        "DetailType": "ECS Task State Change",
        "Detail": json.dumps(ecs._sanitize(task)),
        "Resources": [task["taskArn"]],
    }
    spawn_background(eventbridge._put_events, {"Entries": [entry]}, allow_aws_source=True, thread_name="ecs-event")
