"""`python3 -P -m agent`: every sandbox's start waits for this."""

from __future__ import annotations

import gc
import sys


def main() -> int:
    # Nothing of what is loaded becomes garbage. To look for some took a tenth of the start, and would pause the agent
    # for as long now and then.
    gc.disable()
    from agent.agent import run

    gc.freeze()
    gc.enable()
    return run()


if __name__ == "__main__":
    sys.exit(main())
