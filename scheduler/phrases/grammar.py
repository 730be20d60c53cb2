"""Whole phrases -> the schedule fields of a task."""

from datetime import time
from typing import Any, Final

from scheduler.models import TaskType
from scheduler.phrases.calendar_days import (
    MONTH_NUMBERS,
    PLURAL,
    SINGULAR,
    read_date,
    read_days_of_months,
    read_months,
    read_months_in,
    read_ordinals,
    read_weekdays,
    refuse_missing_days,
)
from scheduler.phrases.clock_times import (
    UNIT_SECONDS,
    one_time_each,
    read_length,
    read_marks,
    read_time,
    read_times,
    seconds_of,
)
from scheduler.phrases.cron import HOURS, MINUTES, MONTHS, Days, compact, even_step
from scheduler.phrases.moments import Present
from scheduler.phrases.once import read_once
from scheduler.phrases.reader import Reader
from scheduler.phrases.refusal import Refusal
from scheduler.phrases.rules import RuleDays, read_rule_days

_ADVERBS: Final = {
    "hourly": "every hour",
    "daily": "every day",
    "weekly": "every week",
    "monthly": "every month",
    "yearly": "every year",
}
_CLOCK_UNITS: Final = frozenset({"minute", "hour"})
_SIZES: Final = {"minute": len(MINUTES), "hour": len(HOURS)}
_FEWEST_HOURS: Final = 3
_DAY_MINUTES: Final = 1_440
_LAST_HOUR: Final = 23
_HOUR_MINUTES: Final = 60
_LAST_MINUTE: Final = 59


def read_phrase(phrase: str, present: Present) -> dict[str, Any]:
    """Return the schedule fields that a normalised phrase means; raise `Refusal` if it has no one meaning."""
    first, _, rest = phrase.partition(" ")
    reader = Reader(f"{_ADVERBS.get(first, first)} {rest}")
    fields = _read(reader, present)
    if not reader.done:
        raise reader.unreadable()
    return fields


def _read(reader: Reader, present: Present) -> dict[str, Any]:
    rule_days = read_rule_days(reader)
    if rule_days is not None:
        return _at_times_of_rule(reader, present, rule_days)
    if reader.accept("every"):
        return _read_every(reader, present)
    return _read_days_or_once(reader, present)


def _read_days_or_once(reader: Reader, present: Present) -> dict[str, Any]:
    """Read days that come again without `every`, or one instant."""
    start = reader.position
    if reader.next in PLURAL or (reader.accept("on") and (reader.next in PLURAL or "every" in reader.words)):
        days = _read_days_on(reader)
        if days is not None:
            return _at_times(reader, present, days)
    reader.position = start
    return read_once(reader, present)


def _read_days_on(reader: Reader) -> Days | None:
    """Read `Mondays and Thursdays` or `the 1st of every month`, from after `on`."""
    if reader.next in PLURAL:
        return read_months_in(reader, read_weekdays(reader, PLURAL))
    if reader.next == "the" and "every" in reader.words:
        return read_days_of_months(reader)
    return None


# --- Again and again ---


def _read_every(reader: Reader, present: Present) -> dict[str, Any]:
    days = _read_period(reader)
    return _read_step(reader, present) if days is None else _at_times(reader, present, days)


def _read_period(reader: Reader) -> Days | None:
    """Read which days come again, from after `every`; None: no days, but a step of the clock or an interval."""
    if reader.accept("day"):
        return read_months_in(reader, Days())
    if reader.accept("week"):
        _expect_on(reader, "Monday")
        return read_months_in(reader, read_weekdays(reader, SINGULAR | PLURAL))
    if reader.next in SINGULAR:
        return read_months_in(reader, read_weekdays(reader, SINGULAR))
    if reader.accept("year"):
        _expect_on(reader, "1 January")
        return _read_day_of_year(reader)
    if reader.accept("month"):
        return _read_days_in_months(reader, MONTHS)
    return _read_days_in_months(reader, read_months(reader)) if reader.next in MONTH_NUMBERS else None


