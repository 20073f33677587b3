"""The client for asyncio: `AsyncFilepath`, its sessions and its tasks."""
