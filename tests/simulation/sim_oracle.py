"""What is due, computed without the scheduler's code: minute by minute, from the documentation."""

import functools
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

SEC = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAMES = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}


def micros(moment):
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment_of(instant):
    return _EPOCH + timedelta(microseconds=instant)


def _values(field, first, last):
    found = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        if span == "*":
            low, high = first, last
        else:
            low, _, high = span.partition("-")
            low = int(_NAMES.get(low, low))
            high = int(_NAMES.get(high, high)) if high else low
        found.update(range(low, high + 1, int(step or 1)))
    return found


@functools.lru_cache(maxsize=10_000)
def cron_day(expression, zone, ordinal):
    """Return the due times of a local day, in microseconds: Debian's rules, as docs/cron.md has them."""
    minute, hour, day, month, weekday = expression.split()
    local, tz = date.fromordinal(ordinal), ZoneInfo(zone)
    weekdays = {each % 7 for each in _values(weekday, 0, 7)}
    on_day, on_weekday = local.day in _values(day, 1, 31), local.isoweekday() % 7 in weekdays
    fits = (on_day and on_weekday) if "*" in (day[0], weekday[0]) else (on_day or on_weekday)
    if local.month not in _values(month, 1, 12) or not fits:
        return ()
    is_wildcard = minute.startswith("*") or hour.startswith("*")
    found = set()
    for h in _values(hour, 0, 23):
        for m in _values(minute, 0, 59):
            naive = datetime(local.year, local.month, local.day, h, m)  # noqa: DTZ001 (on the clock of the zone)
            found.update(_instants(naive, tz, is_wildcard))
    return tuple(sorted(found))


def _instants(naive, tz, is_wildcard):
    """Return at which instants the clock of a zone shows a time: one, two, or none; fixed times are due once."""
    each = [naive.replace(tzinfo=tz, fold=fold).astimezone(UTC) for fold in (0, 1)]
    real = sorted({moment for moment in each if moment.astimezone(tz).replace(tzinfo=None) == naive})
    if is_wildcard:
        return [micros(moment) for moment in real]
    if real:
        return [micros(real[0])]
    # In a gap: due when the gap ends, which is the first instant with the later offset.
    later = min(each[0], each[1])
    return [_end_of_gap(later, tz)]


def _end_of_gap(before, tz):
    moment = before.replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    offset = moment.astimezone(tz).utcoffset()
    while moment.astimezone(tz).utcoffset() == offset:
        moment += timedelta(minutes=1)
    return micros(moment)


@dataclass(frozen=True)
class Schedule:
    """When a task is due from an anchor on."""

    cron: str | None
    zone: str
    interval: int | None
    run_at: int | None
    start: int | None
    end: int | None
    anchor: int

    def between(self, after, until):
        """Return the due times after one instant and up to another."""
        low = after if self.start is None else max(after, self.start - 1)
        high = until if self.end is None else min(until, self.end)
        if self.run_at is not None:
            return [self.run_at] if after < self.run_at <= until else []
        if self.interval is not None:
            base, step = self.anchor if self.start is None else self.start, self.interval * SEC
            first = base + max(0 if self.start is not None else 1, (low - base) // step + 1) * step
            return list(range(first, high + 1, step))
        days = range(moment_of(low).toordinal() - 1, moment_of(high).toordinal() + 2)
        return [due for ordinal in days for due in cron_day(self.cron, self.zone, ordinal) if low < due <= high]

    def has_more(self, now):
        """Tell whether there is a due time after an instant."""
        if self.run_at is not None:
            return self.run_at > now
        return self.end is None or bool(self.between(now, self.end))


def schedule_of(task, anchor):
    """Return the schedule of a definition that was added at an instant."""
    as_micros = lambda moment: None if moment is None else micros(moment)  # noqa: E731 (used three times)
    return Schedule(
        cron=task.cron_expression,
        zone=task.timezone or "UTC",
        interval=task.interval_seconds,
        run_at=as_micros(task.run_at),
        start=as_micros(task.start_at),
        end=as_micros(task.end_at),
        anchor=anchor,
    )


class TaskModel:
    """What became of one task by the calls that were made: in which spans of time its due times count."""

    def __init__(self):
        self.definition = None
        self.definitions = []
        self.is_paused = self.was_paused = self.was_removed = False
        self.spans = []
        """Pairs of the schedule, and from when until when it counts; until None: it still does."""
        self.is_loose = self.may_be_left_out = False
        """Whether its due times cannot be known exactly: it has jitter, or is paused by the scheduler itself."""

    def add(self, task, now, *, is_finished):
        if is_finished:
            # Without a due time, or where `max_runs` was reached, it is left out; else it begins again.
            self.is_loose = self.may_be_left_out = True
        if is_finished and not task.jitter_seconds and not schedule_of(task, now).has_more(now):
            return  # with jitter, a due time before now may come after it
        times = (task.interval_seconds, task.run_at, task.start_at, task.end_at, task.jitter_seconds)
        key = (task.cron_expression, task.timezone, *times)
        before = self.definition
        is_changed = before is None or self._key != key
        was_enabled = before is None or before.enabled
        self._key, self.definition = key, task
        self.definitions.append(task)
        self.is_loose = self.is_loose or bool(task.jitter_seconds or task.pause_after_failures)
        # What passes after the last of `max_runs` is not due, also if the limit is raised later.
        self.is_loose = self.is_loose or (before is not None and before.max_runs != task.max_runs)
        if is_changed:
            self._end(now)
            self._schedule = schedule_of(task, now)
        if not task.enabled:
            self.pause(now)
        elif self.is_paused and not was_enabled:
            self.resume(now)
        elif is_changed and not self.is_paused:
            self._open(now)

    def remove(self, now):
        self._end(now)
        self.was_removed = True
        self.definition, self.is_paused = None, False

    def pause(self, now):
        self._close(now)
        self.is_paused = self.was_paused = True

    def resume(self, now):
        if self.is_paused:
            self.is_paused = False
            self._open(now)

    def _end(self, now):
        if self.is_paused and self._schedule.run_at is not None:
            self._open(now)  # if it came due while it was paused, it is skipped now
        self._close(now)

    def _open(self, now):
        # A one-time task that came due while it was paused runs when it is resumed.
        since = now if self._schedule.run_at is None else self._schedule.anchor
        self.spans.append([self._schedule, since, None])

    def _close(self, now):
        if self.spans and self.spans[-1][2] is None:
            self.spans[-1][2] = now

    def due_times(self, until):
        """Return the due times up to an instant, and for each whether its span is still open."""
        found = {}
        for schedule, after, end in self.spans:
            for due in schedule.between(after, until if end is None else min(end, until)):
                found[due] = found.get(due, False) or end is None
        return sorted(found.items())
