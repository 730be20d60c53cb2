"""A local time placed on the clock of a zone: where clocks are changed, it may be there twice, or not at all."""

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from scheduler.words.refusal import Refusal


def place(local: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant at which the clock of a zone shows a local time, with the offset that the zone then has.

    Raises `Refusal` if the clock never shows that time, or shows it twice.
    """
    first, second = (local.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() == second.utcoffset():
        return with_offset(first, zone)
    shown = f"{local:%Y-%m-%d %H:%M}"
    if _is_in_a_gap(first):
        neighbours = [f"at {_written(moment.astimezone(UTC).astimezone(zone))}" for moment in (first, second)]
        raise Refusal(f"{shown} does not exist in {zone.key}: the clock is put forward past it", neighbours)
    passes = [f"at {moment_in_words(with_offset(moment, zone))}" for moment in (first, second)]
    raise Refusal(f"{shown} comes twice in {zone.key}: the clock is put back over it", passes)


def _is_in_a_gap(moment: datetime) -> bool:
    back = moment.astimezone(UTC).astimezone(moment.tzinfo)
    return back.replace(tzinfo=None) != moment.replace(tzinfo=None)


def _written(moment: datetime) -> str:
    return moment.isoformat(" ", "minutes")[:16]


def with_offset(moment: datetime, zone: tzinfo) -> datetime:
    """Return the same instant on the clock of a zone, with a plain offset from UTC.

    The offset takes the place of the zone because datetimes of a zone are not comparable where its clock is put back.
    """
    there = moment.astimezone(zone)
    offset = there.utcoffset() or timedelta()
    return there.replace(tzinfo=timezone(offset) if offset else UTC, fold=0)


def moment_in_words(moment: datetime) -> str:
    """Return an aware datetime as the grammar reads it: `2027-03-15 14:00+01:00`; seconds stand if there are any."""
    precision = "auto" if moment.microsecond else "seconds" if moment.second else "minutes"
    return moment.isoformat(" ", precision)
