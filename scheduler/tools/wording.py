"""What the model reads: schedules, instants and runs in words, so that it can check what it did."""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from scheduler._texts import escaped
from scheduler.models import Run, TaskDefinition
from scheduler.phrases import describe
from scheduler.phrases.cron import WEEKDAY_NAMES
from scheduler.phrases.moments import moment_in_words, with_offset
from scheduler.views import TaskState, TaskView

_SHOWN: Final = 500
_PROMPT_SHOWN: Final = 100
_UNITS: Final = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def moment(instant: datetime, zone: tzinfo | None) -> str:
    """Return an instant on the clock of a zone: `Monday 2026-11-30 08:30+01:00`."""
    there = with_offset(instant.replace(microsecond=0), zone or ZoneInfo("UTC"))
    return f"{WEEKDAY_NAMES[there.isoweekday() % 7]} {moment_in_words(there)}"


def present(now: datetime, zone: ZoneInfo) -> str:
    """Tell what time it is, to the minute."""
    return f"Now it is {moment(now.replace(second=0), zone)} ({zone.key})."


def duration(length: timedelta) -> str:
    """Return a length of time in its largest units: `1 hour 30 minutes`."""
    rest, parts = round(length.total_seconds()), []
    for size, unit in _UNITS:
        number, rest = divmod(rest, size)
        if number:
            parts.append(f"{number} {unit}{'' if number == 1 else 's'}")
    return " ".join(parts) or "0 seconds"


def quoted(text: str, most: int = _SHOWN) -> str:
    """Return a text in quotes, on one line, cut short: data, not part of the answer."""
    return escaped(json.dumps(text if len(text) <= most else f"{text[: most - 1]}…", ensure_ascii=False))


def scheduled(short_id: str, task: TaskDefinition, due_times: Iterable[datetime], now: datetime) -> str:
    """Say what was scheduled."""
    zone = zone_of(task)
    times = "; ".join(moment(due, zone) for due in due_times)
    return (
        f"Scheduled {quoted(task.name)}, task_id {short_id}: {describe(task)}.\n"
        f"Next due times: {times}.\n"
        f"{present(now, zone)} If this is not what the user meant, cancel it and schedule it again."
    )


def updated(short_id: str, task: TaskDefinition, due_times: Iterable[datetime], now: datetime) -> str:
    """Say what a task is after a change."""
    zone = zone_of(task)
    times = "; ".join(moment(due, zone) for due in due_times)
    prompt = quoted(task.subject, _PROMPT_SHOWN)
    return (
        f"Changed task {short_id}: {quoted(task.name)}, {describe(task)}, prompt {prompt}.\n"
        f"Next due times: {times}.\n{present(now, zone)}"
    )


def listed(short_id: str, entry: TaskView) -> str:
    """Return a line about a task."""
    task = entry.definition
    if task is None:
        return f"- task_id {short_id}: it cannot be read any more; cancel it and schedule it again."
    prompt = quoted(task.subject, _PROMPT_SHOWN)
    return f"- task_id {short_id}: {quoted(task.name)}. {describe(task)}. Next: {next_run(entry)}. Prompt: {prompt}"


def next_run(entry: TaskView) -> str:
    """Return when a task runs next, or why it does not."""
    if entry.state is TaskState.UNUSABLE:
        return "it cannot run any more; cancel it and schedule it again"
    if entry.next_due is not None:
        return moment(entry.next_due, entry.next_due.tzinfo)
    end = "" if entry.paused_until is None else f" until {moment(entry.paused_until, entry.paused_until.tzinfo)}"
    return f"{entry.next_run}{end} ({quoted(entry.pause_reason)})" if entry.pause_reason else f"{entry.next_run}{end}"


def past_run(run: Run, zone: ZoneInfo) -> str:
    """Return a line about a run."""
    parts = [f"- {moment(run.scheduled_at, zone)}: {run.status}"]
    if run.response:
        parts.append(f"answer {quoted(run.response)}")
    if run.error:
        parts.append(f"error {quoted(run.error)}")
    parts.extend(f"it asks {quoted(str(question.value))}" for question in run.questions)
    return ", ".join(parts)


def zone_of(task: TaskDefinition | None) -> ZoneInfo:
    """Return the zone of a task; UTC if it names none, or cannot be read."""
    return ZoneInfo("UTC" if task is None or task.timezone is None else task.timezone)
