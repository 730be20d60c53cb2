"""A BaseJobStore over the store: it shows our tasks to APScheduler, and hands over what a pass has claimed."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from apscheduler.job import Job
from apscheduler.jobstores.base import BaseJobStore, JobLookupError
from apscheduler.triggers.base import BaseTrigger

from scheduler._arguments import can_be_id
from scheduler.apscheduler_adapter.triggers import ClaimedTrigger, TaskTrigger
from scheduler.errors import ReachThroughError
from scheduler.models import TaskDefinition
from scheduler.store import Claim, Listed, Store
from scheduler.timing.clock import to_datetime
from scheduler.timing.local_time import on_clock_of
from scheduler.timing.schedule import schedule_of

RUNS: Final = "runs"
"""The alias of the executor that launches runs of tasks."""
_ANY_NUMBER: Final = 2**31 - 1


async def run_task(task_id: str) -> None:
    """Stand for a task's run in APScheduler's jobs; the run itself is launched by the executor."""


_FUNC_REF: Final = f"{__name__}:run_task"


class _ClaimedJob(Job):  # type: ignore[misc]  # APScheduler has no types
    """A due time that was claimed: whatever the clock says meanwhile, it is due, and it alone."""

    __slots__ = ()

    def _get_run_times(self, _now: datetime) -> list[datetime]:
        return [self.next_run_time]


class TaskJobStore(BaseJobStore):  # type: ignore[misc]  # APScheduler has no types
    """Our tasks as jobs. They are changed through `TaskScheduler`; a change through APScheduler is refused."""

    def __init__(self, store: Store) -> None:
        """Take the store."""
        super().__init__()
        self._store = store
        self._offered: list[Claim] = []
        self._settled: list[str] = []
        """Tasks whose change by `_process_jobs` is stored already: it makes one for each claim."""

    # --- The pass's side ---

    def offer(self, claims: Sequence[Claim]) -> None:
        """Hand over what a pass has claimed."""
        self._offered = list(claims)

    def take_back(self) -> None:
        """End what `offer` began."""
        self._offered, self._settled = [], []

    def get_due_jobs(self, _now: datetime) -> list[Job]:
        """Return the claims as jobs; `_process_jobs` submits each of them."""
        offered, self._offered = self._offered, []
        self._settled = [claim.task.id for claim in offered]
        return [self._claimed_job(claim) for claim in offered]

    def get_next_run_time(self) -> datetime | None:
        """Return None: the scheduler itself knows from each pass when the next due time comes."""
        return None

    def _claimed_job(self, claim: Claim) -> Job:
        due = to_datetime(claim.scheduled_at)
        return self._job(claim.task, ClaimedTrigger(claim.next_due), due, (claim,), _ClaimedJob)

    # --- The reader's side ---

    def lookup_job(self, job_id: str) -> Job | None:
        """Return a task as a job, or None."""
        found = self._store.find_task(job_id) if can_be_id(job_id) else None
        return None if found is None else self._listed_job(found)

    def get_all_jobs(self) -> list[Job]:
        """Return all tasks that are not finished, paused ones last; quarantined ones are left out."""
        jobs = [self._listed_job(listed) for listed in self._store.list_tasks()]
        shown = [job for job in jobs if job is not None]
        return sorted(shown, key=lambda job: job.next_run_time or datetime.max.replace(tzinfo=UTC))

    def _listed_job(self, listed: Listed) -> Job | None:
        if listed.definition is None or listed.problem is not None:
            return None
        zone = ZoneInfo(listed.zone)
        due = None if listed.paused else listed.next_due
        next_due = None if due is None else on_clock_of(to_datetime(due), zone)
        schedule = schedule_of(listed.definition, listed.zone, listed.anchor)
        trigger = TaskTrigger(listed.definition, schedule, listed.zone)
        return self._job(listed.definition, trigger, next_due, (listed.id,))

    def _job(
        self,
        task: TaskDefinition,
        trigger: BaseTrigger,
        next_run_time: datetime | None,
        args: tuple[Any, ...],
        kind: type[Job] = Job,
    ) -> Job:
        job: Job = object.__new__(kind)
        # As its __setstate__ does, which would import the function by its name for each job.
        job.id, job.name = task.id, task.name
        job.func, job.func_ref = run_task, _FUNC_REF
        job.trigger, job.next_run_time = trigger, next_run_time
        job.executor, job.args, job.kwargs = RUNS, args, {}
        job.misfire_grace_time, job.coalesce, job.max_instances = None, True, _ANY_NUMBER
        job._scheduler = self._scheduler  # noqa: SLF001 (BaseJobStore asks its subclasses to set both)
        job._jobstore_alias = self._alias  # noqa: SLF001
        return job

    # --- Changes: done by the claim already, or refused ---

    def add_job(self, job: Job) -> None:
        """Refuse: tasks are added with `TaskScheduler.add_task`."""
        raise ReachThroughError(job.id, "TaskScheduler.add_task, or another job store for other functions")

    def update_job(self, job: Job) -> None:
        """Let `_process_jobs` note what the claim has stored already; refuse everybody else."""
        if self._is_settled(job.id):
            return
        method = "pause_task" if job.next_run_time is None else "add_task (to change a task) or resume_task"
        raise ReachThroughError(job.id, f"TaskScheduler.{method}")

    def remove_job(self, job_id: str) -> None:
        """Let `_process_jobs` drop a task that has no due time any more; refuse everybody else."""
        if self._is_settled(job_id):
            return
        if self._store.find_task(job_id) is None:
            raise JobLookupError(job_id)
        raise ReachThroughError(job_id, "TaskScheduler.remove_task")

    def _is_settled(self, job_id: str) -> bool:
        if job_id not in self._settled:
            return False
        self._settled.remove(job_id)
        return True

    def remove_all_jobs(self) -> None:
        """Refuse."""
        raise ReachThroughError(None, "TaskScheduler.remove_task for each, or name another job store")
