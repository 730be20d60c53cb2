"""Recurrence rules: the examples of RFC 5545, a brute force over all days, clock changes, and what is refused."""

# ruff: noqa: DTZ001, C901 - local times; the brute force is one function

import calendar
import re
import subprocess
import sys
import time
from datetime import date, datetime, timedelta
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler import TaskDefinition, TaskType, describe, load_tasks, next_due_times
from scheduler.tasks_file import dump_tasks
from scheduler.timing.clock import to_datetime, to_micros
from scheduler.timing.rule_parser import parse_rule
from scheduler.timing.schedule import schedule_of, shortest_interval

NEW_YORK = ZoneInfo("America/New_York")
BERLIN = ZoneInfo("Europe/Berlin")
UTC = ZoneInfo("UTC")
CODES = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]


def task(rule, zone="Europe/Berlin", **fields):
    return TaskDefinition(
        id="task", name="task", prompt="p", task_type=TaskType.RRULE, rrule=rule, timezone=zone, **fields
    )


def locals_of(rule, start, number, zone="America/New_York", **fields):
    one = task(rule, zone, start_at=start, **fields)
    after = (one.start_at - timedelta(seconds=1)).astimezone(UTC)
    return [f"{due.replace(tzinfo=None):%Y-%m-%d %H:%M}" for due in next_due_times(one, number, after)]


RFC_EXAMPLES = [  # section 3.8.5.3, all from 09:00 on 2 September 1997 unless it says otherwise
    ("FREQ=DAILY;INTERVAL=2", "1997-09-02 1997-09-04 1997-09-06"),
    ("FREQ=DAILY;INTERVAL=10", "1997-09-02 1997-09-12 1997-09-22 1997-10-02 1997-10-12"),
    ("FREQ=WEEKLY;INTERVAL=2;WKST=SU", "1997-09-02 1997-09-16 1997-09-30 1997-10-14 1997-10-28 1997-11-11"),
    ("FREQ=WEEKLY;INTERVAL=2;WKST=SU;BYDAY=TU,TH", "1997-09-02 1997-09-04 1997-09-16 1997-09-18 1997-09-30"),
    ("FREQ=MONTHLY;BYDAY=1FR", "1997-09-05 1997-10-03 1997-11-07 1997-12-05 1998-01-02 1998-02-06"),
    ("FREQ=MONTHLY;INTERVAL=2;BYDAY=1SU,-1SU", "1997-09-07 1997-09-28 1997-11-02 1997-11-30 1998-01-04 1998-01-25"),
    ("FREQ=MONTHLY;BYDAY=-2MO", "1997-09-22 1997-10-20 1997-11-17 1997-12-22 1998-01-19 1998-02-16"),
    ("FREQ=MONTHLY;BYMONTHDAY=-3", "1997-09-28 1997-10-29 1997-11-28 1997-12-29 1998-01-29 1998-02-26"),
    ("FREQ=MONTHLY;BYMONTHDAY=1,-1", "1997-09-30 1997-10-01 1997-10-31 1997-11-01 1997-11-30 1997-12-01"),
    ("FREQ=MONTHLY;INTERVAL=18;BYMONTHDAY=10,11", "1997-09-10 1997-09-11 1999-03-10 1999-03-11 2000-09-10"),
    ("FREQ=YEARLY;BYMONTH=6,7", "1998-06-02 1998-07-02 1999-06-02 1999-07-02"),
    ("FREQ=YEARLY;BYDAY=20MO", "1998-05-18 1999-05-17 2000-05-15"),
    ("FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO", "1998-05-11 1999-05-17 2000-05-15"),
    ("FREQ=YEARLY;INTERVAL=3;BYYEARDAY=1,100,200", "2000-01-01 2000-04-09 2000-07-18 2003-01-01 2003-04-10"),
    ("FREQ=YEARLY;BYMONTH=3;BYDAY=TH", "1998-03-05 1998-03-12 1998-03-19 1998-03-26 1999-03-04"),
    ("FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", "1998-02-13 1998-03-13 1998-11-13 1999-08-13 2000-10-13"),
    ("FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13", "1997-09-13 1997-10-11 1997-11-08 1997-12-13"),
    ("FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8", "2000-11-07 2004-11-02 2008-11-04"),
    ("FREQ=MONTHLY;BYDAY=TU,WE,TH;BYSETPOS=3", "1997-09-04 1997-10-07 1997-11-06"),
    ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2", "1997-09-29 1997-10-30 1997-11-27 1997-12-30 1998-01-29"),
    ("FREQ=MONTHLY;BYMONTHDAY=15,30", "1997-09-15 1997-09-30 1997-10-15 1997-10-30"),
]


