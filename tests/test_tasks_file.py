"""Tasks as a file: what is read, what is refused and where, the way back, and noticing an edit."""

import asyncio
import os
import subprocess
import sys
import tomllib
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from helpers import PATIENCE
from hypothesis import given
from hypothesis import strategies as st

from scheduler import (
    Calendar,
    OverlapPolicy,
    SchedulerError,
    TaskDefinition,
    TaskScheduler,
    TaskType,
    _watching,
    load_tasks,
)
from scheduler.errors import InvalidTaskError, TasksFileError
from scheduler.models import Durability
from scheduler.tasks_file import dump_tasks, located, watch_tasks

ROOT = Path(__file__).parent.parent
HEAD = '[[task]]\nid = "t"\nname = "T"\nprompt = "Go."\n'
"""Four lines: what follows begins in line 5."""


@pytest.fixture
def load(tmp_path):
    """Return what reads a text as a file of tasks."""

    def read(text):
        file = tmp_path / "tasks.toml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_tasks(file)

    return read


# --- Reading ---


def test_the_shipped_file():
    """The examples of main.py: every ten seconds from a fixed anchor, and every morning."""
    heartbeat, summary = load_tasks(ROOT / "tasks.toml")
    assert (heartbeat.id, heartbeat.interval_seconds) == ("heartbeat", 10)
    assert heartbeat.start_at == datetime(2025, 1, 1, tzinfo=UTC)
    assert (summary.id, summary.cron_expression, summary.timezone) == ("daily-summary", "0 9 * * *", "UTC")


def test_the_fields_of_a_definition(load):
    """Each by its own name."""
    (task,) = load(
        HEAD
        + """
task_type = "cron"
cron_expression = "0 9 * * 1"
timezone = "Europe/Berlin"
overlap = "buffer_one"
timeout_seconds = 30
end_at = 2099-01-01T00:00:00+01:00
metadata = { city = "Paris", tags = ["a", 1] }
"""
    )
    assert task == TaskDefinition(
        id="t",
        name="T",
        prompt="Go.",
        task_type=TaskType.CRON,
        cron_expression="0 9 * * 1",
        timezone="Europe/Berlin",
        overlap=OverlapPolicy.BUFFER_ONE,
        timeout_seconds=30,
        end_at=datetime(2099, 1, 1, tzinfo=timezone(timedelta(hours=1))),
        metadata={"city": "Paris", "tags": ["a", 1]},
    )


@pytest.mark.parametrize(
    ("lines", "fields"),
    [
        ('schedule = "every day at 9am"', {"cron_expression": "0 9 * * *", "timezone": None}),
        (
            'schedule = "every day at 9am"\ntimezone = "Europe/Berlin"',
            {"cron_expression": "0 9 * * *", "timezone": "Europe/Berlin"},
        ),
        ('schedule = "every 90 minutes"', {"task_type": TaskType.INTERVAL, "interval_seconds": 5400}),
        (
            'schedule = "at 2099-03-15 14:00"\ntimezone = "Europe/Berlin"',
            {"task_type": TaskType.ONE_TIME, "run_at": datetime(2099, 3, 15, 13, tzinfo=UTC)},
        ),
    ],
)
def test_a_schedule_in_words(load, lines, fields):
    """It stands for the schedule fields; the zone is the table's."""
    (task,) = load(HEAD + lines)
    assert {name: getattr(task, name) for name in fields} == fields


