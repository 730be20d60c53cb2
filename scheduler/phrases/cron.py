"""The fields of a crontab expression, from sets of numbers and to them."""

from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

WEEK: Final = frozenset(range(7))
"""All days of the week: 0 is Sunday, as crontab has it."""
MONTHS: Final = frozenset(range(1, 13))
"""All months."""
MONTH_DAYS: Final = frozenset(range(1, 32))
"""All days that a month can have."""
HOURS: Final = frozenset(range(24))
"""All hours of a day."""
MINUTES: Final = frozenset(range(60))
"""All minutes of an hour."""

MONTH_NAMES: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
"""The months, from the first on."""
WEEKDAY_NAMES: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
"""The days of the week, from crontab's 0 on."""

_SHORTEST_RUN: Final = 3


class Days(NamedTuple):
    """On which days a crontab expression is due: those that fit all three sets."""

    month_days: frozenset[int] = MONTH_DAYS
    months: frozenset[int] = MONTHS
    weekdays: frozenset[int] = WEEK

    @property
    def fields(self) -> str:
        """The last three fields of the expression."""
        sets = ((self.month_days, MONTH_DAYS), (self.months, MONTHS), (self.weekdays, WEEK))
        return " ".join("*" if some == every else compact(some) for some, every in sets)


def compact(values: Collection[int]) -> str:
    """Return numbers as a field: in order, with three or more neighbours as a range."""
    return ",".join(_shown(run) for run in runs(sorted(values)))


def runs(values: list[int]) -> Iterator[list[int]]:
    """Yield the runs of neighbours in rising numbers."""
    run: list[int] = []
    for value in values:
        if run and value != run[-1] + 1:
            yield run
            run = []
        run.append(value)
    if run:
        yield run


def _shown(run: list[int]) -> str:
    return f"{run[0]}-{run[-1]}" if len(run) >= _SHORTEST_RUN else ",".join(map(str, run))


def even_step(values: Collection[int], every: frozenset[int]) -> int | None:
    """Return the step from 0 on, if the values are two or more steps that divide the whole evenly."""
    step = len(every) // len(values)
    is_even = len(values) > 1 and len(every) % step == 0 and set(values) == set(range(0, len(every), step))
    return step if is_even else None


def expand(text: str, every: frozenset[int], names: tuple[str, ...] = ()) -> frozenset[int]:
    """Return the numbers that a valid field means; `names` begin with the field's lowest number."""
    low = min(every)
    numbers = {name[:3].lower(): low + index for index, name in enumerate(names)}
    return frozenset().union(*(_expand_item(item.lower(), every, numbers) for item in text.split(",")))


def _expand_item(item: str, every: frozenset[int], numbers: dict[str, int]) -> range:
    span, _, step = item.partition("/")
    if span == "*":
        return range(min(every), max(every) + 1, int(step or 1))
    first, _, last = span.partition("-")
    low, high = (numbers[end] if end in numbers else int(end) for end in (first, last or first))
    return range(low, high + 1, int(step or 1))
