"""The times of day in a phrase, and the parts of the day that say which half of it is meant."""

import re
from collections.abc import Sequence
from datetime import UTC, time, timedelta, timezone
from typing import Final, NamedTuple

from scheduler._limits import INTERVAL_LIMIT
from scheduler.phrases.reader import Reader, read_list
from scheduler.phrases.refusal import Refusal
from scheduler.phrases.spelling import UNIT_NAMES

MOST_TIMES: Final = 24
"""How many times of day, or minutes of an hour, a phrase may list."""

_HALF_DAY: Final = r"(?P<hour>\d{1,2})(?:[:.](?P<minute>\d{2}))?(?P<half>am|pm)"
_CLOCK: Final = r"(?P<hour>\d{2})[:.h](?P<minute>\d{2})"
_SHORT_CLOCK: Final = r"(?P<hour>\d)[:.](?P<minute>\d{2})"
_EXACT: Final = (
    r"(?P<hour>\d{2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.(?P<fraction>\d{1,6}))?)?"
    r"(?P<offset>z|[+-]\d{2}:\d{2})?"
)
_BARE_HOUR: Final = r"\d{1,2}"
_DIGITS_ONLY: Final = r"(?P<hour>\d{2})(?P<minute>\d{2})"
_MARK: Final = r":(\d{2})"
_MARK_OR_NUMBER: Final = r":?(\d{1,2})"
_NUMBER: Final = r"\d{1,12}"
_NOON: Final = 12
_LAST_HOUR: Final = 23
_LAST_MINUTE: Final = 59
_END_OF_NIGHT: Final = 6
_MINUTES_AROUND: Final = {"half": 30, "quarter": 15}

PARTS: Final = ("morning", "afternoon", "evening", "night")
"""The parts of a day, which agree with some of its times."""

# The hours that agree with a part; the hours on a clock of twelve that can mean one time only in it.
_AGREES: Final = {
    "morning": range(12),
    "afternoon": range(12, 19),
    "evening": range(17, 24),
    "night": (*range(6), *range(18, 24)),
}
_HOURS_OF: Final = {
    "morning": {hour: hour for hour in range(1, 12)},
    "afternoon": {12: 12, **{hour: hour + 12 for hour in range(1, 7)}},
    "evening": {hour: hour + 12 for hour in range(5, 12)},
    "night": {12: 0, **{hour: hour for hour in range(1, 5)}, **{hour: hour + 12 for hour in range(7, 12)}},
}
_DEFAULTS: Final = {"morning": "9am", "afternoon": "3pm", "evening": "8pm", "night": "11pm"}


UNIT_SECONDS: Final = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}
"""The units of a length of time, in seconds."""


class ExactTime(NamedTuple):
    """A time of day on one date, and the offset from UTC if one was written."""

    clock: time
    offset: timezone | None


class Spoken(NamedTuple):
    """A time of day as it was said: whether it may lie in either half of the day, and which words say it."""

    clock: time
    is_open: bool = False
    """Whether it may be morning or evening: `8`, `8:30`, `8 o'clock`."""
    is_midnight: bool = False
    """Whether the word is `midnight`, which may be the beginning or the end of a day."""
    part: str = ""
    """The part of the day that stands beside it: `8 in the evening`."""
    start: int = 0
    end: int = 0
    part_end: int = 0
    """Where the words of the time begin and end, and where those of its part of the day end."""


def read_times(reader: Reader, *, midnight: bool) -> list[time]:
    """Read `at`, and the times of day after it; `midnight` says whether that word is clear."""
    _expect_at(reader)
    return settled(reader, _read_spoken(reader), midnight=midnight)


def _expect_at(reader: Reader) -> None:
    if reader.done:
        said = " ".join(reader.words)
        raise Refusal("it does not say at what time", [f"{said} at 9am"])
    reader.expect("at")


def _read_spoken(reader: Reader) -> list[Spoken]:
    times = read_list(reader, _read_listed)
    part = ""
    for index in range(len(times) - 1, -1, -1):  # `at 9 and 11 in the morning`: of both
        part = times[index].part or part
        if times[index].is_open and not times[index].part:
            times[index] = times[index]._replace(part=part)
    if len(times) > MOST_TIMES:
        raise Refusal(f"it lists {len(times)} times; at most {MOST_TIMES} are read")
    return times


def _read_listed(reader: Reader) -> Spoken | None:
    start = reader.position
    reader.accept("at")
    spoken = _read_time(reader)
    if spoken is None:
        reader.position = start
    return spoken


def read_time(reader: Reader, *, midnight: bool) -> time | None:
    """Read one time of day, or nothing."""
    spoken = _read_time(reader)
    return None if spoken is None else settled(reader, [spoken], midnight=midnight)[0]


