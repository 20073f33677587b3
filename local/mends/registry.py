"""The registry that ECR's repositories are pushed to and pulled from.

AWS serves it at the address that a repository names, to those who show a token of GetAuthorizationToken. An image is
as large as its layers, and gone with its repository.

MiniStack serves it on its own port, to anybody, while its repositories name a host that is none; an image is as large
as its manifest, and layers outlive their repository. Here repositories name the port, and pushing and pulling wants
the token: a sandbox shares this machine's network, and must not be able to change what the next one runs.
"""

# ruff: noqa: SLF001 - a mend reaches into what it mends

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

Reply = tuple[int, dict[str, str], bytes]


def apply(port: int) -> None:
    from ministack.services import ecr

    ecr._repo_uri = lambda name: f"{address(port)}/{name}"
    ecr._get_authorization_token = telling(ecr._get_authorization_token, f"http://{address(port)}")
    ecr.handle_registry_request = asking(ecr.handle_registry_request, f"Basic {authorization()}")
    ecr._describe_images = with_their_layers(ecr, ecr._describe_images)
    ecr._delete_repository = with_its_layers(ecr, ecr._delete_repository)


def address(port: int) -> str:
    return f"127.0.0.1:{port}"


def authorization() -> str:
    """Who signs in, and by which token: derived from the stack's root key, so that it outlives a restart."""
    secret = os.environ["AWS_SECRET_ACCESS_KEY"].encode()
    token = hmac.new(secret, b"registry", hashlib.sha256).hexdigest()
    return base64.b64encode(f"AWS:{token}".encode()).decode()


def telling(answer: Callable[[Any], Reply], endpoint: str) -> Callable[[Any], Reply]:
    @wraps(answer)
    def tell(data: Any) -> Reply:
        status, headers, body = answer(data)
        content = json.loads(body)
        content["authorizationData"][0].update(authorizationToken=authorization(), proxyEndpoint=endpoint)
        return status, headers, json.dumps(content).encode()

    return tell


def asking(serve: Callable[..., Awaitable[Reply]], expected: str) -> Callable[..., Awaitable[Reply]]:
    @wraps(serve)
    async def ask(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Reply:
        if hmac.compare_digest(headers.get("authorization", "").encode(), expected.encode()):
            return await serve(method, path, headers, body, query)
        # The status and header by which an engine learns that it has to show what it logged in with.
        return 401, {"WWW-Authenticate": 'Basic realm="registry"', "Content-Type": "application/json"}, b"{}"

    return ask


def with_its_layers(ecr: Any, delete: Callable[[dict[str, Any]], Reply]) -> Callable[[dict[str, Any]], Reply]:
    @wraps(delete)
    def delete_all(data: dict[str, Any]) -> Reply:
        status, headers, body = delete(data)
        if status == 200:
            for store in (ecr._layer_blobs, ecr._manifest_blobs, ecr._uploads):
                store.pop(data["repositoryName"], None)
        return status, headers, body

    return delete_all


def with_their_layers(ecr: Any, describe: Callable[[dict[str, Any]], Reply]) -> Callable[[dict[str, Any]], Reply]:
    @wraps(describe)
    def describe_with_sizes(data: dict[str, Any]) -> Reply:
        status, headers, body = describe(data)
        content = json.loads(body)
        for image in content.get("imageDetails", []):
            image["imageSizeInBytes"] = _size(ecr._find_image(data["repositoryName"], image)["imageManifest"])
        return status, headers, json.dumps(content).encode()

    return describe_with_sizes


def _size(manifest: str) -> int:
    return sum(layer["size"] for layer in json.loads(manifest).get("layers", []))
