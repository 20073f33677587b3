"""The house rules of what is wired up in template.yaml and built for it: each bites a tree that breaks it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gates import layer, template, variables, wiring
from gates.finding import Rule

TEMPLATE = """
Parameters: {PythonRuntime: {Default: python3.13}}
Globals:
  Function:
    Timeout: 29
    LoggingConfig: {LogGroup: !Ref Logs}
    Environment: {Variables: {TABLE: !Ref Table, POWERTOOLS_LOG_LEVEL: INFO}}
Resources:
  Clients:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      Routes:
        $connect: {FunctionArn: !GetAtt Socket.Arn}
        $default: {FunctionArn: !GetAtt Socket.Arn, RouteResponseSelectionExpression: $default}
  Response:
    Type: AWS::ApiGatewayV2::RouteResponse
    Properties: {ApiId: !Ref Clients, RouteId: !Ref ClientsDefaultRoute, RouteResponseKey: $default}
  Socket:
    Type: AWS::Serverless::Function
  Rest:
    Type: AWS::Serverless::Function
    Properties:
      Environment: {Variables: {SIGN_UP: open}}
      Events:
        Get: {Type: Api, Properties: {Path: "/{proxy+}", Method: get}}
        Post: {Type: Api, Properties: {Path: "/{proxy+}", Method: post}}
  Minutely:
    Type: AWS::Serverless::Function
    Properties:
      Timeout: 55
      Events: {Tick: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(1 minute)}}}
  Machine:
    Type: AWS::Serverless::StateMachine
    Properties: {DefinitionUri: statemachines/task.asl.yaml, DefinitionSubstitutions: {Steps: !GetAtt Rest.Arn}}
  Logs:
    Type: AWS::Logs::LogGroup
    Properties: {RetentionInDays: 30}
  Table: {Type: AWS::DynamoDB::Table, DeletionPolicy: Retain, UpdateReplacePolicy: Retain}
  Bucket: {Type: AWS::S3::Bucket, DeletionPolicy: Retain, UpdateReplacePolicy: Retain}
"""
SETTINGS = """
def of(environ):
    return [environ.get("TABLE"), environ.get("SIGN_UP", "closed"), environ.get("AWS_REGION")]
"""
FILES = {
    "template.yaml": TEMPLATE,
    "layers/common/filepath/settings.py": SETTINGS,
    "layers/common/filepath/operations/get_it.py": "@operation('GET', '/it')\ndef get_it(): ...\n",
    "layers/common/filepath/operations/make_it.py": "@operation('POST', '/it', public=True)\ndef make_it(): ...\n",
    "statemachines/task.asl.yaml": "States: {Settle: {Arguments: {FunctionName: '${Steps}'}}}",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository in which all is well."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


RULES: tuple[Rule, ...] = (
    wiring.socket_answers_are_returned,
    wiring.every_verb_of_an_operation_is_routed,
    wiring.functions_end_while_somebody_waits,
    wiring.definitions_get_what_they_substitute,
    template.logs_expire,
    template.data_outlives_the_stack,
    variables.variables_are_set_and_read,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_repository_in_which_all_is_well_is_left_alone(tree: Path, rule: Rule) -> None:
    assert list(rule(tree)) == []


@pytest.mark.parametrize(
    ("rule", "right", "wrong", "words"),
    [
        (wiring.socket_answers_are_returned, ", RouteResponseSelectionExpression: $default", "", "no RouteResponseSel"),
        (wiring.socket_answers_are_returned, "!Ref ClientsDefaultRoute", "!Ref ClientsRoute", "ClientsDefaultRoute"),
        (wiring.socket_answers_are_returned, "RouteResponseKey: $default", "RouteResponseKey: other", "RouteResponse"),
        (wiring.every_verb_of_an_operation_is_routed, "Method: post", "Method: put", "bound to POST"),
        (wiring.every_verb_of_an_operation_is_routed, "Method: post", "Method: any", "name the verbs"),
        (wiring.functions_end_while_somebody_waits, "Timeout: 29", "Timeout: 30", "Rest may take 30 s"),
        (wiring.functions_end_while_somebody_waits, "Timeout: 29", "Timeout: 30", "Socket may take 30 s, Clients"),
        (wiring.functions_end_while_somebody_waits, "Timeout: 55", "Timeout: 60", "its schedule waits 59"),
        (wiring.definitions_get_what_they_substitute, "{Steps: !GetAtt", "{Step: !GetAtt", "given ['Step']"),
        (wiring.definitions_get_what_they_substitute, "task.asl.yaml", "job.asl.yaml", "no state machine"),
        (template.logs_expire, "{RetentionInDays: 30}", "{}", "Logs has no RetentionInDays"),
        (template.logs_expire, "LogGroup: !Ref Logs", "LogFormat: JSON", "a group that Lambda makes"),
        (template.data_outlives_the_stack, "Table, DeletionPolicy: Retain,", "Table,", "Table has no DeletionPolicy"),
        (template.data_outlives_the_stack, "UpdateReplacePolicy: Retain", "Tags: []", "no UpdateReplacePolicy"),
        (variables.variables_are_set_and_read, "SIGN_UP: open", "SIGNUP: open", "sets SIGNUP"),
        (variables.variables_are_set_and_read, "SIGN_UP: open", "TABLE: other", "reads SIGN_UP"),
    ],
)
def test_a_template_that_breaks_a_rule_is_found(tree: Path, rule: Rule, right: str, wrong: str, words: str) -> None:
    assert right in TEMPLATE
    (tree / "template.yaml").write_text(TEMPLATE.replace(right, wrong))
    assert any(words in finding.message for finding in rule(tree)), [str(finding) for finding in rule(tree)]


def a_layer(tree: Path, tag: str, module: str) -> None:
    site = tree / ".aws-sam" / "python3.13" / "build" / "CommonLayer" / "python"
    (site / "it-1.dist-info").mkdir(parents=True)
    (site / "it-1.dist-info" / "WHEEL").write_text(f"Wheel-Version: 1.0\nTag: {tag}\n")
    (site / module).write_bytes(b"")


@pytest.mark.parametrize(
    ("tag", "module", "found"),
    [
        ("py3-none-any", "it.py", 0),
        ("cp313-cp313-manylinux_2_17_x86_64", "it.cpython-313-x86_64-linux-gnu.so", 0),
        ("cp310-abi3-manylinux_2_28_x86_64", "it.abi3.so", 0),
        ("cp311-cp311-manylinux_2_17_x86_64", "it.py", 1),
        ("cp313-cp313-manylinux_2_17_aarch64", "it.py", 1),
        ("cp313-cp313-manylinux_2_38_x86_64", "it.py", 1),
        ("cp313-cp313-musllinux_1_2_x86_64", "it.py", 1),
        ("py3-none-any", "it.cpython-311-x86_64-linux-gnu.so", 1),
        ("py3-none-any", "it.cpython-313-aarch64-linux-gnu.so", 1),
    ],
)
def test_a_built_layer_that_does_not_fit_is_found(tree: Path, tag: str, module: str, found: int) -> None:
    a_layer(tree, tag, module)
    assert len(list(layer.built_layers_fit_the_template(tree))) == found


def test_a_python_of_an_older_amazon_linux_takes_older_wheels_alone(tree: Path) -> None:
    a_layer(tree, "cp310-abi3-manylinux_2_28_x86_64", "it.abi3.so")
    site = tree / ".aws-sam" / "python3.13" / "build" / "CommonLayer" / "python"
    assert list(layer.misfits(site, "3.13", "x86_64")) == []
    assert len(list(layer.misfits(site, "3.11", "x86_64"))) == 1
