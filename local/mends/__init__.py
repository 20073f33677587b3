"""Where MiniStack 1.5.33 differs from AWS in a way that would hide a fault of ours: one difference a file.

Each mend wraps the emulator's own function and copies none of its code. Its docstring says what AWS does and what the
emulator does; its test in tests/local/ runs against the emulator without it, and fails once it is no longer needed.
"""

from __future__ import annotations

from local.home import Home
from local.mends import (
    admin,
    call_record,
    callbacks,
    cluster_condition,
    cold_starts,
    definitions,
    executions,
    expressions,
    failing_calls,
    function_logs,
    layers,
    payloads,
    prompt_starts,
    registry,
    root_key,
    route_responses,
    sandbox_tasks,
    service_roles,
    sockets,
    worker_logs,
)


def apply(home: Home) -> None:
    """Mend the emulator of this process, before it serves its first request."""
    root_key.apply()
    admin.apply()
    failing_calls.apply(home)
    service_roles.apply()  # before the callbacks, which tell a state what became of its invocation
    callbacks.apply()
    cluster_condition.apply()
    cold_starts.apply()
    definitions.apply()
    executions.apply()
    expressions.apply()
    layers.apply(home.layers)
    payloads.apply()
    prompt_starts.apply()
    registry.apply(home.emulator_port)
    worker_logs.apply()
    function_logs.apply(home.logs / "functions.log")
    sockets.apply()
    route_responses.apply()
    sandbox_tasks.apply(home)
    call_record.apply(home.calls)
