"""What makes the passes and the runs of a running scheduler: asyncio, no APScheduler."""
