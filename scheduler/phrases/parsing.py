"""A schedule in words -> the schedule fields of a task, or the reason why not and the nearest phrase that works."""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import lru_cache
from itertools import islice
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

from scheduler._texts import shown
from scheduler.models import TaskType
from scheduler.phrases.arrangement import arranged
from scheduler.phrases.cron import MONTH_NAMES, WEEKDAY_NAMES
from scheduler.phrases.grammar import read_phrase
from scheduler.phrases.hints import ABBREVIATED_ZONES, EXAMPLES, explained
from scheduler.phrases.mentions import example_for, keeps_days, leaves_out
from scheduler.phrases.moments import Present
from scheduler.phrases.once import RELATIVE
from scheduler.phrases.refusal import Refusal, Unreadable
from scheduler.phrases.spelling import MAX_LENGTH, normalised
from scheduler.redaction import beginning, redact
from scheduler.timing.clock import WallClock, to_datetime
from scheduler.timing.crontab import parse_crontab
from scheduler.timing.rule_parser import parse_rule

_NAMES: Final = rf"(?i)\b(?:{'|'.join((*WEEKDAY_NAMES, *MONTH_NAMES))})s?\b"
_CRONTAB: Final = r"(?:@[A-Za-z]+$|[\d*][\d*/,-]*[ \t]+[\d*][\d*/,-]*[ \t]+[\d*?][\d*/,?-]*[ \t]+\S+[ \t]+\S)"
_RULES: Final = ("FREQ=", "RRULE:")
_LAST_CITY: Final = r" (?:in )?([a-z]{4,}|(?:new|los|san|hong|sao|mexico) [a-z]{4,})(?: time)?$"
_PLAIN_ZONE: Final = r"(?i)utc|gmt|[a-z]+/[a-z_/+-]+\d*"
_TWO_PRESENTS: Final = (datetime(2001, 1, 1, tzinfo=UTC), datetime(2002, 3, 5, 12, tzinfo=UTC))
_SHOWN: Final = 80
_MOST_PHRASES: Final = 2
_DEPTH: Final = 3


def parse_schedule(text: str, *, timezone: str | None = None, now: datetime | None = None) -> dict[str, Any]:
    """Return the schedule fields of a task that a phrase means, for `TaskDefinition(**fields, …)`.

    The phrase is one of a small, strict English grammar (docs/words.md), in any case. `timezone` is the IANA zone of
    its local times; None: the crontab expression names no zone, and instants are in UTC. The phrase may name the zone
    itself, at its end: `every Monday at 8:30am (Europe/Berlin)`. `now`, aware, is what *in 30 minutes*, *today* and
    *tomorrow* are computed from; None: the present.

    The fields are `task_type`, and `cron_expression` (with `timezone`, if one was named), `interval_seconds`, or
    `run_at`, which is aware.

    Raises `ValueError`, with the reason and the nearest phrases that work, for what is ambiguous, unknown or in the
    past, and for what a crontab expression of five fields cannot say; also for an unknown zone and a naive `now`.
    """
    if not isinstance(text, str):
        raise ValueError(f"schedule {shown(text)} is no text; write a phrase, such as {EXAMPLES[0]!r}")  # noqa: TRY004 - what it refuses is a ValueError
    present = Present(_aware(now), None if timezone is None else _zone_argument(timezone))
    try:
        return _read(text, present)
    except Refusal as refusal:
        raise ValueError(_worded(text, refusal, present)) from None


def is_relative(text: str) -> bool:
    """Tell whether a phrase depends on the present, as *in 30 minutes* and *tomorrow at 9am* do."""
    meanings = [_meaning(text, now) for now in _TWO_PRESENTS]
    if None in meanings:
        return text.lower().split(maxsplit=1)[:1] in [[word] for word in (*RELATIVE, "tonight", "this")]
    return meanings[0] != meanings[1]


