"""The times of day, the minutes of an hour and the lengths of time in a phrase."""

import re
from datetime import UTC, time, timedelta, timezone
from typing import Final, NamedTuple

from scheduler._limits import INTERVAL_LIMIT
from scheduler.phrases.reader import Reader, read_list
from scheduler.phrases.refusal import Refusal

MOST_TIMES: Final = 24
"""How many times of day, or minutes of an hour, a phrase may list."""

_HALF_DAY: Final = r"(?P<hour>\d{1,2})(?::(?P<minute>\d{2}))?(?P<half>am|pm)"
_CLOCK: Final = r"(?P<hour>\d{2}):(?P<minute>\d{2})"
_EXACT: Final = (
    r"(?P<hour>\d{2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.(?P<fraction>\d{1,6}))?)?"
    r"(?P<offset>z|[+-]\d{2}:\d{2})?"
)
_MARK: Final = r":(\d{2})"
_MARK_OR_NUMBER: Final = r":?(\d{1,2})"
_BARE_HOUR: Final = r"\d{1,2}"
_SHORT_CLOCK: Final = r"(\d):(\d{2})"
_ODD_CLOCK: Final = r"(\d{1,2})[.h](\d{2})(am|pm)?"
_DIGITS_ONLY: Final = r"(\d{2})(\d{2})"
_NUMBER: Final = r"\d{1,12}"
_AFTERNOON: Final = 12
_LAST_HOUR: Final = 23
_LAST_MINUTE: Final = 59

_UNITS: Final = {
    **dict.fromkeys(("second", "seconds", "sec", "secs"), "second"),
    **dict.fromkeys(("minute", "minutes", "min", "mins"), "minute"),
    **dict.fromkeys(("hour", "hours", "hr", "hrs"), "hour"),
    **dict.fromkeys(("day", "days"), "day"),
    **dict.fromkeys(("week", "weeks"), "week"),
}
UNIT_SECONDS: Final = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}
"""The units of a length of time, in seconds."""


class ExactTime(NamedTuple):
    """A time of day on one date, and the offset from UTC if one was written."""

    clock: time
    offset: timezone | None


def read_times(reader: Reader, *, midnight: bool) -> list[time]:
    """Read `at`, and the times of day after it; `midnight` says whether that word is clear."""
    _expect_at(reader)
    times = read_list(reader, lambda words: read_time(words, midnight=midnight))
    _refuse_repeats([f"{each:%H:%M}" for each in times])
    return times


def _expect_at(reader: Reader) -> None:
    if reader.done:
        said = " ".join(reader.words)
        raise Refusal("it does not say at what time", [f"{said} at 9am"])
    reader.expect("at")


def read_time(reader: Reader, *, midnight: bool) -> time | None:
    """Read a time of day: `9am`, `9:30pm`, `21:30`, `noon`, `midnight`."""
    if reader.accept("noon"):
        return time(12)
    if reader.accept("midnight"):
        return _midnight(reader, clear=midnight)
    if found := reader.match(_HALF_DAY):
        return _of_half_day(reader, found)
    if found := reader.match(_CLOCK):
        return _of_clock(reader, found)
    _refuse_time(reader)
    return None


def _midnight(reader: Reader, *, clear: bool) -> time:
    if not clear:
        raise Refusal("midnight may be the beginning or the end of the day", reader.with_last("00:00"))
    return time(0)


def _of_half_day(reader: Reader, found: re.Match[str]) -> time:
    hour, minute, half = int(found["hour"]), int(found["minute"] or 0), found["half"]
    if minute > _LAST_MINUTE:
        raise Refusal(f"{found[0]!r} has no such minute", reader.with_last(f"{hour}:59{half}", f"{hour}{half}"))
    if _AFTERNOON < hour <= _LAST_HOUR:
        raise Refusal(f"{found[0]!r} mixes the 24-hour clock with am or pm", reader.with_last(f"{hour}:{minute:02}"))
    if not 1 <= hour <= _AFTERNOON:
        hints = [f"00:{minute:02}"] if hour == 0 else ["9am", "9pm"]
        raise Refusal(f"{found[0]!r} is no time of day", reader.with_last(*hints))
    if hour == _AFTERNOON and minute == 0:
        order = ("noon", "00:00") if half == "pm" else ("00:00", "noon")
        raise Refusal(f"{found[0]!r} is noon to some and midnight to others", reader.with_last(*order))
    return time(hour % _AFTERNOON + (_AFTERNOON if half == "pm" else 0), minute)


def _of_clock(reader: Reader, found: re.Match[str]) -> time:
    hour, minute = int(found["hour"]), int(found["minute"])
    if (hour, minute) == (_LAST_HOUR + 1, 0):
        raise Refusal("24:00 is the beginning of the next day", reader.with_last("00:00", "23:59"))
    if hour > _LAST_HOUR or minute > _LAST_MINUTE:
        hint = f"{min(hour, _LAST_HOUR):02}:{min(minute, _LAST_MINUTE):02}"
        raise Refusal(f"{found[0]!r} is no time of day", reader.with_last(hint))
    return time(hour, minute)