@pytest.mark.parametrize(("rule", "days"), RFC_EXAMPLES)
def test_examples_of_the_rfc(rule, days):
    """Each example of RFC 5545 has the due times that the RFC lists."""
    begin = "1996-11-05T09:00" if "INTERVAL=4" in rule else "1997-09-02T09:00"
    expected = [f"{day} 09:00" for day in days.split()]
    found = locals_of(rule, begin, len(expected) + 1)
    assert [due for due in found if due > "1996-11-06"][: len(expected)] == expected


def test_the_week_begins_where_wkst_says():
    """The RFC's example in which only the begin of the week differs."""
    rule = "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST="
    begin = "1997-08-05T09:00"
    assert [due[5:10] for due in locals_of(rule + "MO", begin, 4)] == ["08-05", "08-10", "08-19", "08-24"]
    assert [due[5:10] for due in locals_of(rule + "SU", begin, 4)] == ["08-05", "08-17", "08-19", "08-31"]


def test_hours_and_minutes():
    """Frequencies shorter than a day count hours and minutes of the local clock from the start."""
    assert locals_of("FREQ=HOURLY;INTERVAL=5", "1997-09-02T20:10", 3) == [
        "1997-09-02 20:10",
        "1997-09-03 01:10",
        "1997-09-03 06:10",
    ]
    assert locals_of("FREQ=MINUTELY;INTERVAL=90", "1997-09-02T23:00", 3)[1:] == ["1997-09-03 00:30", "1997-09-03 02:00"]
    found = locals_of("FREQ=DAILY;BYHOUR=9,10;BYMINUTE=0,40;BYSETPOS=-1", "1997-09-02T09:00", 2)
    assert found == ["1997-09-02 10:40", "1997-09-03 10:40"]


# --- A brute force that shares nothing with the code: it looks at each day ---


