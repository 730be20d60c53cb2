"""A schedule as people type it: words, a cron expression or a recurrence rule → the fields of a definition."""

import re
from typing import Any, Final

from scheduler.models import TaskType
from scheduler.phrases import parse_schedule

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
