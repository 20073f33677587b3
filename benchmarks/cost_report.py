"""What was measured, as `docs/cost.md` and its chart tell it, beside the limits that it is held to."""

from __future__ import annotations

import datetime as dt
import platform
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks import prices
from benchmarks.charts import Bar, Chart, svg
from benchmarks.hops import Hop
from benchmarks.metering import CORE_SHARE, LAMBDAS_OWN_LOG, LATENCY, Line, Usage, by_operation
from local.calls import Call

TRANSITIONS = 3
SHORT_TASKS_DOLLARS = 0.13
STEADY_TO_SANDBOX = 3.0
THOUSAND = 1000
HOUR = 3600
HOURS_A_MONTH = 730
CONNECTION_HOUR = 60 * prices.WEBSOCKET_CONNECTION_MINUTE


@dataclass(frozen=True)
class Measured:
    """All that the report tells of. `short` has the usage of `count` tasks of each command."""

    count: int
    short: dict[str, Usage]
    steady: Usage
    steady_seconds: float
    session: Usage
    hops: Sequence[Hop]
    first_byte_ms: float


@dataclass(frozen=True)
class Limit:
    what: str
    limit: float
    found: float
    form: str

    @property
    def holds(self) -> bool:
        return self.found <= self.limit

    def row(self) -> str:
        held = "holds" if self.holds else "**does not hold**"
        return f"| {self.what} | {self.form.format(self.found)} | {self.form.format(self.limit)} | {held} |"


def written(measured: Measured) -> tuple[str, str, bool]:
    """The text, the chart, and whether every limit holds."""
    limits = limits_of(measured)
    return text(measured, limits), chart(measured), all(limit.holds for limit in limits)


def limits_of(measured: Measured) -> list[Limit]:
    found = [Limit("State transitions of a short task", TRANSITIONS, transitions(measured), "{:.2f}")]
    for command, usage in measured.short.items():
        what = f"Control plane of 1,000 short tasks, `{command}`"
        found.append(Limit(what, SHORT_TASKS_DOLLARS, total(thousand(usage, measured.count)), "${:.3f}"))
    ratio = total(hourly(measured)) / sandbox()
    return [*found, Limit("A steadily printing task, in sandboxes", STEADY_TO_SANDBOX, 1 + ratio, "{:.2f}")]


def transitions(measured: Measured) -> float:
    return max(usage.transitions for usage in measured.short.values()) / measured.count


def thousand(usage: Usage, count: int) -> list[Line]:
    return [line.times(THOUSAND / count) for line in usage.bill()]


def hourly(measured: Measured) -> list[Line]:
    """A part of it, for a whole hour; its two connections, its agent's and its listener's, are open all the time."""
    connections = Line("API Gateway", "WebSocket connection minutes", 120, 2 * CONNECTION_HOUR)
    return [line.times(HOUR / measured.steady_seconds) for line in measured.steady.bill()] + [connections]


def sandbox() -> float:
    return prices.sandbox_hour(vcpus=1, gigabytes=2)


def total(lines: Iterable[Line]) -> float:
    return sum(line.dollars for line in lines)


def by_service(lines: Iterable[Line]) -> list[tuple[str, float]]:
    sums: dict[str, float] = defaultdict(float)
    for line in lines:
        sums[line.service] += line.dollars
    return sorted(sums.items(), key=lambda each: -each[1])


# The text


def text(measured: Measured, limits: Sequence[Limit]) -> str:
    first, *others = measured.short
    parts = [
        HEAD.format(date=dt.datetime.now(dt.UTC).date(), machine=platform.machine(), count=measured.count),
        "| | found | limit | |\n|---|---|---|---|\n" + "\n".join(limit.row() for limit in limits),
        "![Where the money of a short task and of a printing one goes](cost.svg)",
        f"## 1,000 short tasks: `{first}`",
        f"Warm, one after the other, with one listener on the socket. {len(others)} more below.",
        bill(thousand(measured.short[first], measured.count)),
        f"What one of them asks of AWS, over all functions:\n\n{asked(measured.short[first], measured.count)}",
        times(measured.short[first], measured.count),
    ]
    for command in others:
        parts += [f"## 1,000 short tasks: `{command}`", bill(thousand(measured.short[command], measured.count))]
        parts += [asked(measured.short[command], measured.count)]
    parts += [steady(measured), session(measured), idle(), latency(measured), ASSUMED.format(**assumptions())]
    return "\n\n".join(parts) + "\n"


HEAD = """# What it costs

Written by `make bench` on {date} on one {machine} machine, from {count} short tasks of each kind. Prices are AWS's list
prices in us-east-1 (`benchmarks/prices.py`), without free tiers. *Counted at the wire*: calls, bytes, items, messages,
state transitions. *Computed*: DynamoDB's units, from the items' sizes. *Estimated*: how long functions run on AWS, as
said at the end."""