@pytest.mark.parametrize(
    ("line", "task_type"),
    [
        ('schedule = "0 8 * * *"', TaskType.CRON),
        ('cron_expression = "0 8 * * *"', TaskType.CRON),
        ("interval_seconds = 60", TaskType.INTERVAL),
        ("run_at = 2099-01-01T00:00:00Z", TaskType.ONE_TIME),
        ('rrule = "FREQ=DAILY;BYHOUR=9;BYMINUTE=0"', TaskType.RRULE),
    ],
)
def test_what_a_table_need_not_say(load, line, task_type):
    """The name is the id then, and the type is that of the schedule."""
    (task,) = load(f'[[task]]\nid = "t"\nprompt = "Go."\n{line}\n')
    assert (task.name, task.task_type) == ("t", task_type)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2027-03-15T14:00:00Z", datetime(2027, 3, 15, 14, tzinfo=UTC)),
        ("2027-03-15 14:00:00.5+02:00", datetime(2027, 3, 15, 12, 0, 0, 500_000, tzinfo=UTC)),
        ("2027-03-15T14:00:00", datetime(2027, 3, 15, 14, tzinfo=UTC)),
        ('"2027-03-15T14:00"', datetime(2027, 3, 15, 14, tzinfo=UTC)),
    ],
)
def test_instants(load, written, meant):
    """TOML's own datetimes, and text; without an offset they are UTC, or local if the table names a zone."""
    text = f'{HEAD}task_type = "one_time"\nrun_at = {written}\n'
    (task,) = load(text)
    assert task.run_at == meant
    (task,) = load(text + "timezone = 'America/New_York'")
    is_local = "Z" not in written and "+" not in written
    assert task.run_at == (meant + timedelta(hours=4) if is_local else meant)


@pytest.mark.parametrize("lines", ['schedule = "at 2020-03-15 14:00"', 'task_type = "one_time"\nrun_at = 2020-03-15'])
def test_an_instant_that_has_passed_is_read(load, lines):
    """The file is read again after the task has run; applying it leaves the task out."""
    (task,) = load(HEAD + lines)
    assert task.run_at.year == 2020


@pytest.mark.parametrize("text", ["task = []", "# Nothing yet.\n", "\n# Nothing\n\n"])
def test_no_tasks(load, text):
    """Said in so many words, or in a comment."""
    assert load(text) == []


def test_a_file_from_windows(load):
    """A byte order mark and its line ends are no part of the text."""
    (task,) = load(
        b"\xef\xbb\xbf"
        + (HEAD.replace('"Go."', '"""\nGo\non."""') + 'schedule = "every hour"').replace("\n", "\r\n").encode()
    )
    assert task.prompt == "Go\non."


# --- What is refused ---

