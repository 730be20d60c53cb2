"""What commands print and return, where one process has shown that they work."""

import importlib.metadata
import importlib.util
import json
import re
import sqlite3
import subprocess
import sys
import time
import tomllib
from datetime import UTC, datetime, timedelta

import pytest
import typer.main
from cli_kit import ROOT, end_of
from helpers import hourly, rows

from scheduler import RunStatus, TaskDefinition, load_tasks
from scheduler._texts import escaped, escaped_lines
from scheduler.apscheduler_adapter.jobstore import TaskJobStore
from scheduler.cli import app
from scheduler.cli.app import COMMANDS
from scheduler.cli.commands.add import add
from scheduler.cli.options import complete_run
from scheduler.cli.project import find_graphs, lines_for_dependencies, lines_for_program, program
from scheduler.cli.ui.following import RunFeed
from scheduler.cli.ui.moments import in_local_words, parse_duration, parse_instant, parse_since
from scheduler.shapes import shown_seconds

NAMES = [each.name for commands in COMMANDS.values() for each in commands]
DOCS = (ROOT / "docs/command-line.md").read_text(encoding="utf-8")
ROOT_COMMAND = typer.main.get_command(app)
HOSTILE = "[red]x[/red] [link=https://a.example]y[/link] \x1b[31mz\x1b]0;title\x07 \x9b2J \u202edesrever :smile: end"
OBEYED = ("\x1b", "\x07", "\x9b", "\u202e")
FORGED = "2026-11-25 22:00:00,000 ERROR   Task payroll (payroll) failed"
HOSTILE += "".join(
    f"{line_break}{FORGED}" for line_break in ("\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029")
)
SHOWN = r"[red]x[/red] [link=https://a.example]y[/link] \x1b[31mz\x1b]0;title\x07 \x9b2J \u202edesrever :smile: end"


# --- What is stored is no markup and no command to a terminal ---


@pytest.fixture
def hostile(place):
    """A store whose prompt, name, response and error would be obeyed by a terminal, or taken for markup."""
    with place.face() as face:
        face.add_task(hourly("hostile", name=HOSTILE[:255], prompt=HOSTILE, metadata={"k": HOSTILE}))
        run_ids = [face.trigger_task("hostile"), face.trigger_task("hostile")]
    with rows(place.folder / "scheduler.db") as store:
        end_of(store, run_ids[0], "succeeded", "response", HOSTILE)
        end_of(store, run_ids[1], "failed", "error", HOSTILE)
    return place, run_ids


@pytest.mark.parametrize(
    "command",
    [("list",), ("show", "hostile"), ("runs",), ("run", "first"), ("run", "second"), ("watch",), ("export",)],
    ids=" ".join,
)
def test_nothing_stored_is_obeyed(hostile, command):
    """Markup is shown as it was written, control characters are escaped, and no text looks like a row of its own."""
    place, run_ids = hostile
    arguments = [{"first": run_ids[0], "second": run_ids[1]}.get(word, word) for word in command]
    output = place.quick(*arguments).stdout
    assert "[red]x[/red]" in output
    assert command == ("export",) or SHOWN in output
    assert output.splitlines() == output.rstrip("\n").split("\n"), "no other character ends a line"
    assert not [line for line in output.splitlines() if line.startswith(FORGED) and command != ("export",)]
    assert not [mark for mark in OBEYED if mark in output]
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", output)
    if command in {("list",), ("runs",)}:
        assert len(output.splitlines()) == 1 + len(place.quick_json(*command)), "one row is one line"
    assert place.quick(*arguments, "--json").stdout.isascii()


def test_a_prompt_has_several_lines_and_a_name_has_one(hostile):
    """The lines of a prompt are indented below its name; a name is one line, as everywhere."""
    place, _ = hostile
    lines = place.quick("show", "hostile").stdout.splitlines()
    (name,) = [line for line in lines if line.startswith("name ")]
    assert name.endswith(escaped(HOSTILE[:255]))
    assert [line for line in lines if re.fullmatch(rf" +{re.escape(FORGED)}.*", line)]


def test_json_keeps_what_is_stored(hostile):
    """Escaped, so that a program has it back letter by letter."""
    place, run_ids = hostile
    assert place.quick_json("run", run_ids[0])["response"] == HOSTILE
    assert place.quick_json("show", "hostile")["definition"]["metadata"] == {"k": HOSTILE}


def test_a_terminal_is_told_nothing_by_errors(place):
    """What was typed comes back in a sentence, without what a terminal would obey."""
    place.quick("add", "--id", "a", "--prompt", "Go.", "--every", "1h")
    assert "\x1b" not in place.quick("show", "a\x1b[31m", code=3).stderr


