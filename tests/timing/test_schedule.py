"""A schedule's three questions agree with one another, and with what is promised of bounds, anchors and jitter."""

import hashlib
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
import time_machine
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler import TaskDefinition, next_due_times
from scheduler.timing.clock import SECOND, to_datetime, to_micros
from scheduler.timing.crontab import parse_crontab
from scheduler.timing.schedule import (
    BoundedSchedule,
    ClockSchedule,
    IntervalSchedule,
    JitteredSchedule,
    OnceSchedule,
    UnservedSchedule,
    longest_gap,
    moved_anchor,
    schedule_of,
)

MINUTE, HOUR, DAY = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND
#: A Monday, midnight.
START = datetime(2026, 1, 5, tzinfo=UTC)


def at(text):
    """Return the instant that an ISO text names, in UTC where it says nothing."""
    moment = datetime.fromisoformat(text)
    return to_micros(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def a_task(task_type, **fields):
    return TaskDefinition(**{"id": "t", "name": "T", "prompt": "Go on.", "task_type": task_type, **fields})


def every(seconds, **fields):
    return a_task("interval", interval_seconds=seconds, **fields)


def cron(expression, **fields):
    return a_task("cron", cron_expression=expression, **fields)


def once(run_at, **fields):
    return a_task("one_time", run_at=run_at, **fields)


def due_times(schedule, after, until):
    """Return all due times of a window, by asking for the next one again and again."""
    found = []
    due = schedule.next_after(after)
    while due is not None and due <= until:
        assert due > (found[-1] if found else after)
        found.append(due)
        due = schedule.next_after(due)
    return found


# --- The three questions agree, for every kind of schedule ---

#: Windows of a few days around changes of clocks, and one without.
CRONS = [
    ("*/20 * * * *", "Europe/Berlin", "2026-03-28T22:00"),
    ("*/20 1-3 * * *", "Europe/Berlin", "2026-10-24T22:00"),
    ("30 2 * * *", "Europe/Berlin", "2026-03-27T22:00"),
    ("15 1 * * *", "America/New_York", "2026-10-30T22:00"),
    ("0 0 * * *", "Asia/Beirut", "2026-03-27T12:00"),
    ("10,50 */2 * * 1-5", "Australia/Lord_Howe", "2026-04-03T12:00"),
    ("0 9 29 2 *", "UTC", "2028-02-28T00:00"),
    ("0 12 * * MON", "Pacific/Apia", "2026-01-01T00:00"),
]


@st.composite
def windows(draw):
    """A schedule, and the window of instants in which it is looked at."""
    kind = draw(st.sampled_from(["once", "interval", "cron"]))
    if kind == "cron":
        expression, zone, start = draw(st.sampled_from(CRONS))
        base = ClockSchedule(parse_crontab(expression), ZoneInfo(zone))
        low, high, unit = at(start), at(start) + 3 * DAY, MINUTE
    elif kind == "interval":
        low, high, unit = 0, 200, 1
        base = IntervalSchedule(draw(st.integers(-50, 250)), draw(st.integers(1, 60)))
    else:
        low, high, unit = 0, 200, 1
        base = OnceSchedule(draw(st.integers(-50, 250)))
    bounds = st.none() | st.integers(low - 20 * unit, high + 20 * unit)
    start, end = draw(bounds), draw(bounds)
    schedule = base
    if start is not None or end is not None:
        schedule = BoundedSchedule(base, start, end)
    if draw(st.booleans()):
        most = draw(st.integers(1, 100) | st.sampled_from([10**3, 10**9])) * (SECOND if kind == "cron" else 1)
        schedule = JitteredSchedule(schedule, draw(st.sampled_from(["a", "b"])), most, end)
    return schedule, low, high


@given(windows(), st.data())
@settings(max_examples=300, deadline=None)
def test_three_questions_agree(window, data):
    """`next_after`, `latest` and `count` tell of the same due times, whichever instants they are asked about."""
    schedule, low, high = window
    all_due = due_times(schedule, low, high)
    near = [instant for due in all_due for instant in (due - 1, due, due + 1)]
    instants = st.integers(low, high) | st.sampled_from([*near, low, high]).filter(lambda i: low <= i <= high)
    for _ in range(5):
        first, second = data.draw(instants), data.draw(instants)
        after = [due for due in all_due if due > first]
        assert schedule.next_after(first) == (after[0] if after else schedule.next_after(high))
        assert schedule.count(first, second) == sum(first < due <= second for due in all_due)
        if first > low:
            within = [due for due in all_due if first <= due <= second]
            assert schedule.latest(first, second) == (within[-1] if within else None)


@given(windows(), st.data())
@settings(max_examples=200, deadline=None)
def test_due_times_that_were_served_are_left_out(window, data):
    """All three questions skip them; instants among them that are no due times change nothing."""
    base, low, high = window
    all_due = due_times(base, low, high)
    instants = st.integers(low, high)
    served = data.draw(st.sets(st.sampled_from(all_due) | instants if all_due else instants, max_size=8))
    schedule = UnservedSchedule(base, tuple(sorted(served)))
    left = [due for due in all_due if due not in served]
    assert due_times(schedule, low, high) == left
    for _ in range(5):
        first, second = data.draw(instants), data.draw(instants)
        assert schedule.count(first, second) == sum(first < due <= second for due in left)
        if first > low:
            within = [due for due in left if first <= due <= second]
            assert schedule.latest(first, second) == (within[-1] if within else None)


@given(st.integers(-(10**6), 10**6), st.integers(1, 10**4), st.integers(-(10**6), 10**6))
def test_interval_is_anchor_and_multiples(first, step, instant):
    """An interval's next due time is the least `first` + k · `every`, k ≥ 0, that is later than the instant."""
    due = IntervalSchedule(first, step).next_after(instant)
    assert due > instant
    assert due >= first
    assert (due - first) % step == 0
    assert due == first or due - step <= instant


@given(windows())
@settings(deadline=None)
def test_bounds_hold(window):
    """Nothing is due before the start or after the end, both of them included, with jitter or without."""
    schedule, low, high = window
    bounded = schedule.base if isinstance(schedule, JitteredSchedule) else schedule
    if isinstance(bounded, BoundedSchedule):
        for due in due_times(schedule, low - (high - low), high):
            assert bounded.start is None or due >= bounded.start
            assert bounded.end is None or due <= bounded.end


# --- Anchors ---


@pytest.mark.parametrize("later", [0, 1, SECOND, HOUR, 400 * DAY + 17])
def test_interval_is_counted_from_its_anchor(later):
    """The first due time is one interval after the anchor, and a restart at any later instant moves nothing."""
    anchor = to_micros(START) + 123_456
    schedule = schedule_of(every(90), "UTC", anchor)
    assert schedule.next_after(anchor) == anchor + 90 * SECOND
    assert (schedule.next_after(anchor + later) - anchor) % (90 * SECOND) == 0


@pytest.mark.parametrize(
    ("asked", "due"),
    [
        ("2026-01-05T00:00", "2026-01-05T08:00"),
        ("2026-01-05T07:59:59", "2026-01-05T08:00"),
        ("2026-01-05T08:00", "2026-01-05T09:30"),
        ("2026-01-05T12:00", "2026-01-05T12:30"),
    ],
)
def test_interval_with_a_start(asked, due):
    """`start_at` is the anchor and the first due time, whenever the task was added."""
    task = every(5400, start_at=datetime(2026, 1, 5, 9, tzinfo=ZoneInfo("Europe/Berlin")))
    for added in ("2026-01-04T13:37:11", "2026-02-01T00:00"):
        assert schedule_of(task, "UTC", at(added)).next_after(at(asked)) == at(due)


def test_interval_knows_no_clock_changes():
    """An interval of a day is 86,400 seconds, also on the day on which the clocks of its zone are changed."""
    task = every(86_400, timezone="Europe/Berlin", start_at=datetime(2026, 3, 28, 9, tzinfo=ZoneInfo("Europe/Berlin")))
    shown = [moment.isoformat() for moment in next_due_times(task, 3, START)]
    assert shown == ["2026-03-28T09:00:00+01:00", "2026-03-29T10:00:00+02:00", "2026-03-30T10:00:00+02:00"]


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (every(60, start_at=START, end_at=START + timedelta(minutes=2)), ["00:00", "00:01", "00:02"]),
        (every(60, start_at=START, end_at=START), ["00:00"]),
        (every(60, start_at=START, end_at=START + timedelta(seconds=119)), ["00:00", "00:01"]),
        (cron("* * * * *", start_at=START, end_at=START + timedelta(minutes=1)), ["00:00", "00:01"]),
        (
            cron("* * * * *", start_at=START + timedelta(microseconds=1), end_at=START + timedelta(seconds=60)),
            ["00:01"],
        ),
        (cron("0 1 * * *", start_at=START, end_at=START + timedelta(minutes=59)), []),
        (once(START), ["00:00"]),
        (once(START - timedelta(days=1)), []),
    ],
)
def test_bounds_are_included(task, expected):
    """A due time at the very start or end counts, one a microsecond beyond does not."""
    before = START - timedelta(microseconds=1)
    assert [f"{moment:%H:%M}" for moment in next_due_times(task, 5, before)] == expected


