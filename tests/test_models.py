"""TaskDefinition says what a task may be; Run and RunStatus say what became of it."""

# ruff: noqa: DTZ001, DTZ901 (naive datetimes are part of what is tested)

import inspect
import json
import math
import pickle
import re
from collections import OrderedDict
from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum
from pathlib import Path

import pytest
from helpers import EchoGraph, hourly, one_time
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from scheduler import (
    OverlapPolicy,
    Run,
    RunStatus,
    TaskDefinition,
    TaskScheduler,
    TaskType,
    describe,
    models,
    next_due_times,
)
from scheduler._field_types import STORED
from scheduler.errors import InvalidTaskError

FUTURE = datetime(2090, 1, 1, tzinfo=UTC)
LEAST = {"id": "t", "name": "T", "prompt": "Go on."}


def a_task(task_type="interval", **fields):
    """Return a task of a kind with its schedule, where the fields do not say otherwise."""
    schedules = {
        "cron": {"cron_expression": "0 9 * * *"},
        "interval": {"interval_seconds": 60},
        "one_time": {"run_at": FUTURE},
        "rrule": {"rrule": "FREQ=DAILY;BYHOUR=9"},
    }
    return TaskDefinition(**{**LEAST, "task_type": task_type, **schedules.get(task_type, {}), **fields})


def refusal(**fields):
    """Return what is said of a task that is refused."""
    with pytest.raises(ValueError, match=r"Task ") as caught:
        a_task(**fields)
    assert isinstance(caught.value, ValidationError)
    return str(caught.value)


def nested(depth, wrap):
    value = 1
    for _ in range(depth):
        value = wrap(value)
    return value


# --- What a definition is without saying so ---

DEFAULTS = {
    "enabled": True,
    "session_id": "scheduler",
    "metadata": {},
    "cron_expression": None,
    "run_at": None,
    "result_callback": None,
    "timezone": None,
    "start_at": None,
    "end_at": None,
    "jitter_seconds": 0,
    "max_runs": None,
    "overlap": OverlapPolicy.SKIP,
    "misfire_grace_seconds": None,
    "coalesce": True,
    "timeout_seconds": None,
    "max_attempts": 1,
    "retry_delay_seconds": 1,
    "retry_max_delay_seconds": 300,
    "rerun_after_crash": False,
    "pause_after_failures": None,
    "graph": None,
}


@pytest.mark.parametrize("field", DEFAULTS)
def test_defaults(field):
    """A field that is left out has the value that the documents promise."""
    assert getattr(a_task(), field) == DEFAULTS[field]
    assert type(getattr(a_task(), field)) is type(DEFAULTS[field])


def test_metadata_is_its_own():
    """Two tasks that name no metadata do not share the dict."""
    first, second = a_task(), a_task()
    first.metadata["a"] = 1
    assert second.metadata == {}


@pytest.mark.parametrize("kind", list(TaskType))
def test_type_by_its_text(kind):
    """A task type may be given as the text of the specification."""
    assert a_task(kind.value) == a_task(kind)
    assert a_task(kind.value).task_type is kind


@pytest.mark.parametrize("policy", list(OverlapPolicy))
def test_overlap_by_its_text(policy):
    """An overlap policy may be given as its text, in a program and in JSON."""
    assert a_task(overlap=policy.value).overlap is policy


MOMENTS = ["run_at", "start_at", "end_at"]


def at(field, value, **fields):
    """Return that field of a task that has it."""
    return getattr(a_task("one_time" if field == "run_at" else "interval", **{field: value}, **fields), field)


@pytest.mark.parametrize("field", MOMENTS)
def test_naive_moments(field):
    """They are local if the task itself names a zone, else UTC; an aware one keeps its instant and its offset."""
    naive = datetime(2090, 5, 1, 9)
    assert at(field, naive) == datetime(2090, 5, 1, 9, tzinfo=UTC)
    assert at(field, "2090-05-01T09:00") == datetime(2090, 5, 1, 9, tzinfo=UTC)
    assert at(field, naive, timezone="Asia/Tokyo") == datetime(2090, 5, 1, 0, tzinfo=UTC)
    assert at(field, "2090-05-01T09:00", timezone="America/New_York") == datetime(2090, 5, 1, 13, tzinfo=UTC)
    assert at(field, date(2090, 5, 1), timezone="Asia/Tokyo") == datetime(2090, 4, 30, 15, tzinfo=UTC)
    aware = naive.replace(tzinfo=timezone(timedelta(hours=9)))
    assert at(field, aware).isoformat() == "2090-05-01T09:00:00+09:00"
    assert at(field, aware, timezone="Europe/Berlin").isoformat() == "2090-05-01T09:00:00+09:00"