def _read_days_in_months(reader: Reader, months: frozenset[int]) -> Days:
    if reader.next[:1].isdecimal():
        rest = " ".join(reader.words[1:])
        raise Refusal("the day of one month stands after 'every year on'", [f"every year on {rest}"])
    _expect_on(reader, "the 1st")
    return Days(read_ordinals(reader), months)


def _expect_on(reader: Reader, example: str) -> None:
    if not reader.accept("on"):
        before, after = reader.words[: reader.position], reader.words[reader.position :]
        raise Refusal("it does not say on which day", [" ".join([*before, "on", example.lower(), *after])])


def _read_day_of_year(reader: Reader) -> Days:
    day = read_date(reader)
    if day is None or day.year is not None:
        raise reader.unreadable()
    return Days(frozenset({day.day}), frozenset({day.month}))


def _at_times(reader: Reader, present: Present, days: Days) -> dict[str, Any]:
    """Read the times of day, and return the crontab expression that is due then."""
    refuse_missing_days(reader, days)
    times = read_times(reader, midnight=days == Days())
    hours, minutes = {each.hour for each in times}, {each.minute for each in times}
    if len(times) != len(hours) * len(minutes):
        raise Refusal("no one cron expression has just these times: make a task of each", one_time_each(reader, times))
    return _cron(present, f"{compact(minutes)} {compact(hours)} {days.fields}")


def _at_times_of_rule(reader: Reader, present: Present, days: RuleDays) -> dict[str, Any]:
    """Read the times of day, and return the recurrence rule that is due then."""
    times = read_times(reader, midnight=False)
    rule = days.at(times)
    if len(times) != len({each.hour for each in times}) * len({each.minute for each in times}) or (
        days.picks_one and len(times) > 1
    ):
        raise Refusal("no one rule has just these times: make a task of each", one_time_each(reader, times))
    fields = {"task_type": TaskType.RRULE, "rrule": rule}
    return fields if present.zone is None else fields | {"timezone": present.zone.key}


def _cron(present: Present, expression: str) -> dict[str, Any]:
    fields = {"task_type": TaskType.CRON, "cron_expression": expression}
    return fields if present.zone is None else fields | {"timezone": present.zone.key}


def _read_step(reader: Reader, present: Present) -> dict[str, Any]:
    """Read a step of the clock, such as `2 hours at :30 on weekdays`, or an interval."""
    if reader.accept("hour", "from"):
        return _read_hours(reader, present)
    if "between" in reader.words or "from" in reader.words:
        return _read_window(reader, present)
    single = next((unit for unit in UNIT_SECONDS if reader.accept(unit)), None)
    length = read_length(reader) if single is None else {single: 1}
    if not is_clock_step(length):
        return _interval(reader, length)
    ((unit, number),) = length.items()
    head = f"{_step(number)} *" if unit == "minute" else _hour_step(read_marks(reader), number)
    return _cron(present, f"{head} {_read_tail(reader).fields}")


def is_clock_step(length: dict[str, int]) -> bool:
    """Tell whether a length divides the hour or the day evenly, so that a clock can show its steps."""
    if len(length) != 1:
        return False
    ((unit, number),) = length.items()
    return unit in _CLOCK_UNITS and number < _SIZES[unit] and _SIZES[unit] % number == 0


def _hour_step(marks: list[int], number: int) -> str:
    """Return the first two fields; half past and the full hour of every hour are every 30 minutes."""
    step = even_step(marks, MINUTES) if number == 1 else None
    return f"{compact(marks) if step is None else _step(step)} {_step(number)}"


def _step(number: int) -> str:
    return "*" if number == 1 else f"*/{number}"


