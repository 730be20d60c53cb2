"""The text of a recurrence rule -> the rule.

It refuses what RFC 5545 forbids, what only calendars need, and what never comes.
"""

import re
from collections.abc import Callable
from datetime import date, datetime
from functools import lru_cache
from typing import Final

from scheduler.redaction import beginning, redact
from scheduler.timing.rule_days import fitting_days, periods
from scheduler.timing.rule_times import clock_times
from scheduler.timing.rules import WEEKDAYS, Frequency, Rule, WeekdayPart

MAX_LENGTH: Final = 1_000
"""The longest rule that is accepted, in characters."""

_SHOWN: Final = 60
_LONGEST_INTERVAL: Final = 1_000_000


@lru_cache(maxsize=4_096)
def parse_rule(text: str) -> Rule:
    """Return the rule that a text means: RFC 5545's `RECUR`, such as `FREQ=WEEKLY;INTERVAL=2;BYDAY=MO;BYHOUR=9`.

    Small letters and a leading `RRULE:` are understood. Raises `ValueError`, with the rule, the part and the hint, for
    anything else: what the RFC forbids, `COUNT` and `UNTIL` (which are `max_runs` and `end_at` of a task), seconds as
    frequency, and a rule that never comes.
    """
    try:
        rule = _parsed(text)
        _check(rule)
    except ValueError as error:
        shown = redact(text) if len(text) <= _SHOWN else f"{beginning(text, _SHOWN)}…"
        raise ValueError(f"rrule {shown!r}: {error}") from None
    return rule


def _parsed(text: str) -> Rule:
    if len(text) > MAX_LENGTH:
        raise ValueError(f"it has {len(text):,} characters; write at most {MAX_LENGTH:,}")
    body = text.strip(" ").upper().removeprefix("RRULE:")
    parts: dict[str, str] = {}
    for part in body.split(";"):
        name, equals, value = part.partition("=")
        if not equals or not value:
            raise ValueError(
                f"{part!r} is not of the form NAME=VALUE; write parts such as FREQ=WEEKLY, with ';' between"
            )
        if name not in _PARTS:
            raise ValueError(_explain_name(name))
        if name in parts:
            raise ValueError(f"{name} is there twice; write it once, with commas between its values")
        parts[name] = value
    if "FREQ" not in parts:
        raise ValueError(f"FREQ is missing; write FREQ= with one of {', '.join(Frequency)}")
    fields = {_PARTS[name][0]: _PARTS[name][1](name, value) for name, value in parts.items()}
    return Rule(text=body, **fields)  # type: ignore[arg-type]  # each reader returns what its field holds


def _explain_name(name: str) -> str:
    if name in _ELSEWHERE:
        return f"{name} is not part of a task's rule; {_ELSEWHERE[name]}"
    return f"{name!r} is no part of a rule; the parts are {', '.join(_PARTS)}"


_ELSEWHERE: Final = {
    "COUNT": "give max_runs of the task",
    "UNTIL": "give end_at of the task",
    "DTSTART": "give start_at of the task",
    "EXDATE": "give exdates of the task",
    "TZID": "give timezone of the task",
}


def _frequency(_name: str, value: str) -> Frequency:
    if value == "SECONDLY":
        raise ValueError("FREQ=SECONDLY is not supported; use an interval task (interval_seconds)")
    if value not in Frequency.__members__:
        raise ValueError(f"FREQ={value} is unknown; write one of {', '.join(Frequency)}")
    return Frequency(value)


def _interval(name: str, value: str) -> int:
    return _number_in(name, value, 1, _LONGEST_INTERVAL)


def _week_start(name: str, value: str) -> int:
    if value not in WEEKDAYS:
        raise ValueError(f"{name}={value} is no day; write one of {', '.join(WEEKDAYS)}")
    return WEEKDAYS.index(value)


def _numbers(low: int, high: int) -> Callable[[str, str], tuple[int, ...]]:
    """Return the reader of a list of numbers."""

    def read(name: str, value: str) -> tuple[int, ...]:
        return tuple(sorted({_number_in(name, item, low, high) for item in value.split(",")}))

    return read


def _signed_numbers(high: int) -> Callable[[str, str], tuple[int, ...]]:
    """Return the reader of a list of numbers from the begin or, if they are negative, from the end."""

    def read(name: str, value: str) -> tuple[int, ...]:
        numbers = {_number_in(name, item, -high, high) for item in value.split(",")}
        if 0 in numbers:
            raise ValueError(f"{name} has 0; write 1 for the first or -1 for the last")
        return tuple(sorted(numbers))

    return read


def _number_in(name: str, text: str, low: int, high: int) -> int:
    found = re.fullmatch(r"[+-]?[0-9]{1,9}", text, re.ASCII)
    if found is None or (low >= 0 and not text.isdecimal()):
        raise ValueError(f"{name}={text or '(nothing)'} is no number; write one from {low} to {high}")
    if not low <= int(text) <= high:
        raise ValueError(f"{name}={text} is outside {low} to {high}; write a number in it")
    return int(text)