def brute(parts, start, until):
    """Return all matches from `start` up to `until`, from the text of the RFC, day by day."""
    get = lambda name: [int(each) for each in parts[name].split(",")] if name in parts else None  # noqa: E731
    freq, interval = parts["FREQ"], int(parts.get("INTERVAL", 1))
    week_start = CODES.index(parts.get("WKST", "MO"))
    days = (
        [(int(item[:-2] or 0), CODES.index(item[-2:])) for item in parts["BYDAY"].split(",")]
        if "BYDAY" in parts
        else None
    )
    months, month_days, year_days = get("BYMONTH"), get("BYMONTHDAY"), get("BYYEARDAY")
    hours = get("BYHOUR") or ([start.hour] if freq not in {"HOURLY", "MINUTELY"} else list(range(24)))
    minutes = get("BYMINUTE") or ([start.minute] if freq != "MINUTELY" else list(range(60)))
    if not (days or month_days or year_days):
        if freq == "WEEKLY":
            days = [(0, start.weekday())]
        if freq in {"MONTHLY", "YEARLY"}:
            month_days = [start.day]
        if freq == "YEARLY" and not months:
            months = [start.month]

    def fits(day):
        month_length = calendar.monthrange(day.year, day.month)[1]
        year_length = 366 if calendar.isleap(day.year) else 365
        of_year = day.timetuple().tm_yday
        if months and day.month not in months:
            return False
        if month_days and not {day.day, day.day - month_length - 1} & set(month_days):
            return False
        if year_days and not {of_year, of_year - year_length - 1} & set(year_days):
            return False
        if days is None:
            return True
        first, length = (day.day, month_length) if freq == "MONTHLY" or months else (of_year, year_length)
        counted = {0, (first - 1) // 7 + 1, -((length - first) // 7 + 1)}
        return any(weekday == day.weekday() and number in counted for number, weekday in days)

    def week(day):
        return (day - timedelta(days=(day.weekday() - week_start) % 7)).toordinal() // 7

    def period(moment):
        return {
            "YEARLY": moment.year,
            "MONTHLY": moment.year * 12 + moment.month,
            "WEEKLY": week(moment.date()),
            "DAILY": moment.toordinal(),
            "HOURLY": moment.toordinal() * 24 + moment.hour,
            "MINUTELY": moment.toordinal() * 1440 + moment.hour * 60 + moment.minute,
        }[freq]

    groups = {}
    day = date(start.year, 1, 1) - timedelta(days=7)
    while day <= until.date() + timedelta(days=400 if "BYSETPOS" in parts else 0):
        if fits(day):
            for hour in hours:
                for minute in minutes:
                    moment = datetime(day.year, day.month, day.day, hour, minute)
                    number = period(moment)
                    if (number - period(start)) % interval == 0:
                        groups.setdefault(number, []).append(moment)
        day += timedelta(days=1)
    positions = get("BYSETPOS")
    found = []
    for members in groups.values():
        if positions:
            places = {place - 1 if place > 0 else len(members) + place for place in positions}
            members = [each for index, each in enumerate(members) if index in places]  # noqa: PLW2901
        found += members
    return [each for each in sorted(found) if start <= each <= until]


def some(values, most=3):
    return st.lists(values, min_size=1, max_size=most, unique=True).map(lambda found: ",".join(map(str, sorted(found))))


@st.composite
def rules(draw):
    freq = draw(st.sampled_from(["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY"]))
    parts = {"FREQ": freq}
    if draw(st.booleans()):
        most = {"MINUTELY": 3_000, "HOURLY": 100, "DAILY": 40}.get(freq, 5)
        parts["INTERVAL"] = str(draw(st.integers(1, most)))
    if draw(st.booleans()):
        parts["BYMONTH"] = draw(some(st.integers(1, 12), 6))
    if freq != "WEEKLY" and draw(st.booleans()):
        parts["BYMONTHDAY"] = draw(some(st.integers(1, 31) | st.integers(-31, -1), 8))
    if freq == "YEARLY" and draw(st.integers(0, 4)) == 0:
        parts["BYYEARDAY"] = draw(some(st.integers(1, 366) | st.integers(-366, -1), 30))
    if draw(st.booleans()):
        plain = st.sampled_from(CODES)
        numbered = st.builds("{}{}".format, st.sampled_from([1, 2, 3, 4, 5, -1, -2, -5]), plain)
        parts["BYDAY"] = draw(some(plain | numbered if freq in {"MONTHLY", "YEARLY"} else plain, 5))
    if draw(st.booleans()) or freq == "MINUTELY":
        parts["BYHOUR"] = draw(some(st.integers(0, 23)))
    if draw(st.booleans()) or freq == "MINUTELY":
        parts["BYMINUTE"] = draw(some(st.integers(0, 59)))
    if draw(st.booleans()) and len(parts) > 1 + ("INTERVAL" in parts):
        parts["BYSETPOS"] = draw(some(st.integers(1, 6) | st.integers(-6, -1)))
    if draw(st.booleans()):
        parts["WKST"] = draw(st.sampled_from(CODES))
    return parts


@settings(max_examples=150, deadline=None)
@given(parts=rules(), start=st.datetimes(datetime(1995, 1, 1), datetime(2030, 1, 1)), days=st.integers(0, 900))
def test_a_brute_force_over_all_days_agrees(parts, start, days):
    """next_after, latest and count are those of a brute force, wherever one asks from."""
    start = start.replace(second=0, microsecond=0)
    text = ";".join(f"{name}={value}" for name, value in parts.items())
    until = start + timedelta(days=1000)
    expected = [to_micros(each.replace(tzinfo=UTC)) for each in brute(parts, start, until)]
    try:
        one = task(text, "UTC", start_at=start)
    except ValueError as error:
        assert "never comes" in str(error)  # noqa: PT017 (a rule may be impossible)
        assert not expected
        return
    schedule = schedule_of(one, "UTC", 0)
    asked = to_micros((start + timedelta(days=days)).replace(tzinfo=UTC))
    end = to_micros(until.replace(tzinfo=UTC))
    found, due = [], asked
    while len(found) < 8 and (due := schedule.next_after(due)) is not None and due <= end:
        found.append(due)
    assert found == [each for each in expected if each > asked][:8]
    assert schedule.count(asked, end) == sum(asked < each <= end for each in expected)
    earlier = [each for each in expected if each <= asked]
    assert schedule.latest(0, asked) == (earlier[-1] if earlier else None)


# --- Starts, exceptions, clocks ---


def test_without_a_start_it_starts_at_the_first_time_that_fits():
    """Every other Monday starts at the next Monday, and keeps in step with when the task was added."""
    one = task("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO;BYHOUR=9", "UTC")
    added = to_micros(datetime(2026, 11, 25, 12, tzinfo=UTC))  # a Wednesday
    schedule = schedule_of(one, "UTC", added)
    dues = list(islice(iter_due(schedule, added), 3))
    assert [f"{to_datetime(due):%a %m-%d %H:%M}" for due in dues] == [
        "Mon 11-30 09:00",
        "Mon 12-14 09:00",
        "Mon 12-28 09:00",
    ]


def iter_due(schedule, after):
    while (after := schedule.next_after(after)) is not None:
        yield after


def test_exceptions_are_days_or_instants():
    """A date leaves a whole day out, a datetime one due time; next, latest and count agree."""
    one = task(
        "FREQ=DAILY;BYHOUR=9,17;BYMINUTE=0", exdates=["2026-12-24", "2026-12-25T17:00"], start_at="2026-12-23T00:00"
    )
    after = one.start_at.astimezone(UTC)
    found = [f"{due:%d %H}" for due in next_due_times(one, 5, after)]
    assert found == ["23 09", "23 17", "25 09", "26 09", "26 17"]
    schedule = schedule_of(one, "Europe/Berlin", 0)
    end = to_micros(datetime(2026, 12, 26, 23, tzinfo=BERLIN))
    assert schedule.count(to_micros(after), end) == 5
    assert TaskDefinition.model_validate_json(one.model_dump_json()) == one


@pytest.mark.parametrize(
    ("rule", "start", "expected"),
    [
        ("FREQ=DAILY", "2025-03-29T02:30", "03-29 02:30+01:00, 03-30 03:00+02:00, 03-31 02:30+02:00"),
        ("FREQ=DAILY", "2025-10-25T02:30", "10-25 02:30+02:00, 10-26 02:30+02:00, 10-27 02:30+01:00"),
        ("FREQ=HOURLY", "2025-03-30T01:00", "03-30 01:00+01:00, 03-30 03:00+02:00, 03-30 04:00+02:00"),
    ],
)
def test_clock_changes(rule, start, expected):
    """A time in a gap runs at its end, a time that comes twice runs once: as fixed cron expressions do."""
    one = task(rule, start_at=start)
    after = (one.start_at - timedelta(seconds=1)).astimezone(UTC)
    assert ", ".join(due.isoformat(" ", "minutes")[5:] for due in next_due_times(one, 3, after)) == expected


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("", "NAME=VALUE"),
        ("BYDAY=MO", "FREQ is missing"),
        ("FREQ=SECONDLY", "interval_seconds"),
        ("FREQ=FORTNIGHTLY", "is unknown"),
        ("FREQ=DAILY;COUNT=5", "max_runs"),
        ("FREQ=DAILY;UNTIL=20270101", "end_at"),
        ("FREQ=DAILY;FREQ=DAILY", "is there twice"),
        ("FREQ=DAILY;BYEASTER=0", "is no part of a rule"),
        ("FREQ=DAILY;INTERVAL=0", "outside 1"),
        ("FREQ=DAILY;INTERVAL=2.5", "is no number"),
        ("FREQ=DAILY;BYHOUR=24", "outside 0 to 23"),
        ("FREQ=DAILY;BYHOUR=", "NAME=VALUE"),
        ("FREQ=DAILY;BYHOUR=1,,2", "is no number"),
        ("FREQ=DAILY;BYHOUR=٣", "is no number"),
        ("FREQ=MONTHLY;BYMONTHDAY=0;BYHOUR=9", "has 0"),
        ("FREQ=MONTHLY;BYDAY=0MO;BYHOUR=9", "outside 1 to 53"),
        ("FREQ=MONTHLY;BYDAY=6MO;BYHOUR=9", "above 5"),
        ("FREQ=WEEKLY;BYDAY=1MO;BYHOUR=9", "FREQ=MONTHLY"),
        ("FREQ=WEEKLY;BYMONTHDAY=1;BYHOUR=9", "BYMONTHDAY does not go"),
        ("FREQ=MONTHLY;BYWEEKNO=1;BYDAY=MO;BYHOUR=9", "FREQ=YEARLY"),
        ("FREQ=YEARLY;BYWEEKNO=1;BYHOUR=9", "give BYDAY"),
        ("FREQ=DAILY;BYYEARDAY=1;BYHOUR=9", "FREQ=YEARLY"),
        ("FREQ=DAILY;BYSETPOS=1", "there is none"),
        ("FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30;BYHOUR=9", "never comes"),
        ("FREQ=MONTHLY;BYDAY=MO;BYSETPOS=6;BYHOUR=9", "never comes"),
        ("FREQ=WEEKLY;BYDAY=MO", "give BYHOUR"),
        ("FREQ=WEEKLY;BYHOUR=9", "give BYDAY"),
    ],
)
def test_what_is_refused(rule, problem):
    """What is wrong, open, or never comes is refused with a hint."""
    with pytest.raises(ValueError, match=problem):
        task(rule)