@pytest.mark.parametrize(
    ("zone", "due"),
    [("UTC", "2026-07-01T09:00"), ("Asia/Tokyo", "2026-07-01T00:00"), ("America/New_York", "2026-07-01T13:00")],
)
def test_crontab_is_read_in_the_zone(zone, due):
    """Nine o'clock is nine o'clock in the zone that is in force."""
    schedule = schedule_of(cron("0 9 * * *"), zone, anchor=0)
    assert schedule.latest(at("2026-07-01T00:00"), at("2026-07-01T23:00")) == at(due)


# --- Jitter ---


@given(windows(), st.integers(1, 10**9), st.text(max_size=5))
@settings(deadline=None)
def test_jitter_keeps_to_its_room(window, most, task_id):
    """Each due time of the base is delayed by less than the jitter, and not to the next one nor past the end."""
    base, low, high = window
    end = high - (high - low) // 3
    if isinstance(base, JitteredSchedule):
        base = base.base
    bounded = BoundedSchedule(base, None, end)
    jittered = JitteredSchedule(bounded, task_id, most, end)
    plain = due_times(bounded, low, high)
    put_off = [jittered.next_after(due - 1) for due in plain]
    assert [due for due in due_times(jittered, low, high) if plain and due >= plain[0]] == [
        due for due in put_off if due <= high
    ]
    for due, delayed in zip(plain, put_off, strict=True):
        following = bounded.next_after(due)
        assert due <= delayed < due + most
        assert delayed <= end
        assert following is None or delayed < following


