"""The sandbox agent beside a floor and beside other runtimes, in one run: `make bench-agent`.

Every runtime is a process of its own on loopback; the caller is this process, and a moment is noted where the caller
has the bytes or the exit code in its hands. Runtimes take turns within each measurement, so that whatever else the
machine does meets all of them alike; what carries over to another machine are the ratios to the floor.
"""
