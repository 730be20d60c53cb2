"""Which days and hours are closed: what a calendar's entries mean, and where an instant that is closed may move to.

An instant is an integer of microseconds since 1970; a day is a date on the clock of the calendar's zone. Nothing here
knows of tasks.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from scheduler.timing.clock import SECOND, to_datetime, to_micros
from scheduler.timing.holiday_days import check_holidays, holiday_names
from scheduler.timing.local_matches import HORIZON, changes

DAY_NAMES: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MINUTE: Final = 60 * SECOND
_MINUTES_A_DAY: Final = 1_440
_MINUTES_A_WEEK: Final = 7 * _MINUTES_A_DAY
_ONE_DAY: Final = timedelta(days=1)
_LONGEST_RANGE: Final = 1_000
"""The longest span of dates that one entry may close, in days."""
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_RANGE: Final = re.compile(r"(\d{4}-\d{2}-\d{2})(?:/|\.\.)(\d{4}-\d{2}-\d{2})", re.ASCII)
_YEARLY: Final = re.compile(r"(\d{2})-(\d{2})", re.ASCII)
_HOLIDAY_CODE: Final = re.compile(r"[A-Z0-9]{2,8}(-[A-Z0-9]{1,8})?", re.ASCII)
_HOURS: Final = re.compile(r"(\d{1,2}):(\d{2})\s*(?:-|–|to)\s*(\d{1,2}):(\d{2})", re.ASCII)  # noqa: RUF001 (a dash that people paste)


class Window(NamedTuple):
    """Hours that are quiet, in minutes from the midnight that begins their day; an end after 1,440 is on the next."""

    begin: int
    end: int

    @property
    def text(self) -> str:
        """As it is written."""
        return f"{_clock(self.begin)}-{_clock(self.end)}"


class Closed(NamedTuple):
    """What closes an instant, from when and until when; the end is not included."""

    reason: str
    since: int
    until: int
    is_day: bool


@dataclass(frozen=True, slots=True)
class ClosedDays:
    """Days that are closed, each with the reason: by weekday, by date, each year, and holidays by their codes."""

    weekdays: frozenset[int]
    dates: Mapping[date, str]
    yearly: Mapping[tuple[int, int], str]
    codes: tuple[str, ...]

    def reason(self, day: date) -> str | None:
        """Return why a day is closed; None: it is open. A holiday's name comes before a weekday's."""
        for code in self.codes:
            if (name := holiday_names(code, day.year).get(day)) is not None:
                return name
        found = self.dates.get(day) or self.yearly.get((day.month, day.day))
        if found is None and day.weekday() in self.weekdays:
            return DAY_NAMES[day.weekday()].capitalize()
        return found


# --- What the entries mean ---


@lru_cache(maxsize=1_024)
def closed_days(holidays: tuple[str, ...], closed: tuple[str, ...]) -> ClosedDays:
    """Read the entries of a calendar.

    `holidays` are codes, and dates that may have a name behind them; `closed` are weekdays and ranges of these, dates
    and ranges of these, and days of each year (`12-24`). Raises `ValueError`.
    """
    weekdays: set[int] = set()
    dates: dict[date, str] = {}
    yearly: dict[tuple[int, int], str] = {}
    codes: list[str] = []
    for entry in holidays:
        day, _, name = entry.strip().partition(" ")
        if _HOLIDAY_CODE.fullmatch(entry):
            check_holidays(entry)
            codes.append(entry)
        elif _DATE.fullmatch(day):
            dates[_date("holidays", day)] = name.strip() or f"holiday on {day}"
        else:
            hint = "give a code such as 'DE-BY' or 'NYSE', or a date such as '2026-12-24'"
            message = f"holidays={entry[:80]!r} is neither the code of holidays nor a date; {hint}"
            raise ValueError(message)
    for entry in closed:
        text = entry.strip().lower()
        if _DATE.fullmatch(text):
            dates.setdefault(_date("closed", text), f"closed on {text}")
        elif found := _RANGE.fullmatch(text):
            for each in _dates(_date("closed", found[1]), _date("closed", found[2]), entry):
                dates.setdefault(each, f"closed {found[1]} to {found[2]}")
        elif found := _YEARLY.fullmatch(text):
            yearly[_month_and_day(found[1], found[2], entry)] = f"closed each {text}"
        else:
            weekdays |= weekdays_of("closed", text)
    return ClosedDays(frozenset(weekdays), dates, yearly, tuple(codes))


def _date(field: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        message = f"{field}={text!r} is no day of the calendar; give a date such as '2026-12-24'"
        raise ValueError(message) from None


def _dates(first: date, last: date, entry: str) -> list[date]:
    number = (last - first).days + 1
    if not 1 <= number <= _LONGEST_RANGE:
        problem = "ends before it begins" if number < 1 else f"is longer than {_LONGEST_RANGE} days"
        message = f"closed={entry!r} {problem}; give the first and the last day, such as '2026-12-24/2027-01-06'"
        raise ValueError(message)
    return [first + number_of_day * _ONE_DAY for number_of_day in range(number)]


def _month_and_day(month: str, day: str, entry: str) -> tuple[int, int]:
    try:
        found = date(2000, int(month), int(day))  # a leap year
    except ValueError:
        message = f"closed={entry!r} is no day of a year; give month and day, such as '12-24'"
        raise ValueError(message) from None
    return found.month, found.day


def weekdays_of(field: str, text: str) -> frozenset[int]:
    """Read a weekday, or a range of them (`sat-sun`); Monday is 0. Raises `ValueError`."""
    first, dash, last = (part.strip() for part in text.strip().lower().partition("-"))
    begin = _weekday(first)
    end = _weekday(last) if dash else begin
    if begin is None or end is None:
        hint = "give a weekday such as 'sun', a range such as 'sat-sun', a date, or month and day such as '12-24'"
        message = f"{field}={text[:80]!r} is no day; {hint}"
        raise ValueError(message)
    return frozenset((begin + step) % 7 for step in range((end - begin) % 7 + 1))


def _weekday(text: str) -> int | None:
    """Return the number of a weekday from its name, or the beginning of it from three letters on."""
    word = text.removesuffix("s") if text.endswith("days") else text
    fits = [number for number, name in enumerate(DAY_NAMES) if len(word) >= 3 and name.startswith(word)]  # noqa: PLR2004
    return fits[0] if len(fits) == 1 else None


@lru_cache(maxsize=1_024)
def quiet_windows(entries: tuple[tuple[str, str], ...]) -> tuple[tuple[Window, ...], ...]:
    """Read quiet hours: pairs of weekdays and hours; the windows that begin on each weekday. Raises `ValueError`."""
    windows: list[list[Window]] = [[] for _ in DAY_NAMES]
    for days, hours in entries:
        for number in weekdays_of("quiet_hours", days):
            windows[number] += _windows(hours)
    return tuple(tuple(sorted(each)) for each in windows)


def _windows(hours: str) -> list[Window]:
    found: list[Window] = []
    for part in hours.split(","):
        match = _HOURS.fullmatch(part.strip())
        window = None if match is None else _window(*(int(each) for each in match.groups()))
        if window is None:
            message = f"quiet_hours={hours[:80]!r} are no hours; give them as '22:00-07:00', several with commas"
            raise ValueError(message)
        found.append(window)
    return found


def _window(hour: int, minute: int, end_hour: int, end_minute: int) -> Window | None:
    begin, end = 60 * hour + minute, 60 * end_hour + end_minute
    sixty, last = 60, _MINUTES_A_DAY
    if minute >= sixty or end_minute >= sixty or begin >= last or end > last or begin == end:
        return None
    return Window(begin, end if end > begin else end + last)


def is_never_open(days: ClosedDays, windows: tuple[tuple[Window, ...], ...]) -> bool:
    """Tell whether weekdays and quiet hours close every minute of a week."""
    is_closed = [False] * _MINUTES_A_WEEK
    for number in range(7):
        begin = number * _MINUTES_A_DAY
        spans = [Window(0, _MINUTES_A_DAY)] if number in days.weekdays else list(windows[number])
        for span in spans:
            for minute in range(begin + span.begin, begin + span.end):
                is_closed[minute % _MINUTES_A_WEEK] = True
    return all(is_closed)


# --- Instants ---


class OpenTimes:
    """Which instants are open, on the clock of a zone."""

    def __init__(self, days: ClosedDays, windows: tuple[tuple[Window, ...], ...], zone: ZoneInfo) -> None:
        """Take what is closed, and the zone whose clock says when."""
        self._days = days
        self._windows = windows
        self.zone = zone
        self.closes_hours = any(windows)
        """Whether there are quiet hours."""

    def day_of(self, instant: int) -> date:
        """Return the day of an instant."""
        return to_datetime(instant).astimezone(self.zone).date()

    def begin_of(self, day: date) -> int:
        """Return the first instant of a day."""
        return self._at(datetime(day.year, day.month, day.day), 0)  # noqa: DTZ001 (a local time)

    def is_open_day(self, day: date) -> bool:
        """Tell whether a day is open, quiet hours aside."""
        return self._days.reason(day) is None

    def open_day(self, day: date, step: int) -> date | None:
        """Return the nearest day that is open, `day` itself included, going by `step` days; None: there is none."""
        while not self.is_open_day(day):
            day += step * _ONE_DAY
            if not 1 < day.year < HORIZON.year:
                return None
        return day

    def closed_at(self, instant: int) -> Closed | None:
        """Return what closes an instant; None: it is open. A closed day comes before quiet hours."""
        day = self.day_of(instant)
        reason = self._days.reason(day)
        if reason is not None:
            return Closed(reason, self.begin_of(day), self.begin_of(day + _ONE_DAY), is_day=True)
        if self.closes_hours:
            for each in (*self._quiet_on(day - _ONE_DAY), *self._quiet_on(day)):
                if each.since <= instant < each.until:
                    return each
        return None

    def spans(self, after: int, until: int) -> Iterator[tuple[int, int]]:
        """Yield what is closed between two instants: pairs of begin and end (not included), none of which touch."""
        begin: int | None = None
        end = 0
        day, last = self.day_of(after) - _ONE_DAY, self.day_of(until)
        while day <= last:
            for since, stop in sorted((each.since, each.until) for each in self._closed_on(day)):
                if begin is not None and since <= end:
                    end = max(end, stop)
                    continue
                if begin is not None and end > after:
                    yield begin, end
                begin, end = since, stop
            day += _ONE_DAY
        if begin is not None and end > after and begin <= until:
            yield begin, end

    def next_change(self, instant: int, until: int) -> int | None:
        """Return when what is open closes, or what is closed opens, if that is not later than `until`."""
        for since, end in self.spans(instant, until):
            if since > instant:
                return since if since <= until else None
            return end if end <= until else None
        return None

    def moved(self, instant: int, step: int) -> int | None:
        """Return the nearest open instant, later (`step` 1) or earlier (-1); an open instant stays where it is.

        From a closed day it moves to the same time of day on the next day that is open; from quiet hours to their end,
        or to a minute before they begin. None: there is none before the year 2200.
        """
        closed = self.closed_at(instant)
        while closed is not None:
            if closed.is_day:
                local = to_datetime(instant).astimezone(self.zone).replace(tzinfo=None, fold=0)
                day = self.open_day(local.date(), step)
                if day is None:
                    return None
                instant = self._at(datetime.combine(day, local.time()), 0)
            else:
                instant = closed.until if step > 0 else closed.since - _MINUTE
            closed = self.closed_at(instant)
        return instant

    def _closed_on(self, day: date) -> list[Closed]:
        """Return what closes a day, or hours that begin on it."""
        reason = self._days.reason(day)
        if reason is not None:
            whole = [Closed(reason, self.begin_of(day), self.begin_of(day + _ONE_DAY), is_day=True)]
            return [*whole, *self._quiet_on(day)]
        return self._quiet_on(day)

    def _quiet_on(self, day: date) -> list[Closed]:
        """Return the quiet hours that begin on a day."""
        found = []
        midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 (a local time)
        for window in self._windows[day.weekday()]:
            since = self._at(midnight + timedelta(minutes=window.begin), 0)
            until = self._at(midnight + timedelta(minutes=window.end), 1)
            found.append(Closed(f"quiet hours {window.text}", since, until, is_day=False))
        return found

    def _at(self, local: datetime, fold: int) -> int:
        """Return when the clock shows a local time: of two instants the one that `fold` says, of none the gap's end."""
        moment = local.replace(tzinfo=self.zone, fold=fold).astimezone(UTC)
        if moment.astimezone(self.zone).replace(tzinfo=None, fold=0) == local:
            return to_micros(moment)
        either = sorted(local.replace(tzinfo=self.zone, fold=each).astimezone(UTC) for each in (0, 1))
        first, last = (each.replace(tzinfo=None) for each in either)
        change = next(changes(self.zone, first - timedelta(microseconds=1), last), None)
        return to_micros(moment) if change is None else to_micros(change.at.replace(tzinfo=UTC))


@lru_cache(maxsize=1_024)
def open_times(
    holidays: tuple[str, ...], closed: tuple[str, ...], quiet: tuple[tuple[str, str], ...], zone: str
) -> OpenTimes:
    """Return which instants a calendar leaves open. Raises `ValueError` for entries that mean nothing."""
    return OpenTimes(closed_days(holidays, closed), quiet_windows(quiet), ZoneInfo(zone))


def _clock(minutes: int) -> str:
    within = minutes if minutes <= _MINUTES_A_DAY else minutes - _MINUTES_A_DAY
    return f"{within // 60:02}:{within % 60:02}"
