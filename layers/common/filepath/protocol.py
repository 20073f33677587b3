"""The messages between the platform, its sandboxes and its clients: JSON-RPC 2.0 in WebSocket text.

Sans-I/O and standard library only, because three programs share this one file: the Lambda layer, the sandbox agent
and the SDK. Nothing here opens a socket, reads a clock or knows what a session is.

API Gateway shapes it: a frame is at most 32 KB, a message at most 128 KB counted as encoded JSON, text only, and two
messages may overtake each other. So bytes travel with their offset in the task's log, as text where they are text and
as base64 elsewhere, and order is made from offsets, never from arrival.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, cast, get_args

FRAME_LIMIT = 32 * 1024
MESSAGE_LIMIT = 128 * 1024
CHUNK_LIMIT = 88 * 1024
"""Raw bytes of output in one message: encoded, three of them are at most four, and the envelope needs room too."""
TEXT_CHUNK_LIMIT = 112 * 1024
"""Bytes of output in one message where they are text with few escapes."""
CLIENT_REQUEST_LIMIT = 30 * 1024
"""Encoded bytes of a client's request: a browser cannot split a message into frames, so it must fit in one."""
EVENT_LIMIT = 30 * 1024
"""Encoded bytes of an event to a client: one that would be larger goes out without its data, to be read by offset."""
RUNS_LIMIT = 256
"""Changes of stream within one chunk: each costs some 15 encoded bytes beside the data."""

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
SERVER_ERROR = -32000

Params = dict[str, Any]
MessageId = str | int
Stream = Literal["stdout", "stderr"]
EndCause = Literal["exited", "timed_out", "cancelled", "output_limit", "shutdown", "failed", "not_started"]


class ProtocolError(ValueError):
    """A message that is not what the protocol allows. `code` is the JSON-RPC error code to answer with."""

    def __init__(self, message: str, code: int = INVALID_REQUEST, message_id: MessageId | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message_id = message_id


# JSON-RPC: building and reading messages


@dataclass(frozen=True)
class Request:
    """A call, or a notification where `id` is None."""

    method: str
    params: Params
    id: MessageId | None = None


@dataclass(frozen=True)
class Response:
    """The answer to a call. Exactly one of `result` and `error` means something: `error` is None on success."""

    id: MessageId | None
    result: Params = field(default_factory=dict)
    error: Params | None = None


def encode(message: Mapping[str, Any]) -> str:
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False)


def request(message_id: MessageId, method: str, params: Mapping[str, Any]) -> str:
    return encode({"jsonrpc": "2.0", "id": message_id, "method": method, "params": params})


def encoded_request(message_id: MessageId, method: str, params: bytes) -> bytes:
    """As request(), of parameters that are JSON already."""
    head = encode({"jsonrpc": "2.0", "id": message_id, "method": method})
    return b'%s,"params":%s}' % (head[:-1].encode(), params)


def notification(method: str, params: Mapping[str, Any]) -> str:
    return encode({"jsonrpc": "2.0", "method": method, "params": params})


def success(message_id: MessageId | None, result: Mapping[str, Any]) -> str:
    return encode({"jsonrpc": "2.0", "id": message_id, "result": result})


def failure(message_id: MessageId | None, code: int, message: str, data: Mapping[str, Any] | None = None) -> str:
    error: Params = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return encode({"jsonrpc": "2.0", "id": message_id, "error": error})