@pytest.mark.parametrize("text", ["plain", "with\ttab", "two\nlines", "größer", "日本語", "👩‍👩‍👧"])
def test_what_is_harmless_stays(text):
    """Letters of all scripts, joined ones too; tabs and line breaks where a text may have several lines."""
    assert escaped_lines(text) == text
    assert escaped(text) == text.replace("\n", "\\n").replace("\t", "\\t")


# --- The store ---


READING = [
    *("list", "show a", "pause a", "resume a", "remove a --yes", "trigger a", "runs", "runs --follow"),
    *("run a", "watch", "waiting", "answer a yes", "export", "list --json"),
]


@pytest.mark.parametrize("command", READING)
def test_a_missing_store_is_not_created(place, command):
    """One line, exit code 3, and no file."""
    result = place.quick(*command.split(), code=3)
    assert result.stderr.startswith(f"error: there is no store at {place.folder / 'scheduler.db'}; ")
    assert result.stdout == ""
    assert not (place.folder / "scheduler.db").exists()


@pytest.mark.parametrize("content", [b"", b"another program's"], ids=["empty", "not-ours"])
@pytest.mark.parametrize("command", READING)
def test_a_file_without_a_store_is_left_alone(place, command, content):
    """An empty file, or a database with the tables of another program: exit code 3, and nothing was written."""
    file = place.folder / "scheduler.db"
    file.touch()
    if content:
        with sqlite3.connect(file) as other:
            other.execute("CREATE TABLE theirs (x)")
        other.close()
    before = file.read_bytes()
    result = place.quick(*command.split(), code=3)
    assert result.stderr.startswith(f"error: there is no store at {file}; ")
    assert result.stdout == ""
    assert file.read_bytes() == before
    assert [each.name for each in place.folder.glob("scheduler.db*")] == ["scheduler.db"]


def test_check_tells_of_a_missing_store(place):
    """As one of its findings; it creates none either."""
    message = f"there is no store at {place.folder / 'scheduler.db'}"
    assert message in place.quick("check", code=1).stdout
    assert not (place.folder / "scheduler.db").exists()
    (place.folder / "scheduler.db").touch()
    assert message in place.quick("check", code=1).stdout
    assert (place.folder / "scheduler.db").read_bytes() == b""


def test_a_dry_run_creates_no_store(place):
    """It says what would be done to an empty one."""
    (place.folder / "tasks.toml").write_text('[[task]]\nid="a"\nname="A"\nprompt="Go."\nschedule="every 5 minutes"\n')
    assert place.quick("apply", "tasks.toml", "--dry-run").stdout == "+ a\n1 would be added\n"
    assert not (place.folder / "scheduler.db").exists()


def test_where_the_store_is(place, monkeypatch):
    """`--db` or `--db-url` before the variable, which may hold either, before scheduler.db; not both options."""
    task = ("add", "--id", "a", "--prompt", "Go.", "--every", "1h")
    place.quick(*task, "--db", "one.db")
    place.quick(*task, "--db-url", "sqlite:///two.db")
    assert {file.name for file in place.folder.glob("*.db")} == {"one.db", "two.db"}
    variable = {"SCHEDULER_DB": "one.db"}
    assert place.quick("list", variables=variable).stdout.count("\n") == 2
    variable = {"SCHEDULER_DB": "sqlite:///two.db"}
    assert place.quick("list", variables=variable).stdout.count("\n") == 2
    assert "/missing.db; " in place.quick("list", "--db", "missing.db", code=3, variables=variable).stderr
    assert "/no.db; " in place.quick("list", "--db-url", "sqlite:///no.db", code=3).stderr
    assert "two stores" in place.quick("list", "--db", "one.db", "--db-url", "sqlite:///two.db", code=2).stderr
    assert "is no SQLAlchemy URL" in place.quick("list", "--db-url", "nonsense", code=2).stderr


def test_a_file_that_is_no_store(place):
    """One line and exit code 1."""
    (place.folder / "scheduler.db").write_text("This is no database. " * 100)
    result = place.quick("list", code=1)
    assert result.stderr.startswith("error: Store ")
    assert result.stderr.count("\n") == 1


def test_a_task_that_cannot_be_read(place):
    """It is listed with its problem, checked as not in order, and left out of an export with a warning."""
    place.quick("add", "--id", "bad", "--prompt", "Go.", "--every", "1h")
    with sqlite3.connect(place.folder / "scheduler.db") as store:
        store.execute("UPDATE scheduler_tasks SET definition = '{', problem = 'it is no JSON'")
    store.close()
    (task,) = place.quick_json("list")
    assert (task["state"], task["problem"], task["definition"]) == ("unusable", "it is no JSON", None)
    assert "error: it is no JSON" in place.quick("list").stdout
    place.quick("show", "bad")
    assert "NOT OK  task bad" in place.quick("check", code=1).stdout
    exported = place.quick("export")
    assert exported.stderr.startswith("warning: task bad is left out")