@pytest.mark.parametrize("field", MOMENTS)
@pytest.mark.parametrize(
    ("zone", "local", "said"),
    [
        (
            "Europe/Berlin",
            "2026-10-25T02:30:00",
            "back over it; write 2026-10-25T02:30:00+02:00 or 2026-10-25T02:30:00+01:00",
        ),
        (
            "Europe/Berlin",
            "2027-03-28T02:30:00",
            "forward past it; write 2027-03-28T03:30:00+02:00 or 2027-03-28T01:30:00+01:00",
        ),
        ("America/New_York", "2026-11-01T01:00:00", "write 2026-11-01T01:00:00-04:00 or 2026-11-01T01:00:00-05:00"),
        ("Australia/Lord_Howe", "2027-04-04T01:45:00", "write 2027-04-04T01:45:00+11:00 or 2027-04-04T01:45:00+10:30"),
        ("Pacific/Apia", "2011-12-30T12:00:00", "write 2011-12-31T12:00:00+14:00 or 2011-12-29T12:00:00-10:00"),
    ],
)
def test_a_local_time_that_is_two_instants_or_none(field, zone, local, said):
    """Nothing is guessed: the error says what to write, and what it says is taken."""
    for value in (local, datetime.fromisoformat(local)):
        with pytest.raises(ValidationError) as caught:
            at(field, value, timezone=zone)
        assert re.search(
            f"Task t: {field}={local} (comes twice|does not exist) in {zone}: the clock is", str(caught.value)
        )
        assert said in str(caught.value)
    for choice in re.findall(r"\d{4}-\S+[+-]\d\d:\d\d", said):
        assert at(field, choice, timezone=zone) == datetime.fromisoformat(choice)
    assert at(field, local).isoformat() == f"{local}+00:00", "without a zone of the task's own it is UTC"


def test_the_second_of_two_instants():
    """Python's own way to say so is taken."""
    second = at("run_at", datetime(2026, 10, 25, 2, 30, fold=1), timezone="Europe/Berlin")
    assert second.isoformat() == "2026-10-25T02:30:00+01:00"
    assert second == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


def test_what_is_stored_does_not_shift():
    """Definitions are stored with offsets; should one have none, it is UTC, as it was when it was stored."""
    task = a_task("one_time", run_at=datetime(2090, 5, 1, 9), timezone="Asia/Tokyo")
    text = task.model_dump_json(exclude_defaults=True)
    assert TaskDefinition.model_validate_json(text, context=STORED).run_at == task.run_at
    assert TaskDefinition.model_validate_json(text).run_at == task.run_at
    naive = text.replace("+09:00", "")
    assert TaskDefinition.model_validate_json(naive, context=STORED).run_at == datetime(2090, 5, 1, 9, tzinfo=UTC)


def test_naive_bounds_are_compared_as_instants():
    """A naive one is local, an aware one is not; both are put in order as what they mean."""
    start = datetime(2090, 5, 1, 9)
    assert a_task(start_at=start, end_at=datetime(2090, 5, 1, 0, tzinfo=UTC), timezone="Asia/Tokyo")
    said = refusal(start_at=start, end_at=datetime(2090, 4, 30, 23, 59, tzinfo=UTC), timezone="Asia/Tokyo")
    assert "is before start_at=2090-05-01T09:00:00+09:00" in said


# --- What is refused ---

ID = "give a text of 1 to 255 characters without control characters"
TEXT = "give a text that is not blank"
INTERVAL = "give a whole number of seconds from 1 to 3155760000"
JITTER = "give a whole number of seconds from 0 to"
WHOLE = "give a whole number, 1 or more"
FLAG = "give True or False"
JSON = "give a dict of JSON values"
MOMENT = "give a datetime from the year 2 to 9000; one without an offset is local if the task names timezone, else UTC"
NEVER = [datetime.max, datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), "9001-01-01T00:00Z", datetime(9001, 1, 1)]
ALWAYS = [datetime.min, datetime(1, 1, 1, tzinfo=UTC), "0001-12-31T23:59Z"]
ZONE = "give the name of an IANA zone"
CALLBACK = "give the dotted path of an async function"
GRAPH = "give 'module:attribute'"
GRACE = "give a number of seconds, 0 or more, or None for however late"
TIMEOUT = "give a number of seconds above 0"
DELAY = "give a number of seconds, 0 or more"
CRON = "write five: minute hour day-of-month month day-of-week"