def parse(text: str) -> Request | Response:
    """The message in `text`. Raises ProtocolError for whatever is not ours: API Gateway, too, answers in this place,
    in words of its own (`{"message": "Internal server error", ...}`), when a function fails or is throttled.
    """
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"the message is not JSON: {error}", PARSE_ERROR) from error
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise ProtocolError('the message is not JSON-RPC 2.0: an object with "jsonrpc": "2.0" is expected')
    message_id = message.get("id")
    if message_id is not None and (isinstance(message_id, bool) or not isinstance(message_id, str | int)):
        raise ProtocolError('"id" must be a string or an integer')
    if isinstance(message_id, str) and any("\ud800" <= character <= "\udfff" for character in message_id):
        raise ProtocolError('"id" must be text that can be sent back: it has half of a surrogate pair')
    if "method" in message:
        return _request(message, message_id)
    if "result" in message or "error" in message:
        return _response(message, message_id)
    raise ProtocolError('the message has neither "method" nor "result" nor "error"', message_id=message_id)


def _request(message: Params, message_id: MessageId | None) -> Request:
    method, params = message["method"], message.get("params", {})
    if not isinstance(method, str):
        raise ProtocolError('"method" must be a string', message_id=message_id)
    if not isinstance(params, dict):
        raise ProtocolError('"params" must be an object: parameters go by name', INVALID_PARAMS, message_id)
    return Request(method, params, message_id)


def _response(message: Params, message_id: MessageId | None) -> Response:
    result, error = message.get("result"), message.get("error")
    if error is not None and not isinstance(error, dict):
        raise ProtocolError('"error" must be an object', message_id=message_id)
    return Response(message_id, result if isinstance(result, dict) else {}, error)


def frames(message: bytes) -> Iterator[bytes]:
    """An encoded message in pieces of at most FRAME_LIMIT, no character cut in two. Raises ProtocolError when the whole
    is over MESSAGE_LIMIT: API Gateway would close the connection for it.
    """
    if len(message) > MESSAGE_LIMIT:
        raise ProtocolError(f"the message has {len(message)} bytes; at most {MESSAGE_LIMIT} can be sent")
    start = 0
    while start < len(message):
        end = min(start + FRAME_LIMIT, len(message))
        while end < len(message) and message[end] & 0xC0 == 0x80:
            end -= 1
        yield message[start:end]
        start = end


# Output: a task's log is one sequence of bytes, both streams in the order they were written


@dataclass(frozen=True)
class Run:
    """`length` bytes that went to one stream, one after the other."""

    stream: Stream
    length: int


@dataclass(frozen=True)
class Chunk:
    """A stretch of a task's log: `data` starts at byte `offset`, and `runs` says which bytes went to which stream."""

    offset: int
    runs: tuple[Run, ...]
    data: bytes

    @property
    def end(self) -> int:
        return self.offset + len(self.data)

    @property
    def fits_in_a_message(self) -> bool:
        return len(self.data) <= CHUNK_LIMIT or self.json_text is not None

    @cached_property
    def json_text(self) -> bytes | None:
        """The data as the inside of a JSON string; None for what is no UTF-8 or would be shorter as base64."""
        return _json_text(self.data)

    def pieces(self) -> Iterator[tuple[int, Stream, bytes]]:
        """Each run as (offset, stream, bytes)."""
        start = 0
        for run in self.runs:
            yield self.offset + start, run.stream, self.data[start : start + run.length]
            start += run.length

    def from_offset(self, offset: int) -> Chunk:
        """The part of this chunk at and after `offset`; the whole when `offset` lies before it."""
        skip = max(0, offset - self.offset)
        if skip == 0:
            return self
        runs, passed = [], 0
        for run in self.runs:
            kept = run.length - max(0, min(run.length, skip - passed))
            if kept:
                runs.append(Run(run.stream, kept))
            passed += run.length
        return Chunk(self.offset + skip, tuple(runs), self.data[skip:])


def chunk_params(workflow_id: str, chunk: Chunk) -> Params:
    """The params of `output`, as their receiver reads them."""
    params: Params = json.loads(encoded_chunk_params(workflow_id, chunk))
    return params


