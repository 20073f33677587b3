"""How often somebody may try something: so many times in a window of so many seconds. Pure; the clock is an argument.

Windows are fixed: each has a counter of its own, so that counting is one write on a condition, whoever else counts at
that moment. Around the turn of a window twice the limit can pass; it is there against guessing and against floods.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

_IPV6_PREFIX = 64
"""Bits that a provider gives to one customer at most, who then has 2^64 addresses to try from."""


@dataclass(frozen=True)
class RateLimit:
    name: str
    times: int
    seconds: int

    def window(self, now: int) -> int:
        """The number of the window that the moment lies in, counted from the epoch."""
        return now // (self.seconds * 1000)

    def retry_after(self, now: int) -> int:
        """Seconds until the next window has begun, counted up: never none."""
        length = self.seconds * 1000
        left = length - now % length
        return -(-left // 1000)


def network(address: str) -> str:
    """Whose tries are counted together: an IPv4 address, or all of a customer's IPv6 addresses."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ip_network((int(parsed), _IPV6_PREFIX), strict=False))
    return str(parsed)