#: A field, values that it does not take, and the hint.
REFUSED = [
    ("name", ["", " \n", 5, None, "half \ud83d", "x" * 256, "x" * 3_000_000, "\n" * 3_000_000], TEXT),
    ("prompt", ["", "\t", ["Go on."], None, "half \udc00", "x" * 3_000_000], TEXT),
    ("session_id", ["", " ", "x" * 256, "a\x7fb", None], ID),
    ("task_type", ["weekly", "CRON", None, 1], "give 'cron', 'interval', 'one_time' or 'rrule'"),
    ("enabled", ["yes", 1, 0, None], FLAG),
    ("coalesce", ["true", 1, None], FLAG),
    ("rerun_after_crash", [1, "no"], FLAG),
    ("interval_seconds", [0, -1, 10**12, 0.5, True, "60", 60.0, math.nan, 10**5000], INTERVAL),
    ("jitter_seconds", [-1, 0.5, True, 10**12, None], JITTER),
    ("max_runs", [0, -1, True, 1.0, "3", 2**31], WHOLE),
    ("max_attempts", [0, True, None, 2.5], WHOLE),
    ("pause_after_failures", [0, True, "2"], WHOLE),
    ("misfire_grace_seconds", [-0.001, math.inf, math.nan, True, "5"], GRACE),
    ("timeout_seconds", [0, 0.0, -1, math.inf, math.nan, True, "5"], TIMEOUT),
    ("retry_delay_seconds", [-1, math.inf, math.nan, None, True], DELAY),
    ("retry_max_delay_seconds", [-1, 10**12, None], DELAY),
    ("metadata", [None, [], "{}", [("a", 1)], {"a": "x" * 3_000_000}, {"x" * 3_000_000: [[1]]}], JSON),
    ("context", [[], "{}", {"a": ["x"] * 1_000_000}], JSON),
    ("start_at", ["tomorrow", True, math.nan, 10**5000, *NEVER, *ALWAYS], MOMENT),
    ("end_at", ["tomorrow", True, [], *NEVER, *ALWAYS], MOMENT),
    ("run_at", ["tomorrow", True, [], *NEVER, *ALWAYS], MOMENT),
    ("timezone", ["Mars/Base", "", "../UTC", "/etc/localtime", "Europe", "a\0b", "x" * 5000, "\ud800", 5], ZONE),
    ("overlap", ["queue", "SKIP", None], "give one of OverlapPolicy: 'skip', 'buffer_one'"),
    (
        "result_callback",
        ["notify", "a..b", "a.b:c.d", ".a.b", "a.b()", "a b.c", "", 5, "a." * 1_000_000 + "b"],
        CALLBACK,
    ),
    ("graph", ["a/b", "graph ", "graph:", ":graph", "a/b.py:", "a:b.", "", 5, "a:" + "b" * 3_000_000], GRAPH),
    ("graph", ["langgraph+http://host:1/" + "a" * 3_000_000, "a\0:b", "langgraph+http://host:1/a\0"], ""),
]


@pytest.mark.parametrize(
    ("field", "value", "hint"),
    [
        pytest.param(field, value, hint, id=f"{field}-{number}")
        for field, values, hint in REFUSED
        for number, value in enumerate(values)
    ],
)
def test_refused(field, value, hint):
    """A wrong value is refused when the definition is built, with the task, the field, the value and the hint."""
    said = refusal(**{field: value})
    assert len(said) < 1000
    assert f"Task t: {field}=" in said
    assert hint in said
    if not isinstance(value, int) or value < 10**100:
        is_long_url = "://" in repr(value)[:60] and len(repr(value)) > 255  # it may hold a password
        assert is_long_url or repr(value)[:60] in said
    assert "errors.pydantic.dev" not in said


@pytest.mark.parametrize("value", ["", " ", "x" * 1000, "a\nb", "a\x00b", "\ud800", 5, None], ids=lambda v: repr(v)[:9])
def test_refused_id(value):
    """An id that is blank, too long, not printable or no text is refused, and the message stays short."""
    said = refusal(id=value)
    assert "id=" in said
    assert ID in said
    assert len(said) < 1000
    assert "\x00" not in said


