"""The registry behind ECR: local/mends/registry.py. What an engine says over HTTP is said here by hand."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.local.emulators import Emulator

LAYER = b"a layer" * 100
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True)
class Repository:
    name: str
    uri: str
    http: httpx.Client

    def has_layer(self) -> bool:
        return self.http.head(f"/v2/{self.name}/blobs/{digest(LAYER)}").status_code == 200

    def push(self) -> int:
        """The status of the last step: 201 where the image is there."""
        uploaded = self.http.post(f"/v2/{self.name}/blobs/uploads/", params={"digest": digest(LAYER)}, content=LAYER)
        if uploaded.status_code != 201:
            return uploaded.status_code
        layers = [{"mediaType": "", "digest": digest(LAYER), "size": len(LAYER)}]
        manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "layers": layers})
        put = self.http.put(f"/v2/{self.name}/manifests/one", content=manifest, headers={"content-type": MANIFEST_TYPE})
        return put.status_code


def repository(emulator: Emulator, authorization: str | None = None) -> Repository:
    made = emulator.client("ecr").create_repository(repositoryName=f"repository-{uuid.uuid4().hex[:8]}")["repository"]
    headers = {"authorization": f"Basic {authorization}"} if authorization else {}
    http = httpx.Client(base_url=emulator.home.emulator_url, headers=headers)
    return Repository(made["repositoryName"], made["repositoryUri"], http)


@pytest.fixture
def signed_in(mended: Emulator) -> Iterator[Repository]:
    access = mended.client("ecr").get_authorization_token()["authorizationData"][0]
    assert access["proxyEndpoint"] == mended.home.emulator_url
    used = repository(mended, access["authorizationToken"])
    with used.http:
        yield used


def test_an_image_is_pushed_to_the_address_that_its_repository_names(mended: Emulator, signed_in: Repository) -> None:
    assert f"http://{signed_in.uri}" == f"{mended.home.emulator_url}/{signed_in.name}"
    assert signed_in.push() == 201
    (image,) = mended.client("ecr").describe_images(repositoryName=signed_in.name)["imageDetails"]
    assert (image["imageTags"], image["imageSizeInBytes"]) == (["one"], len(LAYER))


@pytest.mark.parametrize("authorization", [None, base64.b64encode(b"AWS:ministack-auth-token").decode()])
def test_nobody_pushes_without_the_token(mended: Emulator, authorization: str | None) -> None:
    visitor = repository(mended, authorization)
    with visitor.http:
        assert visitor.push() == 401
        # Asked by an engine first, to learn how to sign in.
        assert visitor.http.get("/v2/").headers["www-authenticate"].startswith("Basic ")


def test_a_repository_that_is_deleted_takes_its_layers_along(mended: Emulator, signed_in: Repository) -> None:
    ecr = mended.client("ecr")
    signed_in.push()
    assert signed_in.has_layer()
    ecr.delete_repository(repositoryName=signed_in.name, force=True)
    ecr.create_repository(repositoryName=signed_in.name)
    assert not signed_in.has_layer()


def test_the_mend_is_needed_as_long_as_the_emulator_serves_images_to_anybody(plain: Emulator) -> None:
    ecr, open_to_all = plain.client("ecr"), repository(plain)
    with open_to_all.http:
        assert "amazonaws.com" in open_to_all.uri
        assert open_to_all.push() == 201
        (image,) = ecr.describe_images(repositoryName=open_to_all.name)["imageDetails"]
        assert image["imageSizeInBytes"] < len(LAYER)
        ecr.delete_repository(repositoryName=open_to_all.name, force=True)
        ecr.create_repository(repositoryName=open_to_all.name)
        assert open_to_all.has_layer()
