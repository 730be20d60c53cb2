"""The times of a day that a recurrence rule means, in seconds from midnight by the local clock."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import pairwise, product

from scheduler.timing.rules import Frequency, Rule

_HOUR_SECONDS, _MINUTE_SECONDS = 3_600, 60
_HOURS, _MINUTES = 24, 24 * 60


def local_time(day: int, second: int) -> datetime:
    """Return a time of a day, given as ordinal and seconds from its midnight."""
    return datetime.fromordinal(day) + timedelta(seconds=second)


def seconds_of(local: datetime) -> int:
    """Return the whole seconds between midnight and a local time."""
    return local.hour * _HOUR_SECONDS + local.minute * _MINUTE_SECONDS + local.second


def clock_times(rule: Rule) -> tuple[int, ...]:
    """Return the times of a day that the rule's hours, minutes and seconds make."""
    return tuple(
        hour * _HOUR_SECONDS + minute * _MINUTE_SECONDS + second
        for hour, minute, second in product(rule.hours, rule.minutes, rule.seconds)
    )


@lru_cache(maxsize=1_024)
def times_of_hours(rule: Rule, offset: int) -> tuple[int, ...]:
    """Return the times of a day whose midnight lies `offset` hours after one of the hours that the interval counts."""
    hours = [hour for hour in rule.hours or range(_HOURS) if (offset + hour) % rule.interval == 0]
    marks = [minute * _MINUTE_SECONDS + second for minute, second in product(rule.minutes, rule.seconds)]
    chosen = chosen_from(marks, rule.positions)
    return tuple(hour * _HOUR_SECONDS + mark for hour in hours for mark in chosen)


@lru_cache(maxsize=1_024)
def times_of_minutes(rule: Rule, offset: int) -> tuple[int, ...]:
    """Return the times of a day whose midnight lies `offset` minutes after one that the interval counts."""
    hours, minutes = set(rule.hours or range(_HOURS)), set(rule.minutes or range(60))
    chosen = chosen_from(list(rule.seconds), rule.positions)
    return tuple(
        minute * _MINUTE_SECONDS + second
        for minute in range(-offset % rule.interval, _MINUTES, rule.interval)
        if minute // 60 in hours and minute % 60 in minutes
        for second in chosen
    )


def chosen_from(values: list[int], positions: tuple[int, ...]) -> list[int]:
    """Return the values at some positions (`BYSETPOS`), counted from the first or the last; all if there are none."""
    if not positions:
        return values
    places = {position - 1 if position > 0 else len(values) + position for position in positions}
    return [value for place, value in enumerate(values) if place in places]


def picked(days: list[int], times: tuple[int, ...], positions: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Yield the days and times at some positions of a period, counted from its begin or its end."""
    total = len(days) * len(times)
    for place in sorted({position - 1 if position > 0 else total + position for position in positions}):
        if 0 <= place < total:
            yield days[place // len(times)], times[place % len(times)]


def shortest_by_the_clock(rule: Rule) -> int:
    """Return a lower bound of the time between two matches by the local clock, in seconds."""
    if rule.freq is Frequency.MINUTELY:
        marks, period = list(rule.seconds), rule.interval * _MINUTE_SECONDS
    elif rule.freq is Frequency.HOURLY:
        marks = [minute * _MINUTE_SECONDS + second for minute, second in product(rule.minutes, rule.seconds)]
        period = rule.interval * _HOUR_SECONDS
    else:
        marks, period = list(clock_times(rule)), _HOURS * _HOUR_SECONDS
    return min([period - marks[-1] + marks[0], *(later - earlier for earlier, later in pairwise(marks))])
