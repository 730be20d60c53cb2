"""The days of a year that a recurrence rule means, as bits: the lowest is 1 January.

`dateutil` does the calendar: which days of a year fit the rule's parts. It looks once at each kind of year (there are
21), so the cost does not grow with the distance from the rule's start.
"""

from collections.abc import Iterable, Iterator
from datetime import date, datetime
from functools import lru_cache
from typing import Final, NamedTuple

from scheduler.timing.rules import Frequency, Rule, WeekdayPart

_WEEK: Final = 7
_MONTHS: Final = 12
_BEYOND_THE_CALENDAR: Final = 9_000
"""An interval in years after which `dateutil` ends: it looks at one year only."""


def years_between(first: date, last: date) -> range:
    """Return the years that lie between two days, with those of the days."""
    return range(first.year, last.year + 1)


def length_of_year(year: int) -> int:
    """Return the number of days of a year."""
    return date(year + 1, 1, 1).toordinal() - date(year, 1, 1).toordinal()


def places(mask: int) -> Iterator[int]:
    """Yield the places of the bits that are set, the lowest first."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def mask_of(days: Iterable[int], first: int) -> int:
    """Return days, given as ordinals, as bits: the lowest is the day `first`."""
    mask = 0
    for day in days:
        mask |= 1 << day - first
    return mask


def fitting_days(rule: Rule, year: int) -> int:
    """Return the days of a year that fit the rule's parts, whatever its interval."""
    return _days_by_dateutil(_day_parts(rule), _alike(year))


class _DayParts(NamedTuple):
    """The parts of a rule that choose days of a year, in the meaning that they have in a yearly rule."""

    months: tuple[int, ...]
    weeks: tuple[int, ...]
    year_days: tuple[int, ...]
    month_days: tuple[int, ...]
    weekdays: tuple[WeekdayPart, ...]
    week_start: int


@lru_cache(maxsize=4_096)
def _day_parts(rule: Rule) -> _DayParts:
    weekdays = rule.weekdays
    if not (rule.weeks or rule.year_days or rule.month_days or weekdays):
        weekdays = tuple(WeekdayPart(day, None) for day in range(_WEEK))  # else dateutil takes the day of the start
    months = rule.months
    if rule.freq is Frequency.MONTHLY and not months:
        months = tuple(range(1, _MONTHS + 1))  # `1MO` is then the first of the month, not of the year
    return _DayParts(months, rule.weeks, rule.year_days, rule.month_days, weekdays, rule.week_start)


@lru_cache(maxsize=400)
def _alike(year: int) -> int:
    """Return a year whose days, weeks and the length of the year before are the same: there are 21 kinds of years."""
    kind = _kind(year)
    return next(each for each in range(2000, 2400) if _kind(each) == kind)


def _kind(year: int) -> tuple[int, int, int]:
    return date(year, 1, 1).weekday(), length_of_year(year), length_of_year(year - 1)


@lru_cache(maxsize=16_384)
def _days_by_dateutil(parts: _DayParts, year: int) -> int:
    """Return the days of a year that fit, bit by bit."""
    each = tuple(part for part in parts.weekdays if part.nth is None)
    counted = tuple(part for part in parts.weekdays if part.nth is not None)
    if each and counted:  # dateutil takes only the days that fit both
        return _days_by_dateutil(parts._replace(weekdays=each), year) | _days_by_dateutil(
            parts._replace(weekdays=counted), year
        )
    from dateutil import rrule  # noqa: PLC0415 (only a rule needs it)

    weekdays = [rrule.weekdays[part.weekday](part.nth) if part.nth else part.weekday for part in parts.weekdays]
    found = rrule.rrule(
        rrule.YEARLY,
        dtstart=datetime(year, 1, 1),  # noqa: DTZ001 - a local time
        interval=_BEYOND_THE_CALENDAR,
        wkst=parts.week_start,
        bymonth=parts.months or None,
        byweekno=parts.weeks or None,
        byyearday=parts.year_days or None,
        bymonthday=parts.month_days or None,
        byweekday=weekdays or None,
        byhour=0,
        byminute=0,
        bysecond=0,
    )
    new_year = date(year, 1, 1).toordinal()
    return mask_of([match.toordinal() for match in found], new_year)


def active_days(rule: Rule, start: date, year: int) -> int:
    """Return the days of a year that lie in a period which the interval of a rule does not leave out."""
    new_year, length = date(year, 1, 1).toordinal(), length_of_year(year)
    every = (1 << length) - 1
    if rule.freq is Frequency.YEARLY:
        return every if (year - start.year) % rule.interval == 0 else 0
    if rule.freq is Frequency.DAILY:
        return sum(1 << index for index in range((start.toordinal() - new_year) % rule.interval, length, rule.interval))
    return (
        sum(
            (1 << size) - 1 << first - new_year if first >= new_year else (1 << size) - 1 >> new_year - first
            for first, size in periods(rule, year)
            if (_number(rule, first) - _number(rule, start.toordinal())) % rule.interval == 0
        )
        & every
    )


def periods(rule: Rule, year: int) -> list[tuple[int, int]]:
    """Return the years, months or weeks that have days in a year, as their first days and their lengths."""
    new_year, length = date(year, 1, 1).toordinal(), length_of_year(year)
    if rule.freq is Frequency.YEARLY:
        return [(new_year, length)]
    if rule.freq is Frequency.MONTHLY:
        firsts = [date(year, month, 1).toordinal() for month in range(1, _MONTHS + 1)] + [new_year + length]
        return [(first, firsts[index + 1] - first) for index, first in enumerate(firsts[:-1])]
    first_week = new_year - (new_year - 1 - rule.week_start) % _WEEK
    return [(first, _WEEK) for first in range(first_week, new_year + length, _WEEK)]


def _number(rule: Rule, day: int) -> int:
    """Return the number of the month or the week that a day lies in."""
    if rule.freq is Frequency.MONTHLY:
        on = date.fromordinal(day)
        return on.year * _MONTHS + on.month
    return (day - 1 - rule.week_start) // _WEEK  # the first of all days was a Monday