ASSUMED = """## What is assumed

- A function's own work takes {share:.2f} times as long as here, since with 1,024 MB it has a part of a core. Its calls
  take, in milliseconds: {latencies}.
  That stands for what they took on one machine. There are no cold starts. On a busy machine the estimate is too high.
- A start of an execution counts as a state transition, as each state entered does.
- Lambda's own lines in the log are {lambdas} bytes an invocation.
- An index's entries are written at the single price, also from within a transaction."""


def assumptions() -> dict[str, object]:
    latencies = ", ".join(f"{milliseconds:.0f} ({service})" for service, milliseconds in LATENCY.items())
    return {"share": CORE_SHARE, "latencies": latencies, "lambdas": LAMBDAS_OWN_LOG}


def bill(lines: Sequence[Line]) -> str:
    rows = [f"| {line.service} | {line.quantity:,.5g} {line.what} | ${line.dollars:.4f} |" for line in lines]
    rows.append(f"| **all** | | **${total(lines):.4f}** |")
    return "| service | | |\n|---|---|---|\n" + "\n".join(rows)


def asked(usage: Usage, count: int) -> str:
    rows = [_asked(name, calls, count) for name, calls in by_operation(usage.calls).items()]
    rows.append(_asked("**all calls**", usage.calls, count))
    rows.append(f"| **invocations** | {len(usage.invocations) / count:.3g} | | |")
    return "| call | times | bytes out | bytes in |\n|---|---|---|---|\n" + "\n".join(rows)


def _asked(name: str, calls: Sequence[Call], count: int) -> str:
    sent, received = sum(call.sent for call in calls), sum(call.received for call in calls)
    return f"| {name} | {len(calls) / count:.3g} | {sent / count:,.0f} | {received / count:,.0f} |"


def times(usage: Usage, count: int) -> str:
    return (
        f"Its invocations took {usage.measured_ms() / count:.0f} ms here, all together, and are billed here as"
        f" {usage.billed_ms() / count:.0f} ms."
    )


def steady(measured: Measured) -> str:
    lines = hourly(measured)
    return (
        "## An hour of a task that prints steadily\n\n"
        f"Ten lines a second, with one listener; {measured.steady_seconds:.0f} s of it were measured, after its first"
        f" burst, and scaled. A sandbox of 1 vCPU and 2 GB with its address: ${sandbox():.4f}. Control plane:"
        f" {total(lines) / sandbox():.2f} times that.\n\n{bill(lines)}"
    )


def session(measured: Measured) -> str:
    lines = measured.session.bill()
    return (
        "## A session without a task, from its creation to its end\n\n"
        f"{measured.session.transitions} state transitions; ${total(lines):.5f}, beside its sandbox. An open socket is"
        f" ${CONNECTION_HOUR:.6f} an hour.\n\n{bill([line.times(THOUSAND) for line in lines])}\n\n(a thousand of them)"
    )


def idle() -> str:
    minutes = 60 * HOURS_A_MONTH
    reconciles = minutes * (prices.SCHEDULE_INVOCATION + prices.LAMBDA_REQUEST + 0.02 * prices.LAMBDA_GB_SECOND)
    reads = minutes * 0.5 * prices.DYNAMODB_READ_UNIT
    return (
        "## Nothing at all\n\n"
        f"The minute's reconcile: ${reconciles + reads:.2f} a month at 20 ms each, and what is stored."
    )


def latency(measured: Measured) -> str:
    rows = "\n".join(f"| {hop.name} | {hop.milliseconds:.0f} ms |" for hop in measured.hops)
    return (
        "## Where the time goes, on this machine\n\n"
        f"Medians. `echo hello`, from submitting it to having its first byte: {measured.first_byte_ms:.0f} ms. `true`,"
        f" hop by hop (`make bench-hops`):\n\n| hop | |\n|---|---|\n{rows}"
    )


# The chart


def chart(measured: Measured) -> str:
    """Of the short tasks the dearer ones."""
    of_each = {command: thousand(usage, measured.count) for command, usage in measured.short.items()}
    dearer = max(of_each, key=lambda command: total(of_each[command]))
    lines, printing = of_each[dearer], hourly(measured)
    return svg(
        [
            Chart(
                "1,000 short tasks: control plane, in dollars",
                f"{dearer}: warm, one listener; all together ${total(lines):.3f}",
                [Bar("all", total(lines), "", "other"), *_bars(lines)],
                SHORT_TASKS_DOLLARS,
                f"limit ${SHORT_TASKS_DOLLARS}",
            ),
            Chart(
                "An hour of steady printing, in dollars",
                f"ten lines a second, one listener; all together ${total(printing) + sandbox():.3f}",
                [Bar("its sandbox", sandbox(), f"${sandbox():.3f}", "other"), *_bars(printing)],
            ),
        ]
    )


def _bars(lines: Sequence[Line]) -> list[Bar]:
    return [Bar(service, dollars, f"${dollars:.4f}") for service, dollars in by_service(lines) if dollars >= 0.00005]