def names_zone(text: str) -> bool:
    """Tell whether a phrase names a time zone at its end, or tries to: in parentheses, or as `UTC` or `EST`."""
    last = text.rstrip(" .!").rpartition(" ")[2].lower()
    return last.endswith(")") or bool(re.fullmatch(_PLAIN_ZONE, last)) or last in ABBREVIATED_ZONES


def _meaning(text: str, now: datetime) -> dict[str, Any] | None:
    """Return what a phrase means at a present, if it is understood."""
    try:
        return _read(text, Present(now, None))
    except Refusal:
        return None


def _aware(now: datetime | None) -> datetime:
    if now is None:
        return to_datetime(WallClock().now())
    if not isinstance(now, datetime):
        raise ValueError(f"now={shown(now)} is no datetime; give an aware one, such as datetime.now(UTC)")  # noqa: TRY004 - what it refuses is a ValueError
    if now.utcoffset() is None:
        raise ValueError(f"now={now.isoformat()} has no time zone; give an aware datetime, such as datetime.now(UTC)")
    return now


def _zone_argument(name: str) -> ZoneInfo:
    zone = _zone_named(name)
    if zone is None:
        hint = "give the name of an IANA zone, such as 'Europe/Berlin'"
        raise ValueError(f"timezone={shown(name)}: no time zone has this name; {hint}")
    return zone


def _zone_named(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError, TypeError, AttributeError):
        return None


def _read(text: str, present: Present) -> dict[str, Any]:
    """Read a phrase, and the zone in parentheses at its end. Raises `Refusal`."""
    try:
        return _read_with_zone(text, present)
    except OverflowError:
        raise Refusal("it lies outside the years 1 to 9999") from None


def _read_with_zone(text: str, present: Present) -> dict[str, Any]:
    phrase, here = _take_zone(text, present)
    if here is present:
        return _read_without_zone(phrase, present)
    try:
        fields = _read_without_zone(phrase, here)
    except Refusal as refusal:
        named = f" ({here.clock.key})"
        raise Refusal(refusal.reason, [candidate + named for candidate in refusal.candidates]) from None
    if "interval_seconds" in fields:
        raise Refusal("an interval has no time zone", [phrase])
    return fields


def _read_without_zone(text: str, present: Present) -> dict[str, Any]:
    """Read a phrase; a hint may explain why it cannot be read."""
    fields = _read_crontab(text, present) or _read_rule(text, present)
    if fields is not None:
        return fields
    spelt = normalised(text)
    phrase = arranged(spelt)
    try:
        return read_phrase(phrase, present)
    except Unreadable as unreadable:
        if zones := _zones_of_city(phrase):
            reason = "a city is no name of a time zone: give an IANA name"
            raise Refusal(reason, [re.sub(_LAST_CITY, f" ({zone})", phrase) for zone in zones]) from None
        raise explained(phrase, unreadable, present.now.astimezone(present.clock).date()) from None


def _zones_of_city(phrase: str) -> list[str]:
    """Return the zones that are named after the city at the end of a phrase."""
    found = re.search(_LAST_CITY, phrase)
    city = "" if found is None else f"/{found[1].replace(' ', '_')}"
    return [zone for lowered, zone in _known_zones().items() if city and lowered.endswith(city)]


def _read_crontab(text: str, present: Present) -> dict[str, Any] | None:
    """Read a crontab expression or one of its aliases, if that was given as words."""
    expression = text.strip()
    if not re.match(_CRONTAB, expression):
        return None
    try:
        parse_crontab(expression)
    except ValueError as error:
        raise Refusal(f"it is no crontab expression: {str(error)[:200]}") from None
    fields = {"task_type": TaskType.CRON, "cron_expression": expression}
    return fields if present.zone is None else fields | {"timezone": present.zone.key}


def _read_rule(text: str, present: Present) -> dict[str, Any] | None:
    """Read a recurrence rule, if that was given as words."""
    rule = text.strip(" .!")
    if not rule.upper().startswith(_RULES):
        return None
    try:
        found = parse_rule(rule)
    except ValueError as error:
        raise Refusal(f"it is no recurrence rule: {str(error)[:200]}") from None
    if found.missing() is not None:
        raise Refusal(f"the rule does not say when it is due; add {found.missing()} to it")
    fields = {"task_type": TaskType.RRULE, "rrule": found.text}
    return fields if present.zone is None else fields | {"timezone": present.zone.key}