FAR = 10**18
"""Microseconds: no calendar has such a year."""


def test_rows_beyond_the_calendar(place):
    """An earlier release took ends such as the year 9999; these rows, and any number, are shown, beside the others."""
    for task_id in ("end", "start", "ahead", "behind", "other"):
        place.quick("add", "--id", task_id, "--prompt", "Go.", "--cron", "0 9 * * *", "--timezone", "Asia/Tokyo")
    run_id = place.quick_json("trigger", "other")["id"]
    with rows(place.folder / "scheduler.db") as store:
        for task_id, zone, bounds in (
            ("end", "Asia/Tokyo", {"end_at": "9999-12-31T23:59:59Z"}),
            ("start", "America/New_York", {"start_at": "0001-01-01T00:00:00Z"}),
        ):
            (text,) = store.execute("SELECT definition FROM scheduler_tasks WHERE id = ?", [task_id]).fetchone()
            changed = json.dumps({**json.loads(text), **bounds, "timezone": zone, "name": "x" * 1000})
            store.execute("UPDATE scheduler_tasks SET definition = ?, zone = ? WHERE id = ?", [changed, zone, task_id])
        store.execute("UPDATE scheduler_tasks SET next_due = ? WHERE id = 'ahead'", [FAR])
        store.execute("UPDATE scheduler_tasks SET next_due = ? WHERE id = 'behind'", [-FAR])
        times = [FAR, -FAR, '{"input_tokens": ', run_id]
        store.execute("UPDATE scheduler_runs SET scheduled_at = ?, started_at = ?, usage = ? WHERE id = ?", times)
    ids = ["ahead", "behind", "end", "other", "start"]
    for command in (
        ["list"],
        ["watch"],
        ["runs"],
        ["run", run_id],
        ["export"],
        *(["show", task_id] for task_id in ids),
    ):
        place.quick(*command)
        place.quick(*command, "--json")
    assert sorted(task["id"] for task in place.quick_json("list")) == ids
    assert [run["scheduled_at"] for run in place.quick_json("runs")] == ["9999-12-31T23:59:59.999999Z"]
    (place.folder / "tasks.toml").write_text(place.quick("export", "start").stdout)
    assert "Task start: name='xxx" in place.quick("apply", "tasks.toml", code=1).stderr
    with place.face() as face:
        assert len(TaskJobStore(face._store).get_all_jobs()) == len(ids)
        assert face.get_task("end").end_at == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize("given", ["a\udcff", "\udcff", "a\nb", "x" * 100_000], ids=range(4))
@pytest.mark.parametrize(
    "command", ["show", "pause", "resume", "remove --yes", "trigger", "run", "answer", "runs", "export"]
)
def test_ids_that_no_task_has(place, command, given):
    """One short line, whatever bytes a shell hands over; none of them reaches the database."""
    place.quick("add", "--id", "a", "--prompt", "Go.", "--every", "1h")
    answer = ["yes"] if command == "answer" else []
    result = place.quick(*command.split(), given, *answer, code=2 if command == "runs" else 3)
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert len(result.stderr) < 400
    assert result.stdout == ""


# --- Adding ---


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ("--every 90s", {"task_type": "interval", "interval_seconds": 90}),
        ("--at 2999-03-15T14:00", {"task_type": "one_time", "run_at": "2999-03-15T14:00:00Z"}),
        ("--at 2999-03-15T14:00 --timezone Asia/Tokyo", {"run_at": "2999-03-15T14:00:00+09:00"}),
        ("--cron @daily --paused", {"cron_expression": "@daily", "enabled": False}),
        ("--every 1h --start-at 2999-01-01 --end-at 2999-02-01", {"start_at": "2999-01-01T00:00:00Z"}),
        ("--every 1h --overlap buffer_one --no-coalesce", {"overlap": "buffer_one", "coalesce": False}),
        ("--every 1h --timeout 1.5 --retry-delay 2m", {"timeout_seconds": 1.5, "retry_delay_seconds": 120}),
        ("--every 1h --jitter 30s --max-runs 3", {"jitter_seconds": 30, "max_runs": 3}),
        ("--every 1h --session-mode per_run --session-retention 1d", {"session_retention": 86400}),
        ("--every 1h --rerun-after-crash --retry-from-start", {"rerun_after_crash": True, "retry_from_start": True}),
        ('--every 1h --context {"a":1}', {"context": {"a": 1}}),
    ],
)
def test_fields_from_options(place, options, fields):
    """As `add` stores them."""
    added = place.quick_json("add", "--id", "a", "--prompt", "Go.", *options.split())["definition"]
    assert {name: added[name] for name in fields} == fields