def _read_hours(reader: Reader, present: Present) -> dict[str, Any]:
    """Read `9am to 5pm`, both included, and the days after it; or `10pm to 6am`, over midnight."""
    start = reader.position
    first = read_time(reader, midnight=False)
    reader.expect("to")
    last = read_time(reader, midnight=False)
    if first is None or last is None:
        raise reader.unreadable()
    end = reader.position
    days = _read_tail(reader)
    if last < first and days != Days():
        before = f"{_LAST_HOUR:02}:{first.minute:02}"
        parts = [f"from {first:%H:%M} to {before}", f"from 00:{first.minute:02} to {last:%H:%M}"]
        raise _over_midnight(reader, start - 1, end, parts)
    return _cron(present, f"{_hours(reader, first, last, reader.words[end : reader.position])} {days.fields}")


def _read_window(reader: Reader, present: Present) -> dict[str, Any]:
    """Read `15 minutes between 9am and 5pm on weekdays`: without the end; or `from 09:00 to 16:59`, up to it.

    A window without days may reach over midnight.
    """
    single = next((unit for unit in _CLOCK_UNITS if reader.accept(unit)), None)
    length = read_length(reader) if single is None else {single: 1}
    start = reader.position
    is_open = reader.accept("between")
    if not is_open:
        reader.expect("from")
    first = read_time(reader, midnight=is_open)
    reader.expect("and" if is_open else "to")
    last_words = reader.position
    last = read_time(reader, midnight=is_open)
    if first is None or last is None:
        raise reader.unreadable()
    end = reader.position
    days = _read_tail(reader)
    begin, stop = first.hour * 60 + first.minute, last.hour * 60 + last.minute
    if is_open:
        stop = stop or _DAY_MINUTES
    elif last.minute == _LAST_MINUTE:
        stop += 1
    else:
        hint = reader.replaced(start, end, f"between {first:%H:%M} and {last:%H:%M}")
        raise Refusal("whether the last of them is included is not clear", hint)
    step = seconds_of(length) // UNIT_SECONDS["minute"]
    if not is_clock_step(length) or (step != _HOUR_MINUTES and begin % step):
        whole = " ".join(["every hour", *reader.words[start:]])
        raise Refusal(f"no cron expression has steps of {_spoken(length)} in these hours", [whole])
    if stop == begin:
        hint = reader.replaced(last_words, last_words + 1, "midnight")
        raise Refusal("it begins and ends at the same time", hint)
    if stop < begin:
        if days != Days():
            parts = [f"between {first:%H:%M} and midnight", f"between midnight and {stop // 60:02}:{stop % 60:02}"]
            raise _over_midnight(reader, start, end, parts)
        stop += _DAY_MINUTES
    return _cron(present, f"{_window(reader, begin, stop, step, (start, end))} {days.fields}")