HOURLY = 'schedule = "every hour"\n'
REST = "name = 'N', prompt = 'Go.', schedule = 'every hour'"
WRONG = {
    "an empty file": ("", None, "it is empty; write task = []"),
    "blank lines": (" \n\n", None, "it is empty"),
    "broken TOML": (HEAD + "prompt", 5, "Expected '=' after a key"),
    "TOML that ends too early": (HEAD + 'metadata = { a = "', 5, "correct the TOML"),
    "a field twice": (HEAD + 'id = "u"', 5, "Cannot overwrite a value; correct the TOML"),
    "lists in lists without end": (
        HEAD + HOURLY + "[task.metadata]\nx = " + "[" * 3000 + "]" * 3000,
        7,
        "it is nested too deeply; nest at most 100",
    ),
    "lists that are not closed": (HEAD + HOURLY + "[task.metadata]\n\nx = " + "[\n" * 99 + "[" * 3000, 107, "nested"),
    "tables in tables without end": (HEAD + "metadata = " + "{a=" * 3000, 5, "it is nested too deeply"),
    "a dotted key without end": (HEAD + HOURLY + f"metadata{'.a' * 30_000} = 1", 6, "a key has more than 100 parts"),
    "a table's name without end": (HEAD + HOURLY + f"[task.metadata{'.a' * 30_000}]", 6, "a key has more than 100"),
    "an integer without end": (
        HEAD + f"# {'1' * 5000}\n" + HOURLY + "[task.metadata]\nx = " + "1" * 5000,
        8,
        "an integer has more than 4300 digits",
    ),
    "JSON in JSON without end": (
        HEAD + HOURLY + f"context = '{'[' * 100_000}'",
        6,
        "Task t: context is text that is no",
    ),
    "an integer without end in JSON": (HEAD + HOURLY + f"metadata = '[{'1' * 5000}]'", 6, "no JSON (Exceeds the limit"),
    "another top-level table": (
        HEAD + HOURLY + "[tasks]\nx = 1",
        6,
        "tasks is unknown here; each task is a table [[task]]",
    ),
    "a top-level key": ("\ntimezone = 'UTC'\n" + HEAD + HOURLY, 2, "timezone is unknown here"),
    "one table alone": (HEAD.replace("[[task]]", "[task]") + HOURLY, 1, "begin each task with [[task]]"),
    "no table": ("task = 3", 1, "begin each task with [[task]]"),
    "an unknown field": (HEAD + HOURLY + "promt = 3", 6, "Task t: promt is no field of a task"),
    "a field misspelt": (HEAD + 'schedul = "every day at noon"', 5, "schedul is no field of a task; write schedule"),
    "no schedule at all": (HEAD, 1, 'Task t: it does not say when it is due; give schedule, such as schedule = "'),
    "a wrong value": (HEAD + HOURLY + "\nmax_runs = 0", 7, "Task t: max_runs=0"),
    "a wrong kind of value": (HEAD + HOURLY + "enabled = 'yes'", 6, "Task t: enabled='yes'"),
    "a missing field": ('# One.\n[[task]]\nid = "t"\n' + HOURLY, 2, "Task t: prompt is required"),
    "two schedules": (
        HEAD + "interval_seconds = 60\nrun_at = 2030-01-01T00:00:00Z",
        1,
        "Task t: task_type is required",
    ),
    "no id": ("\n[[task]]\n" + HOURLY, 2, "Task None: id is required"),
    "no schedule": (HEAD + 'task_type = "cron"', 1, "Task t: cron_expression required for cron tasks"),
    "a wrong cron expression": (
        HEAD + 'task_type = "cron"\n"cron_expression" = "0 25 * * 1"',
        6,
        "Task t: cron_expression '0 25 * * 1'",
    ),
    "words that are not understood": (HEAD + 'schedule = "every so often"', 5, "Task t: schedule 'every so often'"),
    "words that are no text": (HEAD + "schedule = 5", 5, "Task t: schedule 5 is no text"),
    "words relative to now": (
        HEAD + 'schedule = "in 30 minutes"',
        5,
        "Task t: schedule='in 30 minutes' is relative to now",
    ),
    "tomorrow": (HEAD + 'schedule = "Tomorrow at 9am"', 5, "relative to now"),
    "words and fields": (
        HEAD + HOURLY + 'cron_expression = "0 9 * * *"',
        6,
        "cron_expression and schedule both say when",
    ),
    "words and their kind": (HEAD + 'task_type = "cron"\n' + HOURLY, 5, "task_type and schedule both say when"),
    "an unknown zone": (HEAD + 'schedule = "every day at 9am"\ntimezone = "Berlin"', 6, "timezone='Berlin'"),
    "a local time that comes twice": (
        HEAD + "task_type = 'one_time'\ntimezone = 'Europe/Berlin'\nrun_at = 2026-10-25T02:30:00",
        7,
        "Task t: run_at=2026-10-25T02:30:00 comes twice in Europe/Berlin",
    ),
    "a local bound that does not exist": (
        HEAD + HOURLY + "timezone = 'Europe/Berlin'\nend_at = 2027-03-28T02:30:00",
        7,
        "Task t: end_at=2027-03-28T02:30:00 does not exist in Europe/Berlin",
    ),
    "an end of the calendar": (HEAD + HOURLY + "end_at = 9999-12-31T23:59:59Z", 6, "Task t: end_at="),
    "a local time": (HEAD + 'task_type = "one_time"\nrun_at = 14:00:00', 6, "Task t: run_at=datetime.time(14, 0)"),
    "a moment in metadata": (HEAD + HOURLY + "[task.metadata]\na = 2020-01-01", 6, "which JSON"),
    "metadata that is no JSON": (HEAD + HOURLY + "metadata = '{'", 6, "Task t: metadata is text that is no JSON"),
    "an id twice": (HEAD + HOURLY + "\n" + HEAD + HOURLY, 8, "Task t: id='t' stands in line 2 already"),
    "a line behind a long prompt": (
        '[[task]]\nid = "a"\nname = "A"\nprompt = """\n[[task]]\nmax_runs = 3\n\\"""\n"""\n'
        + HOURLY
        + "[[task]] # another\nid = 'b' # [[task]]\nname = '''\n\n[[task]]'''\nprompt = '#'\nmax_runs = -1\n"
        + HOURLY,
        16,
        "Task b: max_runs=-1",
    ),
    "a line behind an item like a header": (
        HEAD + 'metadata.a = [\n ["task"],\n]\n' + HOURLY + "max_runs = 0",
        9,
        "max_",
    ),
    "a line behind items like headers": (
        HEAD + 'metadata.a = [[\n [["task"]],\n]]\nmax_runs = 0\n' + HOURLY,
        8,
        "max_",
    ),
    "a field in the second of inline tables": (
        f"task = [\n  {{id = 'a', {REST}}},\n  {{id = 'b', metadata = {{a = [\n1]}}, {REST}, max_runs = 0}},\n]",
        4,
        "Task b: max_runs=0",
    ),
    "a dotted key": (HEAD + HOURLY + "context.a.b = 2020-01-01\n", 6, "Task t: context="),
    "an id with a line break": (HEAD.replace('"t"', '"a\\nb"') + HOURLY, 2, "Task 'a\\nb': id='a\\nb'"),
    "a key with a line break": (HEAD + HOURLY + '"a\\nb" = 1', 6, "Task t: a\\nb is no field of a task"),
    "a top-level key with a line break": ('"a\\nb" = 1\n' + HEAD + HOURLY, 1, "a\\nb is unknown here"),
    "an id that is no text": (HEAD.replace('"t"', "[1]") + HOURLY, 2, "Task [1]: id=[1]"),
    "an id of a million letters": (HEAD.replace('"t"', f'"{"x" * 10**6}"') + HOURLY, 2, f"Task {'x' * 255}: id='xxx"),
    "the first of several": (HEAD + HOURLY + "max_runs = 0\nenabled = 3", 6, r"(and 1 more)"),
    "an inline table": ('task = [{id = "t", name = "T"}]', 1, "Task t: "),
    "no UTF-8": (b'a = "\xff"', None, "byte 5 is not UTF-8"),
}


