"""Local times that match -> instants in a zone, with Debian's rules for where the clock of the zone jumps.

What matches is the business of a subclass: a crontab expression, or a recurrence rule. The rules are those of the main
loop of `cron.c` in Debian's cron 3.0pl1.

Inside these modules an *instant* is a naive datetime in UTC, a *local time* is a naive datetime of the zone's clock,
and a *match* is a local time that fits. Instants are exact from 1970 to 2099; no match is looked for from 2200 on.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

HORIZON = datetime(2200, 1, 1)  # noqa: DTZ001 - a local time
"""The first local time at which no match is looked for."""
DAY = timedelta(days=1)
"""One day by the calendar."""
LONGEST_OVERLAP = timedelta(days=1)
"""In IANA's data no change of a zone repeats over a day."""

_TICK = timedelta(microseconds=1)
_SECOND = timedelta(seconds=1)
# In IANA's data the changes of a zone lie a week apart at least (Gaza's, around Ramadan).
_SAMPLE = timedelta(days=3)
_CALENDAR_CORRECTION = timedelta(hours=3)


class LocalMatches(ABC):
    """The local times that match, and when they are due on the clock of a zone."""

    __slots__ = ()

    is_wildcard: bool
    """Whether it is due whenever the clock shows a match, else once for each match; see `Crontab`."""

    @abstractmethod
    def _match_after(self, local: datetime) -> datetime | None:
        """Return the first match later than a local time."""

    @abstractmethod
    def _match_until(self, local: datetime) -> datetime | None:
        """Return the last match that is not later than a local time."""

    @abstractmethod
    def _matches(self, first: datetime, stop: datetime) -> int:
        """Count the matches from the local time `first` up to, not including, the local time `stop`."""

    def next_after(self, after: datetime, zone: ZoneInfo) -> datetime | None:
        """Return the first due time later than `after`, to the microsecond, on the clock of `zone`.

        `after` is aware, in any zone; the result is in UTC. It is `None` if nothing is due before the year 2200.
        Raises `ValueError` if `after` is naive.
        """
        start = instant_of(after)
        offset = _offset(start, zone)
        bound = self._shown_until(start, offset, zone)
        match = self._match_after(bound)
        while match is not None:
            due = max(match - offset, start)
            change = next(changes(zone, start, due), None)
            if change is None:
                return due.replace(tzinfo=UTC)
            start, offset = change.at, change.after
            opening = change.opening(wildcard=self.is_wildcard) - _TICK
            if not bound <= opening < match:
                bound, match = opening, self._match_after(opening)
        return None

    def last_at_or_before(self, instant: datetime, zone: ZoneInfo, *, not_before: datetime) -> datetime | None:
        """Return the latest due time from `not_before` to `instant`, both included, on the clock of `zone`.

        Both are aware, in any zone; the result is in UTC, `None` if nothing is due between them. It is the time that
        `next_after`, called again and again, would reach last. Raises `ValueError` if one of them is naive.
        """
        end, earliest = instant_of(instant), instant_of(not_before)
        offset = _offset(end, zone)
        bound = end + offset
        match = self._match_until(bound)
        while match is not None and end >= earliest:
            due = match - offset
            change = _last_change(zone, due - LONGEST_OVERLAP, end)
            if change is None or match >= change.opening(wildcard=self.is_wildcard):
                due = due if change is None else max(due, change.at)
                return due.replace(tzinfo=UTC) if due >= earliest else None
            end, offset = change.at - _TICK, change.before
            closing = end + offset
            if not match <= closing <= bound:
                bound, match = closing, self._match_until(closing)
        return None

    def count_between(self, after: datetime, until: datetime, zone: ZoneInfo) -> int:
        """Return how many due times lie after `after` and not after `until`, on the clock of `zone`.

        Both are aware, in any zone. The cost grows with the days between them, not with the due times: a year takes
        less than a millisecond. Raises `ValueError` if one of them is naive.
        """
        start, end = instant_of(after), instant_of(until)
        offset = _offset(start, zone)
        opening = self._shown_until(start, offset, zone) + _TICK
        total = 0
        for change in changes(zone, start, end):
            total += self._matches(opening, change.at + offset)
            opening, offset = change.opening(wildcard=self.is_wildcard), change.after
            # All that the gap swallowed, and what is due at its very end, is one due time.
            resumed = change.at + offset + _TICK
            total += self._matches(opening, resumed) > 0
            opening = max(opening, resumed)
        return total + self._matches(opening, end + offset + _TICK)

    def swallowed_at(self, due: datetime, zone: ZoneInfo) -> datetime | None:
        """Return the first match that a gap swallowed, if a due time, an instant, is the end of that gap."""
        change = next(changes(zone, due - _TICK, due), None)
        if change is None:
            return None
        match = self._match_after(change.opening(wildcard=self.is_wildcard) - _TICK)
        return match if match is not None and match < change.at + change.after else None

    def between(self, after: datetime, until: datetime, zone: ZoneInfo) -> Iterator[datetime]:
        """Yield the due times later than one instant and not later than another, as aware datetimes in UTC."""
        due = self.next_after(after.replace(tzinfo=UTC), zone)
        while due is not None and due.replace(tzinfo=None) <= until:
            yield due
            due = self.next_after(due, zone)

    def _shown_until(self, instant: datetime, offset: timedelta, zone: ZoneInfo) -> datetime:
        """Return the latest local time that is used up at an instant: in a second pass, the end of the first."""
        local = instant + offset
        if self.is_wildcard:
            return local
        change = _last_change(zone, instant - LONGEST_OVERLAP, instant)
        return local if change is None else max(local, change.opening(wildcard=False) - _TICK)