def test_add_has_an_option_for_each_field():
    """A field that is new needs one."""
    given = {"task_id", "cron", "every", "at", "schedule", "paused", "no_coalesce", "literal_input"}
    stand_for = {"id", "task_type", "cron_expression", "interval_seconds", "run_at", "enabled", "coalesce", "input"}
    fields = set(TaskDefinition.model_fields) - stand_for
    other = {"replace", "db", "db_url", "as_json"}
    assert set(add.__annotations__) - {"return"} == fields | given | other


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "give one of --cron, --every, --at, --schedule and --rrule"),
        ("--every 5m --cron @daily", "give one of --cron, --every, --at, --schedule and --rrule"),
        ("--every soon", "'soon' is no duration; give one such as 90s, 5m, 1h30m or 2d"),
        ("--every 0", "Task a: interval_seconds=0"),
        ("--at soon", "'soon' is no instant"),
        ("--at 2020-01-01", "a"),
        ("--at 2027-03-28T02:30 --timezone Europe/Berlin", "does not exist in Europe/Berlin"),
        ("--at 2999-01-01 --timezone Mars/One", "no time zone has this name"),
        ("--cron 99", "Task a: cron_expression"),
        ("--schedule whenever", "whenever"),
        ("--every 1h --metadata x", "--metadata 'x': give KEY=VALUE or a JSON object"),
        ("--every 1h --metadata {", "--metadata: this is no JSON"),
        ("--every 1h --context 1", "--context: give a JSON object"),
        ("--every 1h --result-callback nowhere.f", "Task a: result_callback='nowhere.f' cannot be imported"),
    ],
)
def test_add_refuses(place, options, message):
    """In one line, with exit code 2; nothing is stored."""
    result = place.quick("add", "--id", "a", "--prompt", "Go.", *options.split(), code=2)
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    if (place.folder / "scheduler.db").exists():
        assert place.quick_json("list") == []


# --- Other commands ---


def test_preview_without_a_store(place):
    """Cron or words, in a zone; the shape of `next --json`."""
    found = place.quick_json("next", "0 9 * * 1", "--timezone", "Europe/Berlin", "--count", "2")
    due = found.pop("due_times")
    assert len(due) == 2
    assert found.pop("explained") == [{"at": each, "runs": True, "notes": []} for each in due]
    assert found == {
        "schedule": "Every Monday at 09:00 (Europe/Berlin)",
        "timezone": "Europe/Berlin",
        "fields": {"task_type": "cron", "cron_expression": "0 9 * * 1", "timezone": "Europe/Berlin"},
    }
    assert place.quick("next", "every 90 minutes", "--count", "1").stdout.count("\n") == 2
    closed = place.quick(
        "next", "every Sunday at 9am", "--count", "1", "--calendar", '{"closed": "sun", "on_closed": "next_open"}'
    )
    assert "moved from Sunday " in closed.stdout
    place.quick("trigger", "--tag", "x", "--respect-calendar", code=2)
    refused = place.quick("next", "every Sunday at 9am", "--calendar", '{"closed": "someday"}', code=2)
    assert "calendar: closed='someday' is no day" in refused.stderr
    place.quick("next", "0 9 30 2 *", code=2)
    place.quick("next", "every Moonday", code=2)
    assert not (place.folder / "scheduler.db").exists()


def test_removing_asks(place, monkeypatch):
    """On a terminal; no is no."""
    place.quick("add", "--id", "a", "--prompt", "Go.", "--every", "1h")
    monkeypatch.setattr("scheduler.cli.commands.many.is_person", lambda: True)
    result = place.quick("remove", "a", given="maybe\nn\n", code=1)
    assert result.stderr == "Remove task 'a'? [y/N]: Answer y or n.\nRemove task 'a'? [y/N]: Nothing was removed.\n"
    assert place.quick("remove", "a", given="y\n").stdout == "Removed a.\n"
    assert place.quick_json("list") == []
    place.quick("add", "--id", "b", "--prompt", "Go.", "--every", "1h")
    assert place.quick_json("remove", "b", "--yes") == {"removed": "b"}


@pytest.fixture
def tagged(place):
    """Two tasks with a tag, one of them paused, and one without."""
    place.quick("add", "--id", "a", "--prompt", "Sell.", "--every", "1h", "--tag", "team:sales", "--tag", "costly")
    place.quick("add", "--id", "b", "--prompt", "Sell more.", "--every", "1h", "--tag", "team:sales", "--paused")
    place.quick("add", "--id", "c", "--prompt", "Buy.", "--every", "1h", "--name", "Purchase")
    return place


