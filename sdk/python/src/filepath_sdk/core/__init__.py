"""What both clients do, written once: which request is sent, when again, and how a task's events come in order.

Coroutines over a `Backend`. asyncio's suspends them as usual; the blocking one never does, so that the blocking
client runs the same coroutine to its end in one step (`blocking.complete`).
"""
