"""A schedule as it is given on the command line → the fields of a definition."""

from typing import Any

from scheduler import TaskType
from scheduler.cli.errors import CommandError, ExitCode
from scheduler.cli.ui.moments import parse_duration, parse_instant
from scheduler.schedule_texts import cron_fields, rule_fields, schedule_fields


def interval_fields(text: str, timezone: str | None) -> dict[str, Any]:
    """Return the fields of an interval task, given `5m`. Raises `ValueError`."""
    return {"task_type": TaskType.INTERVAL, "interval_seconds": parse_duration(text), "timezone": timezone}


def instant_fields(text: str, timezone: str | None) -> dict[str, Any]:
    """Return the fields of a one-time task, given an instant. Raises `ValueError`."""
    return {"task_type": TaskType.ONE_TIME, "run_at": parse_instant(text, timezone), "timezone": timezone}


def one_schedule(
    *,
    cron: str | None,
    every: str | None,
    at: str | None,
    words: str | None,
    rule: str | None = None,
    timezone: str | None,
) -> dict[str, Any]:
    """Return the fields of the one schedule that is given. Raises `CommandError`, `ValueError`."""
    ways = (
        (cron, cron_fields),
        (every, interval_fields),
        (at, instant_fields),
        (words, schedule_fields),
        (rule, rule_fields),
    )
    given = [(text, read) for text, read in ways if text is not None]
    if len(given) != 1:
        raise CommandError("give one of --cron, --every, --at, --schedule and --rrule", ExitCode.USAGE)
    text, read = given[0]
    return {name: value for name, value in read(text, timezone).items() if value is not None}
