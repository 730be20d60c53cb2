"""A recurrence rule of RFC 5545 -> the local times that match it, by Debian's rules where the clock changes.

The days of a year come from `rule_days`, the times of a day from `rule_times`; here are the interval of hours and
minutes, `BYSETPOS` over several days, the excluded days, and the way to instants (`LocalMatches`).
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

from scheduler.timing.local_matches import DAY, HORIZON, LocalMatches, changes, instant_of
from scheduler.timing.rule_days import (
    active_days,
    fitting_days,
    length_of_year,
    mask_of,
    periods,
    places,
    years_between,
)
from scheduler.timing.rule_parser import parse_rule
from scheduler.timing.rule_times import (
    chosen_from,
    clock_times,
    local_time,
    picked,
    seconds_of,
    shortest_by_the_clock,
    times_of_hours,
    times_of_minutes,
)
from scheduler.timing.rules import LONGER_THAN_A_DAY, WITHIN_A_DAY, Frequency, Rule

_TICK: Final = timedelta(microseconds=1)
_SECOND: Final = timedelta(seconds=1)
_HOURS, _MINUTES = 24, 24 * 60


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
        day, second = local.toordinal(), seconds_of(local)
        times = self._times_on(day)
        place = bisect_right(times, second)
        if place < len(times):
            return local_time(day, times[place])
        following = self._next_day(day)
        return None if following is None else local_time(following, self._times(following)[0])

    def _match_until(self, local: datetime) -> datetime | None:
        day, second = local.toordinal(), seconds_of(local)
        times = self._times_on(day)
        place = bisect_right(times, second)
        if place:
            match = local_time(day, times[place - 1])
        else:
            earlier = self._day_before(day)
            if earlier is None:
                return None
            match = local_time(earlier, self._times(earlier)[-1])
        return match if match >= self.start else None

    def _matches(self, first: datetime, stop: datetime) -> int:
        first, stop = max(first, self.start), min(stop, HORIZON)
        if stop <= first:
            return 0
        whole_days = sum(self._matches_of_year(year, first.date(), stop.date()) for year in years_between(first, stop))
        return whole_days - self._matches_of_day_before(first) + self._matches_of_day_before(stop)

    def _matches_of_year(self, year: int, first: date, stop: date) -> int:
        """Count the matches of the days of a year from `first` up to, not including, `stop`."""
        new_year = date(year, 1, 1).toordinal()
        low, high = max(first.toordinal() - new_year, 0), stop.toordinal() - new_year
        days = self._days(year) >> low << low & (1 << high) - 1
        if self._clock:
            return days.bit_count() * len(self._clock)
        return sum(len(self._times(new_year + index)) for index in places(days))

    def _matches_of_day_before(self, local: datetime) -> int:
        """Count the matches between midnight and a local time of the same day, not including the latter."""
        return bisect_left(self._times_on(local.toordinal()), seconds_of(local + _SECOND - _TICK))

    # --- Days ---

    def _next_day(self, day: int) -> int | None:
        """Return the first day later than `day` that has a match."""
        year = date.fromordinal(day).year
        new_year = date(year, 1, 1).toordinal()
        days = self._days(year) >> (day - new_year + 1) << (day - new_year + 1)
        while True:
            for index in places(days):
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
            days = self._candidates(year) if picks is None else mask_of(picks, date(year, 1, 1).toordinal())
            new_year = date(year, 1, 1).toordinal()
            for excluded in self.excluded:
                if 0 <= excluded - new_year < length_of_year(year):
                    days &= ~(1 << excluded - new_year)
            self._known[year] = days
        return days

    def _candidates(self, year: int) -> int:
        """Return the days of a year that fit the rule's parts and its interval."""
        fitting = fitting_days(self.rule, year)
        if self.rule.interval == 1 or self.rule.freq in WITHIN_A_DAY:
            return fitting
        return fitting & active_days(self.rule, self.start.date(), year)

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
            return times_of_hours(self.rule, (day * _HOURS - first) % self.rule.interval)
        if self.rule.freq is Frequency.MINUTELY:
            first = self.start.toordinal() * _MINUTES + self.start.hour * 60 + self.start.minute
            return times_of_minutes(self.rule, (day * _MINUTES - first) % self.rule.interval)
        picks = self._picks(date.fromordinal(day).year)
        return (picks or {}).get(day, ())

    # --- BYSETPOS ---

    def _picks(self, year: int) -> dict[int, tuple[int, ...]] | None:
        """Return the days and times that `BYSETPOS` picks from periods longer than a day; None if it picks none."""
        if not self.rule.positions or self.rule.freq not in LONGER_THAN_A_DAY:
            return None
        picks = self._known_picks.get(year)
        if picks is None:
            times = clock_times(self.rule)
            found: dict[int, list[int]] = {}
            for first, length in periods(self.rule, year):
                for day, second in picked(self._span(first, length), times, self.rule.positions):
                    found.setdefault(day, []).append(second)
            new_year = date(year, 1, 1).toordinal()
            picks = {day: tuple(found[day]) for day in found if 0 <= day - new_year < length_of_year(year)}
            self._known_picks[year] = picks
        return picks

    def _span(self, first: int, length: int) -> list[int]:
        """Return the days that fit among some days; these may lie in two years."""
        days = []
        for year in years_between(date.fromordinal(first), date.fromordinal(first + length - 1)):
            new_year = date(year, 1, 1).toordinal()
            days += [
                new_year + index
                for index in places(self._candidates(year))
                if first <= new_year + index < first + length
            ]
        return days

    # --- Guards ---

    def shortest_interval(self, nearby: timedelta, after: datetime, until: datetime, zone: ZoneInfo) -> timedelta:
        """Return a lower bound of the time between two due times; see `Crontab.shortest_interval`."""
        shortest = timedelta(seconds=shortest_by_the_clock(self.rule))
        if shortest < nearby:
            return shortest
        start, end = instant_of(after), instant_of(until)
        around = max(nearby, DAY)
        for change in changes(zone, start, end):
            due_times = self.between(max(start, change.at - around), min(end, change.at + around), zone)
            shortest = min([shortest, *(later - earlier for earlier, later in pairwise(due_times))])
        return shortest


# --- Building ---


@lru_cache(maxsize=4_096)
def recurrence(text: str, start: datetime, excluded: frozenset[int] = frozenset()) -> Recurrence:
    """Return the matches of a rule from a local time on, in whole seconds, without those of the excluded days."""
    return _recurrence(parse_rule(text).filled(start), start, excluded)


def _recurrence(rule: Rule, start: datetime, excluded: frozenset[int]) -> Recurrence:
    clock: tuple[int, ...] = ()
    if rule.freq is Frequency.DAILY:
        clock = tuple(chosen_from(list(clock_times(rule)), rule.positions))
    elif rule.freq in LONGER_THAN_A_DAY and not rule.positions:
        clock = clock_times(rule)
    return Recurrence(rule, start, excluded, clock)


@lru_cache(maxsize=4_096)
def started_after(text: str, anchor: datetime, excluded: frozenset[int] = frozenset()) -> Recurrence:
    """Return the matches of a rule without a start: it starts at the first time after a local one that fits it."""
    anchor = anchor.replace(microsecond=0)
    # What is not given is 0, not what the clock shows by chance.
    rule = parse_rule(text).filled(anchor.replace(minute=0, second=0))
    first = _recurrence(replace(rule, interval=1), anchor, frozenset())._match_after(anchor)  # noqa: SLF001
    return _recurrence(rule, first or anchor, excluded)
