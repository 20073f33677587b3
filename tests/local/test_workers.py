"""The functions' workers: local/mends/layers.py, worker_logs.py and function_logs.py; and YAML definitions."""

from __future__ import annotations

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.local.emulators import RUNTIME, Emulator, archive, eventually

SLEEPS_BESIDE_ITS_LAYER = """
import time, shared
def handler(event, context):
    time.sleep(0.5)
    return shared.__file__
"""

YAML_MACHINE = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Role:
    Type: AWS::IAM::Role
    Properties: {{ AssumeRolePolicyDocument: {{}} }}
  Machine:
    Type: AWS::Serverless::StateMachine
    Properties:
      Role: !GetAtt Role.Arn
      DefinitionUri: {{ Bucket: {bucket}, Key: machine.yaml }}
Outputs:
  Machine: {{ Value: !Ref Machine }}
"""


def layer_of(emulator: Emulator) -> str:
    content = archive({"python/shared.py": ""})
    layers = emulator.client("lambda")
    name = f"layer-{uuid.uuid4().hex[:8]}"
    published = layers.publish_layer_version(LayerName=name, Content={"ZipFile": content}, CompatibleRuntimes=[RUNTIME])
    return str(published["LayerVersionArn"])


def places_of_the_layer(emulator: Emulator) -> set[str]:
    """Where three workers of one function, at work at once, each found the layer."""
    function = emulator.function(SLEEPS_BESIDE_ITS_LAYER, layers=(layer_of(emulator),))

    def call(_: int) -> str:
        return str(json.load(emulator.client("lambda").invoke(FunctionName=function)["Payload"]))

    with ThreadPoolExecutor(3) as callers:
        return set(callers.map(call, range(3)))


def quickest_of_five(emulator: Emulator, function: str) -> float:
    client = emulator.client("lambda")

    def call() -> float:
        begun = time.perf_counter()
        client.invoke(FunctionName=function)
        return time.perf_counter() - begun

    call()
    return min(call() for _ in range(5))


def runs_a_yaml_machine(emulator: Emulator) -> bool:
    bucket = f"bucket-{uuid.uuid4().hex[:8]}"
    s3 = emulator.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="machine.yaml", Body=b"StartAt: Pass\nStates:\n  Pass: {Type: Pass, End: true}\n")
    machine = emulator.stack(f"yaml-{bucket}", YAML_MACHINE.format(bucket=bucket))["Machine"]
    execution = emulator.client("stepfunctions").start_execution(stateMachineArn=machine)["executionArn"]
    ended: dict[str, Any] = emulator.execution_end(execution)
    return bool(ended["status"] == "SUCCEEDED")


def test_workers_share_one_unpacked_layer(mended: Emulator) -> None:
    assert len(places_of_the_layer(mended)) == 1


def test_a_call_that_logs_nothing_does_not_wait_for_its_log(mended: Emulator) -> None:
    assert quickest_of_five(mended, mended.function("def handler(event, context):\n    pass\n")) < 0.04


def test_what_a_call_logs_is_complete_and_its_own(mended: Emulator) -> None:
    function = mended.function('def handler(event, context):\n    print(event, "one\\n" + event, "two")\n')
    client = mended.client("lambda")
    for word in ("first", "second"):
        client.invoke(FunctionName=function, Payload=json.dumps(word).encode(), LogType="Tail")
    name = function.rpartition(":")[2]
    log = mended.home.logs / "functions.log"
    lines = eventually(lambda: [line.split(" ", 2)[2] for line in log.read_text().splitlines() if name in line])
    assert lines == ["first one", "first two", "second one", "second two"]


def test_a_state_machine_may_be_yaml(mended: Emulator) -> None:
    assert runs_a_yaml_machine(mended)


def test_the_emulator_alone_still_unpacks_a_layer_for_each_worker(plain: Emulator) -> None:
    assert len(places_of_the_layer(plain)) == 3, "mends/layers.py is no longer needed"


def test_the_emulator_alone_still_waits_for_a_log_that_does_not_come(plain: Emulator) -> None:
    quickest = quickest_of_five(plain, plain.function("def handler(event, context):\n    pass\n"))
    assert quickest > 0.045, "mends/worker_logs.py is no longer needed"


def test_the_emulator_alone_still_knows_only_json_machines(plain: Emulator) -> None:
    assert not runs_a_yaml_machine(plain), "mends/definitions.py is no longer needed"