@pytest.mark.parametrize(("text", "line", "words"), WRONG.values(), ids=WRONG)
def test_what_is_wrong(load, tmp_path, text, line, words):
    """The error is a ValueError that names the file, the line and the task."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (its text is looked at below)
        load(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 2000
    place = f"{tmp_path / 'tasks.toml'}" if line is None else f"{tmp_path / 'tasks.toml'}, line {line}"
    assert str(caught.value).startswith(f"{place}: ")
    assert words in str(caught.value)
    assert isinstance(caught.value, SchedulerError)
    assert (caught.value.file, caught.value.line) == (str(tmp_path / "tasks.toml"), line)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (HEAD + HOURLY + "\n[[task]]\nid = 'u'\nname = 'U'\nprompt = 'Go.'\n" + HOURLY, None),
        (HEAD + "\nresult_callback = 'os.system'\n" + HOURLY, 6),
        (HEAD + HOURLY + "graph = 'no_such_module:graph'", 6),
    ],
    ids=["gone", "callback", "graph"],
)
def test_what_is_wrong_only_where_it_is_applied(tmp_path, text, line):
    """It has a place in the file, too, unless the task has left the file meanwhile."""
    file = tmp_path / "tasks.toml"
    file.write_text(text)
    task = next(task for task in load_tasks(file) if task.id == "t")
    face = TaskScheduler(persistent=False)
    with pytest.raises(InvalidTaskError) as caught:
        face.apply_tasks(
            [task.model_copy(update={"id": "x", "result_callback": "os.system"} if line is None else {})], source="f"
        )
    face.stop()
    error = located(file, caught.value)
    assert error.line == line
    assert str(error) == f"{file}, line {line}: {caught.value}" if line else f"{file}: {caught.value}"


def unreadable(folder):
    """Return paths at which there is no file of tasks, each with what is said of it."""
    folder.joinpath("a folder").mkdir()
    os.mkfifo(folder / "a pipe")
    folder.joinpath("a loop").symlink_to("a loop")
    folder.joinpath("a file").write_text("task = []")
    with folder.joinpath("huge").open("wb") as huge:
        huge.truncate(200_000_000)
    return {
        folder / "none.toml": "it cannot be read (No such file or directory); give a file of tasks",
        folder / "a folder": "it cannot be read (Is a directory)",
        folder / "a pipe": "it is empty",
        folder / "a loop": "it cannot be read (Too many levels of symbolic links)",
        folder / "a file" / "tasks.toml": "it cannot be read (Not a directory)",
        folder / ("x" * 300): "it cannot be read (File name too long)",
        folder / "a\0b": "it cannot be read (embedded null byte)",
        folder / "huge": "it cannot be read (it is larger than 16 MiB)",
        Path("/dev/null"): "it is empty",
        Path("/dev/zero"): "it cannot be read (it is larger than 16 MiB)",
    }


def test_what_cannot_be_read(tmp_path):
    """Each is the same error: what reads files of tasks has one thing to catch, and waits for nothing."""
    for path, said in unreadable(tmp_path).items():
        with pytest.raises(TasksFileError) as caught:
            load_tasks(path)
        assert str(caught.value).startswith(f"{path}: {said}")


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError("no reason")])
def test_a_file_that_may_not_be_read(load, monkeypatch, error):
    """The error contains the system's reason."""

    def refuse(*_):
        raise error

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(TasksFileError, match=rf"it cannot be read \({error.strerror or error}\)"):
        load("task = []")


