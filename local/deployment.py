"""The template, built and deployed to the emulator by the real SAM command line.

Both are skipped where nothing they are made of has changed: the build by the contents of the sources, the deployment
by the build, its parameters and its settings, which samconfig.toml keeps in the tables of `local`.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
import tomllib
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from local import gateway_responses
from local.home import CHECKOUT, REGION, STACK, Home
from local.steps import Failure

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

SOURCES = ("template.yaml", "functions", "layers", "statemachines")
SAMCONFIG = CHECKOUT / "samconfig.toml"
DEPLOYED_AS = "/filepath-local/deployed-as"
DEPLOYED = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")


# What `make setup` has done once it does not do again, though the tool be gone.
REMEDY = "Run `rm -rf .tools && make setup`."


def session(home: Home) -> boto3.Session:
    """AWS as the stack's root sees it."""
    key = home.root_key()
    return boto3.Session(key.access_key, key.secret_key, region_name=REGION)


def client_options(home: Home, seconds: float = 60) -> dict[str, Any]:
    config = Config(retries={"total_max_attempts": 1}, read_timeout=seconds, s3={"addressing_style": "path"})
    return {"endpoint_url": home.emulator_url, "config": config}


def sam() -> str:
    """The SAM command line, where `make` puts it, else from PATH."""
    found = shutil.which("sam", path=f"{CHECKOUT / '.tools' / 'bin'}:{os.environ.get('PATH', '')}")
    if found is None:
        raise Failure(f"The AWS SAM command line is missing. {REMEDY}")
    return found


