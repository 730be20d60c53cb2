"""check: what is overdue, pending and waiting, and why."""

import json

import pytest
from helpers import hourly, one_time, rows

from scheduler import RunStatus

HOUR = 3_600_000_000


def findings(place, code):
    found = place.json("check", code=code)["checks"]
    return {each["name"]: (each["ok"], each["detail"]) for each in found}


def back(place, table, column, hours):
    """Put instants back, as if so much time had passed."""
    with rows(place.folder / "scheduler.db") as store:
        store.execute(f"UPDATE {table} SET {column} = {column} - ?", [round(hours * HOUR)])


@pytest.fixture
def graph_here(place):
    (place.folder / "graph.py").write_text("from helpers import EchoGraph\ngraph = EchoGraph()\n")


def test_nobody_fires(place):
    """A task is overdue and no scheduler runs: that is a failure, and says what to do."""
    with place.face() as face:
        face.add_task(hourly("report"))
    assert findings(place, 0).get("due times") is None
    back(place, "scheduler_tasks", "next_due", 2)
    is_ok, detail = findings(place, 1)["due times"]
    assert not is_ok
    assert detail.startswith("1 task overdue, report since ")
    assert detail.endswith("no scheduler is running on the store: start one")


def test_a_paused_task_is_not_overdue(place):
    """Nobody wants it to run."""
    with place.face() as face:
        face.add_task(hourly("report"))
        face.pause_task("report")
    back(place, "scheduler_tasks", "next_due", 2)
    assert "due times" not in findings(place, 0)


@pytest.mark.parametrize(("hours", "code"), [(0, 0), (2, 1)])
def test_runs_that_are_pending(place, hours, code):
    """With the reason; after an hour it is a failure."""
    with place.face() as face:
        face.add_task(hourly("report"))
        face.trigger_task("report")
    back(place, "scheduler_runs", "scheduled_at", hours)
    is_ok, detail = findings(place, code)["pending runs"]
    assert is_ok is (hours == 0)
    assert detail.startswith("1 run pending; report, due ")
    assert "waits for its turn" in detail


@pytest.mark.parametrize(("hours", "code"), [(0, 0), (2, 1)])
def test_runs_that_wait_for_an_answer(place, hours, code):
    """After an hour nobody seems to have seen the question."""
    with place.face() as face:
        face.add_task(one_time("report"))
        run_id = face.trigger_task("report")
    with rows(place.folder / "scheduler.db") as store:
        store.execute(
            "UPDATE scheduler_runs SET status = ?, attempt = 1, started_at = scheduled_at, questions = ? WHERE id = ?",
            [RunStatus.WAITING, json.dumps([{"id": "q", "value": "Go on?"}]), run_id],
        )
        store.execute("UPDATE scheduler_tasks SET next_due = NULL")
    back(place, "scheduler_runs", "started_at", hours)
    is_ok, detail = findings(place, code)["questions"]
    assert is_ok is (hours == 0)
    assert detail.startswith("1 run waiting for an answer, report since ")
