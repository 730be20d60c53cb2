"""Hours back and ahead in one picture: what each task ran, and when it is due."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from markupsafe import Markup

from scheduler.models import Run, RunStatus
from scheduler.shapes import due_times
from scheduler.views import TaskView
from scheduler.web.lookup import BAD_STATUSES

HOURS: Final = 12
_WIDTH, _HEIGHT = 1_000, 22
_NOW: Final = _WIDTH // 2
_MOST_DUE: Final = 60
"""So many due times of a task are shown one by one; what follows is a line."""
_FEW: Final = 8
_BAR: Final = 4
_TICK_HOURS: Final = 6


@dataclass(frozen=True, slots=True)
class Row:
    """A task, and its picture."""

    task: TaskView
    picture: Markup


def timeline(tasks: Sequence[TaskView], runs: Mapping[str, Sequence[Run]], now: datetime) -> list[Row]:
    """Return a row for each task that ran or is due within these hours; `runs` are those of each task."""
    end = now + timedelta(hours=HOURS)
    rows = []
    for task in tasks:
        near = [run for run in runs.get(task.id, ()) if abs((run.scheduled_at - now).total_seconds()) <= HOURS * 3600]
        due = due_before(partial(due_times, task), end, _MOST_DUE)
        if near or due:
            rows.append(Row(task, _picture(near, due, now)))
    return rows


def due_before(first: Callable[[int], list[datetime]], end: datetime, most: int) -> list[datetime]:
    """Return due times before an instant, at most so many; `first` computes the first ones of a number.

    Few are computed at first: sixty due times of a monthly task would reach years ahead.
    """
    number = min(_FEW, most)
    while True:
        times = first(number)
        if len(times) < number or times[-1] >= end or number >= most:
            return [moment for moment in times if moment < end]
        number = min(8 * number, most)


def ticks(now: datetime) -> list[datetime]:
    """Return the instants that are named below the pictures, from left to right."""
    return [now + timedelta(hours=hours) for hours in range(-HOURS, HOURS + 1, _TICK_HOURS)]


def _picture(runs: Sequence[Run], due: Sequence[datetime], now: datetime) -> Markup:
    parts = [Markup('<line class="now" x1="{}" y1="0" x2="{}" y2="{}"></line>').format(_NOW, _NOW, _HEIGHT)]
    parts += [_bar(run.scheduled_at, now, str(run.status), is_bad=run.status in BAD_STATUSES) for run in runs]
    parts += [_bar(moment, now, "due", is_bad=False) for moment in due]
    if len(due) == _MOST_DUE:
        parts.append(
            Markup('<line class="due-on" x1="{:.1f}" y1="{}" x2="{}" y2="{}"></line>').format(
                _place(due[-1], now), _HEIGHT / 2, _WIDTH, _HEIGHT / 2
            )
        )
    return Markup(
        '<svg class="timeline" role="img" aria-label="{}" viewBox="0 0 {} {}" preserveAspectRatio="none">{}</svg>'
    ).format(_in_words(runs, due), _WIDTH, _HEIGHT, Markup().join(parts))


def _place(moment: datetime, now: datetime) -> float:
    return _NOW + (moment - now).total_seconds() / (HOURS * 3600) * _NOW


def _bar(moment: datetime, now: datetime, kind: str, *, is_bad: bool) -> Markup:
    height = _HEIGHT if is_bad else _HEIGHT - 8
    left = min(max(_place(moment, now) - _BAR / 2, 0), _WIDTH - _BAR)
    return Markup('<rect class="bar {}" x="{:.1f}" y="{}" width="{}" height="{}"></rect>').format(
        kind, left, (_HEIGHT - height) / 2, _BAR, height
    )


def _in_words(runs: Sequence[Run], due: Sequence[datetime]) -> str:
    bad = sum(1 for run in runs if run.status in BAD_STATUSES)
    good = sum(1 for run in runs if run.status is RunStatus.SUCCEEDED)
    ahead = f"{len(due)}{' or more' if len(due) == _MOST_DUE else ''} due times ahead"
    return f"{len(runs)} runs, of which {good} succeeded and {bad} went wrong; {ahead}"
