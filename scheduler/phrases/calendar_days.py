"""The days of the week, days of the month, months and dates in a phrase."""

import re
from datetime import date
from typing import Final, NamedTuple

from scheduler.phrases.cron import MONTH_NAMES, MONTHS, WEEK, WEEKDAY_NAMES, Days
from scheduler.phrases.reader import Reader, join_list, read_list
from scheduler.phrases.refusal import Refusal

_WORKING_DAYS: Final = tuple(range(1, 6))
_WEEKEND: Final = (6, 0)
_SHORT_WEEKDAYS: Final = {
    "sun": 0,
    "mon": 1,
    "tue": 2,
    "tues": 2,
    "wed": 3,
    "thu": 4,
    "thur": 4,
    "thurs": 4,
    "fri": 5,
    "sat": 6,
}
_ONE_WEEKDAY: Final = {name.lower(): (number,) for number, name in enumerate(WEEKDAY_NAMES)} | {
    name: (number,) for name, number in _SHORT_WEEKDAYS.items()
}
_EVERY_WEEKDAY: Final = {f"{name.lower()}s": (number,) for number, name in enumerate(WEEKDAY_NAMES)}
SINGULAR: Final = _ONE_WEEKDAY | {"weekday": _WORKING_DAYS, "weekend": _WEEKEND}
"""What may stand after `every`."""
PLURAL: Final = _EVERY_WEEKDAY | {"weekdays": _WORKING_DAYS, "weekends": _WEEKEND}
"""What may stand after `on`."""
MONTH_NUMBERS: Final = {name.lower(): number for number, name in enumerate(MONTH_NAMES, 1)} | {
    name[:3].lower(): number for number, name in enumerate(MONTH_NAMES, 1)
}
"""The names of the months, long and short."""

_ORDINAL: Final = r"(\d{1,2})(st|nd|rd|th)"
_DAY_NUMBER: Final = r"(\d{1,2})(?:st|nd|rd|th)?"
_YEAR: Final = r"\d{4}"
_ISO_DATE: Final = r"(\d{4})-(\d{2})-(\d{2})"
_LAST_DAY: Final = 31
_LAST_COMMON_DAY: Final = 28
_LENGTHS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_LONGEST: Final = (31, 29, *_LENGTHS[2:])


class CalendarDate(NamedTuple):
    """A date whose year may not have been said."""

    year: int | None
    month: int
    day: int

    def in_year(self, year: int) -> date:
        """Return the date in a year; raise `Refusal` if that year does not have it."""
        try:
            return date(year, self.month, self.day)
        except ValueError:
            reason = f"there is no {self.day} {MONTH_NAMES[self.month - 1]} {year}"
            raise Refusal(reason, [f"on {year:04}-{self.month:02}-{_LAST_COMMON_DAY} at 9am"]) from None


def read_weekdays(reader: Reader, names: dict[str, tuple[int, ...]]) -> Days:
    """Read a list of days of the week, or a range, `Monday to Friday`."""
    start = reader.position
    first = reader.look_up(names)
    if first is not None and len(first) == 1 and reader.accept_any("to", "through"):
        last = reader.look_up(names)
        if last is None or len(last) != 1:
            raise reader.unreadable()
        return Days(weekdays=frozenset(_round_the_week(first[0], last[0])))
    reader.position = start
    groups = read_list(reader, lambda words: words.look_up(names))
    return Days(weekdays=_without_repeats([day for group in groups for day in group]))


def _round_the_week(first: int, last: int) -> list[int]:
    if first == last:
        name = WEEKDAY_NAMES[first]
        raise Refusal(f"{name} to {name} may be one day or a week", [f"every {name} at 9am", "every day at 9am"])
    return [(first + step) % len(WEEK) for step in range((last - first) % len(WEEK) + 1)]


def _without_repeats(weekdays: list[int]) -> frozenset[int]:
    if repeated := next((day for day in weekdays if weekdays.count(day) > 1), None):
        raise Refusal(f"{WEEKDAY_NAMES[repeated]} is there twice")
    return frozenset(weekdays)


def read_months_in(reader: Reader, days: Days) -> Days:
    """Read `in` and months, if they come next, and bound the days to them."""
    return days._replace(months=read_months(reader)) if reader.accept("in") else days


def read_months(reader: Reader) -> frozenset[int]:
    """Read a list of months."""
    months = read_list(reader, lambda words: words.look_up(MONTH_NUMBERS))
    if repeated := next((month for month in months if months.count(month) > 1), None):
        raise Refusal(f"{MONTH_NAMES[repeated - 1]} is there twice")
    return frozenset(months)


