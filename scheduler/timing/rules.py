"""A recurrence rule of RFC 5545 as a value: its frequency and its parts."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

WEEKDAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
"""The days of the week as a rule names them; 0 is Monday."""


class Frequency(StrEnum):
    """How often the period of a rule comes."""

    YEARLY = "YEARLY"
    MONTHLY = "MONTHLY"
    WEEKLY = "WEEKLY"
    DAILY = "DAILY"
    HOURLY = "HOURLY"
    MINUTELY = "MINUTELY"


WITHIN_A_DAY: Final = frozenset({Frequency.HOURLY, Frequency.MINUTELY})
LONGER_THAN_A_DAY: Final = frozenset({Frequency.YEARLY, Frequency.MONTHLY, Frequency.WEEKLY})


class WeekdayPart(NamedTuple):
    """One item of `BYDAY`: a day of the week (0 is Monday), and the how manieth it is; None: each."""

    weekday: int
    nth: int | None


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as it is written, without its start; built by `parse_rule`. A part that is not given is empty."""

    text: str
    """In capital letters, without `RRULE:`."""
    freq: Frequency
    interval: int = 1
    week_start: int = 0
    months: tuple[int, ...] = ()
    weeks: tuple[int, ...] = ()
    year_days: tuple[int, ...] = ()
    month_days: tuple[int, ...] = ()
    weekdays: tuple[WeekdayPart, ...] = ()
    hours: tuple[int, ...] = ()
    minutes: tuple[int, ...] = ()
    seconds: tuple[int, ...] = ()
    positions: tuple[int, ...] = ()

    def missing(self) -> str | None:
        """Return the part without which a rule needs a start that says it, such as `BYHOUR`; None if there is none."""
        needed = _MISSING_DAY.get(self.freq)
        if needed is not None and not self._says_day():
            return needed
        return "BYHOUR" if self.freq not in WITHIN_A_DAY and not self.hours else None

    def _says_day(self) -> bool:
        return bool(self.weeks or self.year_days or self.month_days or self.weekdays)

    def filled(self, start: datetime) -> "Rule":
        """Return the rule with the parts that its start says (RFC 5545, 3.3.10)."""
        given: dict[str, tuple[int, ...] | tuple[WeekdayPart, ...]] = {}
        if not self._says_day():
            if self.freq is Frequency.WEEKLY:
                given["weekdays"] = (WeekdayPart(start.weekday(), None),)
            if self.freq in {Frequency.MONTHLY, Frequency.YEARLY}:
                given["month_days"] = (start.day,)
            if self.freq is Frequency.YEARLY and not self.months:
                given["months"] = (start.month,)
        if self.freq not in WITHIN_A_DAY and not self.hours:
            given["hours"] = (start.hour,)
        if self.freq is not Frequency.MINUTELY and not self.minutes:
            given["minutes"] = (start.minute,)
        if not self.seconds:
            given["seconds"] = (start.second,)
        return replace(self, **given)  # type: ignore[arg-type]  # each has the type of its field

    def times_in_hour(self) -> int:
        """Return how many times in one hour match at most."""
        seconds = len(self.seconds) or 1
        if self.freq is Frequency.MINUTELY:
            return seconds * min(len(self.minutes) or 60, -(-60 // self.interval))
        return seconds * (len(self.minutes) or 1)


_MISSING_DAY: Final = {
    Frequency.WEEKLY: "BYDAY",
    Frequency.MONTHLY: "BYMONTHDAY or BYDAY",
    Frequency.YEARLY: "BYMONTH with BYMONTHDAY, or BYDAY",
}