def test_all_tasks_with_a_tag(tagged):
    """They are paused, resumed, triggered and removed together."""
    assert (
        tagged.quick("pause", "--tag", "team:sales", "--note", "Holidays.", "--yes").stdout == "Paused a.\nPaused b.\n"
    )
    assert {task["pause_reason"] for task in tagged.quick_json("list", "--tag", "team:sales")} == {"Holidays."}
    assert tagged.quick_json("resume", "--tag", "team:sales", "--yes") == {"resumed": ["a", "b"]}
    runs = tagged.quick_json("trigger", "--tag", "team:sales", "--prompt", "Sell all.", "--yes")
    assert [(run["task_id"], run["prompt"]) for run in runs] == [("a", "Sell all."), ("b", "Sell all.")]
    assert len(tagged.quick_json("runs", "--tag", "team:sales", "--status", "pending", "--status", "failed")) == 2
    assert len(tagged.quick_json("cancel", "--tag", "team:sales", "--yes")) == 2
    assert len(tagged.quick_json("retry", "--tag", "team:sales", "--status", "cancelled", "--yes")) == 2
    assert tagged.quick_json("remove", "--tag", "team:sales", "--yes") == {"removed": ["a", "b"]}
    assert [task["id"] for task in tagged.quick_json("list")] == ["c"]


def test_a_tag_asks(tagged, monkeypatch):
    """It says how many tasks it would change; no is no, and without a person it needs --yes."""
    refused = tagged.quick("remove", "--tag", "team:sales", code=2).stderr
    assert refused == (
        "error: nobody can be asked here (Remove 2 tasks with the tag 'team:sales'?); give --yes to do it\n"
    )
    monkeypatch.setattr("scheduler.cli.commands.many.is_person", lambda: True)
    asked = tagged.quick("resume", "--tag", "team:sales", given="n\n", code=1).stderr
    assert asked == "Resume 1 task with the tag 'team:sales'? [y/N]: Nothing was changed.\n"
    assert tagged.quick("pause", "--tag", "team:sales", given="y\n").stdout == "Paused a.\nPaused b.\n"


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("pause", 2, "give a task's id, or --tag for all tasks that have it"),
        ("pause a --tag b", 2, "give a task's id, or --tag for all tasks that have it"),
        ("pause --tag nobody --yes", 1, "no task that could be changed has the tag 'nobody'"),
        ("remove --tag , --yes", 2, "tag=',' is no tag; give a text of letters, digits"),
        ("trigger --tag costly --wait --yes", 2, "--wait, --edit and --respect-calendar are for one task"),
        ("list --after a", 2, "--after goes with --limit"),
        ("runs --follow --tag costly", 2, "do not go with --follow"),
        ("add --id d --prompt P --every 1h --tag=,", 2, "Task d: tags=',': ',' is no tag; give a list"),
    ],
)
def test_slips_with_tags(tagged, line, code, message):
    """Each says what to write."""
    assert message in tagged.quick(*line.split(), code=code).stderr


def test_looking_for_tasks(tagged):
    """By tag, text and state, page by page."""

    def ids(*options):
        return [task["id"] for task in tagged.quick_json("list", *options)]

    assert ids("--search", "SELL") == ["a", "b"]
    assert ids("--search", "purchase") == ["c"]
    assert ids("--state", "paused", "--tag", "team:sales") == ["b"]
    assert ids("--source", "tasks.toml") == ids("--state", "finished") == []
    assert ids("--limit", "2") == ["a", "b"]
    assert ids("--limit", "2", "--after", "b") == ["c"]
    page = tagged.quick("list", "--limit", "1")
    assert page.stderr == "More may follow: --after a\n"
    assert "costly" in tagged.quick("show", "a").stdout


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ("", "scheduler-task:a (its own; 0 runs)"),
        ("--session team", "scheduler:team (shared with b, c; 0 runs)"),
        ("--session team --session-mode task", "scheduler-task:a (its own; 0 runs)"),
        ("--session-mode per_run", "each run has its own"),
    ],
)
def test_the_conversation_of_a_task(place, options, shown):
    """`show` says which one it is, and with whom it is shared."""
    for name, of_task in {"a": options, "b": "--session team", "c": "--session team --session-mode shared"}.items():
        place.quick("add", "--id", name, "--prompt", "Go.", "--every", "1h", *of_task.split())
    (line,) = [line for line in place.quick("show", "a").stdout.splitlines() if line.startswith("conversation")]
    assert line.removeprefix("conversation").strip() == shown


