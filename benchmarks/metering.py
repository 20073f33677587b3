"""What AWS would meter of recorded calls and invocations, and what that costs. Pure; prices are in `prices`.

DynamoDB's units are computed from sizes by its rules. What a function's time would be is estimated: see `LATENCY`.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks import prices
from local.calls import Call, Invocation, Read, Written

KB = 1024
GB = 1024**3
MEMORY_GB = 1.0
"""Of every function: MemorySize in template.yaml."""
CORE_SHARE = 1769 / 1024
"""At 1,769 MB a function has one core of its own; with 1,024 MB its own work takes this much longer than here."""
LATENCY = {"dynamodb": 5.0, "transaction": 12.0, "states": 25.0, "execute-api": 20.0, "s3": 30.0, "ecs": 200.0}
"""Milliseconds that one call is taken to last within a region, instead of what it lasted on one machine. Assumed."""
LAMBDAS_OWN_LOG = 300
"""Bytes that Lambda itself logs of each invocation: START, END and REPORT."""
LOG_EVENT = 26
"""Bytes that CloudWatch adds to each event that it meters."""
MESSAGE = 32 * KB


@dataclass(frozen=True)
class Line:
    """A line of the bill: how much of what, for how many dollars."""

    service: str
    what: str
    quantity: float
    dollars: float

    def times(self, factor: float) -> Line:
        return Line(self.service, self.what, self.quantity * factor, self.dollars * factor)


@dataclass(frozen=True)
class Usage:
    """What was recorded while something ran."""

    calls: Sequence[Call]
    invocations: Sequence[Invocation]
    transitions: int = 0

    def bill(self) -> list[Line]:
        lines = [
            priced("Step Functions", "state transitions", self.transitions, prices.STATE_TRANSITION),
            priced("DynamoDB", "write units", self.write_units(), prices.DYNAMODB_WRITE_UNIT),
            priced("DynamoDB", "read units", self.read_units(), prices.DYNAMODB_READ_UNIT),
            priced("Lambda", "invocations", len(self.invocations), prices.LAMBDA_REQUEST),
            priced("Lambda", "GB-seconds", self.billed_ms() / 1000 * MEMORY_GB, prices.LAMBDA_GB_SECOND),
            priced("API Gateway", "REST requests", self.rest_requests(), prices.REST_REQUEST),
            priced("API Gateway", "WebSocket messages", self.messages(), prices.WEBSOCKET_MESSAGE),
            priced("CloudWatch Logs", "GB", self.logged() / GB, prices.LOGS_GB),
            priced("S3", "PUT requests", self.objects("s3:PutObject"), prices.S3_PUT),
            priced("S3", "GET requests", self.objects("s3:GetObject"), prices.S3_GET),
            priced("Data transfer", "GB out", self.sent_out() / GB, prices.TRANSFER_OUT_GB),
        ]
        return [line for line in lines if line.quantity]

    # DynamoDB

    def write_units(self) -> int:
        return sum(write_units(write) for call in self.calls for write in call.writes)

    def read_units(self) -> float:
        return sum(read_units(read) for call in self.calls for read in call.reads)

    # API Gateway

    def rest_requests(self) -> int:
        return sum(each.route.isupper() for each in self.invocations)

    def messages(self) -> int:
        """From agents and clients, answered to them, and posted to them."""
        on_sockets = [each for each in self.invocations if each.route == "$default"]
        sizes = [each.sent for each in on_sockets] + [each.received for each in on_sockets if each.received]
        return sum(math.ceil(size / MESSAGE) for size in sizes + [call.sent for call in self.posts()])

    def posts(self) -> list[Call]:
        return [call for call in self.calls if service_of(call) == "execute-api" and call.operation == "POST"]

    # The rest

    def objects(self, action: str) -> int:
        return sum(check.action == action for call in self.calls for check in call.checks)

    def logged(self) -> int:
        return sum(each.logged + each.lines * LOG_EVENT + LAMBDAS_OWN_LOG + 3 * LOG_EVENT for each in self.invocations)

    def sent_out(self) -> int:
        answered = sum(each.received for each in self.invocations if each.route)
        return answered + sum(call.sent for call in self.posts())

    def measured_ms(self) -> float:
        return sum(each.milliseconds for each in self.invocations)

    def billed_ms(self) -> int:
        """Of each kind of invocation the median of its own time, and of its calls the time assumed for them."""
        kinds: dict[tuple[str, str, int], list[tuple[float, float]]] = defaultdict(list)
        for invocation, calls in attributed(self.calls, self.invocations):
            own = max(0.0, invocation.milliseconds - sum(call.milliseconds for call in calls))
            waited = sum(latency(call) for call in calls)
            kinds[invocation.function, invocation.route, len(calls)].append((own * CORE_SHARE, waited))
        return sum(math.ceil(_median_sum(times)) * len(times) for times in kinds.values())


def _median_sum(times: Sequence[tuple[float, float]]) -> float:
    return statistics.median(own for own, _ in times) + statistics.fmean(waited for _, waited in times)


def priced(service: str, what: str, quantity: float, price: float) -> Line:
    return Line(service, what, quantity, quantity * price)


def write_units(write: Written) -> int:
    """Each started KB of the larger of before and after, doubled in a transaction; and of each index entry changed.
    A write that its condition refused, and a condition on another item, cost the same.
    """
    own = max(1, math.ceil(max(write.before, write.after) / KB)) * (2 if write.transacted else 1)
    return own + sum(max(1, math.ceil(entry / KB)) for entry in write.index_entries)


def read_units(read: Read) -> float:
    """Each started 4 KB; half of it where the read may be stale. What is not there costs the least there is."""
    return max(1, math.ceil(read.size / (4 * KB))) * (1.0 if read.consistent else 0.5)


def latency(call: Call) -> float:
    return LATENCY["transaction" if call.operation == "TransactWriteItems" else service_of(call)]


def service_of(call: Call) -> str:
    """As its action names it, whatever address it was sent to."""
    return call.checks[0].action.partition(":")[0]


def attributed(calls: Iterable[Call], invocations: Iterable[Invocation]) -> list[tuple[Invocation, list[Call]]]:
    """Each invocation with the calls that its function made in its time: the latest begun, where several run."""
    found: list[tuple[Invocation, list[Call]]] = [(each, []) for each in sorted(invocations, key=lambda each: each.at)]
    for call in calls:
        running = [
            made
            for each, made in found
            if each.function == call.function and each.at <= call.at <= each.at + each.milliseconds / 1000
        ]
        if running:
            running[-1].append(call)
    return found


def by_operation(calls: Iterable[Call]) -> dict[str, list[Call]]:
    """A transaction is one call."""
    found: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        named_by_method = service_of(call) in {"s3", "execute-api"}
        name = call.checks[0].action.partition(":")[2] if named_by_method else call.operation
        found[f"{service_of(call)} {name}"].append(call)
    return dict(sorted(found.items()))
