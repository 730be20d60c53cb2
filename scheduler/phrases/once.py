"""A phrase for one instant -> its fields: a date, a day near the present, a length of time, or a time of day alone."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import MAXYEAR, UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, Final

from scheduler._limits import INTERVAL_LIMIT
from scheduler.models import TaskType
from scheduler.phrases.calendar_days import SINGULAR, CalendarDate, read_date
from scheduler.phrases.clock_times import (
    UNIT_SECONDS,
    one_time_each,
    read_exact_time,
    read_length,
    read_times,
    seconds_of,
)
from scheduler.phrases.cron import MONTH_NAMES, WEEK
from scheduler.phrases.moments import Present, moment_in_words, place, with_offset
from scheduler.phrases.reader import Reader
from scheduler.phrases.refusal import Refusal

RELATIVE: Final = ("in", "today", "tomorrow")
"""The words that begin a phrase whose meaning depends on the present."""

_OVERMORROW: Final = ["the", "day", "after", "tomorrow"]


def read_once(reader: Reader, present: Present) -> dict[str, Any]:
    """Read a phrase for one instant, from its beginning."""
    if _is_one_weekday(reader):
        return _read_next_weekday(reader, present)
    if reader.accept("at"):
        is_date = _names_weekday(reader) or read_date(reader, peek=True) is not None
        return _read_date(reader, present) if is_date else _read_next_time(reader, present)
    if reader.next in RELATIVE or reader.words[:4] == _OVERMORROW:
        return _read_relative(reader, present)
    reader.accept("on")
    return _read_date(reader, present)


def _is_one_weekday(reader: Reader) -> bool:
    """Tell whether a phrase names one day of the week, which is the next such day: `on Friday at noon`."""
    start = 1 if reader.next == "on" else 0
    days = SINGULAR.get(reader.ahead(start), ())
    return len(days) == 1 and reader.ahead(start + 1) == "at"


def _read_relative(reader: Reader, present: Present) -> dict[str, Any]:
    if reader.accept("in"):
        return _read_in(reader, present)
    if reader.words[:4] == _OVERMORROW:
        reader.position = len(_OVERMORROW)
        return _read_near_day(reader, present, 2)
    shift = 0 if reader.accept("today") else 1
    if shift:
        reader.expect("tomorrow")
    return _read_near_day(reader, present, shift)


def _read_in(reader: Reader, present: Present) -> dict[str, Any]:
    length = read_length(reader)
    elapsed = timedelta(seconds=seconds_of(length))
    if reader.next == "at" and not length.keys() - {"day", "week"}:
        return _read_near_day(reader, present, seconds_of(length) // UNIT_SECONDS["day"])
    due = with_offset(_whole_second(present.now) + elapsed, present.clock)
    if "day" in length or "week" in length:
        _refuse_other_offset(present, due, elapsed)
    return _once(due)


def _whole_second(moment: datetime) -> datetime:
    """Round up: a phrase names whole seconds, and nothing is due before its time."""
    return moment + timedelta(microseconds=-moment.microsecond % 1_000_000)


def _refuse_other_offset(present: Present, due: datetime, elapsed: timedelta) -> None:
    if present.now.astimezone(present.clock).utcoffset() != due.utcoffset():
        zone, hours = present.clock.key, int(elapsed.total_seconds()) // UNIT_SECONDS["hour"]
        reason = f"the clock of {zone} is changed until then, so a day may be 24 hours or the same time of day"
        raise Refusal(reason, [f"in {hours} hours"])


def _read_near_day(reader: Reader, present: Present, shift: int) -> dict[str, Any]:
    day = present.now.astimezone(present.clock).date() + timedelta(days=shift)
    times = read_times(reader, midnight=False)
    if len(times) > 1:
        raise Refusal("it names several instants: make a task of each", one_time_each(reader, times))
    due = place(datetime.combine(day, times[0]), present.clock)
    return _once_later(due, present, [f"tomorrow at {times[0]:%H:%M}"])


def _read_next_weekday(reader: Reader, present: Present) -> dict[str, Any]:
    """Read a day of the week and a time: the next such instant."""
    reader.accept("on")
    (weekday,) = SINGULAR[reader.next]
    reader.position += 1
    today = present.now.astimezone(present.clock).date()
    shift = (weekday - today.isoweekday()) % len(WEEK)
    return _next_instant(_one_time(reader), [today + timedelta(shift + more) for more in (0, len(WEEK))], present)


def _read_next_time(reader: Reader, present: Present) -> dict[str, Any]:
    """Read a time of day alone, from after `at`: the next such instant."""
    reader.position -= 1
    clock = _one_time(reader, midnight=True)
    today = present.now.astimezone(present.clock).date()
    return _next_instant(clock, [today, today + timedelta(1)], present)


def _one_time(reader: Reader, *, midnight: bool = False) -> time:
    times = read_times(reader, midnight=midnight)
    if len(times) > 1:
        raise Refusal("it names several instants: make a task of each", one_time_each(reader, times))
    return times[0]


def _next_instant(clock: time, days: Iterable[date], present: Present) -> dict[str, Any]:
    """Return the first instant in the future at which one of the days has this time."""
    for day in days:
        due = place(datetime.combine(day, clock), present.clock)
        if due > present.now:
            return _once(due)
    raise Refusal("it lies in the past")


def _read_date(reader: Reader, present: Present) -> dict[str, Any]:
    """Read a date and a time of day, as in `at 2027-03-15 14:00`."""
    weekday = _read_weekday_of_date(reader)
    day = read_date(reader)
    if day is None:
        raise reader.unreadable()
    if reader.done:
        raise Refusal("it does not say at what time", [f"{' '.join(reader.words)} at 9am"])
    reader.accept("at")
    clock, offset = read_exact_time(reader)
    if day.year is None:
        fields = _read_next_date(day, clock, offset, present)
        _refuse_other_weekday(weekday, fields["run_at"])
        return fields
    local = datetime.combine(day.in_year(day.year), clock)
    due = local.replace(tzinfo=offset) if offset else place(local, present.clock)
    _refuse_other_weekday(weekday, due)
    return _once_later(due, present, [f"at {_next_year(due, present)}", f"tomorrow at {clock:%H:%M}"])


def _names_weekday(reader: Reader) -> bool:
    """Tell whether the day of the week and a date come next."""
    start = reader.position
    try:
        return _read_weekday_of_date(reader) is not None
    finally:
        reader.position = start


def _read_weekday_of_date(reader: Reader) -> int | None:
    """Read the day of the week before a date, `Friday, 13 November`; None: there is none."""
    start = reader.position
    days = reader.look_up(SINGULAR)
    reader.accept(",")
    if days is not None and len(days) == 1 and read_date(reader, peek=True) is not None:
        return days[0]
    reader.position = start
    return None


def _refuse_other_weekday(weekday: int | None, due: datetime) -> None:
    """Raise `Refusal` if a date is not on the day of the week that is said before it."""
    if weekday is not None and due.isoweekday() % len(WEEK) != weekday % len(WEEK):
        day = f"{due.day} {MONTH_NAMES[due.month - 1]} {due.year}"
        raise Refusal(f"{day} is a {due:%A}", [f"on {due:%Y-%m-%d} at {due:%H:%M}"])


def _read_next_date(day: CalendarDate, clock: time, offset: tzinfo | None, present: Present) -> dict[str, Any]:
    """Return the next instant of a date that names no year."""
    if offset is not None:
        name = MONTH_NAMES[day.month - 1].lower()
        raise Refusal("a date with an offset from UTC names its year", [f"on {day.day} {name} at {clock:%H:%M}"])
    year = present.now.astimezone(present.clock).year
    return _next_instant(clock, _in_years(day, range(year, min(year + 9, MAXYEAR + 1))), present)


def _in_years(day: CalendarDate, years: Iterable[int]) -> Iterator[date]:
    """Yield the date in those of the years that have it: not each has a 29 February."""
    for year in years:
        with suppress(ValueError):
            yield date(year, day.month, day.day)


def _next_year(due: datetime, present: Present) -> str:
    text = moment_in_words(due.replace(tzinfo=None))
    this_year = re.sub(r"^\d{4}", str(present.now.year), text)
    return (
        this_year
        if this_year > f"{present.now.astimezone(present.clock):%Y-%m-%d %H:%M}"
        else re.sub(r"^\d{4}", str(present.now.year + 1), text)
    )


def _once_later(due: datetime, present: Present, hints: list[str]) -> dict[str, Any]:
    wait = (due.astimezone(UTC) - present.now).total_seconds()
    if wait <= 0:
        raise Refusal(f"{moment_in_words(due)} has passed", hints)
    if wait > INTERVAL_LIMIT:
        raise Refusal(f"{moment_in_words(due)} is more than a hundred years away", hints)
    return _once(due)


def _once(due: datetime) -> dict[str, Any]:
    return {"task_type": TaskType.ONE_TIME, "run_at": due}