@given(st.integers(1, 50), st.integers(1, 10**4), st.text(max_size=5))
def test_jittered_due_times_rise(step, most, task_id):
    """The order is strict however large the jitter is, even where there is no room at all."""
    found = due_times(JitteredSchedule(IntervalSchedule(0, step), task_id, most, None), -1, 20 * step)
    assert all(first < second for first, second in pairwise(found))
    assert len(found) in {20, 21}


def test_jitter_is_the_same_for_ever():
    """The delays are part of what a store relies on: no process, version or platform may compute them otherwise."""
    task = cron("0 9 * * *", id="report", jitter_seconds=600, timezone="Europe/Berlin")
    assert [moment.isoformat() for moment in next_due_times(task, 3, START)] == [
        "2026-01-05T09:03:02.772716+01:00",
        "2026-01-06T09:05:58.298738+01:00",
        "2026-01-07T09:00:00.131406+01:00",
    ]


def test_jitter_is_hashed_from_task_and_due_time():
    """The delay is the hash of the task's id and the due time, as a share of the jitter."""
    base = at("2026-01-05T09:00")
    digest = hashlib.blake2b(b"report\x00" + str(base).encode(), digest_size=8).digest()
    delay = int.from_bytes(digest, "big") * 600 * SECOND // 2**64
    schedule = schedule_of(cron("0 9 * * *", id="report", jitter_seconds=600), "UTC", anchor=0)
    assert schedule.next_after(base) == base + delay