def _weekday_parts(name: str, value: str) -> tuple[WeekdayPart, ...]:
    found = set()
    for item in value.split(","):
        parts = re.fullmatch(r"([+-]?[0-9]{1,2})?([A-Z]{2})", item, re.ASCII)
        if parts is None or parts[2] not in WEEKDAYS:
            days = ", ".join(WEEKDAYS)
            raise ValueError(f"{name}={item or '(nothing)'} is no day; write one of {days}, or such as 1MO or -1FR")
        nth = None if parts[1] is None else int(parts[1])
        if nth is not None and not 1 <= abs(nth) <= _WEEKS_OF_YEAR:
            raise ValueError(f"{name}={item} has a number outside 1 to 53 and -53 to -1; write such as 1MO or -1FR")
        found.add(WeekdayPart(WEEKDAYS.index(parts[2]), nth))
    return tuple(sorted(found, key=lambda part: (part.weekday, part.nth or 0)))


_WEEKS_OF_YEAR: Final = 53
_WEEKS_OF_MONTH: Final = 5
_PARTS: Final[dict[str, tuple[str, Callable[[str, str], object]]]] = {
    "FREQ": ("freq", _frequency),
    "INTERVAL": ("interval", _interval),
    "BYMONTH": ("months", _numbers(1, 12)),
    "BYWEEKNO": ("weeks", _signed_numbers(_WEEKS_OF_YEAR)),
    "BYYEARDAY": ("year_days", _signed_numbers(366)),
    "BYMONTHDAY": ("month_days", _signed_numbers(31)),
    "BYDAY": ("weekdays", _weekday_parts),
    "BYHOUR": ("hours", _numbers(0, 23)),
    "BYMINUTE": ("minutes", _numbers(0, 59)),
    "BYSECOND": ("seconds", _numbers(0, 59)),
    "BYSETPOS": ("positions", _signed_numbers(366)),
    "WKST": ("week_start", _week_start),
}


def _check(rule: Rule) -> None:
    """Refuse the combinations that RFC 5545 forbids or leaves open, and what never comes."""
    freq = rule.freq
    if rule.weeks and freq is not Frequency.YEARLY:
        raise ValueError(f"BYWEEKNO does not go with FREQ={freq}; use FREQ=YEARLY")
    if rule.weeks and not rule.weekdays:
        raise ValueError("BYWEEKNO does not say which day of the week; give BYDAY, too")
    if rule.year_days and freq in {Frequency.MONTHLY, Frequency.WEEKLY, Frequency.DAILY}:
        raise ValueError(f"BYYEARDAY does not go with FREQ={freq}; use FREQ=YEARLY")
    if rule.month_days and freq is Frequency.WEEKLY:
        raise ValueError("BYMONTHDAY does not go with FREQ=WEEKLY; use FREQ=MONTHLY, or leave it out")
    _check_weekday_numbers(rule)
    if rule.positions and not _has_others(rule):
        raise ValueError("BYSETPOS picks from what other parts give, and there is none; give BYDAY, or leave it out")
    if not any(fitting_days(rule, year) for year in _KINDS_OF_YEARS):
        raise ValueError("it never comes: no day fits all of its parts; write a day that there is")
    _check_positions(rule)


_KINDS_OF_YEARS: Final = range(2000, 2028)
"""Years in which each day comes that ever does, on each day of the week."""


def _check_weekday_numbers(rule: Rule) -> None:
    numbers = [part.nth for part in rule.weekdays if part.nth is not None]
    if not numbers:
        return
    if rule.freq not in {Frequency.MONTHLY, Frequency.YEARLY}:
        raise ValueError(f"BYDAY has a number, which does not go with FREQ={rule.freq}; use FREQ=MONTHLY")
    if rule.weeks:
        raise ValueError("BYDAY has a number, which does not go with BYWEEKNO; leave the number out")
    if rule.freq is Frequency.MONTHLY and max(map(abs, numbers)) > _WEEKS_OF_MONTH:
        raise ValueError("BYDAY has a number above 5, and no month has so many weeks; write one from 1 to 5")


def _has_others(rule: Rule) -> bool:
    days = rule.months or rule.weeks or rule.year_days or rule.month_days or rule.weekdays
    return bool(days or rule.hours or rule.minutes or rule.seconds)


def _check_positions(rule: Rule) -> None:
    """Refuse `BYSETPOS` beyond what a period can hold."""
    if not rule.positions:
        return
    filled = rule.filled(datetime(2000, 1, 1))  # noqa: DTZ001 - a local time
    most = _most_in_a_period(filled)
    if min(map(abs, rule.positions)) > most:
        raise ValueError(
            f"it never comes: BYSETPOS picks number {rule.positions[0]} of at most {most}; write a lower one"
        )


def _most_in_a_period(rule: Rule) -> int:
    if rule.freq is Frequency.MINUTELY:
        return len(rule.seconds)
    if rule.freq is Frequency.HOURLY:
        return len(rule.minutes) * len(rule.seconds)
    times = len(clock_times(rule))
    if rule.freq is Frequency.DAILY:
        return times
    days = 0
    for year in _KINDS_OF_YEARS:
        new_year, mask = date(year, 1, 1).toordinal(), fitting_days(rule, year)
        for first, length in periods(rule, year):
            shifted = mask >> first - new_year if first >= new_year else mask
            days = max(days, (shifted & (1 << length) - 1).bit_count())
    return days * times
