"""The two doors of a local stack, which stand for API Gateway's and S3's public endpoints.

The front door takes the REST API at `/` and the clients' socket at `/socket`. The sandbox door takes the agents'
socket at `/agents` and presigned requests for objects, and nothing else: it is all that a sandbox needs to reach.
They know paths, sizes and limits, and no message's meaning. `python -m local.doors` runs both.
"""

from __future__ import annotations

import asyncio
import hmac
import http
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import h11
import httpx

from local import gateway_responses
from local.faults import Faults, NotAPlanError, Plan
from local.gateway_responses import EVENT_REFUSED, FAILED, TIMED_OUT, TOO_LARGE
from local.home import Home
from local.relay import NOT_PASSED_ON, READ_SIZE, RefusedError, Relay, linger

BODY_LIMIT = 10 * 1024 * 1024
"""API Gateway's, for a REST request."""
INTEGRATION_SECONDS = 29.0
CONTROL_PATH = "/_local/faults"

Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Headers
    body: bytes

    @classmethod
    def message(cls, status: int, words: str) -> Answer:
        return cls(status, [("content-type", "application/json")], json.dumps({"message": words}).encode())


@dataclass(frozen=True)
class Call:
    """One HTTP request, its head read and its body still to come."""

    method: str
    target: str
    headers: Headers
    peer: str
    body: Callable[[], AsyncIterator[bytes]]

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")

    @property
    def wants_socket(self) -> bool:
        return self.header("upgrade").lower() == "websocket"


class NotDeployedError(RuntimeError):
    """There is no stack behind the doors yet."""


