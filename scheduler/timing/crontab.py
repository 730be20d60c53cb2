"""A crontab expression -> its next instant in a zone (strict parser, Debian's DST rules).

The rules are those of Debian's cron 3.0pl1: `entry.c` for what an expression means, the main loop of `cron.c` for what
happens when the clock of a zone jumps. `cronsim` does the calendar, on datetimes without a zone; here are the parser in
front of it, which refuses what Debian would refuse or misread, and the way from local times to instants behind it.

Inside this module an *instant* is a naive datetime in UTC, a *local time* is a naive datetime of the zone's clock, and
a *match* is a local time that fits the five fields. Instants are exact from 1970 to 2099; no match is looked for from
2200 on.
"""

import re
from copy import copy
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from scheduler.redaction import beginning, redact
from scheduler.timing.local_matches import DAY, HORIZON, LONGEST_OVERLAP, LocalMatches, changes, instant_of

MAX_LENGTH = 1_000
"""The longest expression that is accepted, in characters."""

_MINUTE = timedelta(minutes=1)
_MINUTES_OF_DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class Crontab(LocalMatches):
    """When a crontab expression is due; built by `parse_crontab`, immutable, equal if the expressions are.

    A schedule is *wildcard* if its minute or its hour field begins with `*` (`@hourly` does, the other aliases do
    not); every other one is *fixed*. The two differ only where the clock of the zone jumps (cron.c, `find_jobs`):

    - a wildcard schedule is due whenever the clock shows a matching minute: never in a gap, in both passes of an
      overlap;
    - a fixed schedule is due once for each matching local time: those that a gap swallows are due together when the
      gap ends (unless the gap is three hours or longer: then the calendar was corrected, and they never come), those
      that an overlap repeats are due in the first pass only.
    """

    expression: str
    """The expression, as it was given."""

    is_wildcard: bool = field(compare=False)
    """Whether the minute or the hour field begins with `*`."""

    _calendar: CronSim = field(compare=False, repr=False)

    @property
    def most_in_an_hour(self) -> int:
        """How many matches lie in an hour of the local clock."""
        return len(self._calendar.minutes)

    def shortest_interval(self, nearby: timedelta, after: datetime, until: datetime, zone: ZoneInfo) -> timedelta:
        """Return a lower bound of the time between two due times later than `after` and not later than `until`.

        It is exact where it is shorter than `nearby`, but for a span that cuts a day short. Both instants are aware.
        The cost grows with the days between them, not with the due times.
        """
        start, end = instant_of(after), instant_of(until)
        around = max(nearby, LONGEST_OVERLAP)
        shortest = self._shortest_of_days(start.date() - DAY, end.date() + DAY)
        for change in changes(zone, start, end):
            due_times = self.between(max(start, change.at - around), min(end, change.at + around), zone)
            shortest = min([shortest, *(later - earlier for earlier, later in pairwise(due_times))])
        return shortest

    def _shortest_of_days(self, first: date, last: date) -> timedelta:
        """Return the least time between two matches by the local clock, within a day or from one day to the next.

        It is a whole day where no day of the span matches.
        """
        days = [first + timedelta(day) for day in range((last - first).days + 1)]
        if not any(map(self._is_match_day, days)):
            return DAY
        minutes = sorted(hour * 60 + minute for hour in self._calendar.hours for minute in self._calendar.minutes)
        shortest = min((later - earlier for earlier, later in pairwise(minutes)), default=_MINUTES_OF_DAY)
        overnight = _MINUTES_OF_DAY - minutes[-1] + minutes[0]
        if overnight < shortest and any(
            today and tomorrow for today, tomorrow in pairwise(map(self._is_match_day, days))
        ):
            shortest = overnight
        return timedelta(minutes=shortest)

    def _match_after(self, local: datetime) -> datetime | None:
        """Return the first match later than a local time."""
        if local >= HORIZON:
            return None
        calendar = copy(self._calendar)
        calendar.dt = local.replace(second=0, microsecond=0)
        match = next(calendar, None)
        return match if match is not None and match < HORIZON else None

    def _match_until(self, local: datetime) -> datetime | None:
        """Return the last match that is not later than a local time."""
        calendar = copy(self._calendar)
        calendar.tick_direction = -1
        calendar.dt = local.replace(second=0, microsecond=0) + _MINUTE
        return next(calendar, None)

    def _matches(self, first: datetime, stop: datetime) -> int:
        """Count the matches from the local time `first` up to, not including, the local time `stop`."""
        if stop <= first:
            return 0
        per_day = len(self._calendar.hours) * len(self._calendar.minutes)
        dates = (first.date() + timedelta(day) for day in range((stop.date() - first.date()).days))
        whole_days = sum(self._is_match_day(day) for day in dates)
        return whole_days * per_day - self._matches_of_day_before(first) + self._matches_of_day_before(stop)

    def _matches_of_day_before(self, local: datetime) -> int:
        """Count the matches between midnight and a local time of the same day, not including the latter."""
        if not self._is_match_day(local.date()):
            return 0
        hours, minutes = self._calendar.hours, self._calendar.minutes
        minute = local.minute + (local.second > 0 or local.microsecond > 0)
        whole_hours = sum(hour < local.hour for hour in hours)
        return whole_hours * len(minutes) + (local.hour in hours) * sum(each < minute for each in minutes)

    def _is_match_day(self, day: date) -> bool:
        """Tell whether the month, day-of-month and day-of-week fields fit a day."""
        return day.month in self._calendar.months and self._calendar.match_day(day)


