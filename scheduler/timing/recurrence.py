"""A recurrence rule of RFC 5545 -> the local times that match it (strict parser, Debian's rules for clock changes).

`dateutil` does the calendar: which days of a year fit the rule's parts. In front of it is the parser, which refuses
what RFC 5545 forbids, what only calendars need, and what never comes; behind it are the interval, `BYSETPOS`, the times
of the day, and the way to instants (`LocalMatches`). A year is looked at once for each kind of year (there are 21), so
the cost does not grow with the distance from the start.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise, product
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from scheduler.redaction import beginning, redact
from scheduler.timing.local_matches import DAY, HORIZON, LocalMatches, changes, instant_of

MAX_LENGTH: Final = 1_000
"""The longest rule that is accepted, in characters."""

_SHOWN: Final = 60
_LONGEST_INTERVAL: Final = 1_000_000
_TICK: Final = timedelta(microseconds=1)
_SECOND: Final = timedelta(seconds=1)
_HOUR_SECONDS, _MINUTE_SECONDS = 3_600, 60
_HOURS, _MINUTES = 24, 24 * 60
_WEEK: Final = 7
_MONTHS: Final = 12
_BEYOND_THE_CALENDAR: Final = 9_000
"""An interval in years after which `dateutil` ends: it looks at one year only."""
_WEEKDAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


class Frequency(StrEnum):
    """How often the period of a rule comes."""

    YEARLY = "YEARLY"
    MONTHLY = "MONTHLY"
    WEEKLY = "WEEKLY"
    DAILY = "DAILY"
    HOURLY = "HOURLY"
    MINUTELY = "MINUTELY"


_WITHIN_A_DAY: Final = frozenset({Frequency.HOURLY, Frequency.MINUTELY})
_LONGER_THAN_A_DAY: Final = frozenset({Frequency.YEARLY, Frequency.MONTHLY, Frequency.WEEKLY})


class WeekdayPart(NamedTuple):
    """One item of `BYDAY`: a day of the week (0 is Monday), and the how manieth it is; None: each."""

    weekday: int
    nth: int | None


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as it is written, without its start; built by `parse_rule`. A part that is not given is empty."""

    text: str
    """In capital letters, without `RRULE:`."""
    freq: Frequency
    interval: int = 1
    week_start: int = 0
    months: tuple[int, ...] = ()
    weeks: tuple[int, ...] = ()
    year_days: tuple[int, ...] = ()
    month_days: tuple[int, ...] = ()
    weekdays: tuple[WeekdayPart, ...] = ()
    hours: tuple[int, ...] = ()
    minutes: tuple[int, ...] = ()
    seconds: tuple[int, ...] = ()
    positions: tuple[int, ...] = ()

    def missing(self) -> str | None:
        """Return the part without which a rule needs a start that says it, such as `BYHOUR`; None if there is none."""
        needed = _MISSING_DAY.get(self.freq)
        if needed is not None and not self._says_day():
            return needed
        return "BYHOUR" if self.freq not in _WITHIN_A_DAY and not self.hours else None

    def _says_day(self) -> bool:
        return bool(self.weeks or self.year_days or self.month_days or self.weekdays)

    def filled(self, start: datetime) -> "Rule":
        """Return the rule with the parts that its start says (RFC 5545, 3.3.10)."""
        given: dict[str, tuple[int, ...] | tuple[WeekdayPart, ...]] = {}
        if not self._says_day():
            if self.freq is Frequency.WEEKLY:
                given["weekdays"] = (WeekdayPart(start.weekday(), None),)
            if self.freq in {Frequency.MONTHLY, Frequency.YEARLY}:
                given["month_days"] = (start.day,)
            if self.freq is Frequency.YEARLY and not self.months:
                given["months"] = (start.month,)
        if self.freq not in _WITHIN_A_DAY and not self.hours:
            given["hours"] = (start.hour,)
        if self.freq is not Frequency.MINUTELY and not self.minutes:
            given["minutes"] = (start.minute,)
        if not self.seconds:
            given["seconds"] = (start.second,)
        return replace(self, **given)  # type: ignore[arg-type]  # each has the type of its field

    def times_in_hour(self) -> int:
        """Return how many times in one hour match at most."""
        seconds = len(self.seconds) or 1
        if self.freq is Frequency.MINUTELY:
            return seconds * min(len(self.minutes) or 60, -(-60 // self.interval))
        return seconds * (len(self.minutes) or 1)


_MISSING_DAY: Final = {
    Frequency.WEEKLY: "BYDAY",
    Frequency.MONTHLY: "BYMONTHDAY or BYDAY",
    Frequency.YEARLY: "BYMONTH with BYMONTHDAY, or BYDAY",
}


@dataclass(frozen=True, slots=True)
class Recurrence(LocalMatches):
    """The local times that match a rule from its start on; built by `recurrence`.

    Where the clock of a zone jumps, it is due as a *fixed* crontab expression is (see `Crontab`).
    """

    rule: Rule
    """Each part of it that the start says is given."""
    start: datetime
    """The first local time that may match, in whole seconds; intervals are counted from it."""
    excluded: frozenset[int]
    """Days without a match, as ordinals."""
    _clock: tuple[int, ...]
    """The matches of a day in seconds from midnight, if they are the same on each day; else empty."""
    _known: dict[int, int] = field(default_factory=dict, compare=False, repr=False)
    _known_picks: dict[int, dict[int, tuple[int, ...]]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def is_wildcard(self) -> bool:  # type: ignore[override]  # the same for each rule
        """False: a rule names local times, each of which is due once."""
        return False

    # --- What `LocalMatches` asks ---

    def _match_after(self, local: datetime) -> datetime | None:
        local = max(local, self.start - _TICK)
        if local >= HORIZON:
            return None
        day, second = local.toordinal(), _seconds_of(local)
        times = self._times_on(day)
        place = bisect_right(times, second)
        if place < len(times):
            return _local(day, times[place])
        following = self._next_day(day)
        return None if following is None else _local(following, self._times(following)[0])

    def _match_until(self, local: datetime) -> datetime | None:
        day, second = local.toordinal(), _seconds_of(local)
        times = self._times_on(day)
        place = bisect_right(times, second)
        if place:
            match = _local(day, times[place - 1])
        else:
            earlier = self._day_before(day)
            if earlier is None:
                return None
            match = _local(earlier, self._times(earlier)[-1])
        return match if match >= self.start else None

    def _matches(self, first: datetime, stop: datetime) -> int:
        first, stop = max(first, self.start), min(stop, HORIZON)
        if stop <= first:
            return 0
        whole_days = sum(self._matches_of_year(year, first.date(), stop.date()) for year in _years(first, stop))
        return whole_days - self._matches_of_day_before(first) + self._matches_of_day_before(stop)

    def _matches_of_year(self, year: int, first: date, stop: date) -> int:
        """Count the matches of the days of a year from `first` up to, not including, `stop`."""
        new_year = date(year, 1, 1).toordinal()
        low, high = max(first.toordinal() - new_year, 0), stop.toordinal() - new_year
        days = self._days(year) >> low << low & (1 << high) - 1
        if self._clock:
            return days.bit_count() * len(self._clock)
        return sum(len(self._times(new_year + index)) for index in _bits(days))

    def _matches_of_day_before(self, local: datetime) -> int:
        """Count the matches between midnight and a local time of the same day, not including the latter."""
        return bisect_left(self._times_on(local.toordinal()), _seconds_of(local + _SECOND - _TICK))

    # --- Days ---

    def _next_day(self, day: int) -> int | None:
        """Return the first day later than `day` that has a match."""
        year = date.fromordinal(day).year
        new_year = date(year, 1, 1).toordinal()
        days = self._days(year) >> (day - new_year + 1) << (day - new_year + 1)
        while True:
            for index in _bits(days):
                if self._times(new_year + index):
                    return new_year + index
            year += 1
            if year >= HORIZON.year:
                return None
            new_year, days = date(year, 1, 1).toordinal(), self._days(year)

    def _day_before(self, day: int) -> int | None:
        """Return the last day earlier than `day` that has a match."""
        year = date.fromordinal(day).year
        new_year = date(year, 1, 1).toordinal()
        days = self._days(year) & (1 << day - new_year) - 1
        while year >= self.start.year:
            while days:
                index = days.bit_length() - 1
                if self._times(new_year + index):
                    return new_year + index
                days ^= 1 << index
            year -= 1
            new_year, days = date(year, 1, 1).toordinal(), self._days(year)
        return None

    def _days(self, year: int) -> int:
        """Return the days of a year that may have a match, bit by bit: the lowest is 1 January."""
        days = self._known.get(year)
        if days is None:
            picks = self._picks(year)
            days = self._candidates(year) if picks is None else _mask(picks, date(year, 1, 1).toordinal())
            new_year = date(year, 1, 1).toordinal()
            for excluded in self.excluded:
                if 0 <= excluded - new_year < _length(year):
                    days &= ~(1 << excluded - new_year)
            self._known[year] = days
        return days

    def _candidates(self, year: int) -> int:
        """Return the days of a year that fit the rule's parts and its interval."""
        fitting = _fitting_days(self.rule, year)
        if self.rule.interval == 1 or self.rule.freq in _WITHIN_A_DAY:
            return fitting
        return fitting & _active_days(self.rule, self.start.date(), year)

    def _times_on(self, day: int) -> tuple[int, ...]:
        """Return the matches of any day."""
        today = date.fromordinal(day)
        has_match = self._days(today.year) >> (day - date(today.year, 1, 1).toordinal()) & 1
        return self._times(day) if has_match else ()

    def _times(self, day: int) -> tuple[int, ...]:
        """Return the matches of a day that may have some."""
        if self._clock:
            return self._clock
        if self.rule.freq is Frequency.HOURLY:
            first = self.start.toordinal() * _HOURS + self.start.hour
            return _times_of_hours(self.rule, (day * _HOURS - first) % self.rule.interval)
        if self.rule.freq is Frequency.MINUTELY:
            first = self.start.toordinal() * _MINUTES + self.start.hour * 60 + self.start.minute
            return _times_of_minutes(self.rule, (day * _MINUTES - first) % self.rule.interval)
        picks = self._picks(date.fromordinal(day).year)
        return (picks or {}).get(day, ())

    # --- BYSETPOS ---

    def _picks(self, year: int) -> dict[int, tuple[int, ...]] | None:
        """Return the days and times that `BYSETPOS` picks from periods longer than a day; None if it picks none."""
        if not self.rule.positions or self.rule.freq not in _LONGER_THAN_A_DAY:
            return None
        picks = self._known_picks.get(year)
        if picks is None:
            times = _clock_times(self.rule)
            found: dict[int, list[int]] = {}
            for first, length in _periods(self.rule, year):
                for day, second in _picked(self._span(first, length), times, self.rule.positions):
                    found.setdefault(day, []).append(second)
            new_year = date(year, 1, 1).toordinal()
            picks = {day: tuple(found[day]) for day in found if 0 <= day - new_year < _length(year)}
            self._known_picks[year] = picks
        return picks

    def _span(self, first: int, length: int) -> list[int]:
        """Return the days that fit among some days; these may lie in two years."""
        days = []
        for year in _years(date.fromordinal(first), date.fromordinal(first + length - 1)):
            new_year = date(year, 1, 1).toordinal()
            days += [
                new_year + index
                for index in _bits(self._candidates(year))
                if first <= new_year + index < first + length
            ]
        return days

    # --- Guards ---

    def shortest_interval(self, nearby: timedelta, after: datetime, until: datetime, zone: ZoneInfo) -> timedelta:
        """Return a lower bound of the time between two due times; see `Crontab.shortest_interval`."""
        shortest = timedelta(seconds=_shortest_by_the_clock(self.rule))
        if shortest < nearby:
            return shortest
        start, end = instant_of(after), instant_of(until)
        around = max(nearby, DAY)
        for change in changes(zone, start, end):
            due_times = self.between(max(start, change.at - around), min(end, change.at + around), zone)
            shortest = min([shortest, *(later - earlier for earlier, later in pairwise(due_times))])
        return shortest


# --- Days of a year ---


def _years(first: date, last: date) -> range:
    return range(first.year, last.year + 1)


def _length(year: int) -> int:
    return date(year + 1, 1, 1).toordinal() - date(year, 1, 1).toordinal()


def _bits(mask: int) -> Iterator[int]:
    """Yield the places of the bits that are set, the lowest first."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def _mask(days: "Iterator[int] | dict[int, tuple[int, ...]] | list[int]", first: int) -> int:
    mask = 0
    for day in days:
        mask |= 1 << day - first
    return mask


def _fitting_days(rule: Rule, year: int) -> int:
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
    return date(year, 1, 1).weekday(), _length(year), _length(year - 1)


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
    return _mask([match.toordinal() for match in found], new_year)


def _active_days(rule: Rule, start: date, year: int) -> int:
    """Return the days of a year that lie in a period which the interval of a rule does not leave out."""
    new_year, length = date(year, 1, 1).toordinal(), _length(year)
    every = (1 << length) - 1
    if rule.freq is Frequency.YEARLY:
        return every if (year - start.year) % rule.interval == 0 else 0
    if rule.freq is Frequency.DAILY:
        return sum(1 << index for index in range((start.toordinal() - new_year) % rule.interval, length, rule.interval))
    return (
        sum(
            (1 << size) - 1 << first - new_year if first >= new_year else (1 << size) - 1 >> new_year - first
            for first, size in _periods(rule, year)
            if (_number(rule, first) - _number(rule, start.toordinal())) % rule.interval == 0
        )
        & every
    )


def _periods(rule: Rule, year: int) -> list[tuple[int, int]]:
    """Return the years, months or weeks that have days in a year, as their first days and their lengths."""
    new_year, length = date(year, 1, 1).toordinal(), _length(year)
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


# --- Times of a day ---


def _local(day: int, second: int) -> datetime:
    return datetime.fromordinal(day) + timedelta(seconds=second)


def _seconds_of(local: datetime) -> int:
    return local.hour * _HOUR_SECONDS + local.minute * _MINUTE_SECONDS + local.second


def _clock_times(rule: Rule) -> tuple[int, ...]:
    """Return the times of a day that the rule's hours, minutes and seconds make."""
    return tuple(
        hour * _HOUR_SECONDS + minute * _MINUTE_SECONDS + second
        for hour, minute, second in product(rule.hours, rule.minutes, rule.seconds)
    )


@lru_cache(maxsize=1_024)
def _times_of_hours(rule: Rule, offset: int) -> tuple[int, ...]:
    """Return the times of a day whose midnight lies `offset` hours after one of the hours that the interval counts."""
    hours = [hour for hour in rule.hours or range(_HOURS) if (offset + hour) % rule.interval == 0]
    marks = [minute * _MINUTE_SECONDS + second for minute, second in product(rule.minutes, rule.seconds)]
    chosen = _chosen(marks, rule.positions)
    return tuple(hour * _HOUR_SECONDS + mark for hour in hours for mark in chosen)


@lru_cache(maxsize=1_024)
def _times_of_minutes(rule: Rule, offset: int) -> tuple[int, ...]:
    """Return the times of a day whose midnight lies `offset` minutes after one that the interval counts."""
    hours, minutes = set(rule.hours or range(_HOURS)), set(rule.minutes or range(60))
    chosen = _chosen(list(rule.seconds), rule.positions)
    return tuple(
        minute * _MINUTE_SECONDS + second
        for minute in range(-offset % rule.interval, _MINUTES, rule.interval)
        if minute // 60 in hours and minute % 60 in minutes
        for second in chosen
    )


def _chosen(values: list[int], positions: tuple[int, ...]) -> list[int]:
    if not positions:
        return values
    places = {position - 1 if position > 0 else len(values) + position for position in positions}
    return [value for place, value in enumerate(values) if place in places]


def _picked(days: list[int], times: tuple[int, ...], positions: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Yield the days and times at some positions of a period, counted from its begin or its end."""
    total = len(days) * len(times)
    for place in sorted({position - 1 if position > 0 else total + position for position in positions}):
        if 0 <= place < total:
            yield days[place // len(times)], times[place % len(times)]


def _shortest_by_the_clock(rule: Rule) -> int:
    """Return a lower bound of the time between two matches by the local clock, in seconds."""
    if rule.freq is Frequency.MINUTELY:
        marks, period = list(rule.seconds), rule.interval * _MINUTE_SECONDS
    elif rule.freq is Frequency.HOURLY:
        marks = [minute * _MINUTE_SECONDS + second for minute, second in product(rule.minutes, rule.seconds)]
        period = rule.interval * _HOUR_SECONDS
    else:
        marks, period = list(_clock_times(rule)), _HOURS * _HOUR_SECONDS
    return min([period - marks[-1] + marks[0], *(later - earlier for earlier, later in pairwise(marks))])


# --- Building ---


@lru_cache(maxsize=4_096)
def recurrence(text: str, start: datetime, excluded: frozenset[int] = frozenset()) -> Recurrence:
    """Return the matches of a rule from a local time on, in whole seconds, without those of the excluded days."""
    return _recurrence(parse_rule(text).filled(start), start, excluded)


def _recurrence(rule: Rule, start: datetime, excluded: frozenset[int]) -> Recurrence:
    clock: tuple[int, ...] = ()
    if rule.freq is Frequency.DAILY:
        clock = tuple(_chosen(list(_clock_times(rule)), rule.positions))
    elif rule.freq in _LONGER_THAN_A_DAY and not rule.positions:
        clock = _clock_times(rule)
    return Recurrence(rule, start, excluded, clock)


@lru_cache(maxsize=4_096)
def started_after(text: str, anchor: datetime, excluded: frozenset[int] = frozenset()) -> Recurrence:
    """Return the matches of a rule without a start: it starts at the first time after a local one that fits it."""
    anchor = anchor.replace(microsecond=0)
    # What is not given is 0, not what the clock shows by chance.
    rule = parse_rule(text).filled(anchor.replace(minute=0, second=0))
    first = _recurrence(replace(rule, interval=1), anchor, frozenset())._match_after(anchor)  # noqa: SLF001
    return _recurrence(rule, first or anchor, excluded)


# --- The parser ---


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
    if value not in _WEEKDAYS:
        raise ValueError(f"{name}={value} is no day; write one of {', '.join(_WEEKDAYS)}")
    return _WEEKDAYS.index(value)


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
        if parts is None or parts[2] not in _WEEKDAYS:
            days = ", ".join(_WEEKDAYS)
            raise ValueError(f"{name}={item or '(nothing)'} is no day; write one of {days}, or such as 1MO or -1FR")
        nth = None if parts[1] is None else int(parts[1])
        if nth is not None and not 1 <= abs(nth) <= _WEEKS_OF_YEAR:
            raise ValueError(f"{name}={item} has a number outside 1 to 53 and -53 to -1; write such as 1MO or -1FR")
        found.add(WeekdayPart(_WEEKDAYS.index(parts[2]), nth))
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
    if not any(_fitting_days(rule, year) for year in _KINDS_OF_YEARS):
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
    times = len(_clock_times(rule))
    if rule.freq is Frequency.DAILY:
        return times
    days = 0
    for year in _KINDS_OF_YEARS:
        new_year, mask = date(year, 1, 1).toordinal(), _fitting_days(rule, year)
        for first, length in _periods(rule, year):
            shifted = mask >> first - new_year if first >= new_year else mask
            days = max(days, (shifted & (1 << length) - 1).bit_count())
    return days * times
