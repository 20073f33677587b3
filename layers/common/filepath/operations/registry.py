"""What an operation is, and the list of all. Every door is made from this list; no door knows an operation by name.

An operation is a function in a file of its own: its input and output models are in its annotations, what it is for is
in its docstring, the rest is in the decorator. A new file in this package is a new operation on every door.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeVar, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from filepath.access import Caller, Scope
from filepath.aws.idempotency import IdempotencyKey, first_answer
from filepath.errors import (
    Conflict,
    FilepathError,
    Forbidden,
    InternalError,
    InvalidRequest,
    RateLimited,
    TooLarge,
    Unauthenticated,
    Unavailable,
)

Answer = TypeVar("Answer", bound="Model")

Method = Literal["GET", "POST", "DELETE"]


class Model(BaseModel):
    """What travels: camelCase outside, strict types, unknown fields refused."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        serialize_by_alias=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )


class Bytes(Model):
    """An answer that is bytes, for a door that can give them. Fields beside `data` travel with it, as headers."""

    data: bytes


class Nothing(Model):
    """An operation that takes no parameters."""


@dataclass(frozen=True)
class Context:
    """Who calls, and from where. `now` is in milliseconds since the epoch."""

    caller: Caller
    now: int
    request_id: str
    idempotency_key: str | None = None
    source: str = ""
    """The caller's IP address, on the door that calls without a credential come through."""
    largest_answer: int = 4 * 1024 * 1024
    """Encoded bytes that an answer of this door can have. REST: Lambda takes 6 MB, in which quotes count twice."""
    takes_bytes: bool = False
    """What is answered as bytes arrives as the same bytes: by this door, for this request."""
    clients_api: str | None = None
    """`apiId/stage` of the clients' socket, for the door that knows it; a ticket's address is made of it."""


@dataclass(frozen=True)
class Operation:
    name: str
    summary: str
    description: str
    input: type[Model]
    output: type[Model]
    output_as_bytes: type[Bytes] | None
    """What it answers instead where it is asked for bytes."""
    run: Callable[[Context, Any], Model]
    method: Method
    path: str
    status: int
    scope: Scope | None
    public: bool
    creates: bool
    on_socket: bool
    asks_aws: bool
    errors: tuple[type[FilepathError], ...]

    @property
    def rpc_name(self) -> str:
        return to_camel(self.name)

    def accepted(self, fields: Mapping[str, Any], *, strict: bool) -> Model:
        """The input that the fields make, by the names that they have outside and no others. Raises InvalidRequest, or
        pydantic's ValidationError."""
        inside = {name for name, field in self.input.model_fields.items() if field.alias != name}
        wrong = sorted(inside & fields.keys())  # pydantic takes either name, so that our own code may use ours
        if wrong:
            problems = [{"field": name, "problem": "is no field of this call"} for name in wrong]
            said = f"{', '.join(wrong)}: no field of this call. Correct it and send it again."
            raise InvalidRequest(said, details={"fields": problems})
        return self.input.model_validate_json(json.dumps(fields), strict=strict)

    @property
    def refusals(self) -> frozenset[type[FilepathError]]:
        """Every error that it can be answered with over REST: what follows from its kind, and what it names itself."""
        named: set[type[FilepathError]] = {InvalidRequest, TooLarge, RateLimited, Unavailable, *self.errors}
        named |= {InternalError} if self.asks_aws else set()
        named |= {Unauthenticated} if not self.public else set()
        named |= {Forbidden} if self.scope else set()
        named |= {Conflict} if self.creates else set()
        return frozenset(named)

    @property
    def path_fields(self) -> tuple[str, ...]:
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))


_operations: dict[str, Operation] = {}


def operation(  # noqa: PLR0913 - each is one fact about an operation, by its name
    method: Method,
    path: str,
    *,
    status: int = 200,
    scope: Scope | None = None,
    public: bool = False,
    creates: bool = False,
    on_socket: bool = True,
    asks_aws: bool = True,
    errors: tuple[type[FilepathError], ...] = (),
) -> Callable[[Callable[[Context, Any], Model]], Callable[[Context, Any], Model]]:
    """Registers a function as an operation. `creates`: it honours an Idempotency-Key. `public`: without a credential.
    `path` names its path parameters as the input model's fields are named outside: `{sessionId}`. `errors`: those of
    its own, beside the ones that follow from the rest. `asks_aws` is False for what cannot fail by a fault of ours.
    """

    def register(function: Callable[[Context, Any], Model]) -> Callable[[Context, Any], Model]:
        hints = get_type_hints(function)
        output, as_bytes = _outputs(hints.pop("return"))
        _, request = hints.values()
        summary, _, description = (function.__doc__ or "").partition("\n")
        _operations[function.__name__] = Operation(
            function.__name__,
            summary.strip().rstrip("."),
            "\n".join(line.strip() for line in description.strip().splitlines()),
            request,
            output,
            as_bytes,
            function,
            method,
            path,
            status,
            scope,
            public,
            creates,
            on_socket,
            asks_aws,
            errors,
        )
        return function

    return register


def _outputs(annotation: Any) -> tuple[type[Model], type[Bytes] | None]:
    """Of `Output`, or of `Output | OutputAsBytes`."""
    output, *as_bytes = get_args(annotation) or (annotation,)
    return output, as_bytes[0] if as_bytes else None


@cache
def operations() -> Mapping[str, Operation]:
    """All operations by name, in the order of their paths: those with fixed words before those with parameters."""
    import filepath.operations as package

    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return dict(sorted(_operations.items(), key=lambda entry: (entry[1].path, entry[1].method)))


def call(operation: Operation, context: Context, request: Model) -> Model:
    """Does it, for whichever door: scope, first answer to a repeated request, then the operation itself."""
    context.caller.require(operation.scope)
    if context.idempotency_key is not None and not operation.creates:
        raise InvalidRequest(
            "This call takes no Idempotency-Key: it can be repeated as it is.",
            details={"field": "Idempotency-Key"},
        )
    return operation.run(context, request)


def idempotency(context: Context, name: str, request: Model, **also: str) -> IdempotencyKey | None:
    """The caller's key for this very request; `also`: what else makes it the same."""
    if context.idempotency_key is None:
        return None
    body = {**request.model_dump(mode="json"), **also}
    return IdempotencyKey.of(context.caller.user_id, context.idempotency_key, name, body)


def answered_before(key: IdempotencyKey | None, output: type[Answer], now: int) -> Answer | None:
    """The first answer to the same request under the same key. Raises Conflict for another request under it."""
    answer = first_answer(key, now)
    return None if answer is None else output.model_validate(answer, strict=False)


def first_of_two(key: IdempotencyKey | None, output: type[Answer], now: int, refused: Exception) -> Answer:
    """The answer that the same request, sent a moment before, was given. Raises `refused` where there is none."""
    answer = answered_before(key, output, now)
    if answer is None:
        raise refused
    return answer
