"""A schedule in words: tables of what is said, and the way from words to a schedule and back."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler import TaskDefinition, TaskType, describe, parse_schedule
from scheduler.phrases.calendar_days import ordinal
from scheduler.phrases.cron import HOURS, MINUTES, MONTH_DAYS, MONTH_NAMES, MONTHS, WEEKDAY_NAMES, expand
from scheduler.phrases.reader import join_list
from scheduler.timing.crontab import parse_crontab, split_crontab

NOW = datetime(2026, 6, 1, 10, 0, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")

CRON = [
    ("* * * * *", "Every minute"),
    ("*/1 * * * *", "Every minute"),
    ("0-59 * * * *", "Every minute"),
    ("*,5 * * * *", "Every minute"),
    ("*/5 * * * *", "Every 5 minutes"),
    ("0-55/5 * * * *", "Every 5 minutes"),
    ("*/7 * * * *", "Every hour at :00, :07, :14, :21, :28, :35, :42, :49 and :56"),
    ("*/40 * * * *", "Every hour at :00 and :40"),
    ("0 * * * *", "Every hour"),
    ("@hourly", "Every hour"),
    ("007 * * * *", "Every hour at :07"),
    ("15,45 * * * *", "Every hour at :15 and :45"),
    ("1-59 * * * *", "At :01 to :59 of every hour"),
    ("0 */2 * * *", "Every 2 hours"),
    ("30 */6 * * *", "Every 6 hours at :30"),
    ("0 */5 * * *", "At :00 in the hours 00, 05, 10, 15 and 20"),
    ("0 */24 * * *", "At :00 in the hour 00"),
    ("*/15 */2 * * *", "Every 2 hours at :00, :15, :30 and :45"),
    ("*/15 9-17 * * 1-5", "Every 15 minutes from 09:00 to 17:59 on weekdays"),
    ("* 9 * * *", "Every minute from 09:00 to 09:59"),
    ("* 9,11,13-15 * * *", "At :00 to :59 in the hours 09, 11 and 13 to 15"),
    ("5-50 9-17 * * *", "At :05 to :50 in the hours 09 to 17"),
    ("0 9-17 * * 1-5", "Every hour from 09:00 to 17:00 on weekdays"),
    ("30 0-23 * * *", "Every hour from 00:30 to 23:30"),
    ("0 9-17/4 * * *", "Every day at 09:00, 13:00 and 17:00"),
    ("0 9 * * *", "Every day at 09:00"),
    ("@daily", "Every day at 00:00"),
    ("@midnight", "Every day at 00:00"),
    ("5-5/10 9 * * *", "Every day at 09:05"),
    ("0,30 9,17 * * *", "Every day at 09:00, 09:30, 17:00 and 17:30"),
    ("30 8 * * 1", "Every Monday at 08:30"),
    ("30 8 * * MON", "Every Monday at 08:30"),
    ("0 0 * * 0", "Every Sunday at 00:00"),
    ("0 0 * * 7", "Every Sunday at 00:00"),
    ("0 0 * * 0,7", "Every Sunday at 00:00"),
    ("@weekly", "Every Sunday at 00:00"),
    ("0 0 * * 5-7", "Every Friday to Sunday at 00:00"),
    ("0 0 * * 0-7", "Every day at 00:00"),
    ("0 0 * * 6,0", "Every Saturday and Sunday at 00:00"),
    ("0 9 * * 1,3,5", "Every Monday, Wednesday and Friday at 09:00"),
    ("0 9 * * mon-fri", "Every weekday at 09:00"),
    ("0 9 * * 1-5/2", "Every Monday, Wednesday and Friday at 09:00"),
    ("0 9 * * */2", "Every Tuesday, Thursday, Saturday and Sunday at 09:00"),
    ("0 9 * * */8", "Every Sunday at 09:00"),
    ("0 9 * jan-mar 1", "Every Monday in January, February and March at 09:00"),
    ("0 9 * */6 *", "Every day in January and July at 09:00"),
    ("0 12 1 * *", "On the 1st of every month at 12:00"),
    ("@monthly", "On the 1st of every month at 00:00"),
    ("@yearly", "On the 1st of every January at 00:00"),
    ("@annually", "On the 1st of every January at 00:00"),
    ("0 12 1,15 * *", "On the 1st and 15th of every month at 12:00"),
    ("0 12 1-7 6,7 *", "On the 1st to 7th of every June and July at 12:00"),
    ("0 12 31 * *", "On the 31st of every month, where there is one, at 12:00"),
    ("0 12 29 feb *", "On the 29th of every February, where there is one, at 12:00"),
    ("0 12 */10 * *", "On the 1st, 11th, 21st and 31st of every month, where there is one, at 12:00"),
    ("0 12 30 4,6 *", "On the 30th of every April and June at 12:00"),
    ("0 * 15 * *", "Every hour on the 15th of every month"),
    ("0 * 31 * *", "Every hour on the 31st of every month, where there is one"),
    # Both fields of days: either fits, unless one begins with `*`
    ("0 9 1 * 1", "On the 1st of every month, and every Monday, at 09:00"),
    ("0 9 1 6 1", "On the 1st of every June, and every Monday in June, at 09:00"),
    ("0 9 31 * 1-5", "On the 31st of every month, where there is one, and every weekday, at 09:00"),
    ("*/20 * 1 * 1", "Every 20 minutes on the 1st of every month, and on Mondays"),
    (
        "0 9 */2 * 1",
        f"On the {join_list([ordinal(d) for d in range(1, 32, 2)])} of every month, if it is a Monday, at 09:00",
    ),
    ("0 9 1-7 * */3", "On the 1st to 7th of every month, if it is a Wednesday or a Saturday or a Sunday, at 09:00"),
    ("0 9 *,5 * 1", "Every Monday at 09:00"),
    ("0 9 1-31 * 1", "Every day at 09:00"),
    ("0 9 1 * 0-6", "Every day at 09:00"),
    ("0 9 1-31 * *", "Every day at 09:00"),
    ("0 9 1 * *,1", "On the 1st of every month at 09:00"),
    ("*/30 * */15 * 5", "Every 30 minutes on the 1st, 16th and 31st of every month, if it is a Friday"),
]

INTERVALS = [
    (1, "Every second"),
    (59, "Every 59 seconds"),
    (60, "Every 60 seconds"),
    (90, "Every 90 seconds"),
    (300, "Every 300 seconds"),
    (420, "Every 7 minutes"),
    (3_600, "Every 60 minutes"),
    (5_400, "Every 90 minutes"),
    (7_200, "Every 120 minutes"),
    (18_000, "Every 5 hours"),
    (86_400, "Every 24 hours"),
    (604_800, "Every 168 hours"),
]

OTHERS = [
    ({"cron_expression": "30 8 * * 1", "timezone": "Europe/Berlin"}, "Every Monday at 08:30 (Europe/Berlin)"),
    ({"run_at": datetime(2027, 3, 15, 14, tzinfo=UTC)}, "At 2027-03-15 14:00+00:00"),
    ({"run_at": datetime(2027, 3, 15, 14)}, "At 2027-03-15 14:00+00:00"),  # noqa: DTZ001 - naive is UTC
    ({"run_at": datetime(2027, 3, 15, 14, tzinfo=timezone(timedelta(hours=1)))}, "At 2027-03-15 14:00+01:00"),
    ({"run_at": datetime(2027, 3, 15, 14, tzinfo=UTC), "timezone": "Asia/Tokyo"}, "At 2027-03-15 23:00+09:00"),
    ({"run_at": datetime(2027, 3, 15, 14, 0, 5, tzinfo=UTC)}, "At 2027-03-15 14:00:05+00:00"),
    ({"run_at": datetime(2027, 3, 15, 14, 0, 5, 250_000, tzinfo=UTC)}, "At 2027-03-15 14:00:05.250000+00:00"),
    ({"interval_seconds": 600, "start_at": NOW}, "Every 600 seconds, from 2026-06-01 10:00+00:00"),
    (
        {"interval_seconds": 420, "start_at": NOW, "timezone": "Europe/Berlin"},
        "Every 7 minutes, from 2026-06-01 12:00+02:00",
    ),
    ({"interval_seconds": 420, "end_at": NOW}, "Every 7 minutes, until 2026-06-01 10:00+00:00"),
    ({"interval_seconds": 420, "max_runs": 1}, "Every 7 minutes, at most 1 run"),
    ({"interval_seconds": 420, "max_runs": 10}, "Every 7 minutes, at most 10 runs"),
    ({"interval_seconds": 420, "jitter_seconds": 1}, "Every 7 minutes, delayed by up to 1 second"),
    (
        {
            "cron_expression": "0 9 * * *",
            "timezone": "Europe/Berlin",
            "start_at": NOW,
            "end_at": NOW + timedelta(days=200),
            "max_runs": 3,
            "jitter_seconds": 30,
        },
        (
            "Every day at 09:00 (Europe/Berlin), from 2026-06-01 12:00+02:00, until 2026-12-18 11:00+01:00, "
            "at most 3 runs, delayed by up to 30 seconds"
        ),
    ),
]

TYPES = {
    "cron_expression": TaskType.CRON,
    "interval_seconds": TaskType.INTERVAL,
    "run_at": TaskType.ONE_TIME,
}


def task(**fields):
    kind = next(kind for name, kind in TYPES.items() if name in fields)
    return TaskDefinition(**{"id": "t", "name": "T", "prompt": "Go.", "task_type": kind, **fields})


@pytest.mark.parametrize(("expression", "words"), CRON)
def test_a_cron_expression_in_words(expression, words):
    """Each form of a field, and each way in which the fields come together."""
    assert describe(task(cron_expression=expression)) == words


@pytest.mark.parametrize(("seconds", "words"), INTERVALS)
def test_an_interval_in_words(seconds, words):
    """Never in words that are a step of the clock."""
    assert describe(task(interval_seconds=seconds)) == words
    assert parse_schedule(words) == {"task_type": TaskType.INTERVAL, "interval_seconds": seconds}


@pytest.mark.parametrize(("fields", "words"), OTHERS)
def test_the_other_fields_in_words(fields, words):
    """Zone, instants, bounds, number of runs, jitter."""
    assert describe(task(**fields)) == words


# --- From words to a schedule and back ---

times = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))
hours_of_one_minute = st.builds(
    lambda hours, minute: [f"{hour:02}:{minute:02}" for hour in hours],
    st.lists(st.integers(0, 23), min_size=1, unique=True),
    st.integers(0, 59),
)
at_times = (hours_of_one_minute | st.lists(times, min_size=1, max_size=1)).map(lambda each: f" at {join_list(each)}")


def lists_of(names, most=None):
    return st.lists(st.sampled_from(names), min_size=1, max_size=most, unique=True).map(join_list)


in_months = st.just("") | lists_of(MONTH_NAMES).map(" in {}".format)
ordinals = lists_of([ordinal(day) for day in range(1, 29)])
ranges = st.tuples(st.sampled_from(WEEKDAY_NAMES), st.sampled_from(WEEKDAY_NAMES)).filter(
    lambda ends: ends[0] != ends[1]
)
weekdays = lists_of(WEEKDAY_NAMES) | st.just("weekday") | ranges.map(" to ".join)
plural_weekdays = lists_of([f"{name}s" for name in WEEKDAY_NAMES]) | st.just("weekdays")
of_months = st.just("month") | lists_of(MONTH_NAMES)
monthly = st.builds("on the {} of every {}".format, ordinals, of_months)
heads = st.builds("every {}{}".format, weekdays | st.just("day"), in_months) | monthly
marks = st.just("") | lists_of([f":{minute:02}" for minute in range(60)], 24).map(" at {}".format)
tails = in_months | st.builds(" on {}{}".format, plural_weekdays, in_months) | monthly.map(" {}".format)
steps = (
    st.integers(1, 59).filter(lambda step: 60 % step == 0).map("every {} minutes".format)
    | st.builds("every {} hours{}".format, st.integers(1, 23).filter(lambda step: 24 % step == 0), marks)
    | st.builds("every hour{}".format, marks)
    | st.builds(
        lambda first, more, minute: f"every hour from {first:02}:{minute:02} to {min(first + more, 23):02}:{minute:02}",
        st.integers(0, 21),
        st.integers(2, 23),
        st.integers(0, 59),
    )
)
intervals = st.builds(
    "every {} {}".format, st.integers(1, 10**6), st.sampled_from(["seconds", "minutes", "hours"])
).filter(lambda phrase: not phrase.endswith("hours") or int(phrase.split()[1]) < 800_000)
instants = st.datetimes(datetime(2026, 6, 2), datetime(2120, 1, 1)).map("at {:%Y-%m-%d %H:%M:%S}+00:00".format)  # noqa: DTZ001 - the text names the offset
lengths = st.builds("in {} {}".format, st.integers(1, 10_000), st.sampled_from(["seconds", "minutes", "hours", "days"]))
phrases = (
    st.builds("{}{}".format, heads, at_times) | st.builds("{}{}".format, steps, tails) | intervals | instants | lengths
)
zones = st.sampled_from([None, "UTC", "Europe/Berlin"])


@given(phrases, zones)
def test_words_to_a_schedule_to_words_to_a_schedule(phrase, zone):
    """What the grammar can say is said in words that mean the same."""
    if phrase.startswith("in ") and phrase.endswith("days"):
        zone = None
    fields = parse_schedule(phrase, timezone=zone, now=NOW)
    words = describe(task(**fields))
    assert parse_schedule(words, now=NOW) == fields
    assert describe(task(**parse_schedule(words, now=NOW))) == words


def field(low, high, names=()):
    numbers = st.integers(low, high)
    value = numbers.map(str) | st.sampled_from(names) if names else numbers.map(str)
    span = st.tuples(numbers, numbers).map(sorted).map(lambda ends: f"{ends[0]}-{ends[1]}")
    step = st.integers(1, high + 2).map("/{}".format)
    item = st.just("*") | value | span | st.builds("{}{}".format, st.just("*") | span, step)
    return st.just("*") | value | st.lists(item, min_size=1, max_size=3).map(",".join)


def is_accepted(expression):
    try:
        parse_crontab(expression)
    except ValueError:
        return False
    return True


expressions = st.tuples(
    field(0, 59), field(0, 23), field(1, 31), field(1, 12, ["jan", "Dec"]), field(0, 7, ["sun", "Fri"])
).map(" ".join)


@given(expressions.filter(is_accepted))
def test_a_description_that_can_be_read_means_the_schedule(expression):
    """It is due at the same instants, also where clocks are changed; one that would not be cannot be read."""
    words = describe(task(cron_expression=expression))
    assert words[0].isupper()
    try:
        again = parse_schedule(words, now=NOW)["cron_expression"]
    except ValueError:
        return
    for start in (datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 10, 24, 23, tzinfo=UTC)):
        assert due_times(again, start) == due_times(expression, start)


def due_times(expression, after):
    crontab, found = parse_crontab(expression), []
    while len(found) < 40 and after is not None:
        after = crontab.next_after(after, BERLIN)
        found.append(after)
    return found


@given(expressions.filter(is_accepted))
def test_the_fields_are_read_as_the_calendar_reads_them(expression):
    """Minutes, hours, days of the month, months, days of the week."""
    calendar = parse_crontab(expression)._calendar
    minute, hour, month_day, month, weekday = split_crontab(expression)
    assert expand(minute, MINUTES) == set(calendar.minutes)
    assert expand(hour, HOURS) == set(calendar.hours)
    assert expand(month_day, MONTH_DAYS) == set(calendar.days)
    assert expand(month, MONTHS, MONTH_NAMES) == set(calendar.months)
    read = {day % 7 for day in expand(weekday, frozenset(range(8)), WEEKDAY_NAMES)}
    assert read == {day % 7 for day in calendar.weekdays}
