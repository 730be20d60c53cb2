"""edit, pause: changes of what is scheduled."""

import sys
from datetime import UTC, datetime, timedelta

import pytest
from helpers import hourly

from scheduler import Calendar, StoreError, TaskDefinition
from scheduler.cli.commands import control
from scheduler.store import StoreTransaction


@pytest.fixture
def report(place):
    """Add a task that does not come due."""
    with place.face() as face:
        face.add_task(hourly("report", metadata={"a": 1}))
    return place


def task(place):
    with place.face() as face:
        return face.get_task("report")


def editor(place, program):
    """Return the environment of an editor that is a Python program; `text` is what the file holds, and is written."""
    code = f"import sys, pathlib\np = pathlib.Path(sys.argv[1])\ntext = p.read_text()\n{program}\np.write_text(text)\n"
    (place.folder / "editor.py").write_text(code)
    return {"EDITOR": f"{sys.executable} {place.folder / 'editor.py'}", "VISUAL": None}


def test_a_task_is_edited_by_options(report):
    """What is not named stays."""
    shown = report.quick("edit", "report", "--prompt", "New.", "--set", "max_attempts=3", "--set", "name=Big report")
    assert shown.stdout.startswith("Changed report; next due ")
    changed = {"prompt": "New.", "max_attempts": 3, "name": "Big report"}
    assert task(report) == hourly("report", metadata={"a": 1}).model_copy(update=changed)
    shape = report.quick_json("edit", "report", "--cron", "0 9 * * 1", "--timezone", "Europe/Berlin")
    assert (shape["schedule"], shape["definition"]["interval_seconds"]) == (
        "Every Monday at 09:00 (Europe/Berlin)",
        None,
    )


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "give what to change, or --editor"),
        (["--editor", "--prompt", "x"], 2, "give what to change, or --editor"),
        (["--set", "promt=x"], 2, "promt is no field of a task"),
        (["--set", "promt"], 2, "give FIELD=VALUE"),
        (["--set", "expected=x"], 2, "there is no such field"),
        (["--prompt", " "], 2, "prompt=' '"),
    ],
)
def test_a_wrong_edit_is_refused(report, arguments, code, words):
    """In one line, and nothing is stored."""
    assert words in report.quick("edit", "report", *arguments, code=code).stderr
    assert task(report) == hourly("report", metadata={"a": 1})


def test_there_must_be_such_a_task(report):
    """As for every command."""
    assert "there is no task" in report.quick("edit", "other", "--prompt", "x", code=3).stderr


def test_a_task_is_edited_in_an_editor(report):
    """The whole task; a line that is deleted sets its field back."""
    report.quick("edit", "report", "--set", "max_attempts=3")
    program = "text = text.replace('Prompt of report', 'New.').replace('max_attempts = 3', '')"
    report.quick("edit", "report", "--editor", variables=editor(report, program))
    assert task(report) == hourly("report", metadata={"a": 1}, prompt="New.")
    shown = report.quick("edit", "report", "--editor", variables=editor(report, ""))
    assert shown.stdout == "Nothing was changed.\n"


@pytest.mark.parametrize(
    ("program", "code", "words"),
    [
        ("text = text.replace('report', 'other')", 1, "the file must hold task 'report'"),
        ("text = 'oh ='", 2, "task.toml, line 1"),
        ("sys.exit(3)", 1, "ended with exit code 3"),
    ],
)
def test_what_comes_out_of_an_editor_is_checked(report, program, code, words):
    """And nothing is stored."""
    assert words in report.quick("edit", "report", "--editor", variables=editor(report, program), code=code).stderr
    assert task(report) == hourly("report", metadata={"a": 1})


def test_no_editor(report):
    """A hint says how to name one."""
    variables = {"EDITOR": None, "VISUAL": None}
    assert "set the variable EDITOR" in report.quick("edit", "report", "--editor", variables=variables, code=2).stderr


def test_an_edit_that_meets_another_one_is_refused(report):
    """Somebody has changed the task while it was open in the editor."""
    program = (
        "import sqlite3\n"
        f"db = sqlite3.connect({str(report.folder / 'scheduler.db')!r})\n"
        "db.execute(\"UPDATE scheduler_tasks SET definition = replace(definition, 'Prompt of', 'Words of')\")\n"
        "db.commit()\n"
        "text = text.replace('Prompt of report', 'New.')"
    )
    shown = report.quick("edit", "report", "--editor", variables=editor(report, program), code=2)
    assert "changed meanwhile" in shown.stderr


def test_a_pause_with_an_end_and_a_note(report):
    """Both are listed and shown, with the beginning."""
    shape = report.quick_json("pause", "report", "--until", "2h", "--note", "the provider is down")
    until = datetime.fromisoformat(shape["paused_until"])
    assert timedelta(hours=1) < until - datetime.now(UTC) <= timedelta(hours=2)
    assert shape["pause_reason"] == "the provider is down"
    for command in (["list"], ["show", "report"]):
        output = report.quick(*command).stdout
        assert "the provider is down" in output
        assert f"{until:%Y-%m-%d}" in output
    assert "has passed" in report.quick("pause", "report", "--until", "2020-01-01", code=2).stderr


