"""An AsyncIOScheduler that keeps our job store and our executor; what a user adds beside them is the user's own."""

import inspect
from typing import Any, Final

from apscheduler.job import Job
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.schedulers.base import BaseScheduler

from scheduler.apscheduler_adapter.jobstore import RUNS
from scheduler.errors import ReachThroughError

TASKS: Final = "tasks"
"""The alias of the job store that shows our tasks; `default` is in memory, for other functions."""
_ADD_JOB: Final = inspect.signature(BaseScheduler.add_job)


class GuardedScheduler(AsyncIOScheduler):  # type: ignore[misc]  # APScheduler has no types
    """Refuses what would put a foreign job among our tasks, or take our parts away."""

    _is_configured = False

    def configure(self, gconfig: Any = None, prefix: str = "apscheduler.", **options: Any) -> None:  # noqa: ANN401
        """Configure it once, when it is built; later it would lose its job store."""
        if self._is_configured:
            raise ReachThroughError(None, "the arguments of TaskScheduler, add_jobstore and add_executor")
        self._is_configured = True
        super().configure(gconfig or {}, prefix, **options)

    def add_job(self, func: Any, *args: Any, **kwargs: Any) -> Job:  # noqa: ANN401 (APScheduler's own signature)
        """Add a function of your own, to the in-memory job store; see APScheduler. Tasks are refused here."""
        given = _ADD_JOB.bind(self, func, *args, **kwargs).arguments
        if given.get("jobstore") == TASKS or given.get("executor") == RUNS:
            raise ReachThroughError(given.get("id"), "TaskScheduler.add_task; other functions go to jobstore='default'")
        return super().add_job(func, *args, **kwargs)

    def remove_jobstore(self, alias: str, shutdown: bool = True) -> None:  # noqa: FBT001, FBT002 (APScheduler's own)
        """Remove a job store of your own; ours is refused."""
        if alias == TASKS:
            raise ReachThroughError(None, "TaskScheduler.stop to end them")
        super().remove_jobstore(alias, shutdown)

    def remove_executor(self, alias: str, shutdown: bool = True) -> None:  # noqa: FBT001, FBT002 (APScheduler's own)
        """Remove an executor of your own; ours is refused."""
        if alias == RUNS:
            raise ReachThroughError(None, "TaskScheduler.stop to end them")
        super().remove_executor(alias, shutdown)
