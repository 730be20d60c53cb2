"""An AsyncIOScheduler that keeps our job store and our executor; what a user adds beside them is the user's own."""

import copy
import inspect
from typing import Any, Final

from apscheduler.executors.base import BaseExecutor
from apscheduler.job import Job
from apscheduler.jobstores.base import BaseJobStore
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.schedulers.base import BaseScheduler

from scheduler.apscheduler_adapter.jobstore import RUNS
from scheduler.errors import ReachThroughError

TASKS: Final = "tasks"
"""The alias of the job store that shows our tasks; `default` is in memory, for other functions."""
_INSTEAD: Final = {"timezone": "TaskScheduler(timezone=…)", "event_loop": "start() in the event loop"}
_ADD_JOB: Final = inspect.signature(BaseScheduler.add_job)


class GuardedScheduler(AsyncIOScheduler):  # type: ignore[misc]  # APScheduler has no types
    """Refuses what would put a foreign job among our tasks, or take our parts away."""

    def __init__(self, tasks: BaseJobStore, runs: BaseExecutor, zone: str) -> None:
        """Take our job store and executor, and APScheduler's zone."""
        self._own = {"_jobstores": {TASKS: tasks}, "_executors": {RUNS: runs}}
        self._zone = zone
        super().__init__()

    def _configure(self, config: dict[str, Any]) -> None:
        """Do what `configure` is called for, with our parts beside those of the user. Nothing changes if it raises."""
        for name, instead in _INSTEAD.items():
            if name in config:
                raise ReachThroughError(None, f"{instead} instead of {name}={config[name]!r}")
        for name, own in self._own.items():
            if own.keys() & config.get(name.removeprefix("_"), {}).keys():
                raise ReachThroughError(None, f"another name than {', '.join(own)!r} in {name.removeprefix('_')}")
        kept = ("_executors", "_jobstores", "_job_defaults")
        before = {name: copy.copy(getattr(self, name, None)) for name in kept}
        try:
            super()._configure({**config, "timezone": self._zone})
        except BaseException:
            for name, value in before.items():
                setattr(self, name, value)
            raise
        for name, own in self._own.items():
            # Ours comes first: a change of all jobs is refused before another job store has made it.
            setattr(self, name, {**own, **getattr(self, name)})

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