def read_days_of_months(reader: Reader) -> Days:
    """Read `the 1st and 15th of every month`, from after `on`."""
    month_days = read_ordinals(reader)
    reader.expect("of", "every")
    months = MONTHS if reader.accept("month") else read_months(reader)
    return Days(month_days, months)


def read_ordinals(reader: Reader) -> frozenset[int]:
    """Read a list of days of a month, or a range, `the 1st to the 7th`."""
    start = reader.position
    first = _read_ordinal(reader)
    if first is not None and reader.accept_any("to", "through"):
        last = _read_ordinal(reader)
        if last is None:
            raise reader.unreadable()
        if last <= first:
            raise Refusal(f"the {ordinal(first)} to the {ordinal(last)} runs backwards")
        return frozenset(range(first, last + 1))
    reader.position = start
    month_days = read_list(reader, _read_ordinal)
    if repeated := next((day for day in month_days if month_days.count(day) > 1), None):
        raise Refusal(f"the {ordinal(repeated)} is there twice")
    return frozenset(month_days)


def _read_ordinal(reader: Reader) -> int | None:
    reader.accept("the")
    found = reader.match(_ORDINAL)
    if found is None:
        return None
    day = int(found[1])
    if not 1 <= day <= _LAST_DAY:
        raise Refusal(f"no month has a {found[0]}", reader.with_last("28th" if day else "1st"))
    if found[0] != ordinal(day):
        raise Refusal(f"{found[0]!r} is misspelt", reader.with_last(ordinal(day)))
    return day


def ordinal(day: int) -> str:
    """Return a day of a month as it is spoken: `1st`, `22nd`, `13th`."""
    teen = day // 10 == 1
    return f"{day}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(day % 10, 'th')}"


def exist_always(days: Days) -> bool:
    """Tell whether each of the months has all the days of the month, each year."""
    return days.month_days == Days().month_days or max(days.month_days) <= min(_LENGTHS[m - 1] for m in days.months)


def refuse_missing_days(reader: Reader, days: Days) -> None:
    """Raise `Refusal` if one of the months does not have one of the days each year."""
    if exist_always(days):
        return
    latest = max(days.month_days)
    short = [month for month in sorted(days.months) if _LENGTHS[month - 1] < latest]
    names = [MONTH_NAMES[month - 1] for month in short]
    which = "each year " if latest == _LAST_COMMON_DAY + 1 else ""
    verb = "do" if len(names) > 1 else "does"
    raise Refusal(
        f"{join_list(names)} {verb} not have a {ordinal(latest)} {which}".strip(), _in_long_months(reader, latest)
    )


def _in_long_months(reader: Reader, latest: int) -> list[str]:
    said = " ".join(reader.words)
    long = join_list([name for name, length in zip(MONTH_NAMES, _LENGTHS, strict=True) if length >= latest])
    common = re.sub(rf"\b{latest}(st|th)?\b(?!:)", lambda day: f"28{'th' if day[1] else ''}", said, count=1)
    return [common, said.replace("every month", f"every {long}")]


def read_date(reader: Reader, *, peek: bool = False) -> CalendarDate | None:
    """Read `2027-03-15`, `15 March 2027`, `the 15th of March` or `March 15, 2027`; the year may be left out."""
    if peek:
        place = reader.position
        try:
            return read_date(reader)
        finally:
            reader.position = place
    if found := reader.match(_ISO_DATE):
        return _checked(CalendarDate(int(found[1]), int(found[2]), int(found[3])))
    start = reader.position
    if month := reader.look_up(MONTH_NUMBERS):
        reader.accept("the")
        day = reader.match(_DAY_NUMBER)
    else:
        reader.accept("the")
        day = reader.match(_DAY_NUMBER)
        reader.accept("of")
        month = reader.look_up(MONTH_NUMBERS)
    if day is None or month is None:
        reader.position = start
        return None
    return _checked(CalendarDate(_read_year(reader), month, int(day[1])))


def _read_year(reader: Reader) -> int | None:
    start = reader.position
    reader.accept(",")
    if found := reader.match(_YEAR):
        return int(found[0])
    reader.position = start
    return None


def _checked(day: CalendarDate) -> CalendarDate:
    if not 1 <= day.month <= len(MONTH_NAMES):
        raise Refusal(f"there is no month {day.month}: a date is written year-month-day")
    if day.year is not None:
        day.in_year(day.year)
    elif not 1 <= day.day <= _LONGEST[day.month - 1]:
        month = MONTH_NAMES[day.month - 1]
        last = ordinal(_LENGTHS[day.month - 1])
        raise Refusal(f"{month} has no {ordinal(day.day)}", [f"on the {last} of every {month} at 9am"])
    return day