def test_a_run_with_other_words(report):
    """They are sent in this run only, and shown by `run`."""
    run = report.quick_json("trigger", "report", "--prompt", "Other words.", "--metadata", "team=ops")
    assert (run["prompt"], run["metadata"]) == ("Other words.", {"team": "ops"})
    shown = report.quick("run", run["id"]).stdout
    assert "Other words." in shown
    assert '{"team": "ops"}' in shown
    assert report.quick_json("run", run["id"])["prompt"] == "Other words."
    assert task(report).prompt == "Prompt of report"


def test_the_prompt_of_a_run_is_edited(report):
    """The editor begins with the task's own."""
    variables = editor(report, "text = text.replace('Prompt', 'Words') + '\\n'")
    report.quick("trigger", "report", "--edit", variables=variables)
    with report.face() as face:
        assert face.list_runs()[0].prompt == "Words of report"
    assert (
        "prompt=''" in report.quick("trigger", "report", "--edit", variables=editor(report, "text = ''"), code=2).stderr
    )


def ids(place, **filters):
    with place.face() as face:
        return [run.id for run in face.list_runs(**filters)]


def test_a_run_is_cancelled(report):
    """One by its id, or all of a task after a question."""
    run_id = report.quick_json("trigger", "report")["id"]
    assert report.quick("cancel", run_id, "--reason", "wrong").stdout == f"Cancelled run {run_id} of report.\n"
    assert report.quick_json("run", run_id)["error"] == "wrong"
    assert "it is cancelled already" in report.quick("cancel", run_id, code=2).stderr
    for _ in range(2):
        report.quick("trigger", "report")
    assert "Cancel 2 runs?" in report.quick("cancel", "--task", "report", code=2).stderr
    assert {run["status"] for run in report.quick_json("cancel", "--task", "report", "--yes")} == {"cancelled"}
    assert report.quick("cancel", "--task", "report", "--yes").stdout == "No such runs.\n"


def test_watch_shows_what_has_ended_behind_many_open_runs(report):
    """However many wait."""
    ended = report.quick_json("trigger", "report")["id"]
    report.quick("cancel", ended)
    for _ in range(3):
        report.quick("trigger", "report")
    screen = report.quick_json("watch", "-n", "1")
    assert [run["id"] for run in screen["lately"]] == [ended]
    assert len(screen["now"]) == 1


def test_runs_are_repeated(report):
    """One by its id, or all of a status; what has been repeated is not repeated once more."""
    for _ in range(3):
        report.quick("trigger", "report")
    report.quick("cancel", "--task", "report", "--yes")
    first = ids(report)[0]
    new = report.quick_json("retry", first)
    assert (new["retry_of"], new["trigger"], new["status"]) == (first, "retry", "pending")
    assert "repeats it already" in report.quick("retry", first, code=2).stderr
    shown = report.quick("retry", "--status", "cancelled", "--since", "2h", "--yes")
    assert len(shown.stdout.splitlines()) == 2
    assert "No scheduler is running" in shown.stderr
    assert len(ids(report, status="pending")) == 3
    assert report.quick("retry", "--status", "cancelled", "--yes").stdout == "No such runs.\n"


@pytest.mark.parametrize("command", [["cancel", "--task", "report"], ["retry", "--status", "cancelled"]])
def test_many_runs_are_changed_in_one_transaction(report, command, monkeypatch):
    """An error of the store at the last one leaves all as they are; one that is refused does not stop the others."""
    for _ in range(3):
        report.quick("trigger", "report")
    if command[0] == "retry":
        report.quick("cancel", "--task", "report", "--yes")
    before, calls = ids(report, status="pending"), []
    method = f"{command[0]}_run"
    change = getattr(StoreTransaction, method)

    def fail_third(store, *given, **options):
        calls.append(given)
        if len(calls) == 3:
            raise StoreError("here", "the disk is full", "make room")
        return change(store, *given, **options)

    def end_first(store, *given, **options):
        calls.append(given)
        if len(calls) == 1:
            raise ValueError("it has ended")
        return change(store, *given, **options)

    monkeypatch.setattr(StoreTransaction, method, fail_third)
    report.quick(*command, "--yes", code=1)
    assert ids(report, status="pending") == before
    assert len(ids(report)) == 3
    calls.clear()
    monkeypatch.setattr(StoreTransaction, method, end_first)
    changed = report.quick(*command, "--yes")
    assert len(changed.stdout.splitlines()) == 2
    assert "it has ended" in changed.stderr