def test_a_finished_task_is_shown(place):
    """`list` has it only if it is asked for, with when and why; `show` and `export` have it by its id."""
    place.quick("add", "--id", "a", "--prompt", "Go.", "--every", "1h", "--max-runs", "1")
    with sqlite3.connect(place.folder / "scheduler.db") as store:
        store.execute("UPDATE scheduler_tasks SET next_due = NULL, finished_at = 1, started_runs = 1")
    store.close()
    assert place.quick_json("list") == []
    (listed,) = place.quick_json("list", "--state", "finished")
    shown = place.quick_json("show", "a")
    assert listed["finished_at"] == shown["finished_at"] is not None
    assert (listed["finish_reason"], listed["state"]) == (shown["finish_reason"], "finished")
    assert f": {listed['finish_reason']}" in " ".join(place.quick("list", "--state", "finished").stdout.split())
    assert (shown["state"], shown["due_times"]) == ("finished", [])
    assert place.quick_json("export", "a")[0]["id"] == "a"


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-16"])
def test_an_export_can_be_applied_in_every_locale(place, encoding):
    """A tasks file is UTF-8, whatever the standard output would be."""
    prompt = 'Grüße 😀\u202e\x1b\\\n"""Go."""'
    with place.face() as face:
        face.add_task(hourly("a", prompt=prompt))
    (place.folder / "tasks.toml").write_text(place.run("export", PYTHONIOENCODING=encoding).stdout)
    assert [task.prompt for task in load_tasks(place.folder / "tasks.toml")] == [prompt]


def test_an_export_overwrites_nothing(place):
    """A file that exists is refused."""
    place.quick("add", "--id", "a", "--prompt", "Go.", "--every", "1h")
    place.quick("export", "--output", "tasks.toml")
    assert "tasks.toml exists" in place.quick("export", "--output", "tasks.toml", code=1).stderr
    assert place.quick("apply", "tasks.toml").stdout == "1 kept\n"


def test_an_empty_store(place):
    """It says so."""
    place.quick("add", "--id", "a", "--prompt", "Go.", "--every", "1h")
    assert place.quick("runs", "a").stdout == "No runs.\n"
    assert place.quick("remove", "a", "--yes").stdout == "Removed a.\n"
    assert place.quick("list").stdout == "No tasks.\n"
    assert place.quick_json("runs") == []


@pytest.mark.parametrize("given", [("runs", "--status", "odd"), ("runs", "--since", "odd"), ("nothing",), ("show",)])
def test_usage(place, given):
    """An argument that is wrong ends with exit code 2."""
    with place.face():
        pass
    place.quick(*given, code=2)


def test_completion_of_runs(place, monkeypatch):
    """With the task and the status beside each."""
    with place.face() as face:
        face.add_task(hourly("a"))
        run_id = face.trigger_task("a")

    class Context:
        params = {"db": place.folder / "scheduler.db"}  # noqa: RUF012 (a stand-in)

    assert complete_run(Context, run_id[:8]) == [(run_id, "a, pending")]
    assert complete_run(Context, "zz") == []


def test_a_feed_misses_nothing(place):
    """More runs than one look holds, and an old one that changes."""
    with place.face() as face:
        face.add_task(hourly("a"))
        oldest = face.trigger_task("a")
        feed = RunFeed(face, None)
        assert [run.id for run in feed.changes()] == [oldest]
        made = [face.trigger_task("a") for _ in range(150)]
        with rows(place.folder / "scheduler.db") as store:
            end_of(store, oldest, "succeeded", "response", "late")
        changes = feed.changes()
        assert [run.id for run in changes] == [oldest, *made]
        assert changes[0].status is RunStatus.SUCCEEDED
        assert feed.changes() == []


# --- Help and documentation ---


def test_the_version(place):
    """That of the package that is installed."""
    assert (
        place.quick("--version").stdout == f"task-scheduler {importlib.metadata.version('langgraph-task-scheduler')}\n"
    )


@pytest.mark.parametrize("name", NAMES)
def test_help_gives_an_example(place, name):
    """Each command has one that names it."""
    output = " ".join(place.quick(name, "--help").stdout.split())
    assert f"Example: task-scheduler {name}" in output


def options_of(name):
    parameters = ROOT_COMMAND.get_command(None, name).params
    return [option for each in parameters for option in each.opts if option.startswith("--")]


@pytest.mark.parametrize("name", [None, *NAMES])
def test_help_shows_no_type_beside_a_flag(place, name):
    """A flag takes no value, so nothing stands between it and its help."""
    output = place.quick(*([name] if name else []), "--help").stdout
    assert "bool" not in output.lower()
    assert re.search(r"--help [ -h]+ Show this", output)


VERBS = re.compile(
    "Add|Allow|Answer|Attach|Build|Call|Cancel|Check|Declare|Delay|Do|Edit|Export|Finish|Give|Handle|Keep|Let|Limit|Log|Look|Name"
    "|Pause|Preview|Print|Read|Record|Remember|Remove|Repeat|Replace|Report|Resume|Run|Send|Set|Share|Show|Start|Stop|Treat|Try|Use|Wait"
    "|Write|Also log|Apply"
)


