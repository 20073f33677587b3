"""The house rules hold here, and each of them bites: a tree that breaks one is found out."""

import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gates import boundaries, machines, requirements, roles, template
from gates.__main__ import ROOT, RULES
from gates.finding import Rule

Write = Callable[[str, str], None]

MACHINE = """
QueryLanguage: JSONata
StartAt: Run command
States:
  Run command:
    Type: Task
    Resource: arn:aws:states:::lambda:invoke.waitForTaskToken
    TimeoutSeconds: "{% $states.input.backstopSeconds %}"
    Arguments:
      FunctionName: ${WorkflowFunction}
      Payload: {token: "{% $states.context.Task.Token %}"}
    Retry:
      - ErrorEquals: [Lambda.TooManyRequestsException]
    Catch:
      - ErrorEquals: [States.ALL]
        Next: Settle
    Next: Settle
  Settle:
    Type: Succeed
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    return write_file


def messages(rule: Rule, root: Path) -> list[str]:
    return [finding.message for finding in rule(root)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_repository_keeps_to_the_rule(rule: Rule) -> None:
    assert [str(finding) for finding in rule(ROOT)] == []


@pytest.mark.parametrize("statement", ["import boto3", "from botocore.exceptions import ClientError"])
def test_boto3_outside_of_the_aws_package_is_found(write: Write, tmp_path: Path, statement: str) -> None:
    write("layers/common/filepath/aws/table.py", statement)
    assert messages(boundaries.only_the_aws_package_imports_boto3, tmp_path) == []

    write("layers/common/filepath/task.py", f"def late():\n    {statement}")
    (finding,) = boundaries.only_the_aws_package_imports_boto3(tmp_path)
    assert (str(finding.path), finding.line) == ("layers/common/filepath/task.py", 2)


@pytest.mark.parametrize("text", ["import os\nos.environ['A']", "import os\nos.getenv('A')", "from os import environ"])
def test_the_environment_read_outside_of_settings_is_found(write: Write, tmp_path: Path, text: str) -> None:
    write("layers/common/filepath/settings.py", text)
    write("sandbox/agent/settings.py", text)
    assert messages(boundaries.only_settings_read_the_environment, tmp_path) == []

    write("functions/api/handler.py", text)
    write("sandbox/agent/spool.py", text)
    assert len(messages(boundaries.only_settings_read_the_environment, tmp_path)) == 2


@pytest.mark.parametrize(
    "word",
    ["MiniStack", "localstack", "the emulator", "localhost", "127.0.0.1", ":4566/", ":8080/", "[::1]", "/_aws/x"],
)
def test_knowledge_of_the_emulator_in_what_is_deployed_is_found(write: Write, tmp_path: Path, word: str) -> None:
    write("local/stack.py", f"# {word}")
    write("layers/common/requirements.txt", "    --hash=sha256:45664566")
    assert messages(boundaries.nothing_deployed_knows_the_emulator, tmp_path) == []

    write("template.yaml", f"# {word}")
    write("functions/api/handler.py", f"HOST = '{word}'")
    assert len(messages(boundaries.nothing_deployed_knows_the_emulator, tmp_path)) == 2


@pytest.mark.parametrize("statement", ["from local.home import Home", "import tests.aws.gateway"])
def test_an_import_of_what_is_there_for_this_machine_is_found(write: Write, tmp_path: Path, statement: str) -> None:
    write("local/stack.py", statement)
    write("sdk/python/src/filepath_sdk/cli.py", "import locale")
    assert messages(boundaries.nothing_but_tests_imports_what_is_not_deployed, tmp_path) == []
    write("deploy/up.py", statement)
    assert len(messages(boundaries.nothing_but_tests_imports_what_is_not_deployed, tmp_path)) == 1


CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: str(contract["name"]))
def test_an_import_that_breaks_a_contract_is_found(write: Write, tmp_path: Path, contract: dict[str, Any]) -> None:
    """In a package of the same modules, in which one imports what it must not."""
    for package in ("filepath", *{name for item in CONTRACTS for key in KINDS for name in item[key]}):
        if package.startswith("filepath"):
            write(f"{package.replace('.', '/')}/__init__.py", "")
    write("pyproject.toml", (ROOT / "pyproject.toml").read_text())
    assert lint_imports(tmp_path) == 0
    source, forbidden = (contract[key][0] for key in KINDS)
    write(f"{source.replace('.', '/')}/__init__.py", f"import {forbidden}\n")
    assert lint_imports(tmp_path) == 1


KINDS = ("source_modules", "forbidden_modules")


def lint_imports(folder: Path) -> int:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    environment = {"PYTHONPATH": str(folder), "PATH": ""}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False).returncode


def test_third_party_code_in_protocol_or_agent_is_found(write: Write, tmp_path: Path) -> None:
    write("layers/common/filepath/protocol.py", "import json\nimport pydantic")
    write("sandbox/agent/wire.py", "import asyncio\nimport websockets\nfrom agent import spool\nimport boto3")
    assert len(messages(boundaries.the_protocol_is_standard_library_only, tmp_path)) == 1
    assert len(messages(boundaries.the_agent_needs_only_websockets, tmp_path)) == 1


def test_fastapi_reached_through_the_layer_by_the_agents_function_is_found(write: Write, tmp_path: Path) -> None:
    write("functions/agents/handler.py", "import filepath.light")
    write("layers/common/filepath/light.py", "import json")
    assert messages(boundaries.the_agents_function_starts_light, tmp_path) == []

    write("layers/common/filepath/light.py", "import fastapi")
    (message,) = messages(boundaries.the_agents_function_starts_light, tmp_path)
    assert "fastapi" in message


def test_an_agents_function_that_cannot_be_imported_is_found(write: Write, tmp_path: Path) -> None:
    write("functions/agents/handler.py", "import filepath.gone")
    (message,) = messages(boundaries.the_agents_function_starts_light, tmp_path)
    assert "No module named" in message


@pytest.fixture
def locked(write: Write) -> Write:
    """A tree whose locked files are current."""
    groups = {group for sources in requirements.LOCKED.values() for _, group in sources if group}
    lines = [f"{group} = []" for group in groups - {"emulator"}] + ["emulator = ['docker>=7']"]
    write("pyproject.toml", "[project]\ndependencies=['mangum>=1']\n[dependency-groups]\n" + "\n".join(lines))
    write("sdk/python/pyproject.toml", "[project]\nname = 'filepath-sdk'")
    for name in requirements.LOCKED:
        write(name, "")
    mangum = "mangum==1.5 \\\n    --hash=sha256:00\n    # via filepath (pyproject.toml)\n"
    docker = "docker==7.1\n    # via filepath (pyproject.toml:emulator)\n"
    write("layers/common/requirements.txt", mangum)
    write("requirements/dev.txt", mangum + docker)
    return write


def test_locked_requirements_that_are_current_are_left_alone(locked: Write, tmp_path: Path) -> None:
    for rule in (
        requirements.locked_requirements_are_current,
        requirements.locked_requirements_agree,
        requirements.locked_requirements_name_no_host,
    ):
        assert messages(rule, tmp_path) == []


def test_a_requirement_not_yet_locked_is_found(locked: Write, tmp_path: Path) -> None:
    locked("sdk/python/pyproject.toml", "[project]\ndependencies = ['httpx']")
    (message,) = messages(requirements.locked_requirements_are_current, tmp_path)
    assert "httpx" in message


def test_a_requirement_raised_above_what_is_locked_is_found(locked: Write, tmp_path: Path) -> None:
    text = (tmp_path / "pyproject.toml").read_text()
    locked("pyproject.toml", text.replace("mangum>=1", "mangum>=2"))
    assert len(messages(requirements.locked_requirements_are_current, tmp_path)) == 2


def test_a_requirement_taken_out_but_still_locked_is_found(locked: Write, tmp_path: Path) -> None:
    text = (tmp_path / "pyproject.toml").read_text()
    locked("pyproject.toml", text.replace("'docker>=7'", ""))
    (message,) = messages(requirements.locked_requirements_are_current, tmp_path)
    assert "no longer asks for docker" in message


def test_a_layer_locked_to_another_version_than_the_tests_is_found(locked: Write, tmp_path: Path) -> None:
    locked("layers/common/requirements.txt", "mangum==1.6\n    # via filepath (pyproject.toml)")
    assert len(messages(requirements.locked_requirements_agree, tmp_path)) == 1


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://mirror.example/simple",
        "--find-links /wheels",
        "a @ https://host.example/a.whl",
        "-f /wheels",
    ],
)
def test_an_address_in_locked_requirements_is_found(locked: Write, tmp_path: Path, line: str) -> None:
    locked("requirements/uv.txt", line)
    assert len(messages(requirements.locked_requirements_name_no_host, tmp_path)) == 1


def test_a_long_template_and_a_long_handler_are_found(write: Write, tmp_path: Path) -> None:
    write("template.yaml", "# line\n" * 699)
    write("functions/api/handler.py", "# line\n" * template.LONGEST_HANDLER)
    assert messages(template.the_template_is_short, tmp_path) == []
    assert messages(template.handlers_are_thin, tmp_path) == []

    write("template.yaml", "# line\n" * 700)
    write("functions/api/handler.py", "# line\n" * (template.LONGEST_HANDLER + 1))
    assert len(messages(template.the_template_is_short, tmp_path)) == 1
    assert len(messages(template.handlers_are_thin, tmp_path)) == 1


@pytest.mark.parametrize(
    ("resource", "found"),
    [
        ("'*'", 1),
        ("!Sub arn:aws:s3:::${Bucket}/*", 1),
        ("[!GetAtt Table.Arn, !Sub '${Table.Arn}/index/*']", 1),
        ("{Fn::Sub: '${Table.Arn}/index/*'}", 1),
        ("'*' # the token is the capability", 0),
        ("!GetAtt Table.Arn", 0),
    ],
)
def test_a_wildcard_without_a_reason_is_found(write: Write, tmp_path: Path, resource: str, found: int) -> None:
    write(
        "template.yaml",
        f"Statement:\n- Effect: Allow\n  Action: [dynamodb:GetItem]\n  Resource: {resource}\n",
    )
    assert len(messages(template.wildcards_have_a_reason, tmp_path)) == found


@pytest.mark.parametrize("place", ["above", "first", "inside"])
def test_a_comment_on_the_statement_is_a_reason(write: Write, tmp_path: Path, place: str) -> None:
    comment = {name: "# they have no ARN" if name == place else "" for name in ("above", "first", "inside")}
    first = f"Statement:\n{comment['above']}\n- Effect: Allow {comment['first']}\n"
    write("template.yaml", first + f"  Action:\n  {comment['inside']}\n  - states:*\n  Resource: !Ref Machine\n")
    assert messages(template.wildcards_have_a_reason, tmp_path) == []


@pytest.mark.parametrize("next_statement", ["- Effect: Allow # named", "# named\n- Effect: Allow"])
def test_a_comment_on_the_next_statement_is_no_reason(write: Write, tmp_path: Path, next_statement: str) -> None:
    wide = "Statement:\n- Effect: Allow\n  Action: states:*\n  Resource: !Ref Machine\n"
    write("template.yaml", f"{wide}{next_statement}\n  Action: s3:GetObject\n  Resource: !Ref Bucket\n")
    (finding,) = template.wildcards_have_a_reason(tmp_path)
    assert finding.line == 3


@pytest.mark.parametrize(
    ("parameter", "architecture", "found"),
    [("python3.13", "x86_64", 0), ("python3.12", "x86_64", 1), ("python3.13", "arm64", 1)],
)
def test_a_layer_built_for_another_python_or_processor_is_found(
    write: Write, tmp_path: Path, parameter: str, architecture: str, found: int
) -> None:
    write("layers/common/Makefile", "LAYER_PYTHON ?= 3.13\nLAYER_PLATFORM ?= x86_64-manylinux_2_28\n")
    globals_ = f"Globals: {{Function: {{Runtime: !Ref PythonRuntime, Architectures: [{architecture}]}}}}"
    write(
        "template.yaml",
        f"Parameters: {{PythonRuntime: {{Default: {parameter}}}}}\n{globals_}\nResources: {{}}\n",
    )
    assert len(messages(template.the_layer_is_built_for_the_templates_python, tmp_path)) == found


def test_a_service_that_the_layers_build_takes_out_is_found(write: Write, tmp_path: Path) -> None:
    write("layers/common/Makefile", "AWS_SERVICES := dynamodb s3\n")
    write("layers/common/filepath/aws/table.py", "boto3.client('dynamodb')\nboto3.client(\"sqs\")\n")
    (finding,) = template.the_layer_keeps_the_services_it_calls(tmp_path)
    assert finding.line == 2


def test_a_sound_state_machine_passes_every_rule(write: Write, tmp_path: Path) -> None:
    write("statemachines/task.asl.yaml", MACHINE)
    for rule in RULES:
        if rule.__module__ == machines.__name__:
            assert messages(rule, tmp_path) == []


@pytest.mark.parametrize(
    ("rule", "right", "wrong"),
    [
        (machines.state_machines_are_valid, "Type: Succeed", "Type: Succed"),
        (machines.state_machines_are_valid, "TimeoutSeconds:", "TimeoutSecond:"),
        (machines.every_transition_leads_somewhere, "    Next: Settle", "    Next: Setle"),
        (machines.every_transition_leads_somewhere, "StartAt: Run command", "StartAt: Settle"),
        (machines.every_task_has_a_timeout, "TimeoutSeconds:", "HeartbeatSeconds:"),
        (machines.retries_name_their_errors, "[Lambda.TooManyRequestsException]", "[States.ALL]"),
    ],
)
def test_a_fault_inside_a_state_machine_is_found(
    write: Write, tmp_path: Path, rule: Rule, right: str, wrong: str
) -> None:
    write("statemachines/task.asl.yaml", MACHINE.replace(right, wrong))
    assert messages(rule, tmp_path) != []


ROLES = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Workflow:
    Type: AWS::Serverless::Function
    Properties:
      { Runtime: python3.13, Handler: handler.handle, CodeUri: functions/workflow, Policies: [ { Statement: [
        { Effect: Allow, Action: ecs:RunTask, Resource: [
            !Sub "arn:${AWS::Partition}:ecs:${AWS::Region}:${AWS::AccountId}:task-definition/${AWS::StackName}-task:*",
            !GetAtt Cluster.Arn ], Condition: { ArnEquals: { ecs:cluster: !GetAtt Cluster.Arn } } },
        { Effect: Allow, Action: ecs:StopTask, Resource: [
            !Sub "arn:${AWS::Partition}:ecs:${AWS::Region}:${AWS::AccountId}:task/${Cluster}/*",
            !GetAtt Cluster.Arn ] },
        { Effect: Allow, Action: ecs:ListTasks, Resource: "*",
            Condition: { ArnEquals: { ecs:cluster: !GetAtt Cluster.Arn } } },
        { Effect: Allow, Action: iam:PassRole, Resource: !GetAtt ExecutionRole.Arn,
            Condition: { StringEquals: { iam:PassedToService: ecs-tasks.amazonaws.com } } } ] } ] }
  Other:
    Type: AWS::Serverless::Function
    Properties: { Runtime: python3.13, Handler: handler.handle, CodeUri: functions/other }
  Machine:
    Type: AWS::Serverless::StateMachine
    Properties:
      DefinitionUri: statemachines/task.asl.yaml
      DefinitionSubstitutions: { WorkflowFunction: !GetAtt Workflow.Arn }
      Role: !GetAtt MachineRole.Arn
  MachineRole:
    Type: AWS::IAM::Role
    Properties:
      Policies: [ { PolicyDocument: { Statement: [
        { Effect: Allow, Action: lambda:InvokeFunction, Resource: !GetAtt Workflow.Arn } ] } } ]
  Schedule:
    Type: AWS::Scheduler::Schedule
    Properties: { Target: { Arn: !GetAtt Other.Arn, RoleArn: !GetAtt ScheduleRole.Arn } }
  ScheduleRole:
    Type: AWS::IAM::Role
    Properties:
      Policies: [ { PolicyDocument: { Statement: [
        { Effect: Allow, Action: [lambda:InvokeFunction], Resource: [!GetAtt Other.Arn] } ] } } ]
  Rule:
    Type: AWS::Events::Rule
    Properties: { Targets: [ { Id: other, Arn: !GetAtt Other.Arn } ] }
  Permission:
    Type: AWS::Lambda::Permission
    Properties: { FunctionName: !Ref Other, Principal: events.amazonaws.com, SourceArn: !GetAtt Rule.Arn }
  Cluster: { Type: AWS::ECS::Cluster, Properties: { ClusterName: !Sub "${AWS::StackName}-cluster" } }
  Task:
    Type: AWS::ECS::TaskDefinition
    Properties: { Family: !Sub "${AWS::StackName}-task", ExecutionRoleArn: !GetAtt ExecutionRole.Arn }
  ExecutionRole: { Type: AWS::IAM::Role, Properties: {} }
"""
OF_ROLES = [rule for rule in RULES if rule.__module__ == roles.__name__]


