"""The sandbox agent: runs the commands of one session and reports on them over one WebSocket that it opens itself.

`python -m agent` with `sandbox/` on the path. It depends on `websockets` and the standard library alone, and imports
as little of either as it can: a session waits for its start.
"""

VERSION = "0.1.0"