@pytest.mark.parametrize("name", NAMES)
def test_the_help_of_an_option_begins_with_what_it_does(name):
    """With a verb: whoever looks for an option reads the first word of each."""
    params = ROOT_COMMAND.get_command(None, name).params
    assert {each.name: each.help for each in params if not VERBS.match(each.help or "")} == {}


@pytest.mark.parametrize("name", NAMES)
def test_the_page_knows(name):
    """Each command has its section on the page, and each of its options stands there."""
    assert f"\n### {name}\n" in DOCS
    section = DOCS.split(f"\n### {name}\n")[1].split("\n### ")[0].split("\n## ")[0]
    common = {"--db", "--db-url", "--json", "--help"}
    assert [option for option in options_of(name) if option not in common and f"`{option}" not in section] == []


# --- Words and numbers ---

NOW = datetime(2027, 3, 15, 14, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), ("1h30m", 5400), ("2D", 172_800), (" 1w ", 604_800)]
)
def test_durations(text, seconds):
    """Numbers with units, together or alone; a bare number is seconds."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "-5m", "five", "1.5h", "5 m", "m", "5mm", "\u0665m"])
def test_no_durations(text):
    """What is none is refused."""
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)


def test_instants():
    """Without an offset in the zone that is given; since is local, or so long ago."""
    assert parse_instant("2027-03-15T14:00", None) == NOW
    assert parse_instant("2027-03-15T15:00", "Europe/Berlin") == NOW
    assert parse_instant("2027-03-15T15:00+01:00", "Asia/Tokyo") == NOW
    assert parse_since("2h", NOW) == NOW - timedelta(hours=2)
    assert parse_since("2027-03-15T14:00+00:00", NOW) == NOW


BERLIN = "--timezone Europe/Berlin "
MOMENTS = {
    f"--every 1h --context {'[' * 50_000}": "--context: this is no JSON",
    "--every 1h --metadata " + '{"a":' * 20_000: "--metadata: this is no JSON",
    "--at 2999-10-27T02:30 "
    + BERLIN: "comes twice in Europe/Berlin: the clock is put back over it; write 2999-10-27T02:30",
    "--every 1h --start-at 2999-03-31T02:30 "
    + BERLIN: "does not exist in Europe/Berlin: the clock is put forward past it",
    "--every 1h --end-at 2999-10-27T02:59:59 " + BERLIN: "write 2999-10-27T02:59:59+02:00 or 2999-10-27T02:59:59+01:00",
    "--at 9999-12-31T23:59:59 --timezone Asia/Tokyo": "run_at=datetime.datetime(9999",
    "--every 1h --end-at 9999-12-31T23:59:59Z --timezone Asia/Tokyo": "its year is out of range; give a datetime from",
    "--every 1h --start-at 0001-01-01 --timezone America/New_York": "its year is out of range",
    "--at 0001-01-01T00:00Z": "its year is out of range",
    "--at soon": "'soon' is no instant; give one such as",
    f"--at {'9' * 10_000}": "… (10002 characters) is no instant",
    f"--at 2999-01-01 --timezone {'x' * 10_000}": "no time zone has this name",
    "--at 2999-01-01T00:00 --timezone \udcff": "no time zone has this name",
}


@pytest.mark.parametrize("options", MOMENTS, ids=lambda options: options[:40].strip())
def test_instants_that_are_refused(place, options):
    """One line says what is wrong and what to write; nothing is guessed, and nothing is added."""
    result = place.quick("add", "--id", "a", "--prompt", "Go.", *options.split(), code=2)
    assert MOMENTS[options] in result.stderr
    assert result.stderr.count("\n") == 1
    assert len(result.stderr) < 600
    assert not (place.folder / "scheduler.db").exists()


def test_since_on_the_clock_of_this_machine(monkeypatch):
    """A local time that this machine's clock shows twice, or never, is refused with what to write."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert parse_since("2026-10-25T01:30", NOW) == datetime(2026, 10, 24, 23, 30, tzinfo=UTC)
        assert parse_since("2026-10-25T02:30+01:00", NOW) == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
        with pytest.raises(
            ValueError, match=r"comes twice in the time zone of this machine: .* 2026-10-25T02:30:00\+01:00"
        ):
            parse_since("2026-10-25T02:30", NOW)
        with pytest.raises(ValueError, match="does not exist in the time zone of this machine"):
            parse_since("2027-03-28T02:30", NOW)
        for text in ("yesterday", "99999999999d", "x" * 10_000):
            with pytest.raises(ValueError, match="is no duration or instant; give one such as"):
                parse_since(text, NOW)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
