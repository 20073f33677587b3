"""Runtimes that no package registry has: what was measured of them on 22 November 2026 on another machine, as ratios to
the same floor on that machine. They are shown beside what is measured now, and marked."""

from __future__ import annotations

from dataclasses import dataclass

MARK = "†"
NOTE = (
    f"{MARK} not installable from a package registry: measured on 22 November 2026 on another machine, with the"
    " servers on loopback (envd 0.6.13 raw, without Firecracker; Cloudflare sandbox-sdk 0.12.7, its container"
    " server); the ratio is to the floor of that machine."
)


@dataclass(frozen=True)
class Published:
    name: str
    ratios: dict[str, float]
    """By the name of a measurement."""


PUBLISHED = (
    Published(
        "e2b envd",
        {
            "`true`": 1.76,
            "`echo hello`": 1.83,
            "first byte": 1.48,
            "a line, one per 50 ms": 0.71,
            "100 MB of text": 0.68,
            "seq 1 1000000": 0.66,
            "50 at once": 1.29,
            "ready": 0.08,
            "idle memory": 0.52,
        },
    ),
    Published(
        "Cloudflare sandbox",
        {
            "`true`": 2.84,
            "`echo hello`": 3.39,
            "first byte": 3.86,
            "a line, one per 50 ms": 51.7,
            "100 MB of text": 0.054,
            "seq 1 1000000": 0.003,
            "50 at once": 1.45,
            "ready": 1.15,
            "idle memory": 2.09,
        },
    ),
)
