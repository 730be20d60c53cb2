"""A local time as an instant. Where a clock is changed, the clock shows a local time twice, or not at all."""

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final

_THIS_MACHINE: Final = "the time zone of this machine"


class LocalTimeError(ValueError):
    """A local time that is two instants or none; `choices` are the instants that may be meant, with their offsets."""

    def __init__(self, local: datetime, zone: str, choices: tuple[datetime, datetime], *, comes_twice: bool) -> None:
        """Build the sentence from the local time, the name of the zone, and what can be written instead."""
        what = "comes twice" if comes_twice else "does not exist"
        why = "the clock is put back over it" if comes_twice else "the clock is put forward past it"
        instead = " or ".join(choice.isoformat() for choice in choices)
        super().__init__(f"{local.isoformat()} {what} in {zone}: {why}; write {instead}")
        self.problem: str = f"{what} in {zone}: {why}"
        self.choices = choices
        self.comes_twice = comes_twice


def instant_of(local: datetime, zone: tzinfo | None) -> datetime:
    """Return the instant at which the clock of a zone (None: of this machine) shows a naive local time.

    It has the offset from UTC that the zone then has. Raises `LocalTimeError`, except for a time that comes twice and
    has `fold=1`, which is Python's way to say that the second is meant.
    """
    # Which of the two offsets belongs to which `fold` differs between Python releases for a time in a gap.
    less, more = sorted(_offset(local.replace(fold=fold), zone) for fold in (0, 1))
    if less == more:
        return _with(local, less)
    comes_twice = on_clock_of(_with(local, more), zone).replace(tzinfo=None, fold=0) == local.replace(fold=0)
    if comes_twice and local.fold:
        return _with(local, less)
    name = _THIS_MACHINE if zone is None else str(zone)
    if comes_twice:
        raise LocalTimeError(local, name, (_with(local, more), _with(local, less)), comes_twice=True)
    # The clock goes forward from one offset to the other: read with the offset before, the time is past the gap.
    before, after = _with(local, less), _with(local, more)
    choices = before.astimezone(after.tzinfo), after.astimezone(before.tzinfo)
    raise LocalTimeError(local, name, choices, comes_twice=False)


def _offset(local: datetime, zone: tzinfo | None) -> timedelta:
    there = local.astimezone() if zone is None else local.replace(tzinfo=zone)
    return there.utcoffset() or timedelta()


def _with(local: datetime, offset: timedelta) -> datetime:
    return local.replace(tzinfo=timezone(offset) if offset else UTC, fold=0)


def on_clock_of(moment: datetime, zone: tzinfo | None) -> datetime:
    """Return an instant on the clock of a zone (None: of this machine).

    At the ends of the calendar, where there may be no date for it there, it is returned as it is.
    """
    try:
        return moment.astimezone(zone)
    except (OverflowError, ValueError):  # the second is what the clock of this machine raises
        return moment


def in_whole_minutes(moment: datetime) -> datetime:
    """Return an instant in UTC if its offset has seconds, as in old local mean times: JSON and TOML have none there."""
    offset = moment.utcoffset()
    return moment if not offset or not offset % timedelta(minutes=1) else moment.astimezone(UTC)