def _read_time(reader: Reader) -> Spoken | None:
    """Read a time of day: `9am`, `9:30pm`, `21:30`, `noon`, `half past 9pm`, `8 o'clock in the evening`."""
    start = reader.position
    spoken = _read_around_hour(reader) or _read_hour(reader)
    if spoken is None:
        reader.position = start
        return None
    end = reader.position
    part = _read_part_beside(reader)
    return spoken._replace(part=part, start=start, end=end, part_end=reader.position)


def _read_part_beside(reader: Reader) -> str:
    if reader.accept("at", "night"):
        return "night"
    if reader.next == "in" and reader.ahead() == "the" and reader.ahead(2) in PARTS:
        reader.position += 3
        return reader.words[reader.position - 1]
    return ""


def _read_around_hour(reader: Reader) -> Spoken | None:
    """Read `half past 9am`, `quarter to 5pm`, `ten past 8`."""
    start = reader.position
    reader.accept("a")
    word = reader.next
    minutes = _MINUTES_AROUND.get(word) or (int(word) if re.fullmatch(_BARE_HOUR, word) else None)
    if minutes is None or not 0 < minutes <= _LAST_MINUTE:
        reader.position = start
        return None
    reader.position += 1
    # Without `minutes`, `9 to 11` may be two hours and what lies between them.
    may_be_before = reader.accept_any("minutes", "minute") or word == "quarter"
    direction = reader.accept_any("past", "after") or (may_be_before and reader.accept_any("to", "before"))
    hour = _read_hour(reader) if direction else None
    if hour is None or hour.clock.minute:
        reader.position = start
        return None
    shift = minutes if direction in ("past", "after") else -minutes
    total = (hour.clock.hour * 60 + shift) % 1_440
    if hour.is_open:
        total = (total - 60) % 720 + 60  # on a clock of twelve hours: 1:00 to 12:59
    return Spoken(time(*divmod(total, 60)), hour.is_open)


def _read_hour(reader: Reader) -> Spoken | None:
    if reader.accept("noon"):
        return Spoken(time(12))
    if reader.accept("midnight"):
        return Spoken(time(0), is_midnight=True)
    if found := reader.match(_HALF_DAY):
        return _of_half_day(reader, found[0], int(found["hour"]), int(found["minute"] or 0), found["half"])
    if found := reader.match(_CLOCK):
        return _of_clock(reader, found)
    return _read_other_hour(reader)


def _read_other_hour(reader: Reader) -> Spoken | None:
    """Read what may lie in either half of the day, and four digits."""
    if found := reader.match(_SHORT_CLOCK):
        return _with_half(reader, int(found["hour"]), int(found["minute"]))
    if found := reader.match(_DIGITS_ONLY):
        reader.accept("hours")
        return _of_clock(reader, found)
    found = reader.match(_BARE_HOUR)
    return None if found is None else _of_hour(reader, int(found[0]))


def _of_hour(reader: Reader, hour: int) -> Spoken | None:
    """Read what may follow an hour: its minutes, `am`, `o'clock`, `noon`."""
    if re.fullmatch(r"[0-5]\d", reader.next) and reader.ahead() in ("am", "pm"):
        minute = int(reader.next)
        reader.position += 1
        return _with_half(reader, hour, minute)
    if hour == _NOON and (word := reader.accept_any("noon", "midnight")):
        return Spoken(time(12)) if word == "noon" else Spoken(time(0), is_midnight=True)
    if hour > _NOON:
        reader.accept("h")
    reader.accept("o'clock")
    return _with_half(reader, hour, 0)


def _with_half(reader: Reader, hour: int, minute: int) -> Spoken | None:
    half = reader.accept_any("am", "pm")
    if half:
        return _of_half_day(reader, f"{hour}:{minute:02}{half}", hour, minute, half)
    if _NOON < hour <= _LAST_HOUR and minute <= _LAST_MINUTE:
        return Spoken(time(hour, minute))
    if not 1 <= hour <= _NOON or minute > _LAST_MINUTE:
        shown = f"{hour}:{minute:02}" if minute else str(hour)
        hint = f"{min(hour, _LAST_HOUR):02}:{min(minute, _LAST_MINUTE):02}"
        raise Refusal(f"{shown!r} is no time of day", reader.with_last(hint))
    return Spoken(time(hour, minute), is_open=True)


def _of_half_day(reader: Reader, shown: str, hour: int, minute: int, half: str) -> Spoken:
    if minute > _LAST_MINUTE:
        raise Refusal(f"{shown!r} has no such minute", reader.with_last(f"{hour}:59{half}", f"{hour}{half}"))
    if _NOON < hour <= _LAST_HOUR:
        raise Refusal(f"{shown!r} mixes the 24-hour clock with am or pm", reader.with_last(f"{hour}:{minute:02}"))
    if not 1 <= hour <= _NOON:
        hints = [f"00:{minute:02}"] if hour == 0 else ["9am", "9pm"]
        raise Refusal(f"{shown!r} is no time of day", reader.with_last(*hints))
    return Spoken(time(hour % _NOON + (_NOON if half == "pm" else 0), minute))