@pytest.mark.parametrize("value", ["x", "x" * 255, "ünï cødé/1", "a b", "日本", "😀", "it's", '"', "%s{}", "../x"])
def test_accepted_id(value):
    """Any other text names a task: nothing is escaped, cut, or taken for a path."""
    assert a_task(id=value).id == value


@pytest.mark.parametrize(
    ("expression", "hint"),
    [
        ("", CRON),
        ("0 9 * *", CRON),
        ("0 0 9 * * *", CRON),
        ("0 0 9 * * * 2030", CRON),
        ("60 * * * *", "write a number from 0 to 59"),
        ("0 24 * * *", "write a number from 0 to 23"),
        ("* * 0 * *", "write a number from 1 to 31"),
        ("30-10 * * * *", "write '30-59,0-10'"),
        ("5/15 * * * *", "did you mean '5-59/15'?"),
        ("0 0 30 2 *", "write a day that a month has"),
        ("@reboot", "trigger the task when your program starts instead"),
        (5, "give five fields"),
    ],
)
def test_refused_crontab(expression, hint):
    """A wrong crontab expression is refused with the expression and the hint of the field that is wrong."""
    said = refusal(task_type="cron", cron_expression=expression)
    assert "Task t: cron_expression" in said
    assert repr(expression) in said
    assert hint in said


@pytest.mark.parametrize(
    ("kind", "missing"), [("cron", "cron_expression"), ("interval", "interval_seconds"), ("one_time", "run_at")]
)
def test_schedule_missing(kind, missing):
    """A task without its schedule is refused with the one sentence that callers know."""
    assert f"Task t: {missing} required for {kind} tasks" in refusal(task_type=kind, **{missing: None})


@pytest.mark.parametrize(
    ("kind", "field", "value", "hint"),
    [
        ("cron", "interval_seconds", 60, "leave it out, or use task_type='interval'"),
        ("cron", "run_at", FUTURE, "leave it out, or use task_type='one_time'"),
        ("interval", "cron_expression", "0 9 * * *", "leave it out, or use task_type='cron'"),
        ("one_time", "interval_seconds", 60, "leave it out, or use task_type='interval'"),
        ("one_time", "start_at", FUTURE, "leave it out: run_at says when"),
        ("one_time", "end_at", FUTURE, "leave it out: run_at says when"),
    ],
)
def test_second_schedule(kind, field, value, hint):
    """A field of another kind of schedule is refused, not ignored."""
    said = refusal(task_type=kind, **{field: value})
    shown = value.isoformat() if isinstance(value, datetime) else repr(value)
    assert f"Task t: {field}={shown} does not belong to {kind} tasks; {hint}" in said


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12", None])
@pytest.mark.parametrize("field", MOMENTS)
def test_the_ends_of_the_calendar(field, zone):
    """From the first to the last instant that is taken, a task can be described and dated in every zone."""
    kind = "one_time" if field == "run_at" else "interval"
    for value in ("0002-01-01T00:00", "0002-01-01T00:00+14:00", "9000-12-31T23:59:59", "9000-12-31T23:59:59-12:00"):
        task = a_task(kind, **{field: value}, timezone=zone)
        assert describe(task)
        next_due_times(task, after=datetime(8999, 1, 1, tzinfo=UTC))
        assert TaskDefinition.model_validate_json(task.model_dump_json()) == task
        stored = task.model_copy(update={field: datetime.max.replace(tzinfo=UTC)})
        assert TaskDefinition.model_validate_json(stored.model_dump_json(), context=STORED) == stored
        assert describe(stored)
        assert describe(task.model_copy(update={field: datetime.min.replace(tzinfo=UTC)}))


def test_end_before_start():
    """An end before the start is refused; one due time alone is a schedule."""
    said = refusal(start_at=FUTURE, end_at=FUTURE - timedelta(microseconds=1))
    assert "end_at=2089-12-31T23:59:59.999999+00:00 is before start_at=2090-01-01T00:00:00+00:00" in said
    assert "give an end_at that is not before start_at" in said
    assert a_task(start_at=FUTURE, end_at=FUTURE).end_at == FUTURE


