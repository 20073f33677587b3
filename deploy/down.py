"""Removing a deployment with all that it left anywhere: nothing of it stays, nothing of it is paid for.

The owner's data (table and bucket, which CloudFormation keeps) goes before the stack, which alone knows their names: a
run that was cut short finds them again. What can outlive the stack has names that are known without it.
"""

from __future__ import annotations

import time

from botocore.exceptions import ClientError

from deploy import buckets
from deploy.account import Account
from deploy.environment import Environment
from deploy.failure import Failure
from deploy.operator import ask
from deploy.stack import Stack

CLOSING_SECONDS = 120.0
STOPPED_SECONDS = 120.0


def down(environment: Environment, confirmed: str | None, *, keep_data: bool) -> None:
    account = Account.at_hand()
    stack = Stack(account, environment.stack)
    there = stack.status()
    print(f"Stack {stack.name}, {there or 'which is not there'}, in {account}")
    if there and there.endswith("_IN_PROGRESS") and there != "DELETE_IN_PROGRESS":
        raise Failure(stack.obstacle(environment))
    if there:
        _confirm(stack, confirmed, keep_data=keep_data)
        _stop_sandboxes(stack)
        _data(stack, keep=keep_data)
        print("Deleting the stack; its network takes AWS some minutes")
        stack.delete()
    _sweep(account, stack.name)
    print(f"Nothing of {stack.name} is left{' but the data named above' if keep_data and there else ''}.")


def _confirm(stack: Stack, confirmed: str | None, *, keep_data: bool) -> None:
    data = [f"{name} {physical}" for name in ("Table", "Bucket") if (physical := stack.physical(name))]
    fate = "stays" if keep_data else "goes too: accounts, credits, tasks and their output"
    print(f"This removes the stack, its running sandboxes, images and logs. Its data ({', '.join(data)}) {fate}.")
    if confirmed is None:
        try:
            confirmed = input(f"Type the stack's name, {stack.name}, to go on: ").strip()
        except EOFError:
            confirmed = ""
    if confirmed != stack.name:
        raise Failure(f"Nothing was removed. Say which stack: CONFIRM={stack.name} make undeploy …")


# Sandboxes


def _stop_sandboxes(stack: Stack) -> None:
    """First as the platform does it, which ends and settles their tasks; then whatever runs still."""
    operator = stack.physical("OperatorFunction")
    if operator:
        print("Closing all sessions")
        _close_sessions(stack.account, operator)
    if cluster := stack.physical("Cluster"):
        _stop_tasks(stack.account, cluster)


def _close_sessions(account: Account, function: str) -> None:
    deadline = time.monotonic() + CLOSING_SECONDS
    try:
        while ask(account, function, {"action": "closeSessions", "reason": "shutdown"})["open"] > 0:
            if time.monotonic() > deadline:
                print("Some sessions did not close in time; their sandboxes are stopped as they are.")
                return
            time.sleep(1)
    except (Failure, ClientError) as error:
        print(f"The sessions could not be closed, so their sandboxes are stopped as they are: {error}")


def _stop_tasks(account: Account, cluster: str) -> None:
    ecs = account.session.client("ecs")
    pages = ecs.get_paginator("list_tasks").paginate(cluster=cluster)
    tasks = [arn for page in pages for arn in page["taskArns"]]
    for arn in tasks:
        ecs.stop_task(cluster=cluster, task=arn, reason="The stack is removed.")
    deadline = time.monotonic() + STOPPED_SECONDS
    # The subnets cannot be deleted while a sandbox has its address there.
    for start in range(0, len(tasks), 100):
        some = tasks[start : start + 100]
        while any(
            task.get("lastStatus") != "STOPPED" for task in ecs.describe_tasks(cluster=cluster, tasks=some)["tasks"]
        ):
            if time.monotonic() > deadline:
                raise Failure(f"Sandboxes of {cluster} do not stop. Look at them in ECS, then run this again.")
            time.sleep(1)


# Data


def _data(stack: Stack, *, keep: bool) -> None:
    table, bucket = stack.physical("Table"), stack.physical("Bucket")
    if keep:
        print(f"Kept, and paid for until you delete them: table {table}, bucket {bucket}.")
        print("A new deployment begins empty; it does not take them up.")
        return
    if bucket:
        print(f"Deleting the bucket {bucket}")
        buckets.delete(stack.account, bucket)
    if table:
        print(f"Deleting the table {table}")
        _delete_table(stack.account, table)


def _delete_table(account: Account, name: str) -> None:
    """AWS keeps a last backup of it for 35 days, at no cost, since it had backups of every second."""
    dynamodb = account.session.client("dynamodb")
    try:
        dynamodb.delete_table(TableName=name)
    except dynamodb.exceptions.ResourceNotFoundException:
        return
    dynamodb.get_waiter("table_not_exists").wait(TableName=name, WaiterConfig={"Delay": 2, "MaxAttempts": 150})


# What a stack leaves


def _sweep(account: Account, stack: str) -> None:
    """None of these belongs to the stack any more, or never did."""
    buckets.delete(account, buckets.artifacts_bucket(account, stack))
    _forget_task_definitions(account, f"{stack}-sandbox")
    _delete_log_groups(account, stack)


def _forget_task_definitions(account: Account, family: str) -> None:
    """CloudFormation takes them out of use, and every revision stays listed."""
    ecs = account.session.client("ecs")
    pages = ecs.get_paginator("list_task_definitions").paginate(familyPrefix=family, status="INACTIVE")
    # A prefix, of other stacks' families as well.
    arns = [arn for page in pages for arn in page["taskDefinitionArns"] if f"/{family}:" in arn]
    for start in range(0, len(arns), 10):
        ecs.delete_task_definitions(taskDefinitions=arns[start : start + 10])


def _delete_log_groups(account: Account, stack: str) -> None:
    """A function that was at work when its log group went makes it again with its last line."""
    logs = account.session.client("logs")
    for prefix in (f"{stack}-FunctionsLogGroup-", f"{stack}-SandboxLogGroup-"):
        for page in logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix):
            for group in page["logGroups"]:
                logs.delete_log_group(logGroupName=group["logGroupName"])
