"""What the bridge asks of whatever makes attempts."""

from collections.abc import Coroutine
from typing import Any, Protocol

from scheduler.store import Claim, Outcome


class Runner(Protocol):
    """What makes attempts."""

    def load(self) -> None:
        """Import the graph. Raises `GraphError`."""
        ...

    def run(self, claim: Claim) -> Coroutine[Any, Any, Outcome]:
        """Make one attempt."""
        ...

    def drain(self) -> None:
        """Ask runs that can continue later to stop soon."""
        ...

    async def delete_thread(self, thread_id: str, path: str | None) -> None:
        """Delete what a graph keeps of a thread; `path` names the graph, None the scheduler's."""
        ...