def test_a_start_that_never_meets_the_rule_has_no_due_time():
    """An interval can keep a rule from ever coming: then it has no due time, found within a moment."""
    one = task("FREQ=DAILY;INTERVAL=7;BYDAY=MO;BYHOUR=9", start_at="2026-12-01T09:00")  # a Tuesday
    assert next_due_times(one, 1) == []


def test_fields_that_do_not_belong():
    """Exdates belong to rules; a start has whole seconds."""
    with pytest.raises(ValueError, match="exdates are for rrule"):
        TaskDefinition(id="a", name="a", prompt="a", task_type="interval", interval_seconds=60, exdates=["2026-12-24"])
    with pytest.raises(ValueError, match="whole seconds"):
        task("FREQ=DAILY", start_at=datetime(2026, 12, 1, 9, 0, 0, 5))


def test_far_from_the_start_it_is_fast():
    """A daily rule of 1990 costs no enumeration; the bounds are generous, for busy machines."""
    one = task("FREQ=DAILY;INTERVAL=3", start_at="1990-01-01T09:00")
    schedule = schedule_of(one, "Europe/Berlin", 0)
    begin, now = to_micros(one.start_at), to_micros(datetime(2026, 11, 27, tzinfo=UTC))
    schedule.next_after(now)
    took = []
    for hour in range(50):
        started = time.perf_counter()
        schedule.next_after(now + hour * 3_600_000_000)
        took.append(time.perf_counter() - started)
    assert sorted(took)[25] < 0.001
    assert schedule.count(begin - 1, now) == len(range(0, (now - begin) // 86_400_000_000 + 1, 3))
    started = time.perf_counter()
    with pytest.raises(ValueError, match="write at most"):
        parse_rule("FREQ=DAILY;BYHOUR=" + "1," * 5_000)
    assert time.perf_counter() - started < 0.1


def test_the_shortest_interval_bounds_the_distances():
    """Guards of agents' tools know how near due times can be."""
    after = datetime(2026, 11, 27, tzinfo=UTC)
    near = timedelta(minutes=5)
    assert shortest_interval(task("FREQ=DAILY;BYHOUR=9;BYMINUTE=0,4"), near, after) == timedelta(minutes=4)
    assert shortest_interval(task("FREQ=MINUTELY;INTERVAL=3"), near, after) == timedelta(minutes=3)
    assert shortest_interval(task("FREQ=HOURLY;BYMINUTE=0,59"), near, after) == timedelta(minutes=1)
    assert shortest_interval(task("FREQ=WEEKLY;BYDAY=MO;BYHOUR=9"), near, after) > near


def test_dateutil_is_imported_only_for_rules():
    """Neither the import nor a cron task needs it."""
    code = (
        "import sys, scheduler; from scheduler import TaskDefinition as T, next_due_times as n;"
        "n(T(id='a', name='a', prompt='a', task_type='cron', cron_expression='0 9 * * *'));"
        "print('dateutil.rrule' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO;BYHOUR=9", "Every other Monday at 09:00"),
        ("FREQ=WEEKLY;INTERVAL=3;BYDAY=MO,FR;BYHOUR=9", "Every 3 weeks on Monday and Friday at 09:00"),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;BYHOUR=17", "On the last weekday of every month at 17:00"),
        ("FREQ=MONTHLY;BYDAY=1MO;BYHOUR=9", "On the first Monday of every month at 09:00"),
        ("FREQ=MONTHLY;INTERVAL=3;BYMONTHDAY=-1;BYHOUR=9", "On the last day of every 3 months at 09:00"),
        ("FREQ=DAILY;INTERVAL=2;BYHOUR=9,17;BYMINUTE=30", "Every other day at 09:30 and 17:30"),
        ("FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=24;BYHOUR=18", "On the 24th of every December at 18:00"),
        ("FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO;BYHOUR=9", "By the rule FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO;BYHOUR=9"),
        ("FREQ=DAILY;BYMONTH=5;BYHOUR=9", "By the rule FREQ=DAILY;BYMONTH=5;BYHOUR=9"),
        ("FREQ=MONTHLY;BYDAY=1MO,2TU;BYHOUR=9", "By the rule FREQ=MONTHLY;BYDAY=1MO,2TU;BYHOUR=9"),
        ("FREQ=YEARLY;INTERVAL=2;BYMONTHDAY=1;BYHOUR=9", "By the rule FREQ=YEARLY;INTERVAL=2;BYMONTHDAY=1;BYHOUR=9"),
    ],
)
def test_in_words(rule, words):
    """A rule is said in words where there are some that mean it, else as it is written."""
    assert describe(task(rule)) == f"{words} (Europe/Berlin)"


