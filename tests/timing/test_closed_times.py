"""Which instants a calendar closes, and where due times move, against a reading of the rules minute by minute."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler import Calendar, TaskDefinition, next_due_times
from scheduler.timing.calendar_schedules import OpenSchedule, times_of
from scheduler.timing.clock import to_datetime, to_micros
from scheduler.timing.schedule import folded, schedule_of

BERLIN = "Europe/Berlin"
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def task(calendar=None, **fields):
    schedule = {"task_type": "cron", "cron_expression": "0 9 * * *"} if not fields.keys() & {"rrule", "run_at"} else {}
    given = {**schedule, "timezone": BERLIN, **fields}
    return TaskDefinition(id="report", name="Report", prompt="Report.", calendar=calendar, **given)


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(BERLIN))


def due_times(calendar, number=4, after="2026-04-30T00:00", **fields):
    found = next_due_times(task(calendar, **fields), number, at(after))
    return [f"{each:%a %d %b %H:%M}" for each in found]


# --- By example ---


def test_a_holiday_and_a_weekend_are_left_out():
    calendar = Calendar(holidays="DE-BY", closed=["sat", "sun"])
    assert due_times(calendar) == ["Thu 30 Apr 09:00", "Mon 04 May 09:00", "Tue 05 May 09:00", "Wed 06 May 09:00"]


def test_a_closed_due_time_moves_to_the_same_time_of_the_next_open_day():
    calendar = Calendar(holidays="DE-BY", closed="sat-sun", on_closed="next_open")
    assert due_times(calendar, cron_expression="0 9 1 * *") == [
        "Mon 04 May 09:00",
        "Mon 01 Jun 09:00",
        "Wed 01 Jul 09:00",
        "Mon 03 Aug 09:00",
    ]


def test_a_closed_due_time_moves_to_the_last_open_day_before():
    calendar = Calendar(holidays="DE-BY", closed="sat-sun", on_closed="previous_open")
    assert due_times(calendar, 2, cron_expression="0 9 1 * *") == ["Thu 30 Apr 09:00", "Mon 01 Jun 09:00"]


def test_quiet_hours_end_where_the_due_time_moves_to():
    calendar = Calendar(quiet_hours="22:00-07:00", on_closed="next_open")
    assert due_times(calendar, 2, cron_expression="0 1 * * *") == ["Thu 30 Apr 07:00", "Fri 01 May 07:00"]


def test_before_quiet_hours_is_a_minute_before_them():
    calendar = Calendar(quiet_hours="22:00-07:00", on_closed="previous_open")
    assert due_times(calendar, 2, cron_expression="30 23 * * *") == ["Thu 30 Apr 21:59", "Fri 01 May 21:59"]


def test_quiet_hours_belong_to_the_weekday_on_which_they_begin():
    calendar = Calendar(quiet_hours={"fri": "22:00-07:00", "sat": "00:00-24:00"})
    assert due_times(calendar, 4, "2026-05-01T20:00", cron_expression="0 */6 * * *") == [
        "Sun 03 May 00:00",
        "Sun 03 May 06:00",
        "Sun 03 May 12:00",
        "Sun 03 May 18:00",
    ]


def test_the_end_of_quiet_hours_is_open():
    calendar = Calendar(quiet_hours="22:00-07:00")
    assert due_times(calendar, 1, cron_expression="0 7 * * *") == ["Thu 30 Apr 07:00"]


def test_a_calendar_has_days_of_its_own_zone():
    calendar = Calendar(closed="fri", zone="Asia/Tokyo")  # Friday begins there at 17:00 in Berlin
    assert due_times(calendar, 2, cron_expression="0 9,18 * * *") == ["Thu 30 Apr 09:00", "Fri 01 May 18:00"]


@pytest.mark.parametrize("entry", ["2026-12-24/2027-01-06", "2026-12-24..2027-01-06"])
def test_a_range_of_dates_is_closed_with_both_its_ends(entry):
    calendar = Calendar(closed=entry)
    assert due_times(calendar, 2, "2026-12-23T00:00") == ["Wed 23 Dec 09:00", "Thu 07 Jan 09:00"]


def test_a_day_of_each_year():
    calendar = Calendar(closed=["12-24"], on_closed="next_open")
    assert due_times(calendar, 2, cron_expression="0 9 24 12 *") == ["Fri 25 Dec 09:00", "Sat 25 Dec 09:00"]


def test_a_named_date_says_its_name():
    calendar = Calendar(holidays={"2026-05-01": "Company picnic"})
    [skipped, _] = next_due_times(task(calendar), 1, at("2026-05-01T00:00"), explain=True)
    assert (skipped.runs, skipped.notes) == (False, ("skipped: Company picnic",))


def test_an_exchange_has_holidays():
    calendar = Calendar(holidays="NYSE", closed="sat-sun")
    assert due_times(calendar, 1, "2026-07-03T00:00") == ["Mon 06 Jul 09:00"]


def test_due_times_that_move_to_one_instant_are_one():
    calendar = Calendar(closed="sat-sun", on_closed="next_open")
    schedule = schedule_of(task(calendar), BERLIN, 0)
    monday = to_micros(at("2026-05-04T09:00"))
    assert schedule.next_after(to_micros(at("2026-05-01T09:00"))) == monday
    assert folded(schedule, monday) == 2
    assert folded(schedule, to_micros(at("2026-05-05T09:00"))) == 0


def test_nothing_moves_past_the_end():
    calendar = Calendar(closed="sun", on_closed="next_open")
    end = at("2026-05-03T23:00")
    assert due_times(calendar, 5, "2026-05-01T12:00", end_at=end) == ["Sat 02 May 09:00"]


def test_jitter_leaves_a_due_time_out_of_quiet_hours():
    calendar = Calendar(quiet_hours="09:01-17:00")
    for number in range(20):
        each = task(calendar, jitter_seconds=3_600).model_copy(update={"id": f"task-{number}"})
        [due] = next_due_times(each, 1, at("2026-05-01T00:00"))
        assert at("2026-05-01T09:00") <= due < at("2026-05-01T09:01")


def test_a_one_time_task_moves():
    calendar = Calendar(closed="sun", on_closed="next_open")
    fields = {"task_type": "one_time", "run_at": at("2026-05-03T10:00")}
    assert due_times(calendar, 2, **fields) == ["Mon 04 May 10:00"]


# --- Explained ---


def notes(expression, after, calendar=None, **fields):
    found = next_due_times(task(calendar, cron_expression=expression, **fields), 1, at(after), explain=True)
    return [(f"{each.at:%a %H:%M}", each.runs, each.notes) for each in found]


def test_what_shaped_a_due_time_is_said():
    moving = Calendar(closed="sat-sun", on_closed="next_open")
    assert notes("0 9 * * sun", "2026-05-02T00:00", moving) == [
        ("Mon 09:00", True, ("moved from Sunday 3 May, 09:00 (Sunday)",))
    ]
    assert notes("30 2 * * *", "2026-03-29T00:00") == [
        ("Sun 03:00", True, ("02:30 does not exist on this day: runs at 03:00",))
    ]
    assert notes("30 2 * * *", "2026-10-25T00:00") == [("Sun 02:30", True, ("the first of two 02:30s",))]
    assert notes("30 9 * * *", "2026-10-25T00:00") == [("Sun 09:30", True, ())]


def test_due_times_that_one_day_skips_are_one_entry():
    assert notes("*/30 * * * *", "2026-05-02T23:45", Calendar(closed="sun")) == [
        ("Sun 00:00", False, ("skipped: Sunday, and 47 more due times until Monday 4 May, 00:00",)),
        ("Mon 00:00", True, ()),
    ]


def test_the_second_pass_of_the_clock_is_named():
    assert notes("*/30 * * * *", "2026-10-25T02:45") == [("Sun 02:00", True, ("the second of two 02:00s",))]


def test_a_rule_is_explained_too():
    rule = task(rrule="FREQ=DAILY;BYHOUR=2;BYMINUTE=30;BYSECOND=0", task_type="rrule")
    [due] = next_due_times(rule, 1, at("2026-03-29T00:00"), explain=True)
    assert due.notes == ("02:30 does not exist on this day: runs at 03:00",)


# --- Refused ---


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"holidays": "XX"}, "holidays='XX' is no country"),
        ({"holidays": "DE-ZZ"}, "holidays='DE-ZZ': DE has no part 'ZZ'; the parts are"),
        ({"holidays": "2026-02-30"}, "holidays='2026-02-30' is no day of the calendar"),
        ({"holidays": "Easter"}, "holidays='Easter' is neither the code of holidays nor a date"),
        ({"closed": "someday"}, "closed='someday' is no day; give a weekday"),
        ({"closed": "t"}, "closed='t' is no day"),
        ({"closed": "13-01"}, "closed='13-01' is no day of a year"),
        ({"closed": "2026-12-24/2026-12-23"}, "ends before it begins"),
        ({"closed": "2026-12-24/2036-12-23"}, "is longer than 1000 days"),
        ({"closed": "mon-sun"}, "close the whole week"),
        ({"quiet_hours": "00:00-12:00, 12:00-24:00"}, "close the whole week"),
        ({"quiet_hours": "22-7"}, "quiet_hours='22-7' are no hours"),
        ({"quiet_hours": "25:00-26:00"}, "are no hours"),
        ({"quiet_hours": "07:00-07:00"}, "are no hours"),
        ({"quiet_hours": {"someday": "22:00-07:00"}}, "quiet_hours='someday' is no day"),
        ({"on_closed": "later"}, "give one of 'skip', 'next_open', 'previous_open'"),
        (
            {"name": "office", "on_closed": "next_open"},
            "name='office' closes nothing, so zone and on_closed do nothing",
        ),
        ({"zone": "Berlin"}, "no time zone has this name"),
        ({"holiday": "DE"}, "holiday is no field of a calendar; the fields are"),
    ],
)
def test_what_means_nothing_is_refused(fields, said):
    with pytest.raises(ValueError, match="calendar") as refused:
        task(fields)
    assert said in str(refused.value)
    assert "Task report: calendar: " in str(refused.value)


def test_a_name_alone_has_no_due_times():
    with pytest.raises(ValueError, match=r"calendar='office' is not known here; give the Calendar itself"):
        next_due_times(task("office"))


# --- Against a reading of the rules ---

HOURS = st.tuples(st.integers(0, 23), st.integers(0, 24)).filter(lambda pair: pair[0] != pair[1])
WINDOWS = st.dictionaries(st.sampled_from(DAYS), HOURS.map(lambda pair: f"{pair[0]:02}:00-{pair[1]:02}:00"), max_size=3)
CALENDARS = st.builds(
    dict,
    closed=st.lists(st.sampled_from([*DAYS, "2026-03-28", "2026-04-01/2026-04-03", "10-26"]), max_size=3),
    quiet_hours=WINDOWS,
    on_closed=st.sampled_from(["next_open", "previous_open"]),
)
CRON = st.sampled_from(
    [
        "0 9 * * *",
        "30 23 * * sat",
        "30 0 * * *",
        "0 9 1 * *",
        "30 1,13 * * *",
        "15 */7 * * *",
        "0 9 * * sun",
        "30 2 * * *",
        "0 0 * * *",
    ]
)
START = st.datetimes(datetime(2026, 3, 20), datetime(2026, 11, 5)).map(lambda each: each.replace(tzinfo=UTC))  # noqa: DTZ001


def closed_by_reading(calendar, moment):
    """Tell what closes an instant: walk the rules as a person would, on the local clock."""
    local = moment.astimezone(ZoneInfo(BERLIN))
    if is_closed_day(calendar, local.date()):
        return True
    for day in (local.date() - timedelta(days=1), local.date()):
        hours = calendar.quiet_hours.get(DAYS[day.weekday()])
        if hours:
            begin, end = (int(each[:2]) for each in hours.split("-"))
            since = datetime(day.year, day.month, day.day, begin)  # noqa: DTZ001
            until = datetime(day.year, day.month, day.day) + timedelta(hours=end if end > begin else end + 24)  # noqa: DTZ001
            if since <= local.replace(tzinfo=None, fold=0) < until:
                return True
    return False


def is_closed_day(calendar, day):
    for entry in calendar.closed:
        if entry in DAYS and DAYS[day.weekday()] == entry:
            return True
        if entry == "10-26" and (day.month, day.day) == (10, 26):
            return True
        if entry.startswith("2026") and date.fromisoformat(entry[:10]) <= day <= date.fromisoformat(entry[-10:]):
            return True
    return False


def is_near_a_change(moment):
    """Tell whether a clock is changed near an instant, where the local clock alone does not say what is closed."""
    return (moment - timedelta(hours=6)).astimezone(ZoneInfo(BERLIN)).utcoffset() != (
        moment + timedelta(hours=6)
    ).astimezone(ZoneInfo(BERLIN)).utcoffset()


def made(fields):
    try:
        return Calendar(**fields)
    except ValueError:
        return None  # it closes the whole week


@settings(max_examples=300)
@given(CALENDARS, st.lists(START, max_size=30))
def test_what_is_closed_is_what_a_reader_finds(fields, moments):
    calendar = made(fields)
    if calendar is None or calendar == Calendar(on_closed=calendar.on_closed):
        return
    times = times_of(calendar, BERLIN)
    for moment in moments:
        if not is_near_a_change(moment):
            assert (times.closed_at(to_micros(moment)) is not None) == closed_by_reading(calendar, moment)


@settings(max_examples=300, deadline=None)
@given(CALENDARS, CRON, START, st.integers(1, 12))
def test_the_questions_of_a_schedule_agree_under_a_calendar(fields, expression, start, days):
    """Moved due times are those of the base, each moved; next, latest and count say the same of them."""
    calendar = made(fields)
    if calendar is None:
        return
    plain = schedule_of(task(cron_expression=expression), BERLIN, 0)
    schedule = schedule_of(task(calendar, cron_expression=expression), BERLIN, 0)
    times = times_of(calendar, BERLIN)
    after, until = to_micros(start), to_micros(start + timedelta(days=days))
    step = 1 if calendar.on_closed == "next_open" else -1
    expected = set()
    source = plain.next_after(to_micros(start - timedelta(days=30)))
    while source is not None and source < to_micros(start + timedelta(days=days + 30)):
        moved = times.moved(source, step)
        assert times.closed_at(moved) is None
        if after < moved <= until:
            expected.add(moved)
        source = plain.next_after(source)
    found = []
    due = schedule.next_after(after)
    while due is not None and due <= until:
        found.append(due)
        due = schedule.next_after(due)
    assert found == sorted(expected)
    assert schedule.count(after, until) == len(found)
    assert schedule.latest(after + 1, until) == (found[-1] if found else None)


@settings(max_examples=200, deadline=None)
@given(CALENDARS, CRON, START, st.integers(1, 40))
def test_the_open_due_times_are_those_that_nothing_closes(fields, expression, start, days):
    calendar = made({**fields, "on_closed": "skip"})
    if calendar is None:
        return
    plain = schedule_of(task(cron_expression=expression), BERLIN, 0)
    times = times_of(calendar, BERLIN)
    is_open = OpenSchedule(plain, times)
    after, until = to_micros(start), to_micros(start + timedelta(days=days))
    every, due = [], plain.next_after(after)
    while due is not None and due <= until:
        every.append(due)
        due = plain.next_after(due)
    found = [each for each in every if times.closed_at(each) is None]
    closed = [each for each in every if times.closed_at(each) is not None]
    assert is_open.count(after, until) == len(found)
    assert is_open.latest(after + 1, until) == (found[-1] if found else None)
    assert is_open.latest_closed(after + 1, until) == (closed[-1] if closed else None)
    following = is_open.next_after(after)
    assert following == found[0] if found else following is None or following > until


@given(CALENDARS, START)
def test_jitter_is_cut_where_what_is_open_changes(fields, start):
    calendar = made(fields)
    if calendar is None or calendar == Calendar(on_closed=calendar.on_closed):
        return
    times, instant = times_of(calendar, BERLIN), to_micros(start)
    change = times.next_change(instant, to_micros(start + timedelta(days=3)))
    is_closed = times.closed_at(instant) is not None
    for hours in range(72):
        each = to_micros(start + timedelta(hours=hours))
        if change is None or each < change:
            assert (times.closed_at(each) is not None) == is_closed, to_datetime(each)
