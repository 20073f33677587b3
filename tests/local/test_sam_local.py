"""`sam local invoke` and `sam local start-api`: each function in a container, with its event of tests/events.

A tool of its own, which knows nothing of `local/`. AWS is moto's server in this process.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
import yaml
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from moto.server import ThreadedMotoServer

from deploy.build import build
from filepath import ids
from filepath.aws import keys, records
from filepath.aws.table import Key
from filepath.session import Session, SessionStatus
from local import image
from local.engine import Engine, EngineFailedError, NoEngineError, find
from local.home import CHECKOUT, Home
from tests.aws.conftest import table_of_the_template
from tests.local.emulators import eventually, free_port

EVENTS = CHECKOUT / "tests" / "events"
SESSION = "ses_0123456789abcdefghjk"
TOKEN = "the-token-of-this-event"
NOW_MS = 1_795_369_684_000
RUNTIME = "python3.11"
"""Debian 12's, of which the stand-in is made."""
STAND_IN = f"localhost/filepath-lambda:{RUNTIME}"
PUBLISHED = f"public.ecr.aws/lambda/{RUNTIME.replace('python', 'python:')}-x86_64"

pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class Aws:
    """moto's server, as this process and as containers reach it."""

    port: int

    @property
    def url_for_containers(self) -> str:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))  # sends nothing: the kernel says which own address it would use
            return f"http://{probe.getsockname()[0]}:{self.port}"

    def dynamodb(self) -> Any:
        return boto3.Session("made-up", "made-up", region_name="us-east-1").client(
            "dynamodb", endpoint_url=f"http://127.0.0.1:{self.port}"
        )

    def item(self, key: Key) -> dict[str, Any]:
        found = self.dynamodb().get_item(TableName="Table", Key=_typed(key), ConsistentRead=True).get("Item", {})
        return {name: TypeDeserializer().deserialize(value) for name, value in found.items()}

    def put(self, item: dict[str, Any]) -> None:
        self.dynamodb().put_item(TableName="Table", Item=_typed(item))


def _typed(item: Any) -> dict[str, Any]:
    return {name: TypeSerializer().serialize(value) for name, value in item.items()}


@dataclass(frozen=True)
class SamLocal:
    template: Path
    environment: dict[str, str]
    image: str

    def command(self, *words: str) -> list[str]:
        options = ["--template", str(self.template), "--parameter-overrides", f"PythonRuntime={RUNTIME}"]
        return ["sam", "local", *words, *options, "--skip-pull-image", "--invoke-image", self.image]

    def invoke(self, function: str, event: dict[str, Any]) -> Any:
        done = subprocess.run(
            self.command("invoke", function, "--event", "-"), env=self.environment, input=json.dumps(event),
            capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.strip() or "null")


def event_of(function: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EVENTS / f"{function}.json").read_text())
    return event


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    home = Home(tmp_path_factory.mktemp("engine"), 1, 2, 3)
    try:
        return find(home)
    except NoEngineError as reason:
        pytest.skip(f"no container engine, in which `sam local` runs functions: {reason}")


