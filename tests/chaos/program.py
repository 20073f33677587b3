"""Runs in the sandbox: writes pseudo-random bytes to both streams, notes what it wrote, and ends as it is told to.

    python3 chaos.py NUMBER SEED SIZE ENDING HOW

What it wrote stands in `sums/NUMBER` after each write, so that it is known however the program ends. Standard library
only; it is read as text and put into each sandbox.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from types import FrameType

LONGEST_WRITE = 128 * 1024


class Chaos:
    def __init__(self, number: str, seed: str) -> None:
        self.dice = random.Random(int(seed))  # noqa: S311 - repeatable on purpose
        self.number = int(number)
        self.lengths = {1: 0, 2: 0}
        self.sums = {1: hashlib.sha256(), 2: hashlib.sha256()}
        self.is_told_to_end = False
        os.makedirs("sums", exist_ok=True)  # noqa: PTH103 - nothing that it does not need
        self.notes = os.open(f"sums/{number}", os.O_WRONLY | os.O_CREAT, 0o644)
        self.note()

    def note(self, *, is_at_end: bool = False) -> None:
        written = {str(stream): [self.lengths[stream], self.sums[stream].hexdigest()] for stream in (1, 2)}
        text = json.dumps({"number": self.number, **written, "isAtEnd": is_at_end})
        os.pwrite(self.notes, text.ljust(399).encode() + b"\n", 0)

    def end(self, _signal: int, _frame: FrameType | None) -> None:
        # No exception: it could come between a write and the note of it.
        self.is_told_to_end = True

    def write_all(self, size: int) -> None:
        pauses = self.dice.choice((0, 0, 0, 0.05))
        while size > 0 and not self.is_told_to_end:
            longest = min(size, LONGEST_WRITE if size > LONGEST_WRITE else self.dice.choice((10, 1000, LONGEST_WRITE)))
            size -= self.write(1 if self.dice.random() < 0.7 else 2, self.piece(self.dice.randint(1, longest)))
            if pauses and self.dice.random() < 0.1:
                time.sleep(pauses)

    def write(self, stream: int, data: bytes) -> int:
        length = os.write(stream, data)
        self.lengths[stream] += length
        self.sums[stream].update(data[:length])
        self.note()
        return length

    def piece(self, length: int) -> bytes:
        kind = self.dice.randrange(3)
        if kind == 0:
            return self.dice.randbytes(length)
        if kind == 1:
            return (self.dice.choice(("é€𝄞\n", "\x1b[31mred\x1b[0m\r\n", "\0\n\n")) * (length // 3 + 1)).encode()[
                :length
            ]
        return self.dice.randbytes(length // 2 + 1).hex().encode()[:length]


def main(number: str, seed: str, size: str, ending: str, how: str) -> None:
    chaos = Chaos(number, seed)
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, chaos.end)
    chaos.write_all(int(size))
    while ending in ("timed-out", "cancelled") and not chaos.is_told_to_end:
        time.sleep(0.02)
    chaos.note(is_at_end=True)
    if ending == "dies":
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.Signals[f"SIG{how}"])
    if ending == "leaves-a-child":
        subprocess.Popen(["sleep", "3"])
    os._exit(int(how))


if __name__ == "__main__":
    main(*sys.argv[1:])