def test_start_and_end_in_two_zones():
    """Bounds are compared as instants, not by what their clocks show."""
    west = timezone(timedelta(hours=-8))
    assert a_task(start_at=datetime(2090, 1, 1, 5), end_at=datetime(2089, 12, 31, 22, tzinfo=west))


@pytest.mark.parametrize(
    ("field", "meant"),
    [
        ("intervall_seconds", "interval_seconds"),
        ("cron", "cron_expression"),
        ("timeout", "timeout_seconds"),
        ("seconds", "interval_seconds"),
        ("Id", "id"),
    ],
)
def test_a_misspelt_field(field, meant):
    """It is refused, and the message tells the field that is most like it."""
    assert f"{field} is no field of a task; write {meant}" in refusal(**{field: 1})


@pytest.mark.parametrize("field", ["x", "qqqqqq"])
def test_an_unknown_field(field):
    """The message tells the fields that there are."""
    said = refusal(**{field: 1})
    assert "is no field of a task; write one of id, name, task_type" in said
    assert all(name in said for name in TaskDefinition.model_fields)


@pytest.mark.parametrize("field", ["id", "name", "prompt", "task_type"])
def test_missing_field(field):
    """A field that must be given is asked for by its name."""
    fields = {**LEAST, "task_type": "interval", "interval_seconds": 60}
    del fields[field]
    with pytest.raises(ValueError, match=f"{field} is required; give "):
        TaskDefinition(**fields)


def test_everything_at_once():
    """One message reports all wrong fields, each with its own hint."""
    said = refusal(name="", prompt="", interval_seconds=0, timezone="Mars", surprise=1)
    assert said.count("Task t: ") == 5
    assert all(hint in said for hint in (TEXT, INTERVAL, ZONE, "surprise is no field"))


@pytest.mark.parametrize("value", ["0," * 1_000_000 + "0 9 * * *", "x" * 3_000_000, "@" + "x" * 3_000_000])
def test_a_cron_expression_of_megabytes(value):
    """It is refused before it is read."""
    said = refusal(task_type="cron", cron_expression=value, interval_seconds=None)
    assert "cron_expression=" in said
    assert "characters, and 1,000 are the most; give five fields" in said
    assert len(said) < 1000


def test_the_longest_texts():
    """They are taken; and what an earlier release has stored beyond them is still read."""
    fields = {"name": "x" * 255, "prompt": "x" * 1_000_000, "metadata": {"a": "x" * 999_990}}
    task = a_task(**fields)
    assert {field: getattr(task, field) for field in fields} == fields
    longer = {
        "name": "x" * 256,
        "prompt": "x" * 1_000_001,
        "metadata": {"a": "x" * 1_000_000},
        "context": {"a": "x" * 10**6},
    }
    stored = a_task().model_copy(update=longer)
    assert TaskDefinition.model_validate_json(stored.model_dump_json(), context=STORED) == stored
    for field, value in longer.items():
        assert f"Task t: {field}=" in refusal(**{field: value})


def test_secrets_stay_out():
    """A refusal shows the values of wrong fields only: not those of the others."""
    said = refusal(prompt="The secret is 12345.", metadata={"token": "12345"}, interval_seconds=0)
    assert "12345" not in said


@pytest.mark.parametrize("given", [5, None, [], "x", object(), {}])
def test_no_definition_at_all(given):
    """Something that is no mapping of fields is refused as a definition."""
    with pytest.raises(ValueError, match="Task None: "):
        TaskDefinition.model_validate(given)


def test_refused_definition_is_picklable():
    """A refusal survives the way from a worker process to its parent."""
    with pytest.raises(ValidationError) as caught:
        a_task(id="")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


# --- Metadata is JSON ---

NO_JSON = {
    "datetime": datetime(2026, 1, 1),
    "date": date(2026, 1, 1),
    "NaN": math.nan,
    "infinity": -math.inf,
    "bytes": b"x",
    "tuple": (1, 2),
    "set": {1},
    "object": object,
    "complex": 1j,
    "half a pair": "\ud800",
    "endless integer": 10**5000,
    "key 1": {1: 2},
    "key None": {None: 2},
    "key True": {True: 2},
    "key tuple": {(): 2},
    "key half a pair": {"\udfff": 2},
}