class Routes:
    """Where the stack's APIs are, and how they word their refusals, from its last deployment."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._read: dict[Path, tuple[int, dict[str, Any]]] = {}

    def _content(self, path: Path) -> dict[str, Any]:
        try:
            changed_at = path.stat().st_mtime_ns
        except FileNotFoundError:
            raise NotDeployedError from None
        if self._read.get(path, (0, {}))[0] != changed_at:
            self._read[path] = changed_at, json.loads(path.read_text())
        return self._read[path][1]

    def output(self, name: str) -> str:
        return str(self._content(self._home.outputs_file)[name])

    def refusal(self, refusal: gateway_responses.Refusal) -> Answer:
        status, body = gateway_responses.render(refusal, self._content(self._home.gateway_responses_file))
        return Answer(status, [("content-type", "application/json")], body)

    def api(self, output: str) -> str:
        return f"/_aws/execute-api/{self.output(output)}/{self.output('Stage')}"

    def socket_url(self, output: str, query: str) -> str:
        url = f"ws://127.0.0.1:{self._home.emulator_port}{self.api(output)}"
        return f"{url}?{query}" if query else url


class Door:
    """One listening port: HTTP by h11, sockets handed to a relay."""

    def __init__(self, home: Home, routes: Routes, client: httpx.AsyncClient) -> None:
        self.home = home
        self.routes = routes
        self.client = client

    def socket(self, call: Call) -> tuple[str, Faults] | None:
        """The output that names the API of the socket asked for, and its faults."""
        raise NotImplementedError

    async def answer(self, call: Call) -> Answer:
        raise NotImplementedError

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=64 * 1024)
        try:
            while await self._serve_one(connection, reader, writer):
                connection.start_next_cycle()
            await linger(reader, writer)
        except (h11.ProtocolError, OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _serve_one(
        self, connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Whether another request may follow on this connection."""
        event = await _next_event(connection, reader, writer)
        if not isinstance(event, h11.Request):
            return False
        call = _call(event, connection, reader, writer)
        if call.wants_socket:
            await self._open_socket(call, connection, reader, writer)
            return False
        answer = await self._answer(call)
        if connection.their_state is h11.SEND_BODY and not isinstance(connection.next_event(), h11.EndOfMessage):
            # Nobody will read the rest of the body, and the caller should know that before its next request.
            answer = replace(answer, headers=[*answer.headers, ("connection", "close")])
        await _send(connection, writer, answer)
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE

    async def _answer(self, call: Call) -> Answer:
        try:
            return await self.answer(call)
        except NotDeployedError:
            return Answer.message(503, "Nothing is deployed yet. Run `make up`.")
        except httpx.TimeoutException:
            return self.routes.refusal(TIMED_OUT)
        except httpx.TransportError:
            return Answer.message(503, "Service Unavailable")

    async def _open_socket(
        self, call: Call, connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        found = self.socket(call)
        if found is None:
            await _send(connection, writer, Answer.message(403, "Forbidden"))
            return
        output, faults = found
        try:
            url = self.routes.socket_url(output, urlsplit(call.target).query)
            early = connection.trailing_data[0]
            await Relay(reader, writer, faults).run(call.target, call.headers, url, early)
        except NotDeployedError:
            await _send(connection, writer, Answer.message(503, "Nothing is deployed yet. Run `make up`."))
        except RefusedError as refused:
            answer = Answer(refused.status, [("content-type", "application/json")], refused.body)
            await _send(connection, writer, answer)

    async def forward(self, call: Call, target: str, body: AsyncIterator[bytes] | bytes) -> Answer:
        kept = [(name, value) for name, value in call.headers if name not in NOT_PASSED_ON]
        # Not by the client's build_request, which would add headers of its own.
        request = httpx.Request(
            call.method,
            self.home.emulator_url,
            headers=[*kept, ("x-forwarded-for", call.peer)],
            content=body,
            # The path as it came: a signature covers its very bytes.
            extensions={"target": target.encode(), "timeout": httpx.Timeout(INTEGRATION_SECONDS).as_dict()},
        )
        response = await self.client.send(request, stream=True)
        try:
            content = b"".join([chunk async for chunk in response.aiter_raw()])
        finally:
            await response.aclose()
        dropped = {"connection", "transfer-encoding", "content-length", "keep-alive"}
        headers = [(name, value) for name, value in response.headers.multi_items() if name.lower() not in dropped]
        return Answer(response.status_code, headers, content)


class FrontDoor(Door):
    def __init__(self, home: Home, routes: Routes, client: httpx.AsyncClient, faults: dict[str, Faults]) -> None:
        super().__init__(home, routes, client)
        self._faults = faults

    def socket(self, call: Call) -> tuple[str, Faults] | None:
        return ("ClientsApiId", self._faults["socket"]) if call.path == "/socket" else None

    async def answer(self, call: Call) -> Answer:
        if call.path == CONTROL_PATH:
            return await self._control(call)
        if int(call.header("content-length") or 0) > BODY_LIMIT:
            return self.routes.refusal(TOO_LARGE)
        body = bytearray()
        async for part in call.body():
            body += part
            if len(body) > BODY_LIMIT:
                return self.routes.refusal(TOO_LARGE)
        answer = await self.forward(call, self.routes.api("RestApiId") + call.target, bytes(body))
        if EVENT_REFUSED in answer.headers:
            return self.routes.refusal(TOO_LARGE)
        # No function answers 502: this is the emulator's, for one that failed.
        return self.routes.refusal(FAILED) if answer.status == 502 else answer

    async def _control(self, call: Call) -> Answer:
        """Tests set the plans of the sockets here, and cut them: {"door": "agents", "cut": true, "plan": {…}}. The
        plan of the functions' calls, whose door is called `aws`, is the emulator's to follow."""
        if not hmac.compare_digest(call.header("x-local-secret").encode(), self.home.control_secret().encode()):
            return Answer.message(403, "Forbidden")
        content = b"".join([part async for part in call.body()])
        wanted: dict[str, Any] = json.loads(content)
        if wanted["door"] == "aws":
            return await self.forward(call, CONTROL_PATH, content)
        faults = self._faults.get(wanted["door"])
        if faults is None:
            return Answer.message(400, f"A door is one of {sorted([*self._faults, 'aws'])}.")
        try:
            if "plan" in wanted:
                faults.follow(Plan.from_json(wanted["plan"]))
        except NotAPlanError as error:
            return Answer.message(400, str(error))
        cut = faults.cut() if wanted.get("cut") else 0
        return Answer(200, [("content-type", "application/json")], json.dumps({"cut": cut}).encode())


class SandboxDoor(Door):
    def __init__(self, home: Home, routes: Routes, client: httpx.AsyncClient, faults: Faults) -> None:
        super().__init__(home, routes, client)
        self._faults = faults

    def socket(self, call: Call) -> tuple[str, Faults] | None:
        return ("AgentsApiId", self._faults) if call.path == "/agents" else None

    async def answer(self, call: Call) -> Answer:
        query = parse_qs(urlsplit(call.target).query)
        is_object = call.path.startswith(f"/{self.routes.output('Bucket')}/") and ".." not in call.path
        is_presigned = "X-Amz-Signature" in query and not call.header("authorization")
        if call.method not in ("GET", "PUT") or not is_object or not is_presigned:
            return Answer.message(403, "Forbidden")
        return await self.forward(call, call.target, call.body())


def _call(
    event: h11.Request, connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Call:
    async def body() -> AsyncIterator[bytes]:
        while isinstance(part := await _next_event(connection, reader, writer), h11.Data):
            yield bytes(part.data)

    return Call(
        method=event.method.decode(),
        target=event.target.decode(),
        headers=[(name.decode(), value.decode("latin-1")) for name, value in event.headers],
        peer=writer.get_extra_info("peername")[0],
        body=body,
    )


async def _next_event(
    connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> h11.Event | type[h11.PAUSED | h11.NEED_DATA]:
    while (event := connection.next_event()) is h11.NEED_DATA:
        if connection.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[])
            writer.write(connection.send(go_on) or b"")
        connection.receive_data(await reader.read(READ_SIZE))
    return event


async def _send(connection: h11.Connection, writer: asyncio.StreamWriter, answer: Answer) -> None:
    headers = [*answer.headers, ("content-length", str(len(answer.body)))]
    for event in (
        h11.Response(status_code=answer.status, headers=headers, reason=http.HTTPStatus(answer.status).phrase),
        h11.Data(data=answer.body),
        h11.EndOfMessage(),
    ):
        writer.write(connection.send(event) or b"")
    await writer.drain()


async def open_doors(home: Home) -> None:
    faults = {"socket": Faults(), "agents": Faults()}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=50)
    async with httpx.AsyncClient(limits=limits, trust_env=False) as client:
        routes = Routes(home)
        front = FrontDoor(home, routes, client, faults)
        sandbox = SandboxDoor(home, routes, client, faults["agents"])
        await asyncio.gather(_listen(front.serve, home.port), _listen(sandbox.serve, home.sandbox_port))


async def _listen(serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], port: int) -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", port, limit=2**20)
    await server.serve_forever()


def main() -> None:
    asyncio.run(open_doors(Home.from_environment()))


if __name__ == "__main__":
    main()
