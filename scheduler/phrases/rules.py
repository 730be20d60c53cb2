"""What cron cannot say: every other Monday, the last weekday of every month -> the recurrence rule that says it."""

from datetime import time
from typing import Final, NamedTuple

from scheduler.phrases.calendar_days import MONTH_NUMBERS, PLURAL, SINGULAR, read_months, read_weekdays
from scheduler.phrases.reader import Reader
from scheduler.phrases.refusal import Refusal

_NAMES: Final = ("SU", "MO", "TU", "WE", "TH", "FR", "SA")
_MONDAY_FIRST: Final = (1, 2, 3, 4, 5, 6, 0)
_ORDINALS: Final = {"1st": 1, "second": 2, "2nd": 2, "3rd": 3, "4th": 4, "5th": 5, "last": -1}
_PERIODS: Final = {"day": "DAILY", "days": "DAILY", "week": "WEEKLY", "weeks": "WEEKLY"}
_NUMBER: Final = r"[1-9]\d{0,3}"
_FIFTH: Final = 5


class RuleDays(NamedTuple):
    """The days of a recurrence rule, without its times."""

    parts: str
    """The parts of the rule that say its days."""
    picks_one: bool = False
    """Whether it picks one of the times of a month, so that it can have one time of day only."""

    def at(self, times: list[time]) -> str:
        """Return the rule at these times of day: each hour with each minute."""
        hours = ",".join(str(hour) for hour in sorted({each.hour for each in times}))
        minutes = ",".join(str(minute) for minute in sorted({each.minute for each in times}))
        return f"{self.parts};BYHOUR={hours};BYMINUTE={minutes}"


def read_rule_days(reader: Reader) -> RuleDays | None:
    """Read `every other Monday`, `every 3 days` or `on the last weekday of every month`; None if others come next."""
    start = reader.position
    days = _read_stepped(reader) if reader.accept("every") else _read_of_month(reader)
    if days is None:
        reader.position = start
    return days


def _read_stepped(reader: Reader) -> RuleDays | None:
    """Read what leaves out days or weeks, from after `every`."""
    is_other = bool(reader.accept_any("other", "alternate"))
    if is_other and reader.next in SINGULAR:
        return _read_other_weekday(reader)
    number = 2 if is_other else _read_number(reader)
    period = reader.look_up(_PERIODS)
    if number is None or number == 1 or period is None:
        return None
    if period == "DAILY":
        return RuleDays(f"FREQ=DAILY;INTERVAL={number}") if reader.next == "at" else None
    if not reader.accept("on"):
        _refuse_without_day(reader, number)
    weekdays = read_weekdays(reader, SINGULAR | PLURAL)
    return RuleDays(f"FREQ=WEEKLY;INTERVAL={number};BYDAY={_listed(weekdays.weekdays)}")


def _refuse_without_day(reader: Reader, number: int) -> None:
    before, after = reader.words[: reader.position], reader.words[reader.position :]
    raise Refusal(
        "it does not say on which day", [" ".join([*before, "on monday", *after]), f"every {number * 168} hours"]
    )


def _read_number(reader: Reader) -> int | None:
    if reader.next in ("second", "2nd") and reader.ahead() in ("day", "week"):
        reader.position += 1
        return 2
    found = reader.match(_NUMBER)
    return None if found is None else int(found[0])


def _read_other_weekday(reader: Reader) -> RuleDays:
    start = reader.position
    weekdays = read_weekdays(reader, SINGULAR).weekdays
    names = reader.words[start : reader.position]
    if len(weekdays) > 1 and names != ["weekend"]:
        days = "weekdays" if names == ["weekday"] else " ".join(names)
        hint = reader.replaced(start, reader.position, f"week on {days}")
        raise Refusal("it may leave out weeks, or every other of these days", hint)
    return RuleDays(f"FREQ=WEEKLY;INTERVAL=2;BYDAY={_listed(weekdays)}")


def _listed(weekdays: frozenset[int]) -> str:
    return ",".join(_NAMES[day] for day in _MONDAY_FIRST if day in weekdays)


def _read_of_month(reader: Reader) -> RuleDays | None:
    """Read `on the first Monday of every month`, or of some months."""
    reader.accept("on")
    reader.accept("the")
    start = reader.position
    numbers = _read_ordinals(reader)
    kind = reader.next
    has_one_meaning = numbers == [-1] if kind == "day" else kind in SINGULAR and kind != "weekend"
    if not numbers or not has_one_meaning:
        return None
    if len(numbers) > 1 and len(SINGULAR[kind]) > 1:
        hints = [
            phrase
            for name in reader.words[start : reader.position : 2]
            for phrase in reader.replaced(start, reader.position, name)
        ]
        raise Refusal("no one rule picks several of these days: make a task of each", hints)
    reader.position += 1
    if not reader.accept("of", "every"):
        return None
    months: frozenset[int] = frozenset()
    if not reader.accept("month"):
        if reader.next not in MONTH_NUMBERS:
            return None
        months = read_months(reader)
    if len(set(numbers)) < len(numbers):
        raise Refusal(f"a {kind} is there twice")
    if _FIFTH in numbers:
        hint = [" ".join("last" if word == "5th" else word for word in reader.words)]
        raise Refusal(f"not every month has a fifth {kind}", hint)
    return _of_month(sorted(numbers, key=lambda number: (number < 0, number)), kind, months)


def _read_ordinals(reader: Reader) -> list[int]:
    """Read `first`, `2nd and 4th`; none if other words come next."""
    numbers: list[int] = []
    while (number := reader.look_up(_ORDINALS)) is not None:
        numbers.append(number)
        before = reader.position
        reader.accept(",")
        reader.accept("and")
        reader.accept("the")
        if reader.next not in _ORDINALS:
            reader.position = before
            break
    return numbers


def _of_month(numbers: list[int], kind: str, months: frozenset[int]) -> RuleDays:
    bounded = ",".join(map(str, sorted(months)))
    head = f"FREQ=MONTHLY;BYMONTH={bounded}" if months else "FREQ=MONTHLY"
    if kind == "day":
        return RuleDays(f"{head};BYMONTHDAY={numbers[0]}")
    weekdays = SINGULAR[kind]
    if len(weekdays) == 1:
        return RuleDays(f"{head};BYDAY={','.join(f'{number}{_NAMES[weekdays[0]]}' for number in numbers)}")
    return RuleDays(f"{head};BYDAY={_listed(frozenset(weekdays))};BYSETPOS={numbers[0]}", picks_one=True)