# --- Where the clock of a zone jumps ---


class _Change(NamedTuple):
    """An instant at which the UTC offset of a zone changes."""

    at: datetime
    before: timedelta
    after: timedelta

    def opening(self, *, wildcard: bool) -> datetime:
        """Return the first local time whose match is still to come when the change has happened.

        One that the new clock has already left behind (the gap swallowed it) is due at the change itself.
        """
        old, new = self.at + self.before, self.at + self.after
        if not wildcard:
            return new if new - old >= _CALENDAR_CORRECTION else old
        # Only an offset with seconds lands within a minute; the clock shows that minute, so it is due.
        minute = new.replace(second=0, microsecond=0)
        return max(minute, old) if old <= new else minute


def changes(zone: ZoneInfo, after: datetime, until: datetime) -> Iterator[_Change]:
    """Yield the changes later than `after` and not later than `until`, in order."""
    for year in range(after.year, until.year + 1):
        for change in _changes_of_year(zone, year):
            if after < change.at <= until:
                yield change


def _last_change(zone: ZoneInfo, after: datetime, until: datetime) -> _Change | None:
    """Return the last of the changes later than `after` and not later than `until`."""
    for year in range(until.year, after.year - 1, -1):
        for change in reversed(_changes_of_year(zone, year)):
            if after < change.at <= until:
                return change
    return None


@lru_cache(maxsize=8_192)
def _changes_of_year(zone: ZoneInfo, year: int) -> tuple[_Change, ...]:
    """Find the changes later than the first instant of a year in UTC, up to the first instant of the next one."""
    first, last = datetime(year, 1, 1), datetime(year + 1, 1, 1)  # noqa: DTZ001 - instants
    samples = [*(first + step * _SAMPLE for step in range((last - first) // _SAMPLE)), last]
    offsets = [_offset(sample, zone) for sample in samples]
    changes: list[_Change] = []
    for (low, before), (high, after) in pairwise(zip(samples, offsets, strict=True)):
        if before != after:
            changes += _changes_within(zone, low, high)
    return tuple(changes)


def _changes_within(zone: ZoneInfo, low: datetime, high: datetime) -> Iterator[_Change]:
    """Bisect for the changes between two instants, to the second."""
    before, after = _offset(low, zone), _offset(high, zone)
    while before != after:
        left, right = low, high
        while right - left > _SECOND:
            middle = left + (right - left) // _SECOND // 2 * _SECOND
            left, right = (middle, right) if _offset(middle, zone) == before else (left, middle)
        yield _Change(right, before, _offset(right, zone))
        low, before = right, _offset(right, zone)


def _offset(instant: datetime, zone: ZoneInfo) -> timedelta:
    """Return the UTC offset of a zone at an instant."""
    return zone.fromutc(instant.replace(tzinfo=zone)).replace(tzinfo=None) - instant


def instant_of(moment: datetime) -> datetime:
    """Return an aware datetime as an instant: naive, in UTC."""
    if moment.utcoffset() is None:
        raise ValueError(f"{moment.isoformat()} has no time zone; pass an aware datetime, such as datetime.now(UTC)")
    return moment.astimezone(UTC).replace(tzinfo=None)
