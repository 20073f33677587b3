"""Sandboxes as ECS Fargate tasks: start, find, stop.

The sandbox dials out, so it has a public address to go out by and no port that would let anything in.
"""

from __future__ import annotations

from typing import Any

from filepath.aws import clients
from filepath.session import Session
from filepath.settings import settings

CONTAINER = "sandbox"
_NO_CAPACITY = ("RESOURCE", "Capacity is unavailable", "capacity")


class LaunchRefused(Exception):
    """ECS could not place the sandbox. `no_capacity` tells AWS's lack from a mistake of ours."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.no_capacity = any(word in reason for word in _NO_CAPACITY)


def launch(session: Session, agents_url: str) -> str:
    """Starts the session's sandbox and returns its ARN. `clientToken` makes every retry, which has the same
    parameters, the same sandbox. Raises LaunchRefused: ECS says so in a reply of status 200.
    """
    reply = clients.ecs().run_task(
        cluster=settings().cluster,
        taskDefinition=settings().task_definition,
        launchType="FARGATE",
        clientToken=session.session_id,
        startedBy=session.session_id,
        count=1,
        networkConfiguration={
            "awsvpcConfiguration": {
                "subnets": list(settings().subnets),
                "securityGroups": [settings().security_group],
                "assignPublicIp": "ENABLED",
            }
        },
        overrides=_overrides(session, agents_url),
    )
    if not reply["tasks"]:
        raise LaunchRefused("; ".join(failure.get("reason", "") for failure in reply["failures"]))
    return reply["tasks"][0]["taskArn"]


def stop(session: Session, reason: str) -> bool:
    """Asks ECS to stop the session's sandbox; False where there is none that runs."""
    arns = [session.task_arn] if session.task_arn else _running(session.session_id)
    stopped = [_stop(arn, reason) for arn in arns]
    return any(stopped)


def _stop(task_arn: str, reason: str) -> bool:
    ecs = clients.ecs()
    try:
        task = ecs.stop_task(cluster=settings().cluster, task=task_arn, reason=reason)["task"]
    except (ecs.exceptions.InvalidParameterException, ecs.exceptions.ClientException):
        return False  # ECS forgets a stopped task after an hour or so
    return task.get("lastStatus") != "STOPPED"


def _running(session_id: str) -> list[str]:
    """For a launch whose reply was lost."""
    return clients.ecs().list_tasks(cluster=settings().cluster, startedBy=session_id)["taskArns"]


def _overrides(session: Session, agents_url: str) -> Any:
    environment = {
        "FILEPATH_AGENTS_URL": agents_url,
        "FILEPATH_SESSION": session.session_id,
        "FILEPATH_TOKEN": session.token or "",
    }
    variables = [{"name": name, "value": value} for name, value in environment.items()]
    return {
        "cpu": str(session.cpu),
        "memory": str(session.memory),
        "containerOverrides": [{"name": CONTAINER, "environment": variables}],
    }