def test_jitter_differs_among_tasks():
    """Tasks with the same schedule are spread over the jitter, so that they do not all come at once."""
    first_of = {
        next_due_times(cron("0 9 * * *", id=str(number), jitter_seconds=60), 1, START)[0].second
        for number in range(500)
    }
    assert len(first_of) == 60


def test_jitter_of_one_instant():
    """A one-time task is delayed, too, and is due once."""
    found = next_due_times(once(START, jitter_seconds=60), 5, START - timedelta(seconds=1))
    assert len(found) == 1
    assert START <= found[0] < START + timedelta(seconds=60)


@pytest.mark.parametrize("seconds_left", [0, 1, 30])
def test_jitter_before_the_end(seconds_left):
    """The last due time is delayed to the end at most, and is not lost."""
    end = START + timedelta(seconds=seconds_left)
    for number in range(50):
        task = every(3600, id=str(number), start_at=START, end_at=end, jitter_seconds=3600)
        (due,) = next_due_times(task, 5, START - timedelta(seconds=1))
        assert START <= due <= end


# --- When the clock was set back ---


@given(
    anchor=st.integers(-(10**12), 10**15),
    seconds=st.integers(1, 100_000),
    jitter=st.sampled_from([0, 5, 10**6]),
    now=st.integers(0, 10**12),
    wait=st.none() | st.integers(-(10**9), 10**14),
    steps=st.lists(st.integers(0, 50), max_size=10),
    offset=st.integers(-3, 3),
)
def test_a_moved_anchor(*, anchor, seconds, jitter, now, wait, steps, offset):
    """The interval is due within one interval and no sooner than it was to be; nothing that was served comes again."""
    task = every(seconds, jitter_seconds=jitter)
    step = seconds * SECOND
    served = [now + (anchor - now) % step + number * step + offset for number in steps]
    moved = moved_anchor(task, anchor, now, wait, served)
    due = IntervalSchedule(moved + step, step).next_after(now)
    assert now < due <= now + step
    if wait is not None and len(served) + 1 < wait <= step:
        assert now + wait - len(served) - 1 <= due <= now + wait
    grid = {moved % step}
    assert not grid & {instant % step for instant in (anchor, *served)}


@given(st.integers(1, 500), st.integers(0, 1000), st.integers(0, 10**6))
def test_the_longest_gap_of_an_interval(seconds, jitter, start):
    """No two due times in a row are further apart."""
    task = every(seconds, jitter_seconds=jitter)
    found = due_times(schedule_of(task, "UTC", start), start, start + 20 * seconds * SECOND)
    assert all(second - first <= longest_gap(task) for first, second in pairwise([start, *found]))
    assert longest_gap(cron("* * * * *")) is None
    assert longest_gap(once(START)) is None


# --- next_due_times ---


def test_next_due_times_of_a_crontab():
    """They are those of the crontab, in the task's zone, five of them if nothing else is asked."""
    task = cron("0 9 * * 1", timezone="Europe/Berlin")
    found = next_due_times(task, after=datetime(2026, 3, 16, 8, tzinfo=UTC))
    assert [moment.isoformat() for moment in found] == [
        "2026-03-23T09:00:00+01:00",
        "2026-03-30T09:00:00+02:00",
        "2026-04-06T09:00:00+02:00",
        "2026-04-13T09:00:00+02:00",
        "2026-04-20T09:00:00+02:00",
    ]
    assert {moment.tzinfo.key for moment in found} == {"Europe/Berlin"}


@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Kathmandu"])
@pytest.mark.parametrize(
    "make", [lambda **f: every(60, **f), lambda **f: cron("@hourly", **f), lambda **f: once(START, **f)]
)
def test_zone_of_the_results(make, zone):
    """They are aware, in the task's zone, or in UTC where it names none; the zone of `after` does not matter."""
    after = (START - timedelta(hours=1)).astimezone(ZoneInfo("America/New_York"))
    found = next_due_times(make(timezone=zone), 2, after)
    assert {str(moment.tzinfo) for moment in found} == {zone or "UTC"}
    assert found == next_due_times(make(timezone=zone), 2, after.astimezone(UTC))


