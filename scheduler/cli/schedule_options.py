"""A schedule as it is given on the command line → the fields of a definition."""

import re
from typing import Any, Final

from scheduler import TaskType, parse_schedule
from scheduler.cli.errors import CommandError, ExitCode
from scheduler.cli.ui.moments import parse_duration, parse_instant

_CRON: Final = re.compile(r"[*@]|[0-9*,/-]+[ \t]+[0-9*,/-]+[ \t]+\S+[ \t]+\S")
"""How a cron expression begins; words may begin with a digit, too."""


_RULE: Final = re.compile(r"(RRULE:)?[A-Z]+=", re.ASCII | re.IGNORECASE)
"""How a recurrence rule begins."""


def schedule_fields(text: str, timezone: str | None) -> dict[str, Any]:
    """Return the fields of a cron expression, of a recurrence rule, or of a schedule in words. Raises `ValueError`."""
    stripped = text.strip()
    if _CRON.match(stripped):
        return cron_fields(stripped, timezone)
    if _RULE.match(stripped):
        return rule_fields(stripped, timezone)
    return parse_schedule(text, timezone=timezone)


def cron_fields(text: str, timezone: str | None) -> dict[str, Any]:
    """Return the fields of a cron task."""
    return {"task_type": TaskType.CRON, "cron_expression": text, "timezone": timezone}


def rule_fields(text: str, timezone: str | None) -> dict[str, Any]:
    """Return the fields of a task with a recurrence rule."""
    return {"task_type": TaskType.RRULE, "rrule": text, "timezone": timezone}


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