@pytest.mark.parametrize("kind", NO_JSON)
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [v], lambda v: {"b": [1, v]}], ids=["plain", "list", "dict"])
def test_metadata_that_is_no_json(kind, wrap):
    """Whatever JSON has not is refused with the place where it stands, and never turned into something else."""
    said = refusal(metadata={"fine": 1, "a": wrap(NO_JSON[kind])})
    assert "Task t: metadata=" in said
    assert "metadata['a']" in said
    assert JSON in said


@pytest.mark.parametrize("key", [1, None, b"a"])
def test_metadata_with_a_key_that_is_no_text(key):
    """A key that JSON would turn into text is refused: what the graph gets is what was given."""
    assert "Task t: metadata=" in refusal(metadata={key: 1})


@pytest.mark.parametrize("depth", [101, 250, 1000, 100_000])
@pytest.mark.parametrize(
    "wrap", [lambda v: [v], lambda v: {"a": v}, lambda v: [0, {"": v}]], ids=["list", "dict", "both"]
)
def test_metadata_nested_too_deeply(depth, wrap):
    """Metadata nested deeper than readers of JSON go is refused, not a crash of the program."""
    said = refusal(metadata={"a": nested(depth, wrap)})
    assert "it is nested too deeply" in said
    assert len(said) < 1000


def test_metadata_that_contains_itself():
    """A dict that contains itself is refused, and quickly, however often it does."""
    loop, bush = {}, {}
    loop["self"] = loop
    bush.update({str(number): [bush, bush] for number in range(10)})
    for metadata in (loop, bush, {"a": [loop]}):
        assert "it is nested too deeply" in refusal(metadata=metadata)


@pytest.mark.parametrize(
    "metadata",
    [
        {"a": nested(90, lambda v: [v])},
        nested(90, lambda v: {"a": v}) | {"b": 1},
        {"x" * 10_000: 1},
        {"": {"": ""}},
        {"a": [1, 2.5, -0.0, None, True, False, "é😀\0\n"]},
        {"a": 2**1000, "b": -(2**63), "c": 1e308, "d": 5e-324},
        {"run_id": "x", "task_id": "y", "channel": "z"},
        {str(number): number for number in range(5000)},
    ],
    ids=range(8),
)
def test_metadata_that_is_json(metadata):
    """All that JSON has is taken, and comes back equal."""
    task = a_task(metadata=metadata)
    stored = task.model_dump_json(exclude_defaults=True)
    assert TaskDefinition.model_validate_json(stored).metadata == metadata


def test_metadata_of_kindred_types():
    """Subclasses of the types of JSON are taken for what they are equal to."""

    class Colour(StrEnum):
        RED = "red"

    metadata = OrderedDict(colour=Colour.RED, more=OrderedDict(flag=True))
    stored = a_task(metadata=metadata).model_dump_json(exclude_defaults=True)
    assert json.loads(stored)["metadata"] == {"colour": "red", "more": {"flag": True}}


