"""The steps that the state machines invoke: `{"step": …, ids…}` in, what the next state needs out."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from filepath.lifecycle import session_steps, task_steps
from filepath.log import logger


@logger.inject_lambda_context(clear_state=True)
def handle(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    ids = {
        key: event[name] for key, name in (("session_id", "sessionId"), ("workflow_id", "workflowId")) if name in event
    }
    logger.append_keys(request_id=context.aws_request_id, step=event["step"], **ids)
    logger.info("step entered")
    return _step(event) or {}


def _step(event: dict[str, Any]) -> dict[str, Any] | None:
    match event:
        case {"step": "launch_sandbox", "sessionId": session_id, "token": token, "entered": entered}:
            session_steps.launch_sandbox(session_id, token, int(entered))
        case {"step": "live", "sessionId": session_id, "token": token, "entered": entered}:
            session_steps.live(session_id, token, int(entered))
        case {"step": "close_session", "sessionId": session_id, "cause": cause}:
            return session_steps.close_session(session_id, cause)
        case {"step": "stop_sandbox", "sessionId": session_id, "token": token, "entered": entered}:
            session_steps.stop_sandbox(session_id, token, int(entered))
        case {"step": "end_session", "sessionId": session_id}:
            session_steps.end_session(session_id)
        case {"step": "run_command", "workflowId": workflow_id, "token": token, "entered": entered}:
            task_steps.run_command(workflow_id, token, int(entered))
        case {"step": "settle", "workflowId": workflow_id}:
            task_steps.settle(workflow_id)
        case _:
            raise ValueError(f"no step takes {sorted(event)}")
    return None