def encoded_chunk_params(workflow_id: str, chunk: Chunk) -> bytes:
    """The params of `output` as JSON: `text` where that is no longer than base64 would be, else `data`.

    Put together by hand: the json module would look at every byte of what is known to need no escape.
    """
    runs = [[run.stream, run.length] for run in chunk.runs]
    head = encode({"workflowId": workflow_id, "offset": chunk.offset, "runs": runs})[:-1].encode()
    if chunk.json_text is not None:
        return b'%s,"text":"%s"}' % (head, chunk.json_text)
    return b'%s,"data":"%s"}' % (head, binascii.b2a_base64(chunk.data, newline=False))


def _json_text(data: bytes) -> bytes | None:
    try:
        data.decode()
    except UnicodeDecodeError:
        return None
    limit = min(len(data), CHUNK_LIMIT) * 4 // 3
    for character, escape in _ESCAPES:
        # Most are not there, and to see that is one memchr.
        if character in data:
            data = data.replace(character, escape)
    return data if len(data) <= limit else None


_ESCAPED = ("\\", '"', *map(chr, range(32)))
"""The backslash first, as the others bring more of them."""
_ESCAPES = [(character.encode(), json.dumps(character)[1:-1].encode()) for character in _ESCAPED]


def chunk_of(params: Mapping[str, Any]) -> Chunk:
    """The chunk in the params of `output`. Raises ProtocolError when its runs do not add up to its data."""
    try:
        data = _text(params["text"]) if "text" in params else base64.b64decode(params["data"], validate=True)
        runs = tuple(Run(_stream(stream), _count(length)) for stream, length in params["runs"])
        offset = _count(params["offset"])
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise ProtocolError(f"not a chunk of output: {error!r}", INVALID_PARAMS) from error
    if not data or sum(run.length for run in runs) != len(data):
        raise ProtocolError("a chunk's runs must add up to its data, and there must be some", INVALID_PARAMS)
    limit = TEXT_CHUNK_LIMIT if "text" in params else CHUNK_LIMIT
    if len(data) > limit or len(runs) > RUNS_LIMIT:
        raise ProtocolError(f"a chunk has at most {limit} bytes in {RUNS_LIMIT} runs", INVALID_PARAMS)
    return Chunk(offset, runs, data)