def _window(reader: Reader, begin: int, stop: int, step: int, span: tuple[int, int]) -> str:
    """Return the fields of the steps from `begin` to before `stop`, in minutes of a day."""
    due = [minute % _DAY_MINUTES for minute in range(begin, stop, step)]
    hours = sorted({minute // _HOUR_MINUTES for minute in due})
    minutes = {minute % _HOUR_MINUTES for minute in due}
    if len(due) != len(hours) * len(minutes):
        whole = f"between {(begin + 59) // 60 % 24:02}:00 and {stop // 60 % 24:02}:00"
        raise Refusal(
            "no one cron expression has just these times: begin and end at a full hour", reader.replaced(*span, whole)
        )
    if len(due) <= 1:
        raise Refusal(
            "there is only one such time: give it with 'at'", [f"every day at {begin // 60:02}:{begin % 60:02}"]
        )
    even = even_step(minutes, MINUTES) if step < _HOUR_MINUTES else None
    of_day = "*" if len(hours) == len(HOURS) else compact(hours)
    return f"{compact(minutes) if even is None else _step(even)} {of_day}"


def _hours(reader: Reader, first: time, last: time, days: list[str]) -> str:
    """Return the first two fields of the hours from one time to another; `days` are the words after them."""
    if first.minute != last.minute:
        hint = " ".join(reader.words).partition(" from ")[0]
        phrase = f"{hint} from {first:%H:%M} to {last.hour:02}:{first.minute:02}"
        raise Refusal("the first and the last hour have other minutes", [phrase])
    if last == first:
        raise Refusal(f"it begins and ends at {first:%H:%M}", [f"every day at {first:%H:%M}"])
    hours = [hour % 24 for hour in range(first.hour, last.hour + (24 if last < first else 0) + 1)]
    if len(hours) < _FEWEST_HOURS:
        times = f"{first:%H:%M} and {last:%H:%M}"
        at = " ".join([*days, "at"]) if days[:1] == ["on"] else " ".join(["every", "day", *days, "at"])
        raise Refusal(f"these are two times: {times}", [f"{at} {times}"])
    return f"{first.minute} {compact(hours)}"


def _over_midnight(reader: Reader, start: int, end: int, parts: list[str]) -> Refusal:
    """Return the refusal of hours that begin on some days and end on the days after them."""
    reason = "the hours after midnight may be those of these days or of the days after: make a task of each"
    return Refusal(reason, [phrase for part in parts for phrase in reader.replaced(start, end, part)])


def _read_tail(reader: Reader) -> Days:
    """Read the days that a step of the clock is bound to: `on weekdays in June`; without, all days."""
    if not reader.accept("on"):
        return read_months_in(reader, Days())
    days = _read_days_on(reader)
    if days is None:
        _refuse_one_weekday(reader)
        raise reader.unreadable()
    refuse_missing_days(reader, days)
    return days


def _refuse_one_weekday(reader: Reader) -> None:
    """Refuse `on Friday` after a step of the clock, which `on Fridays` would bind."""
    names = [name for name, days in PLURAL.items() if days == SINGULAR.get(reader.next)]
    if names:
        hint = reader.replaced(reader.position, reader.position + 1, names[0])
        raise Refusal("it may mean once or every week", hint)


def _interval(reader: Reader, length: dict[str, int]) -> dict[str, Any]:
    calendar = [unit for unit in ("week", "day") if unit in length]
    seconds = seconds_of(length)
    if calendar:
        reason = f"an interval cannot count {calendar[0]}s: where clocks are changed a day is not always 24 hours"
        unit, number = calendar[0], length[calendar[0]]
        counted = f"every {number} {unit}s{' on monday' if unit == 'week' else ''} at 9am"
        hints = [counted] if len(length) == 1 and number > 1 else []
        at = " at 9am" if reader.done else f" {' '.join(reader.words[reader.position :])}"
        raise Refusal(reason, [_exactly(seconds), *hints, f"every {'monday' if unit == 'week' else 'day'}{at}"])
    if not reader.done and reader.next in ("at", "on", "in", "from"):
        rest = " ".join(reader.words[reader.position :])
        reason = f"no cron expression has equal steps of {_spoken(length)}, and an interval has no {rest!r}"
        raise Refusal(reason, [*(f"every {step} {rest}" for step in _even_steps(length)), _exactly(seconds)])
    return {"task_type": TaskType.INTERVAL, "interval_seconds": seconds}


def _spoken(length: dict[str, int]) -> str:
    return " ".join(f"{number} {unit}{'' if number == 1 else 's'}" for unit, number in length.items())


def _even_steps(length: dict[str, int]) -> list[str]:
    unit, number = next(iter(length.items()))
    if unit not in _CLOCK_UNITS:
        return ["minute"]
    even = [step for step in range(1, _SIZES[unit]) if _SIZES[unit] % step == 0]
    return [f"{min(even, key=lambda step: abs(step - number))} {unit}s"]


def _exactly(seconds: int) -> str:
    return f"every {interval_in_words(seconds)}"


def interval_in_words(seconds: int) -> str:
    """Return the shortest phrase that means an interval, and no step of the clock."""
    for unit in ("hour", "minute"):
        number, rest = divmod(seconds, UNIT_SECONDS[unit])
        if not rest and not is_clock_step({unit: number}):
            return f"{number} {unit}s"
    return "second" if seconds == 1 else f"{seconds} seconds"
