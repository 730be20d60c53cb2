"""What makes attempts, as the bridge uses it."""

from collections.abc import Coroutine
from typing import Any, Protocol

from scheduler import current_call
from scheduler.models import TaskDefinition
from scheduler.observing import Attempt
from scheduler.store import Claim, Outcome


def marked(attempt: Attempt, scheduler: object) -> Attempt:
    """Return what makes an attempt in a context that shows which scheduler makes it; any object may stand for it."""

    async def make(claim: Claim) -> Outcome:
        with current_call.called_by(scheduler):
            return await attempt(claim)

    return make


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

    async def load_code(self, task: TaskDefinition) -> str | None:
        """Load what a task names; return why it cannot be loaded, or None."""
        ...

    async def close(self) -> None:
        """Leave what graphs have opened, when no run is left."""
        ...

    async def delete_thread(self, thread_id: str, path: str | None) -> bool:
        """Delete what a graph keeps of a thread; `path` names the graph, None the scheduler's."""
        ...