@pytest.mark.parametrize("rule", OF_ROLES, ids=lambda rule: rule.__name__)
def test_roles_that_allow_what_is_needed_pass(write: Write, tmp_path: Path, rule: Rule) -> None:
    write("template.yaml", ROLES)
    write("statemachines/task.asl.yaml", MACHINE)
    assert messages(rule, tmp_path) == []


MACHINES_ROLE = "Action: lambda:InvokeFunction, Resource: !GetAtt Workflow.Arn"
SCHEDULES_ROLE = "Action: [lambda:InvokeFunction], Resource: [!GetAtt Other.Arn]"
PASSED = "Action: iam:PassRole, Resource: !GetAtt ExecutionRole.Arn"
OF_CLUSTER = "ArnEquals: { ecs:cluster: !GetAtt Cluster.Arn }"


@pytest.mark.parametrize(
    ("rule", "right", "wrong"),
    [
        (roles.machines_may_invoke_what_their_definitions_name, MACHINES_ROLE, MACHINES_ROLE.replace("Work", "Not")),
        (
            roles.machines_may_invoke_what_their_definitions_name,
            MACHINES_ROLE,
            MACHINES_ROLE.replace("!GetAtt Workflow.Arn", "[!GetAtt Workflow.Arn, !GetAtt Other.Arn]"),
        ),
        (
            roles.machines_may_invoke_what_their_definitions_name,
            MACHINES_ROLE,
            MACHINES_ROLE.replace("lambda:InvokeFunction", "[lambda:InvokeFunction, states:StartExecution]"),
        ),
        (
            roles.machines_may_invoke_what_their_definitions_name,
            "  MachineRole:\n    Type: AWS::IAM::Role\n    Properties:",
            "  MachineRole:\n    Type: AWS::IAM::Role\n    Properties:\n      ManagedPolicyArns: [AdministratorAccess]",
        ),
        (
            roles.machines_may_invoke_what_their_definitions_name,
            "WorkflowFunction: !GetAtt Workflow.Arn",
            "WorkflowFunction: !GetAtt Other.Arn",
        ),
        (roles.schedules_may_invoke_their_targets, SCHEDULES_ROLE, SCHEDULES_ROLE.replace("Other", "Workflow")),
        (roles.schedules_may_invoke_their_targets, SCHEDULES_ROLE, SCHEDULES_ROLE.replace("!GetAtt Other.Arn", "'*'")),
        (roles.rules_may_invoke_their_targets, "!Ref Other, Principal: events", "!Ref Workflow, Principal: events"),
        (roles.rules_may_invoke_their_targets, ", SourceArn: !GetAtt Rule.Arn", ""),
        (roles.only_the_sandboxs_roles_are_passed_on, PASSED, PASSED.replace("!GetAtt ExecutionRole.Arn", "'*'")),
        (roles.only_the_sandboxs_roles_are_passed_on, PASSED, PASSED.replace("iam:PassRole", "iam:*Role")),
        (roles.only_the_sandboxs_roles_are_passed_on, "ExecutionRoleArn: !GetAtt ExecutionRole.Arn", "Cpu: 256"),
        (roles.only_the_sandboxs_roles_are_passed_on, "iam:PassedToService: ecs-tasks", "iam:PassedToService: ecs"),
        (roles.only_the_sandboxs_roles_are_passed_on, "Action: ecs:RunTask", "Action: ecs:DescribeTasks"),
        (roles.sandboxes_are_started_and_stopped_in_their_cluster, "${AWS::StackName}-task:*", "*"),
        (roles.sandboxes_are_started_and_stopped_in_their_cluster, ":task/${Cluster}/*", ":task/*"),
        (roles.sandboxes_are_started_and_stopped_in_their_cluster, f"Condition: {{ {OF_CLUSTER} }}", "Condition: {}"),
    ],
)
def test_a_role_that_lacks_what_is_needed_or_has_more_is_found(
    write: Write, tmp_path: Path, rule: Rule, right: str, wrong: str
) -> None:
    assert right in ROLES
    write("template.yaml", ROLES.replace(right, wrong))
    write("statemachines/task.asl.yaml", MACHINE)
    assert messages(rule, tmp_path) != []


def test_a_state_that_asks_aws_for_more_than_a_function_is_found(write: Write, tmp_path: Path) -> None:
    write("template.yaml", ROLES)
    put = MACHINE.replace("lambda:invoke.waitForTaskToken", "dynamodb:putItem")
    write("statemachines/task.asl.yaml", put)
    assert len(messages(roles.machines_may_invoke_what_their_definitions_name, tmp_path)) == 2