@pytest.mark.parametrize("error", [KeyError("x"), AttributeError("x"), MemoryError(), AssertionError("x")])
def test_a_fault_that_nobody_foresaw(load, monkeypatch, error):
    """A fault of the parser's own is an error of the file as well."""

    def fail(_):
        raise error

    monkeypatch.setattr(tomllib, "loads", fail)
    with pytest.raises(TasksFileError, match=rf"it cannot be read \({type(error).__name__}: "):
        load("task = []")


def test_a_pipe_is_read_to_its_end(tmp_path):
    """As the shell's `<(command)` gives one: however slowly it is written."""
    os.mkfifo(tmp_path / "pipe")
    program = "import sys, time; pipe = open(sys.argv[1], 'w'); print('open', flush=True); sys.stdin.readline()\n"
    program += f"pipe.write({HEAD!r}); pipe.flush(); time.sleep(0.3); pipe.write({HOURLY!r})"
    command = [sys.executable, "-c", program, str(tmp_path / "pipe")]
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "open\n"
        writer.stdin.write("\n")
        writer.stdin.flush()
        assert [task.id for task in load_tasks(tmp_path / "pipe")] == ["t"]
    os.close(reader)


def test_a_pipe_that_stays_silent(tmp_path, monkeypatch):
    """It waits for the writer for a while, and not without end."""
    monkeypatch.setattr("scheduler.tasks_file._PIPE_SECONDS", 0.05)
    os.mkfifo(tmp_path / "pipe")
    silent = os.open(tmp_path / "pipe", os.O_RDWR)
    with pytest.raises(TasksFileError, match="its writer was not done after"):
        load_tasks(tmp_path / "pipe")
    os.close(silent)


# --- The way back ---

