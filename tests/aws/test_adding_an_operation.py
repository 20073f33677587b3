"""Adding an operation is adding one file: it is then on REST, on the socket and in the OpenAPI document."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.aws.conftest import ENVIRONMENT, ROOT

OPERATION = '''
from __future__ import annotations

from filepath.operations.registry import Context, Model, operation


class EchoWords(Model):
    words: list[str]


class Echo(Model):
    spoken_words: str


@operation("POST", "/api/echo", public=True)
def echo_words(context: Context, request: EchoWords) -> Echo:
    """Say it again.

    Made up by a test.
    """
    return Echo(spoken_words=" ".join(request.words))
'''

ASKING = """
import json
from filepath import protocol
from filepath.aws.connections import ClientConnection
from filepath.rpc.dispatch import dispatch
from tests.aws.gateway import Rest

body = {"words": ["hello", "there"]}
connection = ClientConnection("api/v1/connection", "usr_1", "key_1", frozenset())
over_rest, document = Rest()("POST", "/api/echo", body), Rest()("GET", "/openapi.json")
on_socket = dispatch(connection, protocol.request(1, "echoWords", body), "request-1")
print(json.dumps([over_rest.text, json.loads(on_socket)["result"], document.body["paths"]["/api/echo"]["post"]]))
"""


def test_a_file_more_is_an_operation_more_on_every_door(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "layers/common/filepath", tmp_path / "filepath", ignore=shutil.ignore_patterns("*.pyc"))
    (tmp_path / "filepath/operations/echo_words.py").write_text(OPERATION)
    asked = subprocess.run(
        [sys.executable, "-c", ASKING],
        env={**ENVIRONMENT, "PATH": os.environ["PATH"], "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert asked.returncode == 0, asked.stderr
    over_rest, on_socket, described = json.loads(asked.stdout.splitlines()[-1])
    assert json.loads(over_rest) == on_socket == {"spokenWords": "hello there"}
    assert (described["operationId"], described["summary"]) == ("echoWords", "Say it again")
    body = described["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"].keys() == {"words"}