class Deployment:
    def __init__(self, home: Home, stack: str = STACK) -> None:
        self._home = home
        self._stack = stack
        self._template = home.build / "sam" / "template.yaml"
        self._built = home.build / "built.txt"

    @cached_property
    def _ssm(self) -> Any:
        return session(self._home).client("ssm", **client_options(self._home))

    @cached_property
    def _cloudformation(self) -> CloudFormationClient:
        return session(self._home).client("cloudformation", **client_options(self._home))

    # Build

    @cached_property
    def _digest(self) -> str:
        digest = hashlib.sha256(sys.version.encode())
        for path in sorted(path for source in SOURCES for path in _files(CHECKOUT / source)):
            digest.update(f"{path.relative_to(CHECKOUT)}\0".encode() + path.read_bytes())
        return digest.hexdigest()

    def is_built(self) -> bool:
        return self._template.exists() and (_text(self._built) or "").split()[:1] == [self._digest]

    def build(self) -> None:
        self._built.unlink(missing_ok=True)
        self._home.build.mkdir(parents=True, exist_ok=True)
        template = str(CHECKOUT / "template.yaml")
        overrides = f"PythonRuntime={_runtime()}"
        self._sam(
            "build", "--template-file", template, "--build-dir", str(self._template.parent),
            "--parameter-overrides", overrides,
        )  # fmt: skip
        # Also told apart from an earlier build of the same sources.
        self._built.write_text(f"{self._digest} {time.time_ns()}")

    # Deployment

    @cached_property
    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = tomllib.loads(SAMCONFIG.read_text())["local"]["deploy"]["parameters"]
        return settings

    def parameters(self) -> dict[str, str]:
        """SAM takes the parameters of its command line in place of those that samconfig.toml has, not beside them."""
        configured = dict(pair.split("=", 1) for pair in self._settings["parameter_overrides"])
        return {**configured, **self.own_parameters(), **dict(self._home.parameters)}

    def own_parameters(self) -> dict[str, str]:
        """All that differs from a deployment to AWS."""
        return {
            "PythonRuntime": _runtime(),
            "AgentsUrl": f"ws://127.0.0.1:{self._home.sandbox_port}/agents",
            "ManagementEndpoint": f"{self._home.emulator_url}/_aws/execute-api/{{apiId}}/{{stage}}",
            "SocketUrl": self._home.socket_url,
            "ObjectsEndpoint": self._home.sandbox_url,
        }

    @property
    def _wanted(self) -> str:
        made_of = json.dumps([_text(self._built), self.parameters(), self._settings])
        return hashlib.sha256(made_of.encode()).hexdigest()

    def is_deployed(self) -> bool:
        return self._status() in DEPLOYED and self._deployed_as() == self._wanted

    def _deployed_as(self) -> str | None:
        """What was deployed last: kept in the emulator, whose state may be older than the files beside it."""
        try:
            return str(self._ssm.get_parameter(Name=DEPLOYED_AS)["Parameter"]["Value"])
        except ClientError:
            return None

    def deploy(self) -> None:
        self._clear_what_failed()
        self._make_bucket()
        self._sam(
            "deploy", "--template-file", str(self._template), "--config-file", str(SAMCONFIG), "--config-env", "local",
            "--parameter-overrides", *(f"{name}={value}" for name, value in self.parameters().items()),
        )  # fmt: skip
        self._ssm.put_parameter(Name=DEPLOYED_AS, Value=self._wanted, Type="String", Overwrite=True)

    def _status(self) -> str | None:
        try:
            return str(self._cloudformation.describe_stacks(StackName=self._stack)["Stacks"][0]["StackStatus"])
        except ClientError:
            return None

    def _clear_what_failed(self) -> None:
        """A stack whose first creation failed can only be deleted, here as on AWS."""
        if self._status() not in (None, *DEPLOYED):
            self._cloudformation.delete_stack(StackName=self._stack)
            self._cloudformation.get_waiter("stack_delete_complete").wait(
                StackName=self._stack, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
            )

    def _make_bucket(self) -> None:
        s3 = session(self._home).client("s3", **client_options(self._home))
        s3.create_bucket(Bucket=self._settings["s3_bucket"])

    def outputs(self) -> dict[str, str]:
        stack = self._cloudformation.describe_stacks(StackName=self._stack)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    def publish(self) -> None:
        """What the doors need to know, to where they read it."""
        # A text on the wire; botocore reads it where it is JSON, which the stubs do not say.
        template: Any = self._cloudformation.get_template(StackName=self._stack, TemplateStage="Processed")[
            "TemplateBody"
        ]
        processed = json.loads(template) if isinstance(template, str) else template
        _replace(self._home.gateway_responses_file, gateway_responses.of_template(processed))
        _replace(self._home.outputs_file, self.outputs())

    def _sam(self, command: str, *arguments: str) -> None:
        log = self._home.logs / f"sam-{command}.log"
        try:
            with log.open("wb") as file:
                done = subprocess.run(
                    [sam(), command, *arguments],
                    cwd=self._home.build,
                    env=self._sam_environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    check=False,
                )
        except OSError as error:
            raise Failure(f"The AWS SAM command line does not start: {error}. {REMEDY}") from None
        if done.returncode != 0:
            said = what_went_wrong(log.read_text(errors="replace"))
            raise Failure(f"`sam {command}` failed:\n\n{said}\n\nAll of it is in {log}. Mend it, then `make up` again.")

    def _sam_environment(self) -> dict[str, str]:
        """The stack's key and nothing of the owner's AWS settings, so that nothing goes to a real account."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAM_"))}
        return {
            **own,
            **self._home.root_key().environment(),
            "PATH": f"{CHECKOUT / '.tools' / 'bin'}:{os.environ.get('PATH', '')}",
            "AWS_ENDPOINT_URL": self._home.emulator_url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "SAM_CLI_TELEMETRY": "0",
            # The functions run on the interpreter at hand, so the layer is built for it.
            "LAYER_PYTHON": _runtime().removeprefix("python"),
            "LAYER_PLATFORM": f"{platform.machine()}-manylinux_2_28",
        }


def _replace(path: Path, content: dict[str, Any]) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(content, indent=2))
    temporary.rename(path)


def what_went_wrong(log: str) -> str:
    """Each error and what is said to it, which a long trace may follow; else the end."""
    said: list[str] = []
    lines = log.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("Error:") or "_FAILED" in line:
            said.append(line)
            said += takewhile(_goes_on, lines[number + 1 : number + 6])
    return "\n".join(line[:1000].rstrip() for line in (said or lines[-25:]))


def _goes_on(line: str) -> bool:
    return bool(line.strip()) and not line.startswith(("Error:", "Traceback", "---", "CREATE_", "UPDATE_", "ROLLBACK_"))


def _runtime() -> str:
    return f"python{sys.version_info.major}.{sys.version_info.minor}"


def _files(source: Path) -> list[Path]:
    found = [source] if source.is_file() else list(source.rglob("*"))
    return [path for path in found if path.is_file() and "__pycache__" not in path.parts]


def _text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None
