"""One odd run or task does not hold up the others, end to end."""

import sys

import pytest
from helpers import EchoGraph, FailingGraph, hourly, one_time, rows, wait_for_runs, wait_until

from scheduler import RunStatus

ODD = "no such file: caf\udce9.txt \0"


@pytest.mark.parametrize("persistent", [True, False])
async def test_an_error_that_is_no_text(new_scheduler, caplog, persistent):
    """Its run is `failed`, its task is paused, and other tasks continue; no pass fails."""
    scheduler = new_scheduler(FailingGraph(FileNotFoundError(ODD)), persistent=persistent)
    scheduler.start()
    scheduler.add_task(hourly("bad", pause_after_failures=1))
    scheduler.trigger_task("bad")
    [bad] = await wait_for_runs(scheduler, 1)
    scheduler.add_task(one_time("good"))
    await wait_for_runs(scheduler, 2)
    assert (bad.status, bad.error) == (RunStatus.FAILED, "FileNotFoundError: no such file: caf\ufffd.txt \ufffd")
    [task] = [each for each in scheduler.list_tasks() if each["id"] == "bad"]
    assert (task["next_run"], task["pause_reason"][-6:]) == ("paused", ".txt \ufffd")
    assert "A pass failed" not in caplog.text
    assert "cannot be used" not in caplog.text


async def test_a_module_that_fails_with_an_error_that_is_no_text(new_scheduler, tmp_path, monkeypatch, caplog):
    """The reason for the quarantine of its task is stored, and other tasks continue."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "odd_graph.py").write_text("from helpers import EchoGraph\ngraph = EchoGraph()\n")
    scheduler = new_scheduler(EchoGraph())
    scheduler.add_task(hourly("bad", graph="odd_graph:graph"))
    scheduler.trigger_task("bad")
    await scheduler.stop()
    (tmp_path / "odd_graph.py").write_text(f"raise FileNotFoundError({ODD!r})\n")
    monkeypatch.delitem(sys.modules, "odd_graph", raising=False)
    scheduler = new_scheduler(EchoGraph())
    scheduler.start()
    await wait_until(lambda: scheduler.list_tasks()[0]["next_run"].startswith("error"), scheduler)
    scheduler.add_task(one_time("good"))
    await wait_until(lambda: scheduler.list_runs("good", status="succeeded"), scheduler)
    assert "caf\ufffd.txt \ufffd" in next(t for t in scheduler.list_tasks() if t["id"] == "bad")["next_run"]
    assert "A pass failed" not in caplog.text


async def test_an_outcome_that_the_database_refuses(new_scheduler, db_path, caplog):
    """Its run is `failed`, the log says what it was, and others are written."""
    scheduler = new_scheduler(EchoGraph())
    scheduler.add_tasks([hourly("bad"), hourly("good")])
    with rows(db_path) as connection:
        connection.execute(
            "CREATE TRIGGER refuse BEFORE UPDATE ON scheduler_runs WHEN NEW.response LIKE '%bad'"
            " BEGIN SELECT RAISE(ABORT, 'not this one'); END"
        )
    scheduler.start()
    for task in ("bad", "good"):
        scheduler.trigger_task(task)
    runs = {run.task_id: run for run in await wait_for_runs(scheduler, 2)}
    assert runs["good"].status == RunStatus.SUCCEEDED
    assert runs["bad"].status == RunStatus.FAILED
    assert runs["bad"].error == ("the run ended as succeeded, which could not be stored: IntegrityError: not this one")
    [line] = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert line == (
        f"Task bad: run {runs['bad'].id} ended as succeeded and is stored as failed, since IntegrityError: not this one"
    )