@pytest.mark.parametrize("text", ["0001-01-01", "0001-01-01T00:00", "9999-12-31T23:59:59"])
def test_since_at_the_ends_of_the_calendar(text, zone, monkeypatch):
    """A local time there is refused with what to write instead of Python's own words."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        with pytest.raises(ValueError, match="lies at an end of the calendar; give a duration or an instant"):
            parse_since(text, NOW)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("ahead", "words"),
    [
        (timedelta(0), "now"),
        (timedelta(seconds=-5), "now"),
        (timedelta(milliseconds=100), "in 1 s"),
        (timedelta(seconds=12), "in 12 s"),
        (timedelta(minutes=25), "in 25 min"),
        (timedelta(days=30), r"2027-04-14 \d\d:\d\d"),
    ],
)
def test_local_words(ahead, words):
    """Near instants as a distance, far ones as a date."""
    assert re.fullmatch(words, in_local_words(NOW + ahead, NOW))


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "-"), (0.012, "12 ms"), (0.26, "0.3 s"), (125, "2 min 5 s"), (7260, "2 h 1 min")],
)
def test_lengths(seconds, shown):
    """As a person reads them."""
    assert shown_seconds(seconds) == shown


# --- Projects ---


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("graph = builder.compile()", ["graph"]),
        ("agent: object = create_agent(model, tools)", ["agent"]),
        ("other = b.compile()\napp = b.compile().with_config(x=1)", ["app", "other"]),
        ("import re\npattern = 3\n\ndef f():\n    graph = b.compile()", []),
        ("this is not python", []),
    ],
)
def test_graphs_are_found(tmp_path, source, names):
    """What a module compiles at its top, without running it."""
    (tmp_path / "graph.py").write_text(source)
    assert find_graphs(tmp_path / "graph.py") == names


EXISTING = '''\
"""A program."""

import asyncio


async def work():
    """Do it."""
    print("working")


asyncio.run(work())
'''


def added_to(source, lines):
    """Do what `init` says."""
    result = source.splitlines(keepends=True)
    for line in reversed(lines):
        result[line.after : line.after + line.replaces] = [line.text]
    return "".join(result)


@pytest.mark.parametrize(
    ("source", "places"),
    [
        (EXISTING, [3, 7, 8]),
        ('import sys\n\n\ndef main():\n    print("here", file=sys.stderr)\n\n\nmain()\n', [1, 8]),
    ],
    ids=["a coroutine", "no coroutine"],
)
def test_lines_for_an_existing_program(tmp_path, source, places):
    """Each goes in its place; put there, they make a program, which has all names that it uses."""
    lines = lines_for_program(source, "graph:graph", persistent=True)
    assert [line.after for line in lines] == places
    file = tmp_path / "main.py"
    file.write_text(added_to(source, lines))
    compile(file.read_text(), "main.py", "exec")
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F", str(file)]
    if importlib.util.find_spec("ruff"):  # it knows of names that are not defined
        done = subprocess.run(ruff, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
    assert lines_for_program(program("graph:graph", persistent=True), "graph:graph", persistent=True) == []


@pytest.mark.parametrize(
    ("source", "dependencies"),
    [
        ('[project]\nname = "x"\ndependencies = [\n    "y",\n]\n', ["langgraph-task-scheduler", "y"]),
        ('[project]\nname = "x"\n', ["langgraph-task-scheduler"]),
        ('[project]\nname = "x"\ndependencies = ["y", "z[a]"] # two\n', ["y", "z[a]", "langgraph-task-scheduler"]),
        ("[project]\ndependencies = []\n[tool.x]\n", ["langgraph-task-scheduler"]),
        ('[tool.x]\ndependencies = ["no"]\n\n[project]\nname = "x"\n', ["langgraph-task-scheduler"]),
        ('[project]\nname = "x"\n\n[tool.x]\ndependencies = ["no"]\n', ["langgraph-task-scheduler"]),
        ("[tool.x]\ny = 1\n", ["langgraph-task-scheduler"]),
        ('[project]\ndependencies = ["langgraph-task-scheduler>=1"]\n', ["langgraph-task-scheduler>=1"]),
    ],
)
def test_lines_for_dependencies(source, dependencies):
    """Put where `init` says, they are TOML, and the project has what it had before."""
    changed = tomllib.loads(added_to(source, lines_for_dependencies(source)))
    assert changed["project"]["dependencies"] == dependencies
    before = tomllib.loads(source)
    assert changed.get("tool") == before.get("tool")
    assert changed["project"].get("name") == before.get("project", {}).get("name")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:s3c'ret@host:1/db",
        "postgresql:/user:s3c ret@host/db",
        "u:s3cret@h",
        "host=h password='s3cret'",
    ],
)
def test_a_url_in_place_of_a_path_is_not_shown(place, url):
    """By any option or variable that takes a path."""
    printed = [place.quick(*each, "--db", url, code=2) for each in [("list",), ("check", "--json")]]
    if not url.startswith("postgresql://"):
        printed.append(place.run("serve", "--checkpoints", url, code=2))
    assert not any("s3c" in each.stdout + each.stderr for each in printed)
