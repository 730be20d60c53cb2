"""A local time placed on the clock of a zone: where clocks are changed, it may be there twice, or not at all."""

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from scheduler.phrases.refusal import Refusal
from scheduler.timing.local_time import LocalTimeError, instant_of, on_clock_of

_UTC: Final = ZoneInfo("UTC")


class Present(NamedTuple):
    """What a phrase is read against."""

    now: datetime
    zone: ZoneInfo | None

    @property
    def clock(self) -> ZoneInfo:
        """The zone of local times: UTC if none was named."""
        return self.zone or _UTC


def place(local: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant at which the clock of a zone shows a local time, with the offset that the zone then has.

    Raises `Refusal` if the clock never shows that time, or shows it twice.
    """
    try:
        return instant_of(local, zone)
    except LocalTimeError as error:
        words = [
            moment_in_words(choice if error.comes_twice else choice.replace(tzinfo=None)) for choice in error.choices
        ]
        raise Refusal(f"{local:%Y-%m-%d %H:%M} {error.problem}", [f"at {each}" for each in words]) from None


def with_offset(moment: datetime, zone: tzinfo) -> datetime:
    """Return the same instant on the clock of a zone, with a plain offset from UTC.

    The offset takes the place of the zone because datetimes of a zone are not comparable where its clock is put back.
    """
    there = on_clock_of(moment, zone)
    offset = there.utcoffset() or timedelta()
    return there.replace(tzinfo=timezone(offset) if offset else UTC, fold=0)


def moment_in_words(moment: datetime) -> str:
    """Return an aware datetime as the grammar reads it: `2027-03-15 14:00+01:00`; seconds stand if there are any."""
    precision = "auto" if moment.microsecond else "seconds" if moment.second else "minutes"
    return moment.isoformat(" ", precision)