def text_or_base64(data: bytes) -> tuple[str, Literal["utf-8", "base64"]]:
    """How bytes are shown to clients: as text where they are UTF-8 by themselves, else as base64. Also where JSON would
    blow the text up, since a control character takes six bytes and an answer's limits are in encoded bytes."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return base64.b64encode(data).decode(), "base64"
    if _escapes(text) * 5 > len(data):
        return base64.b64encode(data).decode(), "base64"
    return text, "utf-8"


def _escapes(text: str) -> int:
    """Characters that JSON writes in six bytes. (Quotes, backslashes and line ends take two.)"""
    return sum(1 for character in text if character < " " and character not in "\n\r\t")


def bytes_of(data: str, encoding: str) -> bytes:
    return base64.b64decode(data) if encoding == "base64" else data.encode()


def _text(value: Any) -> bytes:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value.encode()


def _stream(value: Any) -> Stream:
    if value not in get_args(Stream):
        raise ValueError(f"{value!r} is no stream")
    return cast("Stream", value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is not a count")
    return value


# What the platform asks of an agent


@dataclass(frozen=True)
class Exec:
    """Run a command. `inputs_url`, where given, is a presigned address of a JSON object with `command`, `env`,
    `cwd`, `stdin` and `stdinEncoding`, which were too large for a message; the fields here are then empty.
    """

    workflow_id: str
    timeout_seconds: int
    command: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    stdin: str | None = None
    stdin_encoding: str = "utf-8"
    stdin_open: bool = False
    """Whether more is to come, as StdinPiece, which the agent asks for once the command runs."""
    inputs_url: str | None = None

    def params(self) -> Params:
        return {
            "workflowId": self.workflow_id,
            "timeoutSeconds": self.timeout_seconds,
            "command": self.command,
            "env": dict(self.env),
            "cwd": self.cwd,
            "stdin": self.stdin,
            "stdinEncoding": self.stdin_encoding,
            "stdinOpen": self.stdin_open,
            "inputsUrl": self.inputs_url,
        }

    @classmethod
    def of(cls, params: Params) -> Exec:
        return cls(
            workflow_id=params["workflowId"],
            timeout_seconds=params["timeoutSeconds"],
            command=params.get("command") or "",
            env=params.get("env") or {},
            cwd=params.get("cwd"),
            stdin=params.get("stdin"),
            stdin_encoding=params.get("stdinEncoding") or "utf-8",
            stdin_open=params.get("stdinOpen") is True,
            inputs_url=params.get("inputsUrl"),
        )


@dataclass(frozen=True)
class Signal:
    """Send `signal` (a name without SIG: TERM, INT, KILL, …) to a task. It may overtake the exec it belongs to."""

    workflow_id: str
    signal: str

    def params(self) -> Params:
        return {"workflowId": self.workflow_id, "signal": self.signal}

    @classmethod
    def of(cls, params: Params) -> Signal:
        return cls(params["workflowId"], params["signal"])


@dataclass(frozen=True)
class StdinPiece:
    """Bytes for a command's standard input, from `offset` on. `length` is how much there is in all until now, `closed`
    whether that is all. It may overtake another, and be lost: agents ask for what they miss.
    """

    workflow_id: str
    offset: int
    data: bytes
    length: int
    closed: bool = False

    def params(self) -> Params:
        data = base64.b64encode(self.data).decode()
        place = {"offset": self.offset, "length": self.length, "closed": self.closed}
        return {"workflowId": self.workflow_id, "data": data, **place}

    @classmethod
    def of(cls, params: Params) -> StdinPiece:
        data = base64.b64decode(params["data"])
        return cls(params["workflowId"], params["offset"], data, params["length"], params["closed"])


# What an agent reports


@dataclass(frozen=True)
class End:
    """How a command's process ended: what `wait` said, and why it came to that.

    Exactly one of `exit_code` and `signal` (a name: "KILL") is set, except for cause "not_started": the command
    never ran, `message` says why. Cause "output_limit": it wrote more than is kept of a task. Cause "failed": the
    agent could not go on with it and ended it. `run_ms` is the
    agent's monotonic time from start to end. `leftovers` counts the processes that outlived the command.
    `out_of_memory`: the signal was KILL, and the kernel's, because the sandbox had no memory left.
    """

    cause: EndCause
    run_ms: int
    exit_code: int | None = None
    signal: str | None = None
    leftovers: int = 0
    message: str | None = None
    out_of_memory: bool = False

    def params(self) -> Params:
        return {
            "cause": self.cause,
            "runMs": self.run_ms,
            "exitCode": self.exit_code,
            "signal": self.signal,
            "leftovers": self.leftovers,
            "message": self.message,
            "outOfMemory": self.out_of_memory,
        }

    @classmethod
    def of(cls, params: Any) -> End:
        """Raises ProtocolError when it says both exit code and signal, or neither although it ran."""
        if not isinstance(params, dict) or params.get("cause") not in get_args(EndCause):
            raise ProtocolError(f"an end needs a cause, one of {', '.join(get_args(EndCause))}", INVALID_PARAMS)
        try:
            run_ms, leftovers = _count(params["runMs"]), _count(params.get("leftovers", 0))
        except (KeyError, ValueError) as error:
            raise ProtocolError(f"not an end: {error!r}", INVALID_PARAMS) from error
        end = cls(
            params["cause"],
            run_ms,
            params.get("exitCode"),
            params.get("signal"),
            leftovers,
            params.get("message"),
            params.get("outOfMemory") is True,
        )
        observed = (end.exit_code is not None) + (end.signal is not None)
        if observed != (0 if end.cause == "not_started" else 1):
            raise ProtocolError("an end has either an exit code or a signal", INVALID_PARAMS)
        return end
