"""What a service may do on a role's behalf.

AWS judges what a state machine invokes by the machine's role, what a schedule invokes by the schedule's role, and what
an EventBridge rule invokes by the policy of the function itself. A machine that may not fails the state, with the
denial as its cause; a schedule or a rule that may not delivers nothing.

MiniStack invokes whatever it is told to.
"""

# ruff: noqa: SLF001 - a mend reaches into what it mends

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

ACTION = "lambda:InvokeFunction"

_machine: ContextVar[str | None] = ContextVar("_machine", default=None)
"""The role of the machine whose state runs."""
_source: ContextVar[dict[str, Any] | None] = ContextVar("_source", default=None)
"""The rule or the schedule that invokes its target."""
_log = logging.getLogger(__name__)


def apply() -> None:
    from ministack.services import eventbridge
    from ministack.services import stepfunctions as sfn

    sfn._execute_task = knowing_its_machine(sfn, sfn._execute_task)
    sfn._call_lambda = judged_by_the_machines_role(sfn, sfn._call_lambda)
    eventbridge._invoke_target = knowing_its_source(eventbridge._invoke_target)
    eventbridge._dispatch_to_lambda = judged_by_its_source(eventbridge._dispatch_to_lambda)


def role_allows(role_arn: str, function_arn: str) -> bool:
    from ministack.core import iam_evaluator

    _, _, _, _, account, role = role_arn.split(":", 5)
    name = role.rpartition("/")[2]
    policies = iam_evaluator._gather_role_policies(name, account)
    caller = f"arn:aws:sts::{account}:assumed-role/{name}/service"
    return _allowed(iam_evaluator.evaluate(_question(caller, account, function_arn), policies))


def policy_allows(function_arn: str, source_arn: str) -> bool:
    """Whether the function's own policy lets EventBridge in for this rule."""
    from ministack.core import iam_evaluator
    from ministack.services import lambda_svc

    function, _, _ = lambda_svc._get_func_record_for_ref(function_arn)
    account = function_arn.split(":")[4]
    question = _question("", account, function_arn, {"aws:sourcearn": source_arn, "aws:sourceaccount": account})
    policy = (function or {}).get("policy")
    return _allowed(iam_evaluator.evaluate_resource_policy(policy, question, service="events.amazonaws.com"))


def _question(caller: str, account: str, function_arn: str, context: dict[str, str] | None = None) -> Any:
    from ministack.core.iam_evaluator import EvalContext

    region = function_arn.split(":")[3]
    return EvalContext(caller, "AssumedRole", account, ACTION, function_arn, region, service_context=context or {})


def _allowed(result: Any) -> bool:
    return bool(result.decision == "Allow")


# Step Functions


def knowing_its_machine(sfn: Any, execute_task: Callable[..., Any]) -> Callable[..., Any]:
    def execute(state: Any, raw_input: Any, execution: Any, context: Any) -> Any:
        machine = sfn._state_machines.get(execution["stateMachineArn"]) or {}
        known = _machine.set(machine.get("roleArn"))
        try:
            return execute_task(state, raw_input, execution, context)
        finally:
            _machine.reset(known)

    return execute


def judged_by_the_machines_role(sfn: Any, call_lambda: Callable[..., Any]) -> Callable[..., Any]:
    def call(function_ref: str, event: Any) -> Any:
        role = _machine.get()
        if role is not None and not role_allows(role, function_arn := _arn(function_ref)):
            words = f"{role} is not authorized to perform: {ACTION} on resource: {function_arn}"
            raise sfn._ExecutionError("Lambda.AWSLambdaException", f"{words} (Error Code: AccessDeniedException)")
        return call_lambda(function_ref, event)

    return call


def _arn(function_ref: str) -> str:
    from ministack.services import lambda_svc

    _, config, _ = lambda_svc._get_func_record_for_ref(function_ref)
    return str((config or {}).get("FunctionArn", function_ref))


# EventBridge and its scheduler


def knowing_its_source(invoke_target: Callable[..., None]) -> Callable[..., None]:
    def invoke(target: dict[str, Any], event: Any, source: dict[str, Any], *rest: Any, **named: Any) -> None:
        known = _source.set({"arn": source.get("Arn", ""), "role": target.get("RoleArn")})
        try:
            invoke_target(target, event, source, *rest, **named)
        finally:
            _source.reset(known)

    return invoke


def judged_by_its_source(dispatch: Callable[..., None]) -> Callable[..., None]:
    def dispatch_where_allowed(function_arn: str, payload: Any) -> None:
        source = _source.get() or {}
        role, arn = source.get("role"), source.get("arn", "")
        if role_allows(role, function_arn) if role else policy_allows(function_arn, arn):
            dispatch(function_arn, payload)
        else:
            _log.error("AccessDenied: %s may not perform %s on %s", arn, ACTION, function_arn)

    return dispatch_where_allowed