def _take_zone(text: str, present: Present) -> tuple[str, Present]:
    phrase, parenthesis, rest = text.rstrip(" .!").rpartition("(")
    if not parenthesis or not rest.endswith(")"):
        phrase, _, rest = text.rstrip(" .!").rpartition(" ")
        if not phrase.strip() or not re.fullmatch(_PLAIN_ZONE, rest) or _zone_in_any_case(rest) is None:
            return text, present
        phrase, rest = re.sub(r"(?i)\s+in$", "", phrase.rstrip()), f"{rest})"
    name = rest[:-1].strip()
    zone = _zone_named(name) or _zone_in_any_case(name)
    if zone is None:
        close = [zone for lowered, zone in _known_zones().items() if lowered.endswith(f"/{name.lower()}")]
        likely = get_close_matches(name[:40], _known_zones().values(), 1) if "/" in name else []
        near = [*ABBREVIATED_ZONES.get(name.lower(), ()), *close, *likely, "UTC"]
        raise Refusal(f"no time zone has the name {name[:40]!r}", [f"{phrase} ({each})" for each in near])
    if present.zone is not None and present.zone.key != zone.key:
        raise Refusal(
            f"it names the zone {zone.key}, but timezone={present.zone.key!r} was given",
            [f"{phrase} ({present.zone.key})"],
        )
    return phrase, present._replace(zone=zone)


def _zone_in_any_case(name: str) -> ZoneInfo | None:
    known = _known_zones().get(name.lower())
    return None if known is None else ZoneInfo(known)


@lru_cache(maxsize=1)
def _known_zones() -> dict[str, str]:
    """Return the names of all zones, by themselves in lower case; to find them takes milliseconds."""
    return {name.lower(): name for name in sorted(available_timezones())}


def _worded(text: str, refusal: Refusal, present: Present) -> str:
    shown = redact(text) if len(text) <= _SHOWN else f"{beginning(text, _SHOWN)}…"
    is_split = "a task of each" in refusal.reason
    working = (
        _spelt(phrase)
        for phrase in _working(refusal.candidates, present)
        if is_split or leaves_out(text) or keeps_days(text, phrase)
    )
    phrases = list(dict.fromkeys(islice(working, _MOST_PHRASES)))
    # An example always works: it is recurring, and needs no zone.
    hint = " or ".join(repr(phrase) for phrase in phrases or [_example(text, present)])
    if leaves_out(text):
        hint += ", and give what it leaves out as calendar"
    return f"schedule {shown!r}: {refusal.reason}; write {hint}"


def _example(text: str, present: Present) -> str:
    """Return a phrase that works, on the days and in the zone that the text names."""
    try:
        _, here = _take_zone(text[:MAX_LENGTH], present)
    except Refusal:
        here = present
    named = "" if here is present else f" ({here.clock.key})"
    return example_for(text[:MAX_LENGTH]) + named


def _spelt(phrase: str) -> str:
    """Return a phrase as people spell it."""
    said, parenthesis, zone = " ".join(phrase.replace(" ,", ",").split()).partition(" (")
    said = re.sub(_NAMES, lambda name: name[0].capitalize(), said)
    known = _zone_in_any_case(zone.removesuffix(")")) if zone else None
    return said if known is None else f"{said}{parenthesis}{known.key})"


def _working(candidates: Iterable[str], present: Present, depth: int = _DEPTH) -> Iterator[str]:
    """Yield the candidates that are understood; where one is not, those that were offered in its place."""
    for candidate in candidates:
        try:
            _read(candidate, present)
        except Refusal as refusal:
            if depth:
                yield from _working(refusal.candidates, present, depth - 1)
        else:
            yield candidate
