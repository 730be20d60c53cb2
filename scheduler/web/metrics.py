"""Gauges of the store for Prometheus: what counters cannot tell. Runs and their durations are OpenTelemetry's."""

from collections.abc import Iterable, Iterator
from typing import Final

from scheduler import TaskScheduler
from scheduler.models import OPEN_STATUSES, RunStatus
from scheduler.views import TaskState
from scheduler.web.lookup import find_runs, find_tasks, next_tasks
from scheduler.web.visit import Visit

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_MOST: Final = 1_000
"""Larger numbers are not counted to their end."""
_Samples = Iterable[tuple[str, float]]


def metrics_text(scheduler: TaskScheduler, visit: Visit) -> str:
    """Return the gauges as Prometheus reads them."""
    return "\n".join([*_lines(scheduler, visit), ""])


def _lines(scheduler: TaskScheduler, visit: Visit) -> Iterator[str]:
    yield from _gauge("schedulers", "Schedulers that run on the store.", [("", scheduler.running_schedulers())])
    counts = ((status, len(find_runs(scheduler, visit, _MOST, before=None, status=status).runs)) for status in _open())
    text = f"Runs that are not over, by status; of each at most {_MOST:,}."
    yield from _gauge("open_runs", text, ((f'{{status="{status}"}}', number) for status, number in counts))
    due = [task.next_due for task in next_tasks(scheduler, visit, _MOST)]
    late = [(visit.now - moment).total_seconds() for moment in due if moment is not None and moment < visit.now]
    yield from _gauge("overdue_tasks", "Tasks whose due time has passed and is not served.", [("", len(late))])
    yield from _gauge("most_overdue_seconds", "How late the latest of them is.", [("", max(late, default=0))])
    unusable = find_tasks(scheduler, visit, _MOST, after=None, state=TaskState.UNUSABLE).tasks
    yield from _gauge("unusable_tasks", "Tasks that cannot run.", [("", len(unusable))])
    text = f"When a task's last success ended, in seconds since 1970; of the newest {_MOST:,} successful runs."
    yield from _gauge("last_success_timestamp_seconds", text, _successes(scheduler, visit))


def _open() -> list[RunStatus]:
    return sorted(OPEN_STATUSES)


def _successes(scheduler: TaskScheduler, visit: Visit) -> _Samples:
    newest: dict[str, float] = {}
    for run in find_runs(scheduler, visit, _MOST, before=None, status=RunStatus.SUCCEEDED).runs:
        if run.finished_at is not None:
            newest[run.task_id] = max(newest.get(run.task_id, 0), run.finished_at.timestamp())
    return [(f'{{task_id="{_label(task_id)}"}}', moment) for task_id, moment in newest.items()]


def _label(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _gauge(name: str, about: str, samples: _Samples) -> Iterator[str]:
    yield f"# HELP task_scheduler_{name} {about}"
    yield f"# TYPE task_scheduler_{name} gauge"
    for labels, value in samples:
        yield f"task_scheduler_{name}{labels} {value:.15g}"