def test_both_passes_of_an_autumn_hour():
    """Results that show the same clock time twice differ in their offsets."""
    task = cron("30 * * * *", timezone="Europe/Berlin")
    found = next_due_times(task, 2, datetime(2026, 10, 25, 0, tzinfo=UTC))
    assert [moment.isoformat() for moment in found] == ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"]


@pytest.mark.parametrize(
    ("task", "number"),
    [
        (every(60, end_at=START + timedelta(minutes=3)), 3),
        (every(60, max_runs=4), 4),
        (every(60, max_runs=4, end_at=START + timedelta(minutes=3)), 3),
        (every(60, end_at=START), 0),
        (once(START + timedelta(days=9)), 1),
        (once(START), 0),
        (once(START + timedelta(days=9), max_runs=5), 1),
        (cron("0 0 1 1 *", end_at=datetime(2030, 6, 1, tzinfo=UTC)), 4),
        (every(3_155_760_000), 79),
        (cron("0 0 1 1 *"), 173),
    ],
)
def test_as_many_as_there_are(task, number):
    """Where there are fewer than asked for, all of them come back, to the end of the calendar."""
    assert len(next_due_times(task, 1000, START)) == number


@pytest.mark.parametrize("n", [0, 1, 7])
def test_as_many_as_asked_for(n):
    """Not one more."""
    assert len(next_due_times(every(1), n, START)) == n


def test_strictly_after():
    """A due time at `after` itself is not among them, one a microsecond later is."""
    task = cron("0 9 * * *")
    nine = datetime(2026, 1, 5, 9, tzinfo=UTC)
    assert next_due_times(task, 1, nine) == [nine + timedelta(days=1)]
    assert next_due_times(task, 1, nine - timedelta(microseconds=1)) == [nine]


def test_after_is_now_by_default():
    """Without `after` they follow the present instant."""
    with time_machine.travel(START, tick=False):
        assert next_due_times(cron("0 9 * * *"), 1) == [START + timedelta(hours=9)]
        assert next_due_times(every(60), 2) == [START + timedelta(minutes=1), START + timedelta(minutes=2)]


@pytest.mark.parametrize("enabled", [True, False])
def test_pure(enabled):
    """The definition is not changed, a pause does not matter, and the same question has the same answer."""
    task = cron("*/5 * * * *", enabled=enabled, jitter_seconds=30, metadata={"a": [1]})
    before = task.model_copy(deep=True)
    assert next_due_times(task, 50, START) == next_due_times(task, 50, START)
    assert task == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"after": datetime(2026, 1, 5)}, "after=2026-01-05T00:00:00 has no time zone; give an aware datetime"),  # noqa: DTZ001
        ({"after": START.replace(year=9999)}, "after=9999-01-05T00:00:00+00:00; give an instant between the years"),
        ({"after": START.replace(year=1)}, "after=0001-01-05T00:00:00+00:00; give an instant between the years"),
        ({"n": -1}, "n=-1; give a whole number, 0 or more"),
    ],
)
@pytest.mark.parametrize(
    "task", [every(60), cron("@daily", jitter_seconds=5), once(START)], ids=["every", "cron", "once"]
)
def test_wrong_questions(task, arguments, said):
    """A naive or impossible `after` and a negative `n` are refused; the error says how to fix them."""
    with pytest.raises(ValueError, match="give") as caught:
        next_due_times(task, **arguments)
    assert said in str(caught.value)


@pytest.mark.parametrize("year", [1900, 9000])
@pytest.mark.parametrize("jitter_seconds", [0, 3_155_760_000])
def test_ends_of_the_calendar(year, jitter_seconds):
    """From the first year that is accepted to the last, each kind of schedule answers."""
    after = START.replace(year=year)
    for task in (every(60, jitter_seconds=jitter_seconds), every(3_155_760_000, jitter_seconds=jitter_seconds)):
        assert next_due_times(task, 2, after)[0] > after
    assert len(next_due_times(cron("@daily"), 2, after)) == (2 if year == 1900 else 0)


def test_microseconds_are_exact():
    """Instants go to microseconds and back without a rounding, also far from 1970."""
    for year in (1, 1969, 2026, 9999):
        moment = datetime(year, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
        assert to_datetime(to_micros(moment)) == moment