@pytest.fixture(scope="module")
def docker_host(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Where SAM finds the engine: podman speaks Docker's API while its service runs."""
    if not engine.is_podman:
        yield {}
        return
    path = tmp_path_factory.mktemp("podman") / "socket"
    service = subprocess.Popen(
        engine.command("system", "service", "--time", "0", f"unix://{path}"), env=dict(engine.environment)
    )
    try:
        eventually(path.exists)
        yield {"DOCKER_HOST": f"unix://{path}"}
    finally:
        service.terminate()
        service.wait(20)


@pytest.fixture(scope="module")
def lambda_image(engine: Engine) -> str:
    """Lambda's own where it can be had, else one that stands for it."""
    try:
        engine.run("pull", "--quiet", PUBLISHED)
    except EngineFailedError:
        options = image.build_options(engine, image.build(engine), os.environ)
        engine.run("build", *options, "--tag", STAND_IN, str(Path(__file__).with_name("lambda")), seconds=300)
        return STAND_IN
    return PUBLISHED


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    server = ThreadedMotoServer(ip_address="0.0.0.0", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    aws = Aws(port)
    # SAM gives a function the logical id of what its environment refers to.
    aws.dynamodb().create_table(TableName="Table", **table_of_the_template())
    yield aws
    server.stop()


@pytest.fixture(scope="module")
def sam(docker_host: dict[str, str], lambda_image: str, aws: Aws) -> Iterator[SamLocal]:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAM_"))},
        **docker_host,
        "PATH": f"{CHECKOUT / '.tools' / 'bin'}:{os.environ['PATH']}",
        "SAM_CLI_TELEMETRY": "0",
        "AWS_ACCESS_KEY_ID": "made-up",
        "AWS_SECRET_ACCESS_KEY": "made-up",
        "AWS_DEFAULT_REGION": "us-east-1",
        "LAYER_PLATFORM": f"{platform.machine()}-manylinux_2_28",
    }
    built = build(environment, RUNTIME)
    template = yaml.safe_load(built.read_text())
    # The one thing that a function in Lambda is not told: SAM passes on only what the template names.
    template["Globals"]["Function"]["Environment"]["Variables"]["AWS_ENDPOINT_URL"] = aws.url_for_containers
    # Beside the other one, whose paths it shares.
    local_template = built.with_name("sam-local.yaml")
    local_template.write_text(yaml.safe_dump(template))
    yield SamLocal(local_template, environment, lambda_image)
    local_template.unlink()


@pytest.fixture
def session(aws: Aws) -> Session:
    """The one that the events speak of, as it is while its sandbox starts."""
    session = Session(
        SESSION, "usr_0", SessionStatus.STARTING, NOW_MS, NOW_MS, 1024, 2048, idle_seconds=10**9, max_age_seconds=10**9
    )
    kept = {name: value for name, value in records.item_of(session).items() if name != "background"}
    aws.put({**keys.session(SESSION), **kept, "tokenHash": ids.hashed(TOKEN)})
    return session


def test_there_is_an_event_for_each_function() -> None:
    assert {path.stem for path in EVENTS.glob("*.json")} == {path.name for path in CHECKOUT.glob("functions/*")}


def test_api_answers_a_health_check(sam: SamLocal) -> None:
    answer = sam.invoke("ApiFunction", event_of("api"))
    assert (answer["statusCode"], json.loads(answer["body"])["status"]) == (200, "ok")


def test_clients_refuses_a_handshake_with_an_unknown_key(sam: SamLocal) -> None:
    assert sam.invoke("ClientsFunction", event_of("clients"))["statusCode"] == 401


def test_agents_lets_in_the_agent_that_shows_its_sessions_token(sam: SamLocal, aws: Aws, session: Session) -> None:
    event = event_of("agents")
    assert sam.invoke("AgentsFunction", event) == {"statusCode": 200}
    assert aws.item(keys.session(SESSION))["instance"] == event["headers"]["X-Filepath-Instance"]


def test_workflow_decides_that_a_busy_session_lives_on(sam: SamLocal, session: Session) -> None:
    answer = sam.invoke("WorkflowFunction", event_of("workflow"))
    assert answer["decision"] == "live"
    assert 0 < answer["clock"]["heartbeatSeconds"] < answer["clock"]["timeoutSeconds"]


def test_sandbox_events_notes_that_the_sandbox_is_gone_and_why(sam: SamLocal, aws: Aws, session: Session) -> None:
    assert sam.invoke("SandboxEventsFunction", event_of("sandbox_events")) is None
    assert aws.item(keys.session(SESSION))["gone"] == "oom"


def test_reconcile_finds_no_session_that_is_not_over(sam: SamLocal) -> None:
    assert sam.invoke("ReconcileFunction", event_of("reconcile")) == {"sessions": 0}


def test_operator_makes_an_invite(sam: SamLocal) -> None:
    assert sam.invoke("OperatorFunction", event_of("operator"))["invite"].startswith("fpi_")


def test_start_api_serves_health_and_refuses_in_the_envelope_who_shows_no_key(sam: SamLocal) -> None:
    port = free_port()
    command = sam.command("start-api", "--port", str(port), "--warm-containers", "LAZY")
    with subprocess.Popen(command, env=sam.environment, stdout=sys.stderr, stderr=sys.stderr) as serving:
        try:
            url = f"http://127.0.0.1:{port}/api"
            health = eventually(lambda: _answer(f"{url}/health"), 120)
            refusal = httpx.get(f"{url}/credits", timeout=60)
        finally:
            serving.terminate()  # at which SAM removes its containers
    assert (health.status_code, health.json()["status"]) == (200, "ok")
    assert (refusal.status_code, refusal.json()["error"]["code"]) == (401, "unauthenticated")


def _answer(url: str) -> httpx.Response | None:
    try:
        return httpx.get(url, timeout=60)
    except httpx.ConnectError:
        return None