def test_what_somebody_else_repeats_meanwhile_is_not_repeated_again(report, monkeypatch):
    """Between the question and the change, also if that run is over by then."""
    for _ in range(2):
        report.quick("trigger", "report")
    report.quick("cancel", "--task", "report", "--yes")

    def agree(question):
        assert question == "Repeat 2 runs?"
        with report.face() as face:
            face.cancel_run(face.retry_run(ids(report)[0]))
        return True

    monkeypatch.setattr(control, "agreed", agree)
    assert len(report.quick_json("retry", "--status", "cancelled")) == 1
    assert len(ids(report)) == 4


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["cancel"], 2),
        (["cancel", "x", "--task", "report"], 2),
        (["cancel", "x"], 3),
        (["cancel", "--task", "other"], 3),
        (["retry"], 2),
        (["retry", "x", "--status", "failed"], 2),
        (["retry", "x", "--since", "2h"], 2),
        (["retry", "x"], 3),
        (["retry", "--status", "failed", "--task", "other"], 3),
    ],
)
def test_what_is_refused(report, arguments, code):
    """With the exit codes of all commands."""
    report.quick(*arguments, code=code)


@pytest.fixture
def daily(place):
    """Add a task that was due once a day, long before it was added."""
    with place.face() as face:
        fields = {"task_type": "cron", "cron_expression": "0 0 * * *", "prompt": "Go on."}
        face.add_task(TaskDefinition(id="daily", name="Daily", **fields))
    return place


def test_past_due_times_are_run(daily):
    """After a look at them, and a question; the backfill can be cancelled."""
    shown = daily.quick("backfill", "daily", "--from", "2026-01-01T00:00Z", "--to", "2026-01-03T00:00Z", "--dry-run")
    assert shown.stdout.splitlines()[-1] == "daily would run for 3 due times."
    given = ("backfill", "daily", "--from", "2026-01-01T00:00Z", "--to", "2026-01-02T00:00Z")
    assert "Run 'daily' for 2 due times?" in daily.quick(*given, code=2).stderr
    shape = daily.quick_json(*given, "--yes")
    due = ["2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00"]
    assert shape == {"task_id": "daily", "due_times": due, "dry_run": False}
    assert daily.quick(*given, "--yes").stdout == "daily: there is nothing to fill.\n"
    daily.quick("trigger", "daily")
    assert len(daily.quick_json("cancel", "--task", "daily", "--backfill", "--yes")) == 2
    assert len(ids(daily, status="pending")) == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["backfill", "other", "--from", "2d"], 3),
        (["backfill", "daily"], 2),
        (["backfill", "daily", "--from", "then"], 2),
        (["backfill", "daily", "--from", "2d", "--to", "3d"], 2),
        (["backfill", "daily", "--from", "5d", "--limit", "1", "--yes"], 1),
        (["cancel", "x", "--backfill"], 2),
    ],
)
def test_a_wrong_backfill_is_refused(daily, arguments, code):
    """With the exit codes of all commands."""
    daily.quick(*arguments, code=code)


def test_runs_are_named_by_task_and_number(daily):
    """As `runs` shows them; and by the beginning of an id."""
    place = daily
    first = place.quick_json("trigger", "daily")["id"]
    shown = place.quick_json("run", "daily#last")
    assert (shown["id"], shown["number"]) == (first, shown["number"])
    assert place.quick_json("run", f"daily#{shown['number']}")["id"] == first
    assert place.quick_json("run", first[:30])["id"] == first
    assert "there is no run 'daily#9999'" in place.quick("run", "daily#9999", code=3).stderr
    assert "there is no task 'nightly'" in place.quick("cancel", "nightly#last", code=3).stderr
    cancelled = place.quick_json("cancel", "daily#last")
    assert (cancelled["id"], cancelled["status"]) == (first, "cancelled")
    repeated = place.quick_json("retry", "daily#last")
    assert repeated["retry_of"] == first


def test_a_calendar_by_its_name(place):
    """One that a task of the store has, for a new task and for one that is changed; others are refused."""
    with place.face() as face:
        fields = {"task_type": "cron", "cron_expression": "0 9 * * *", "prompt": "Go on."}
        office = Calendar(name="office", closed=["sat", "sun"])
        face.add_task(TaskDefinition(id="first", name="First", calendar=office, **fields))
        face.add_task(TaskDefinition(id="second", name="Second", **fields))
    place.quick("edit", "second", "--set", "calendar=office")
    place.quick("add", "--id", "third", "--prompt", "Go.", "--cron", "0 9 * * *", "--calendar", "office")
    with place.face() as face:
        assert [face.get_task(each).calendar for each in ("second", "third")] == [office, office]
    for refused in (
        ("edit", "second", "--set", "calendar=home"),
        ("add", "--id", "x", "--prompt", "Go.", "--every", "1h"),
    ):
        given = (*refused, "--calendar", "home") if refused[0] == "add" else refused
        assert (
            "no task of this store has a calendar named 'home' (there are: office)"
            in place.quick(*given, code=2).stderr
        )