PAGE = (Path(__file__).parents[2] / "docs" / "recurrence.md").read_text(encoding="utf-8")


def rows_of(heading):
    table = heading + PAGE.split(heading, 1)[1].split("\n\n", 1)[0]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


@pytest.mark.parametrize(("rule", "words", "dues"), rows_of("| rule | in words"))
def test_the_page_is_right(rule, words, dues):
    """The rules of docs/recurrence.md have the words and the due times that it says."""
    one = task(rule)
    assert describe(one) == f"{words} (Europe/Berlin)"
    found = next_due_times(one, 2, datetime(2026, 11, 25, 12, tzinfo=BERLIN))
    assert ", ".join(f"{due:%Y-%m-%d %H:%M}" for due in found) == dues


@pytest.mark.parametrize(("rule", "problem"), rows_of("| rule | refused because"))
def test_the_refusals_of_the_page(rule, problem):
    """What docs/recurrence.md says is refused is refused for that reason."""
    with pytest.raises(ValueError, match=re.escape(problem)):
        task(rule)


def test_the_files_of_the_page(tmp_path):
    """Its example of a file loads, and is written again as it was read; a rule may stand in place of words."""
    file = tmp_path / "tasks.toml"
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    file.write_text(text)
    loaded = load_tasks(file)
    assert loaded[0].exdates == (date(2026, 12, 25), datetime(2027, 1, 29, 15, tzinfo=BERLIN))
    file.write_text(dump_tasks(loaded))
    assert load_tasks(file) == loaded
    file.write_text('[[task]]\nid = "a"\nname = "a"\nprompt = "a"\nschedule = "FREQ=DAILY;BYHOUR=9"\n')
    assert load_tasks(file)[0].task_type is TaskType.RRULE