ODD = "\"\\'\n\r\t #\x00\x0b\x1b\x7f\x85\u2028\u2029\u202e"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(ODD), min_size=1).filter(
    lambda text: text.strip()
)
PATHS = st.from_regex(r"[^\W\d]\w*(\.[^\W\d]\w*)?:[^\W\d]\w*", fullmatch=True)
IDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).filter(lambda text: text.strip())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS | st.just(""), inner, max_size=3),
    max_leaves=8,
)
OFFSETS = st.integers(-1439 * 60, 1439 * 60).map(lambda seconds: timezone(timedelta(seconds=seconds)))
MOMENTS = st.datetimes(datetime(2, 1, 1), datetime(8999, 1, 1), timezones=OFFSETS)  # noqa: DTZ001
SCHEDULES = st.one_of(
    st.builds(lambda run_at: {"task_type": "one_time", "run_at": run_at}, MOMENTS),
    st.builds(
        lambda seconds, start_at: {"task_type": "interval", "interval_seconds": seconds, "start_at": start_at},
        st.integers(1, 10**6),
        st.none() | MOMENTS,
    ),
    st.builds(
        lambda words, zone: {"task_type": "cron", "cron_expression": words, "timezone": zone},
        st.sampled_from(["0 9 * * 1", "0\t9 * * mon", "@daily"]),
        st.sampled_from([None, "Europe/Berlin"]),
    ),
)
OTHERS = st.fixed_dictionaries(
    {"name": TEXTS.filter(lambda text: len(text) <= 255), "prompt": TEXTS},
    optional={
        "session_id": IDS,
        "graph": PATHS,
        "result_callback": PATHS,
        "input_builder": PATHS,
        "durability": st.sampled_from(Durability),
        "enabled": st.booleans(),
        "metadata": st.dictionaries(TEXTS, JSON, max_size=3),
        "context": st.dictionaries(TEXTS, JSON, max_size=2),
        "timeout_seconds": st.floats(0.001, 10**6),
        "retry_delay_seconds": st.floats(0, 10**6) | st.integers(0, 100),
        "max_runs": st.integers(1, 100),
        "overlap": st.sampled_from(OverlapPolicy),
    },
)
TASKS = st.builds(
    lambda task_id, schedule, others: TaskDefinition(id=task_id, **schedule, **others), IDS, SCHEDULES, OTHERS
)


@given(st.lists(TASKS, max_size=3, unique_by=lambda task: task.id))
def test_what_is_written_is_read_back(tmp_path_factory, tasks):
    """Equal, whatever stands in it."""
    file = tmp_path_factory.getbasetemp() / "round-trip.toml"
    file.write_bytes(dump_tasks(tasks).encode())
    assert load_tasks(file) == tasks


def test_what_is_written_reads_well():
    """Defaults are left out, a prompt of several lines stands on several lines, at the end."""
    task = TaskDefinition(
        id="review",
        name="Review",
        prompt='Look at "all" of it:\n\n- what is \\ open\n- what is """done"""\n',
        task_type=TaskType.CRON,
        cron_expression="0 9 * * 1",
        timeout_seconds=30,
        end_at=datetime(2099, 1, 1, tzinfo=UTC),
        metadata={"city": "Paris", "two words": {"a": [1, 2.5, True]}},
    )
    text = dump_tasks([task])
    assert text == (
        "[[task]]\n"
        'id = "review"\n'
        'name = "Review"\n'
        'task_type = "cron"\n'
        'cron_expression = "0 9 * * 1"\n'
        "end_at = 2099-01-01T00:00:00Z\n"
        "timeout_seconds = 30\n"
        'prompt = """\n'
        'Look at "all" of it:\n'
        "\n"
        "- what is \\\\ open\n"
        '- what is ""\\"done""\\"\n'
        '"""\n'
        "\n"
        "[task.metadata]\n"
        'city = "Paris"\n'
        '"two words" = { a = [1, 2.5, true] }\n'
    )
    assert tomllib.loads(text)["task"][0]["prompt"] == task.prompt


def test_metadata_with_a_null_is_written_as_json():
    """TOML has none; text in its place is read as JSON."""
    (line,) = [
        line
        for line in dump_tasks(
            [
                TaskDefinition(
                    id="t", name="T", prompt="Go.", task_type="interval", interval_seconds=1, metadata={"a": None}
                )
            ]
        ).splitlines()
        if line.startswith("metadata")
    ]
    assert line == r'metadata = "{\"a\": null}"'


# --- Watching ---