# --- To JSON and back ---

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
offsets = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(
    lambda d: timezone(timedelta(minutes=d.seconds // 60))
)
moments = st.datetimes(datetime(1970, 1, 1), datetime(2199, 1, 1), timezones=st.none() | st.just(UTC) | offsets)
seconds = st.floats(0, 1e9) | st.integers(0, 10**9)
words = st.text(min_size=1, max_size=20).filter(lambda text: not text.isspace())
names = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=255).filter(
    lambda t: not t.isspace()
)
schedules = st.one_of(
    st.fixed_dictionaries(
        {"task_type": st.just("cron"), "cron_expression": st.sampled_from(["@daily", " 0 9 * * MON"])}
    ),
    st.fixed_dictionaries({"task_type": st.just("interval"), "interval_seconds": st.integers(1, 10**9)}),
    st.fixed_dictionaries({"task_type": st.just("one_time"), "run_at": moments}),
)
others = st.fixed_dictionaries(
    {"id": names, "name": words, "prompt": words},
    optional={
        "enabled": st.booleans(),
        "session_id": names,
        "metadata": st.dictionaries(st.text(), values, max_size=3),
        "timezone": st.none() | st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"]),
        "jitter_seconds": st.integers(0, 10**9),
        "max_runs": st.none() | st.integers(1, 2**31 - 1),
        "overlap": st.sampled_from(OverlapPolicy),
        "misfire_grace_seconds": st.none() | seconds,
        "coalesce": st.booleans(),
        "timeout_seconds": st.none() | seconds.filter(bool),
        "max_attempts": st.integers(1, 100),
        "retry_delay_seconds": seconds,
        "retry_max_delay_seconds": seconds,
        "rerun_after_crash": st.booleans(),
        "pause_after_failures": st.none() | st.integers(1, 100),
        "result_callback": st.sampled_from([None, "a.b", "a.b:c", "ä.b_1.c"]),
        "graph": st.sampled_from([None, "a:b", "a.b:c"]),
    },
)


@given(schedules, others)
def test_stored_form(schedule, rest):
    """A definition is read back equal from its JSON, also where defaults are left out of it."""
    task = TaskDefinition(**schedule, **rest)
    for text in (task.model_dump_json(), task.model_dump_json(exclude_defaults=True)):
        assert TaskDefinition.model_validate_json(text) == task
    assert TaskDefinition.model_validate(task.model_dump()) == task
    assert TaskDefinition.model_validate(dict(task)) == task


@given(schedules, others)
def test_stored_form_is_stable(schedule, rest):
    """Writing what was read gives the same text: an unchanged task never looks changed."""
    text = TaskDefinition(**schedule, **rest).model_dump_json(exclude_defaults=True)
    assert TaskDefinition.model_validate_json(text).model_dump_json(exclude_defaults=True) == text


# --- Changed after it was built ---

CHANGES = {
    "id": " ",
    "name": None,
    "prompt": "",
    "interval_seconds": 0,
    "timezone": "Mars/Base",
    "enabled": "no",
    "task_type": "one_time",
    "overlap": "queue",
    "jitter_seconds": -5,
    "max_runs": 0,
    "run_at": FUTURE,
    "cron_expression": "0 9 * * *",
    "metadata": {"when": FUTURE},
    "session_id": "a\nb",
    "start_at": "soon",
}


@pytest.fixture
def scheduler():
    scheduler = TaskScheduler(persistent=False, graph=EchoGraph())
    yield scheduler
    scheduler.stop()


@pytest.mark.parametrize("field", CHANGES)
def test_changed_field_is_refused_when_added(field, scheduler):
    """A definition that was made wrong after it was built is refused by `add_task`, and nothing of it is kept."""
    task = a_task()
    setattr(task, field, CHANGES[field])
    with pytest.raises(ValueError, match=rf"(?s)Task .*{field}"):
        scheduler.add_task(task)
    assert scheduler.list_tasks() == []


@pytest.mark.parametrize("field", CHANGES)
def test_changed_copy_is_refused_when_added(field, scheduler):
    """So is one that was made wrong in a copy, which pydantic does not check."""
    with pytest.raises(ValueError, match=rf"(?s)Task .*{field}"):
        scheduler.add_task(a_task().model_copy(update={field: CHANGES[field]}))
    assert scheduler.list_tasks() == []


def test_what_no_check_has_seen_is_checked_when_added(scheduler):
    """A definition that was built without a check, or whose field is gone, or that was looked at again as it is."""
    with pytest.raises(ValueError, match=r"Task x: name is required"):
        scheduler.add_task(TaskDefinition.model_construct(id="x", task_type="interval", interval_seconds=5))
    task = a_task()
    task.interval_seconds = 0
    with pytest.raises(ValueError, match="interval_seconds=0"):
        scheduler.add_task(TaskDefinition.model_validate(task))
    task = a_task()
    task.name = "Other"
    del task.prompt
    with pytest.raises(ValueError, match="prompt is required"):
        scheduler.add_task(task)
    assert scheduler.list_tasks() == []


@pytest.mark.parametrize("kind", NO_JSON)
def test_changed_metadata_is_refused_when_added(kind, scheduler):
    """A value that is no JSON and was put into the metadata later is refused, never turned into something else."""
    task = a_task(metadata={"fine": 1})
    task.metadata["a"] = NO_JSON[kind]
    with pytest.raises(ValueError, match=r"Task t: metadata=.*metadata\['a'\]"):
        scheduler.add_task(task)
    assert scheduler.list_tasks() == []


def test_changes_to_something_right_count(scheduler):
    """A definition that was changed to another right one is stored as it is then, and later changes do not reach it."""
    task = a_task(metadata={"a": [1]})
    task.metadata["a"].append(2)
    task.interval_seconds, task.overlap = 120, "buffer_one"
    scheduler.add_task(task)
    task.metadata["a"].append(3)
    stored = scheduler.get_task("t")
    assert (stored.metadata, stored.interval_seconds) == ({"a": [1, 2]}, 120)
    assert stored.overlap is OverlapPolicy.BUFFER_ONE


@pytest.mark.parametrize("given", [None, "t", {**LEAST, "task_type": "interval", "interval_seconds": 60}, object()])
def test_only_definitions_are_added(given, scheduler):
    """Something that is no TaskDefinition is refused by its type, and with it all that came along."""
    with pytest.raises(TypeError, match="not a TaskDefinition"):
        scheduler.add_tasks([a_task(), given])
    assert scheduler.list_tasks() == []


@pytest.mark.parametrize("run_at", [datetime(8999, 12, 31, 23, 59, 59), datetime(9000, 12, 31, 23, 59, 59)])
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_far_future(run_at, zone, scheduler):
    """The last instants that a task may have can be shown in every zone."""
    scheduler.add_task(a_task("one_time", run_at=run_at, timezone=zone, jitter_seconds=models.INTERVAL_LIMIT))
    assert scheduler.list_tasks()[0]["next_run"] >= "8999"


# --- Runs ---


def test_every_status_says_what_it_means():
    """Each member of RunStatus, OverlapPolicy and TaskType carries its meaning beside it, for readers and for tools."""
    source = Path(inspect.getfile(models)).read_text(encoding="utf-8")
    for kind in (RunStatus, OverlapPolicy, TaskType):
        for member in kind:
            assert re.search(rf'\n    #: [A-Z][^\n]+\.\n    {member.name} = "{member.value}"\n', source), member


def test_values_of_statuses():
    """The texts that stand in stores and logs are the names of the members."""
    for kind in (RunStatus, OverlapPolicy, TaskType):
        assert [member.value for member in kind] == [member.name.lower() for member in kind]


@pytest.mark.parametrize("model", [TaskDefinition, Run, models.Attempt])
def test_every_field_says_what_it_means(model):
    """Each field of a public model is followed by a sentence about it."""
    body = inspect.getsource(model)
    for field in model.model_fields:
        more = r"(?:        [^\n]*\n|    [\])][^\n]*\n)*"  # of an annotation on several lines
        assert re.search(rf"\n    {field}: [^\n]+\n{more}    \"\"\"[A-Z1`]", body), field


def a_run(**fields):
    values = {
        "id": "1",
        "task_id": "t",
        "scheduled_at": FUTURE,
        "started_at": None,
        "finished_at": None,
        "status": "running",
        "attempt": 1,
        "coalesced": 0,
        "trigger": "schedule",
        "thread_id": "scheduler",
        "response": None,
        "error": None,
    }
    return Run(**{**values, **fields})


def test_runs_are_facts():
    """A run cannot be changed by who reads it, and goes to JSON and back."""
    run = a_run()
    with pytest.raises(ValidationError, match="frozen"):
        run.status = RunStatus.FAILED
    assert Run.model_validate_json(run.model_dump_json()) == run
    assert run.status is RunStatus.RUNNING
    assert hash(run) == hash(a_run())


def test_runs_have_aware_times():
    """A run never shows a time of which nobody knows the zone."""
    with pytest.raises(ValidationError, match="timezone"):
        a_run(scheduled_at=datetime(2026, 1, 1))


@pytest.mark.parametrize(
    ("make", "field", "value", "hint"),
    [
        (lambda s: s.add_task(one_time(run_at=datetime(2020, 1, 1, tzinfo=UTC))), "run_at", None, "give an instant"),
        (lambda s: s.add_tasks([hourly(), hourly()]), "id", "hourly", "give each its own"),
        (lambda s: s.add_task(hourly(graph="nowhere:graph")), "graph", "nowhere:graph", None),
        (lambda s: s.add_task(hourly(result_callback="nowhere.f")), "result_callback", "nowhere.f", None),
    ],
)
def test_an_error_has_its_parts(scheduler, make, field, value, hint):
    """A program need not take the sentence apart: the task, the field, the value, the problem and the hint."""
    with pytest.raises(InvalidTaskError) as raised:
        make(scheduler)
    error = raised.value
    assert error.field == field
    assert value is None or error.value == value
    assert str(error) == f"Task {error.task_id}: {error.problem}{'' if error.hint is None else f'; {error.hint}'}"
    assert hint is None or error.hint.startswith(hint)
