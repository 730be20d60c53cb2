"""The last three fields of a crontab expression -> words, before the times of day or after the step of a clock."""

from typing import Final, NamedTuple, Self

from scheduler.phrases.calendar_days import exist_always, ordinal
from scheduler.phrases.cron import MONTH_DAYS, MONTH_NAMES, MONTHS, WEEK, WEEKDAY_NAMES, Days, expand
from scheduler.phrases.reader import join_list

_WORKING_DAYS: Final = frozenset(range(1, 6))
_MONDAY_FIRST: Final = (1, 2, 3, 4, 5, 6, 0)
_FIELD_OF_WEEKDAYS: Final = frozenset(range(8))
_SHORTEST_RANGE: Final = 3


class DayWords(NamedTuple):
    """On which days a crontab expression is due: those that fit both of its fields, or either of them."""

    days: Days
    either: bool

    @classmethod
    def of(cls, month_day: str, month: str, weekday: str) -> Self:
        """Read the fields of a valid expression: a day fits both of the two if one of them begins with `*`."""
        weekdays = frozenset(day % len(WEEK) for day in expand(weekday, _FIELD_OF_WEEKDAYS, WEEKDAY_NAMES))
        days = Days(expand(month_day, MONTH_DAYS), expand(month, MONTHS, MONTH_NAMES), weekdays)
        either = not month_day.startswith("*") and not weekday.startswith("*")
        if either and (days.month_days == MONTH_DAYS or weekdays == WEEK):
            return cls(Days(months=days.months), either=False)
        return cls(days, either)

    def as_head(self) -> str:
        """Return what stands before the times of day: `Every Monday`, `On the 1st of every month`."""
        if self._all_month_days:
            return f"Every {self._weekdays('')}{self._in_months()}"
        if self._all_weekdays:
            return f"On {self._of_months()}{self._if_there(',')}"
        if self.either:
            return f"On {self._of_months()}{self._if_there('')}, and every {self._weekdays('')}{self._in_months()},"
        return f"On {self._of_months()}, if it is {self._one_of_weekdays()},"

    def as_tail(self) -> str:
        """Return what stands after the step of a clock: ` on Mondays`, ` on the 1st of every month`, or nothing."""
        if self._all_month_days and self._all_weekdays:
            return self._in_months()
        if self._all_month_days:
            return f" on {self._weekdays('s')}{self._in_months()}"
        if self._all_weekdays:
            return f" on {self._of_months()}{self._if_there('')}"
        if self.either:
            return f" on {self._of_months()}{self._if_there('')}, and on {self._weekdays('s')}{self._in_months()}"
        return f" on {self._of_months()}, if it is {self._one_of_weekdays()}"

    @property
    def _all_month_days(self) -> bool:
        return self.days.month_days == MONTH_DAYS

    @property
    def _all_weekdays(self) -> bool:
        return self.days.weekdays == WEEK

    def _weekdays(self, plural: str) -> str:
        if self._all_weekdays:
            return "day"
        if self.days.weekdays == _WORKING_DAYS:
            return f"weekday{plural}"
        names = [WEEKDAY_NAMES[day] + plural for day in _ordered(self.days.weekdays)]
        return f"{names[0]} to {names[-1]}" if _is_range(self.days.weekdays) else join_list(names)

    def _one_of_weekdays(self) -> str:
        names = [f"a {WEEKDAY_NAMES[day]}" for day in _MONDAY_FIRST if day in self.days.weekdays]
        return " or ".join(names)

    def _of_months(self) -> str:
        ordered = sorted(self.days.month_days)
        names = [ordinal(day) for day in ordered]
        is_range = len(names) >= _SHORTEST_RANGE and ordered[-1] - ordered[0] == len(names) - 1
        shown = f"{names[0]} to {names[-1]}" if is_range else join_list(names)
        months = "month" if self.days.months == MONTHS else _month_list(self.days)
        return f"the {shown} of every {months}"

    def _in_months(self) -> str:
        return "" if self.days.months == MONTHS else f" in {_month_list(self.days)}"

    def _if_there(self, end: str) -> str:
        return "" if exist_always(self.days) else f", where there is one{end}"


def _month_list(days: Days) -> str:
    return join_list([MONTH_NAMES[month - 1] for month in sorted(days.months)])


def _is_range(weekdays: frozenset[int]) -> bool:
    return len(weekdays) >= _SHORTEST_RANGE and len(_starts(weekdays)) == 1


def _starts(weekdays: frozenset[int]) -> list[int]:
    """Return the days whose day before is not among them."""
    return [day for day in weekdays if (day - 1) % len(WEEK) not in weekdays]


def _ordered(weekdays: frozenset[int]) -> list[int]:
    """Return the days from Monday on; a range from its first day on, also over the end of the week."""
    if not _is_range(weekdays):
        return [day for day in _MONDAY_FIRST if day in weekdays]
    (start,) = _starts(weekdays)
    return [(start + step) % len(WEEK) for step in range(len(weekdays))]