# --- The parser ---


class _Field(NamedTuple):
    """One of the five fields: what it is called, its lowest and highest number, and the names of its first numbers."""

    title: str
    low: int
    high: int
    names: tuple[str, ...] = ()


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day-of-month", 1, 31),
    _Field("month", 1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")),
    _Field("day-of-week", 0, 7, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)
_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_ITEM = re.compile(r"(?P<first>\*|[0-9A-Za-z]+)(?:(?<!\*)-(?P<last>[0-9A-Za-z]+))?(?:/(?P<step>[0-9]+))?", re.ASCII)
_FOREIGN_BLANK = re.compile(r"[^\S \t]")
_SHOWN = 60


@lru_cache(maxsize=4_096)
def parse_crontab(expression: str) -> Crontab:
    """Return the schedule that a crontab expression means (entry.c of Debian's cron 3.0pl1, and stricter).

    Five fields between blanks (spaces or tabs): minute 0-59, hour 0-23, day-of-month 1-31, month 1-12 or `jan`-`dec`,
    day-of-week 0-7 (0 and 7 are Sunday) or `sun`-`sat`; each a list, between commas, of `*`, numbers, ranges `a-b`, and
    steps `*/n` and `a-b/n`. If the day-of-month or the day-of-week field begins with `*`, a day must fit both of them,
    else either. Instead of the five fields, an alias: `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`,
    `@yearly`, `@annually`.

    Raises `ValueError`, with the expression, the field, its value and the hint, for anything else, and for a date that
    never comes, such as 30 February.
    """
    try:
        fields = split_crontab(expression)
        calendar = _calendar(fields)
    except ValueError as error:
        shown = redact(expression) if len(expression) <= _SHOWN else f"{beginning(expression, _SHOWN)}…"
        raise ValueError(f"cron_expression {shown!r}: {error}") from None
    return Crontab(expression, is_wildcard=any(text.startswith("*") for text in fields[:2]), _calendar=calendar)


def split_crontab(expression: str) -> list[str]:
    """Return the five fields of an expression, or those that its alias stands for; what they hold is not looked at."""
    if len(expression) > MAX_LENGTH:
        raise ValueError(f"it has {len(expression):,} characters; write at most {MAX_LENGTH:,}")
    if blank := _FOREIGN_BLANK.search(expression):
        raise ValueError(
            f"{blank.group()!r} does not separate fields; put spaces or tabs between them, and write one line"
        )
    fields = expression.split()
    if fields and fields[0].startswith("@"):
        return _expand_alias(" ".join(fields)).split()
    if len(fields) != len(_FIELDS):
        titles = " ".join(spec.title for spec in _FIELDS)
        raise ValueError(f"it has {len(fields)} fields; write five: {titles} (no seconds, no year, no command)")
    return fields


def _expand_alias(alias: str) -> str:
    """Return the expression that an alias stands for."""
    if alias in _ALIASES:
        return _ALIASES[alias]
    if alias.lower() in _ALIASES:
        raise ValueError(f"alias {alias!r} is not in lower case; write {alias.lower()!r}")
    if alias.lower() == "@reboot":
        raise ValueError(f"alias {alias!r} means no time of day; trigger the task when your program starts instead")
    raise ValueError(f"alias {alias!r} is unknown; write one of {', '.join(_ALIASES)}, or five fields")


def _calendar(fields: list[str]) -> CronSim:
    """Return the calendar that five fields mean."""
    parsed = [_parse_field(spec, text) for spec, text in zip(_FIELDS, fields, strict=True)]
    try:
        return CronSim(" ".join(parsed), HORIZON)
    except CronSimError:
        # The one thing that it refuses and the parser lets pass: a day that none of the months has.
        raise ValueError(
            f"day-of-month {fields[2]!r} never comes in month {fields[3]!r}; write a day that a month has"
        ) from None


@lru_cache(maxsize=1_024)  # many expressions share their fields: 1,440 times of the day have 60 minutes and 24 hours
def _parse_field(spec: _Field, text: str) -> str:
    """Return a field as `cronsim` reads it."""
    return ",".join(_parse_item(spec, item) for item in text.split(","))


def _parse_item(spec: _Field, item: str) -> str:
    """Return one item of a field's list as `cronsim` reads it."""
    parts = _ITEM.fullmatch(item)
    if parts is None:
        raise ValueError(_explain_item(spec, item))
    first, last, step = parts["first"], parts["last"], parts["step"]
    if step is not None and int(step) == 0:
        raise ValueError(f"{spec.title} {item!r} has the step 0; write a step of 1 or more")
    if first == "*":
        return item
    if last is None:
        return _parse_single(spec, item, first, step)
    return _parse_range(spec, item, (first, last), step)


def _parse_single(spec: _Field, item: str, text: str, step: str | None) -> str:
    """Return a number or a name as `cronsim` reads it."""
    value = _value(spec, text)
    if step is not None:
        raise ValueError(
            f"{spec.title} {item!r} has a step without a range; did you mean {f'{text}-{spec.high}/{step}'!r}?"
        )
    return str(value)


def _parse_range(spec: _Field, item: str, ends: tuple[str, str], step: str | None) -> str:
    """Return a range as `cronsim` reads it."""
    first, last = _value(spec, ends[0]), _value(spec, ends[1])
    if first > last:
        low = str(spec.low) if last == spec.low else f"{spec.low}-{ends[1]}"
        split = repr(f"{ends[0]}-{spec.high},{low}") if step is None else "its values one by one"
        raise ValueError(f"{spec.title} {item!r} runs backwards; write {split}")
    # cronsim takes `5-5/10` for `5/10`; to Debian it is 5.
    return str(first) if first == last else f"{first}-{last}" + ("" if step is None else f"/{step}")


def _value(spec: _Field, text: str) -> int:
    """Return the value of a number or a name."""
    if text.lower() in spec.names:
        return spec.low + spec.names.index(text.lower())
    names = f", or a name from {spec.names[0]} to {spec.names[-1]}" if spec.names else ""
    hint = f"write a number from {spec.low} to {spec.high}{names}"
    if not text.isdecimal():
        raise ValueError(f"{spec.title} {text!r} is not a number; {hint}")
    if not spec.low <= int(text) <= spec.high:
        raise ValueError(f"{spec.title} {text!r} is outside {spec.low}-{spec.high}; {hint}")
    return int(text)


def _explain_item(spec: _Field, item: str) -> str:
    """Say what is wrong with an item that has not the form of one."""
    if not item:
        return f"{spec.title} has an empty item; write a value on both sides of each comma"
    if item == "?":
        return f"{spec.title} '?' is not known to cron; write '*'"
    return f"{spec.title} {item!r} is not understood; write a number, 'a-b', '*', 'a-b/n' or '*/n'"