def _of_clock(reader: Reader, found: re.Match[str]) -> Spoken:
    hour, minute = int(found["hour"]), int(found["minute"])
    if (hour, minute) == (_LAST_HOUR + 1, 0):
        raise Refusal("24:00 is the beginning of the next day", reader.with_last("00:00", "23:59"))
    if hour > _LAST_HOUR or minute > _LAST_MINUTE:
        hint = f"{min(hour, _LAST_HOUR):02}:{min(minute, _LAST_MINUTE):02}"
        raise Refusal(f"{found[0]!r} is no time of day", reader.with_last(hint))
    if half := reader.accept_any("am", "pm"):
        return _of_half_day(reader, f"{found[0]} {half}", hour, minute, half)
    return Spoken(time(hour, minute))


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
    clock = _of_clock(reader, found).clock
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


def one_time_each(reader: Reader, times: Sequence[time]) -> list[str]:
    """Return the phrase with each of its first two times alone, to offer."""
    days = " ".join(reader.words).partition(" at ")[0]
    return [f"{days} at {each:%H:%M}" for each in times[:2]]


# --- Which half of the day ---


def settled(reader: Reader, times: list[Spoken], *, midnight: bool) -> list[time]:
    """Return the times as times of day, in the part of the day that the phrase names; `midnight`: that word is clear.

    Raises `Refusal` for a time that may be morning or evening, that the part contradicts, or that is there twice.
    """
    clocks = [_settle(reader, spoken, midnight=midnight) for spoken in times]
    for spoken, clock in zip(times, clocks, strict=True):
        _refuse_contradiction(reader, spoken, clock, midnight=midnight)
    shown = [f"{clock:%H:%M:%S.%f}" for clock in clocks]
    if repeated := next((index for index, text in enumerate(shown) if text in shown[:index]), None):
        spoken = times[repeated]
        raise Refusal(f"{clocks[repeated]:%H:%M} is there twice", reader.replaced(spoken.start - 1, spoken.end, ""))
    return clocks


def _settle(reader: Reader, spoken: Spoken, *, midnight: bool) -> time:
    if spoken.is_midnight and not midnight:
        raise Refusal(
            "midnight may be the beginning or the end of the day", reader.replaced(spoken.start, spoken.end, "00:00")
        )
    if not spoken.is_open:
        return spoken.clock
    hour = _HOURS_OF.get(spoken.part, {}).get(spoken.clock.hour)
    if hour is None:
        _refuse_open(reader, spoken)
    return spoken.clock.replace(hour=hour or 0)


def _refuse_open(reader: Reader, spoken: Spoken) -> None:
    hour, minute = spoken.clock.hour, spoken.clock.minute
    said = " ".join(reader.words[spoken.start : spoken.end]).removesuffix(" o'clock")
    short = f"{hour}:{minute:02}" if minute else f"{hour}"
    hints = [f"{short}am", f"{short}pm"]
    if hour == _NOON and not minute:
        hints = ["noon", "00:00"]
    elif minute and said == short:
        hints.append(f"0{short}")
    reason = f"{said!r} may be morning or evening"
    if spoken.part:
        reason = f"{said!r} is not clear for the {spoken.part}"
    raise Refusal(reason, reader.replaced(spoken.start, spoken.part_end, *hints))


def _refuse_contradiction(reader: Reader, spoken: Spoken, clock: time, *, midnight: bool) -> None:
    """Refuse a time that its part of the day contradicts, and the hours after midnight of one day's night."""
    if not spoken.part:
        return
    said = " ".join(reader.words[spoken.start : spoken.end])
    if clock.hour not in _AGREES[spoken.part]:
        hints = reader.replaced(spoken.start, spoken.part_end, said, _DEFAULTS[spoken.part])
        raise Refusal(f"{said!r} is not in the {spoken.part}", hints)
    if spoken.part == "night" and clock.hour < _END_OF_NIGHT and not midnight:
        hints = reader.replaced(spoken.start, spoken.part_end, said, _DEFAULTS["night"])
        raise Refusal(f"{said!r} may be in the night before or after that day", hints)


# --- Minutes of an hour, and lengths of time ---


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
    unit = reader.look_up(UNIT_NAMES)
    if unit is None:
        raise reader.unreadable()
    return number, unit


def seconds_of(length: dict[str, int]) -> int:
    """Return a length of time in seconds."""
    return sum(number * UNIT_SECONDS[unit] for unit, number in length.items())
