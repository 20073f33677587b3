"""The sandbox's image: built by docker or podman, named by its content, pushed to the stack's own repository.

The name is what makes a rollback one: a task definition of an earlier deployment still names the image that it was
deployed with, since the repository lets no tag be moved.
"""

from __future__ import annotations

import base64
import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from deploy.environment import CHECKOUT
from deploy.failure import Failure

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

ENGINES = ("docker", "podman")
BUILT = "filepath-sandbox:deploy"
TAG_DIGITS = 20


@dataclass(frozen=True)
class Engine:
    program: str

    @classmethod
    def at_hand(cls) -> Engine | None:
        """The first whose engine answers: a client alone can build nothing."""
        installed = (program for program in ENGINES if shutil.which(program))
        return next((cls(program) for program in installed if _answers(program)), None)

    def build(self) -> Image:
        """Options of this machine (a base image, a proxy's certificate) come from IMAGE_BUILD_OPTIONS."""
        options = shlex.split(os.environ.get("IMAGE_BUILD_OPTIONS", ""))
        self._run("build", "--platform", "linux/amd64", *options, "--file", "sandbox/Dockerfile", "--tag", BUILT, ".")
        return self.image(BUILT)

    def image(self, name: str) -> Image:
        """One that is on this machine."""
        try:
            identity = self._run("image", "inspect", "--format", "{{.Id}}", name, capture=True)
        except Failure:
            raise Failure(f"{self.program} knows no image {name!r}. `{self.program} images` lists them.") from None
        return Image(name, identity.strip().removeprefix("sha256:")[:TAG_DIGITS])

    def push(self, image: Image, ecr: ECRClient, repository: str) -> None:
        """To a repository's address; nothing where the image is there."""
        if _is_pushed(ecr, repository.partition("/")[2], image.tag):
            return
        target = f"{repository}:{image.tag}"
        print(f"Pushing the sandbox's image as {target}")
        self._run("tag", image.name, target)
        registry = self._sign_in(ecr)
        try:
            self._run("push", target)
        finally:
            self._run("rmi", target, capture=True)
            self._run("logout", registry, capture=True)

    def _sign_in(self, ecr: ECRClient) -> str:
        """The registry, which takes the engine's pushes from now on."""
        access = ecr.get_authorization_token()["authorizationData"][0]
        user, _, password = base64.b64decode(access["authorizationToken"]).decode().partition(":")
        registry = urlsplit(access["proxyEndpoint"]).netloc
        self._run("login", "--username", user, "--password-stdin", registry, capture=True, stdin=password)
        return registry

    def _run(self, *words: str, capture: bool = False, stdin: str = "") -> str:
        done = subprocess.run(
            [self.program, *words],
            cwd=CHECKOUT, input=stdin, text=True, check=False,
            stdout=subprocess.PIPE if capture else None, stderr=subprocess.PIPE if capture else None,
        )  # fmt: skip
        if done.returncode:
            said = f":\n{done.stderr.strip()}" if capture else "; what it said is above."
            raise Failure(f"`{self.program} {words[0]}` failed{said}")
        return done.stdout or ""


@dataclass(frozen=True)
class Image:
    name: str
    tag: str
    """From the hash of its configuration, which names its layers: another content, another tag."""


def _answers(program: str) -> bool:
    return _quietly([program, "info"])


def _quietly(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0


def _is_pushed(ecr: ECRClient, repository: str, tag: str) -> bool:
    try:
        return bool(ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": tag}])["imageDetails"])
    except ecr.exceptions.ImageNotFoundException:
        return False