@pytest.fixture
async def edits(tmp_path):
    """Watch a file; yield a function that waits for the next edit."""
    file = tmp_path / "tasks.toml"
    file.write_text("task = []")
    watch = watch_tasks(file)

    async def next_edit():
        async with asyncio.timeout(PATIENCE):
            await anext(watch)

    yield next_edit
    await watch.aclose()


async def test_edits_are_told(edits, tmp_path):
    """Also one made before anybody waits; written in place, replaced, deleted, and there again."""
    file = tmp_path / "tasks.toml"
    file.write_text("task = [ ]")
    await edits()
    file.write_text("task = [  ]")
    await edits()
    (tmp_path / "other").write_text("task = []")
    (tmp_path / "other").replace(file)
    await edits()
    file.unlink()
    await edits()
    file.write_text("task = []")
    await edits()


async def test_an_edit_before_the_watch_began_is_told_beside_a_busy_neighbour(edits, tmp_path):
    """The store's file changes all the time in the same folder, and must not hide it."""
    (tmp_path / "tasks.toml").write_text("task = [ ]")
    edit = asyncio.ensure_future(edits())
    while not edit.done():
        (tmp_path / "scheduler.db-wal").write_text("busy")
        await asyncio.to_thread(os.sync)
    await edit


async def test_other_files_are_not_told(edits, tmp_path):
    """Other files in its folder may change: the next edit that is reported is of the file."""
    edit = asyncio.ensure_future(edits())
    for number in range(20):
        (tmp_path / "scheduler.db-wal").write_text(str(number))
        await asyncio.to_thread(os.sync)
    assert not edit.done()
    (tmp_path / "tasks.toml").write_text("task = [ ]")
    await edit


@pytest.mark.parametrize("error", [OSError("OS file watch limit reached"), RuntimeError("a fault of the library")])
async def test_without_the_help_of_the_system_the_file_is_looked_at(edits, tmp_path, monkeypatch, caplog, error):
    """Where no more files can be watched, or the library fails: a line says so once, and no edit is missed."""

    async def awatch(*_, **__):
        raise error
        yield

    monkeypatch.setattr("watchfiles.awatch", awatch)
    monkeypatch.setattr(_watching, "LOOK_SECONDS", 0.01)
    for text in ("task = [ ]", "task = [  ]"):
        (tmp_path / "tasks.toml").write_text(text)
        await edits()
    (line,) = caplog.messages
    assert (
        line
        == f"{tmp_path / 'tasks.toml'}: the system does not report edits ({error}); the file is looked at every 0.01 s"
    )


async def test_a_folder_that_comes_later(tmp_path, monkeypatch):
    """There is nothing to be watched at first; the file is found when it is there."""
    monkeypatch.setattr(_watching, "LOOK_SECONDS", 0.01)
    watch = watch_tasks(tmp_path / "later" / "tasks.toml")
    edit = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "tasks.toml").write_text("task = []")
    async with asyncio.timeout(PATIENCE):
        await edit
    await watch.aclose()


async def test_a_folder_that_is_swapped(tmp_path, monkeypatch):
    """As a deployment does: the link to the release leads to another folder, of which the system reports nothing."""
    monkeypatch.setattr(_watching, "LOOK_SECONDS", 0.05)
    for release in ("1", "2"):
        (tmp_path / release).mkdir()
        (tmp_path / release / "tasks.toml").write_text("task = []")
    (tmp_path / "current").symlink_to("1")
    watch = watch_tasks(tmp_path / "current" / "tasks.toml")
    edit = asyncio.ensure_future(anext(watch))
    (tmp_path / "next").symlink_to("2")
    (tmp_path / "next").replace(tmp_path / "current")
    async with asyncio.timeout(PATIENCE):
        await edit
    await watch.aclose()


async def test_a_file_that_may_be_read_at_last(edits, tmp_path):
    """Its text is the same, and it could not be read before: that is an edit, too."""
    (tmp_path / "tasks.toml").chmod(0o600)
    await edits()


