"""The settings of the pass loop."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """What the loop needs to know; times in seconds."""

    max_concurrent_runs: int
    poll_interval: float
    lease_seconds: float
    shutdown_grace_seconds: float
    sync_node_threads: int | None = None
    freeze_gc: bool = False
    """Whether what exists at the start is left out of garbage collections until the stop."""
