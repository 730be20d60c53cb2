"""The schedule of a task -> words; those that the grammar has, where it can say the schedule."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from scheduler._arguments import check_definitions
from scheduler.models import TaskDefinition
from scheduler.phrases.clock_times import MOST_TIMES
from scheduler.phrases.cron import HOURS, MINUTES, even_step, expand, runs
from scheduler.phrases.day_words import DayWords
from scheduler.phrases.grammar import interval_in_words
from scheduler.phrases.moments import moment_in_words, with_offset
from scheduler.phrases.reader import join_list
from scheduler.phrases.rule_words import describe_rule
from scheduler.timing.crontab import parse_crontab, split_crontab

_SHORTEST_RANGE: Final = 3
_MOST_SHOWN: Final = 5


def describe(task: TaskDefinition) -> str:
    """Return the schedule of a task in English, such as `Every Monday at 08:30 (Europe/Berlin)`.

    Bounds, jitter and `max_runs` follow after it. Where the grammar of `parse_schedule` can say the schedule, the words
    are of that grammar, and mean it.
    """
    check_definitions([task])
    return ", ".join([_schedule(task), *_bounds(task)])


def describe_crontab(expression: str) -> str:
    """Return a crontab expression in English; raise `ValueError` if it is not one."""
    crontab = parse_crontab(expression)
    minute, hour, month_day, month, weekday = split_crontab(expression)
    days = DayWords.of(month_day, month, weekday)
    minutes, hours = expand(minute, MINUTES), expand(hour, HOURS)
    if not crontab.is_wildcard and len(minutes) * len(hours) <= MOST_TIMES:
        return _at_times(minutes, hours, days)
    tail = days.as_tail()
    return _steps(minutes, hours, wildcard=crontab.is_wildcard, over_midnight=not tail) + tail


def _schedule(task: TaskDefinition) -> str:
    zone = f" ({task.timezone})" if task.timezone else ""
    if task.cron_expression is not None:
        return describe_crontab(task.cron_expression) + zone
    if task.interval_seconds is not None:
        return f"Every {interval_in_words(task.interval_seconds)}"
    if task.run_at is not None:
        return f"At {_moment(task.run_at, task.timezone)}"
    if task.rrule is not None:
        return _rule_in_words(task, task.rrule) + zone
    raise ValueError(f"Task {task.id}: a {task.task_type} task without its schedule")


def _rule_in_words(task: TaskDefinition, rule: str) -> str:
    start = None if task.start_at is None else task.start_at.astimezone(ZoneInfo(task.timezone or "UTC"))
    return describe_rule(rule, None if start is None else start.replace(tzinfo=None))


def _moment(moment: datetime, zone: str | None) -> str:
    return moment_in_words(with_offset(moment, ZoneInfo(zone) if zone else moment.tzinfo or ZoneInfo("UTC")))


def _bounds(task: TaskDefinition) -> list[str]:
    bounds = []
    if task.start_at is not None:
        bounds.append(f"from {_moment(task.start_at, task.timezone)}")
    if task.end_at is not None:
        bounds.append(f"until {_moment(task.end_at, task.timezone)}")
    if task.exdates:
        bounds.append(f"except {join_list([_exception(each, task.timezone) for each in task.exdates[:_MOST_SHOWN]])}")
        more = len(task.exdates) - _MOST_SHOWN
        bounds += [f"and {_counted(more, 'other time')}"] if more > 0 else []
    if task.max_runs is not None:
        bounds.append(f"at most {_counted(task.max_runs, 'run')}")
    if task.jitter_seconds:
        bounds.append(f"delayed by up to {_counted(task.jitter_seconds, 'second')}")
    return bounds


def _exception(excluded: date, zone: str | None) -> str:
    return _moment(excluded, zone) if isinstance(excluded, datetime) else excluded.isoformat()


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


# --- Times of day ---


def _at_times(minutes: frozenset[int], hours: frozenset[int], days: DayWords) -> str:
    """Return the days first: `Every Monday at 08:30`; or `Every hour from 09:00 to 17:00 on Mondays`."""
    if len(minutes) == 1 and len(hours) >= _SHORTEST_RANGE and len(list(runs(sorted(hours)))) == 1:
        (minute,) = minutes
        return f"Every hour from {_clock(min(hours), minute)} to {_clock(max(hours), minute)}{days.as_tail()}"
    times = [_clock(hour, minute) for hour in sorted(hours) for minute in sorted(minutes)]
    return f"{days.as_head()} at {join_list(times)}"


def _clock(hour: int, minute: int) -> str:
    return f"{hour:02}:{minute:02}"


def _steps(minutes: frozenset[int], hours: frozenset[int], *, wildcard: bool, over_midnight: bool) -> str:
    """Return what is due at certain minutes of certain hours.

    `wildcard` is what `Crontab.is_wildcard` says: where clocks are changed, a schedule that is not is due otherwise, so
    the grammar's words for steps of the clock are not for it. Hours may be said `over_midnight` where all days have
    them.
    """
    minute_step, hour_step = even_step(minutes, MINUTES), even_step(hours, HOURS)
    if wildcard and hour_step == 1 and minute_step is not None:
        return f"Every {_unit(minute_step, 'minute')}"
    if wildcard and hour_step is not None and len(minutes) <= MOST_TIMES:
        return f"Every {_unit(hour_step, 'hour')}{_marks(minutes)}"
    if minute_step is not None and (span := _span(hours, over_midnight=over_midnight)) is not None:
        return f"Every {_unit(minute_step, 'minute')} from {_clock(span[0], 0)} to {_clock(span[1], 59)}"
    at = f"At {join_list(_ranges(minutes, lambda minute: f':{minute:02}'))}"
    return f"{at} of every hour" if hours == HOURS else f"{at} in {_hours(hours)}"


def _span(hours: frozenset[int], *, over_midnight: bool) -> tuple[int, int] | None:
    """Return the first and the last of hours that follow one another; None: they do not."""
    found = list(runs(sorted(hours)))
    if len(found) == 1:
        return found[0][0], found[0][-1]
    is_round = over_midnight and len(found) == 2 and found[0][0] == 0 and found[1][-1] == max(HOURS)  # noqa: PLR2004
    return (found[1][0], found[0][-1]) if is_round else None


def _unit(step: int, unit: str) -> str:
    return unit if step == 1 else f"{step} {unit}s"


def _marks(minutes: frozenset[int]) -> str:
    return "" if minutes == {0} else f" at {join_list([f':{minute:02}' for minute in sorted(minutes)])}"


def _hours(hours: frozenset[int]) -> str:
    named = join_list(_ranges(hours, lambda hour: f"{hour:02}"))
    return f"the hour{'' if len(hours) == 1 else 's'} {named}"


def _ranges(values: frozenset[int], shown: Callable[[int], str]) -> list[str]:
    """Show numbers, three or more neighbours as `a to b`."""
    return [text for run in runs(sorted(values)) for text in _range(run, shown)]


def _range(run: list[int], shown: Callable[[int], str]) -> list[str]:
    if len(run) >= _SHORTEST_RANGE:
        return [f"{shown(run[0])} to {shown(run[-1])}"]
    return [shown(value) for value in run]