def test_watchfiles_is_imported_by_who_watches_alone():
    """Reading a file of tasks costs no more than reading it."""
    code = "import scheduler.tasks_file, sys; print('watchfiles' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


# --- Calendars ---

OFFICE = (
    '[calendars.office]\nclosed = ["sat", "sun"]\nquiet_hours = { mon-fri = "22:00-07:00" }\non_closed = "next_open"\n'
)
DAILY = 'schedule = "every day at 9am"\n'


def test_tasks_name_the_calendars_of_their_file(load):
    [task] = load(OFFICE + HEAD + DAILY + 'calendar = "office"\n')
    assert task.calendar == Calendar(
        name="office", closed=["sat", "sun"], quiet_hours={"mon-fri": "22:00-07:00"}, on_closed="next_open"
    )


def test_a_calendar_of_the_task_itself(load):
    [task] = load(HEAD + DAILY + 'calendar = { closed = "sun" }\n')
    assert task.calendar == Calendar(closed=["sun"])


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('[calendars.office]\nclosed = "someday"\n' + HEAD + DAILY, 1, "calendars.office: closed='someday' is no day"),
        ("calendars = 1\n" + HEAD + DAILY, 1, "begin each calendar with [calendars.NAME]"),
        (HEAD + DAILY + 'calendar = { closed = "someday" }\n', 6, "closed='someday' is no day"),
    ],
)
def test_a_calendar_that_means_nothing_is_refused_with_its_line(load, text, line, said):
    with pytest.raises(TasksFileError) as refused:
        load(text)
    assert refused.value.line == line
    assert said in str(refused.value)


def test_calendars_come_back_as_they_were_written(load):
    office = Calendar(name="office", holidays=["2026-12-24 Closed"], quiet_hours="22:00-07:00")
    fields = {"name": "T", "prompt": "Go.", "task_type": "cron", "cron_expression": "0 9 * * *"}
    tasks = [
        TaskDefinition(id="a", calendar=office, **fields),
        TaskDefinition(id="b", calendar=office, **fields),
        TaskDefinition(id="c", calendar=Calendar(name="office", closed="sun"), **fields),
        TaskDefinition(id="d", calendar=Calendar(closed="sun"), **fields),
        TaskDefinition(id="e", calendar="home", **fields),
    ]
    text = dump_tasks(tasks)
    assert load(text) == tasks
    assert text.count("[calendars.office]") == 1


# --- Defaults ---


def test_what_tasks_have_in_common_stands_once(load):
    """What a task says itself takes its place."""
    defaults = '[defaults]\ntimeout_seconds = 600\ntimezone = "Europe/Berlin"\nmetadata = { team = "a" }\n'
    other = HEAD.replace('"t"', '"u"') + DAILY + "timeout_seconds = 5\nmetadata = { n = 1 }\n"
    first, second = load(defaults + HEAD + DAILY + other)
    assert (first.timeout_seconds, first.timezone, first.metadata) == (600, "Europe/Berlin", {"team": "a"})
    assert (second.timeout_seconds, second.timezone, second.metadata) == (5, "Europe/Berlin", {"n": 1})


@pytest.mark.parametrize(
    ("defaults", "line", "said"),
    [
        ("[defaults]\ntimeout_seconds = -1\n", 2, "timeout_seconds=-1"),
        (
            "[defaults]\nmax_attempts = 2\ntimeout = 5\n",
            3,
            "defaults: timeout is no field of a task; write timeout_seconds",
        ),
        ('[defaults]\nid = "x"\n', 2, "defaults: id is each task's own"),
        ('[defaults]\nschedule = "every hour"\n', 2, "defaults: schedule is each task's own"),
        ('[defaults]\ncron_expression = "@daily"\n', 2, "defaults: cron_expression is each task's own"),
        ("defaults = 1\n", 1, "begin it with [defaults]"),
    ],
)
def test_a_default_that_means_nothing_is_refused_with_its_line(load, defaults, line, said):
    with pytest.raises(TasksFileError) as refused:
        load(defaults + HEAD + DAILY)
    assert refused.value.line == line
    assert said in str(refused.value)