def _refuse_time(reader: Reader) -> None:
    if found := reader.match(_BARE_HOUR):
        raise Refusal(f"{found[0]!r} may be morning or evening", reader.with_last(*_times_of_hour(int(found[0]))))
    if found := reader.match(_SHORT_CLOCK):
        hints = (f"{found[0]}am", f"{found[0]}pm", f"0{found[0]}")
        raise Refusal(f"{found[0]!r} may be morning or evening", reader.with_last(*hints))
    if found := reader.match(_ODD_CLOCK):
        hint = f"{found[1]}:{found[2]}{found[3] or ''}"
        raise Refusal(f"{found[0]!r} is no time of day: a colon stands before minutes", reader.with_last(hint))
    if found := reader.match(_DIGITS_ONLY):
        hint = f"{found[1]}:{found[2]}"
        raise Refusal(f"{found[0]!r} is no time of day: a colon stands before minutes", reader.with_last(hint))


def _times_of_hour(hour: int) -> list[str]:
    if hour == _AFTERNOON:
        return ["noon", "00:00"]
    return [f"{hour}am", f"{hour}pm"] if 1 <= hour < _AFTERNOON else [f"{min(hour, _LAST_HOUR):02}:00"]


def read_exact_time(reader: Reader) -> ExactTime:
    """Read a time of day on one date: as `read_time`, or with seconds, or with an offset from UTC or `Z`."""
    if (found := re.fullmatch(_EXACT, reader.next)) and (found["second"] or found["offset"]):
        reader.position += 1
        return _of_exact(reader, found)
    clock = read_time(reader, midnight=False)
    if clock is None:
        raise reader.unreadable()
    return ExactTime(clock, None)


def _of_exact(reader: Reader, found: re.Match[str]) -> ExactTime:
    clock = _of_clock(reader, found)
    second, fraction = int(found["second"] or 0), found["fraction"] or ""
    if second > _LAST_MINUTE:
        raise Refusal(f"{found[0]!r} is no time of day", reader.with_last(f"{clock:%H:%M}:59"))
    offset = _offset(reader, found["offset"]) if found["offset"] else None
    return ExactTime(clock.replace(second=second, microsecond=int(fraction.ljust(6, "0"))), offset)


def _offset(reader: Reader, text: str) -> timezone:
    if text == "z":
        return UTC
    hours, minutes = int(text[1:3]), int(text[4:])
    if hours > _LAST_HOUR or minutes > _LAST_MINUTE:
        without = reader.words[reader.position - 1].removesuffix(text)
        raise Refusal(f"{text!r} is no offset from UTC", reader.with_last(without))
    size = timedelta(hours=hours, minutes=minutes)
    return timezone(-size if text[0] == "-" else size) if size else UTC


def read_marks(reader: Reader) -> list[int]:
    """Read the minutes of an hour after `at`, if there are any: `at :15 and :45`; without, the full hour."""
    if not reader.accept("at"):
        return [0]
    marks = read_list(reader, _read_mark)
    _refuse_repeats([f":{mark:02}" for mark in marks])
    return marks


def _read_mark(reader: Reader) -> int | None:
    if found := reader.match(_MARK_OR_NUMBER):
        if not re.fullmatch(_MARK, found[0]) or int(found[1]) > _LAST_MINUTE:
            hint = f":{min(int(found[1]), _LAST_MINUTE):02}"
            raise Refusal(f"{found[0]!r} is no minute of an hour, which is written :00 to :59", reader.with_last(hint))
        return int(found[1])
    return None


def _refuse_repeats(items: list[str]) -> None:
    if repeated := next((item for item in items if items.count(item) > 1), None):
        raise Refusal(f"{repeated} is there twice")
    if len(items) > MOST_TIMES:
        raise Refusal(f"it lists {len(items)} times; at most {MOST_TIMES} are read")


def read_length(reader: Reader) -> dict[str, int]:
    """Read a length of time, as numbers of its units: `90 minutes`, `1 hour 30 minutes`, `an hour`.

    Raises `Refusal` if a number is 0, if a unit stands twice or after a smaller one, or beyond a hundred years.
    """
    length: dict[str, int] = {}
    while not length or reader.accept("and") or re.fullmatch(_NUMBER, reader.next):
        number, unit = _read_amount(reader)
        if number == 0:
            raise Refusal(f"0 {unit}s is no length of time", reader.with_last(f"1 {unit}", count=2))
        if length and UNIT_SECONDS[unit] >= min(UNIT_SECONDS[earlier] for earlier in length):
            raise Refusal(f"{unit}s do not stand after {list(length)[-1]}s: larger units come first, each once")
        length[unit] = number
    if seconds_of(length) > INTERVAL_LIMIT:
        raise Refusal("it is longer than a hundred years")
    return length


def _read_amount(reader: Reader) -> tuple[int, str]:
    if found := reader.match(_NUMBER):
        number = int(found[0])
    elif reader.accept("a") or reader.accept("an"):
        number = 1
    else:
        raise reader.unreadable()
    unit = reader.look_up(_UNITS)
    if unit is None:
        raise reader.unreadable()
    return number, unit


def seconds_of(length: dict[str, int]) -> int:
    """Return a length of time in seconds."""
    return sum(number * UNIT_SECONDS[unit] for unit, number in length.items())
