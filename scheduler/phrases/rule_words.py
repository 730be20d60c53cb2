"""A recurrence rule -> words, such as `Every other Monday at 09:00`; a rule that has no words is shown as it is."""

from datetime import datetime
from typing import Final

from scheduler.phrases.cron import MONTH_NAMES
from scheduler.phrases.reader import join_list
from scheduler.timing.rule_parser import parse_rule
from scheduler.timing.rules import Frequency, Rule, WeekdayPart

_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_UNITS: Final = {
    Frequency.YEARLY: "year",
    Frequency.MONTHLY: "month",
    Frequency.WEEKLY: "week",
    Frequency.DAILY: "day",
}
_ORDINALS: Final = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth", -1: "last", -2: "second to last"}
_WORKDAYS: Final = tuple(WeekdayPart(day, None) for day in range(5))
_WEEKEND: Final = (WeekdayPart(5, None), WeekdayPart(6, None))
_EVERY_DAY: Final = (*_WORKDAYS, *_WEEKEND)
_MOST_TIMES: Final = 6


def describe_rule(text: str, start: datetime | None) -> str:
    """Return a rule in English; `start` is its local start, which says what the rule leaves out."""
    given = parse_rule(text)
    rule = given.filled(start or datetime(1970, 1, 1))  # noqa: DTZ001 - a local time
    days, times = _days(rule), _times(rule)
    if days is None or times is None:
        return f"By the rule {given.text}"
    return f"{days[0].upper()}{days[1:]} at {times}"


def _times(rule: Rule) -> str | None:
    """Return the times of the day; None if there are too many, or they have seconds."""
    times = [f"{hour:02}:{minute:02}" for hour in rule.hours for minute in rule.minutes]
    return join_list(times) if rule.seconds == (0,) and 0 < len(times) <= _MOST_TIMES else None


def _days(rule: Rule) -> str | None:
    """Return the days, such as `on the last weekday of every month`; None if there are no words for them."""
    if rule.weeks or rule.year_days or rule.freq not in _UNITS:
        return None
    match rule.freq:
        case Frequency.DAILY:
            return None if rule.months or rule.month_days or rule.weekdays or rule.positions else _each(rule)
        case Frequency.WEEKLY:
            return None if rule.months or rule.positions else _weekly(rule)
        case _:
            day = _day_of_month(rule)
            months = _months(rule)
            return None if day is None or months is None else f"on the {day} of {months}"


def _each(rule: Rule) -> str:
    """Return `every day`, `every other month`, `every 3 weeks`."""
    unit = _UNITS[rule.freq]
    if rule.interval <= 2:  # noqa: PLR2004
        return f"every {'other ' if rule.interval > 1 else ''}{unit}"
    return f"every {rule.interval} {unit}s"


def _weekly(rule: Rule) -> str:
    days = join_list([_DAYS[part.weekday] for part in rule.weekdays])
    if rule.interval == 1 and rule.weekdays == _EVERY_DAY:
        return "every day"
    if rule.interval == 1:
        return f"every {'weekday' if rule.weekdays == _WORKDAYS else days}"
    if rule.interval == 2 and len(rule.weekdays) == 1:  # noqa: PLR2004
        return f"every other {days}"
    return f"{_each(rule)} on {days}"


def _months(rule: Rule) -> str | None:
    """Return `every month`, `every 3 months`, `every January and July`, `March every other year`."""
    names = join_list([MONTH_NAMES[month - 1] for month in rule.months])
    if rule.freq is Frequency.MONTHLY:
        return None if rule.months and rule.interval > 1 else f"every {names}" if names else _each(rule)
    if not rule.months:
        return None if _is_of_year(rule) else "every month" if rule.interval == 1 else None
    return f"every {names}" if rule.interval == 1 else f"{names} {_each(rule)}"


def _is_of_year(rule: Rule) -> bool:
    return bool(rule.positions) or any(part.nth for part in rule.weekdays)


def _day_of_month(rule: Rule) -> str | None:
    if rule.positions and (rule.freq is Frequency.YEARLY or len(rule.positions) > 1):
        return None
    if rule.month_days and not rule.weekdays and not rule.positions:
        return _month_days(rule.month_days)
    if not rule.weekdays or rule.month_days:
        return None
    if rule.positions:
        return _picked(rule)
    numbers = sorted({part.nth or 0 for part in rule.weekdays}, key=lambda number: (number < 0, abs(number)))
    days = list(dict.fromkeys(part.weekday for part in rule.weekdays))
    names = [_ORDINALS[number] for number in numbers if number in _ORDINALS]
    if len(names) < len(numbers) or len(numbers) * len(days) != len(rule.weekdays) or min(len(numbers), len(days)) > 1:
        return None
    return f"{join_list(names)} {join_list([_DAYS[day] for day in days])}"


def _month_days(days: tuple[int, ...]) -> str | None:
    if days == (-1,):
        return "last day"
    return join_list([_nth(day) for day in days]) if days[0] > 0 else None


def _nth(day: int) -> str:
    ending = "th" if day in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{ending}"


def _picked(rule: Rule) -> str | None:
    """Return `last weekday`: the day that `BYSETPOS` picks, of rules with one time."""
    kinds = {_WORKDAYS: "weekday", _WEEKEND: "weekend day", _EVERY_DAY: "day"}
    kind = kinds.get(rule.weekdays)
    ordinal = _ORDINALS.get(rule.positions[0])
    one_time = len(rule.hours) * len(rule.minutes) == 1
    return f"{ordinal} {kind}" if kind and ordinal and one_time else None
