"""Rows that cannot be used: they stay, they say what is wrong, and the other tasks run."""

import pytest
from store_kit import DAY, every, instant, once

from scheduler import RunStatus
from scheduler.errors import InvalidTaskError

BAD = {
    "bad JSON": '{"id": "t", ',
    "no object": "[1, 2]",
    "empty": "",
    "unknown field": '{"id":"t","name":"T","task_type":"interval","interval_seconds":60,"prompt":"p","colour":"red"}',
    "no schedule": '{"id":"t","name":"T","task_type":"interval","prompt":"p"}',
    "bad value": '{"id":"t","name":"T","task_type":"cron","cron_expression":"* * *","prompt":"p"}',
    "deep": '{"metadata":' + "[" * 5_000,
}


@pytest.fixture(params=BAD.values(), ids=BAD.keys())
def poisoned(process, request):
    """Return a process on a store whose task `t` has a bad row, beside a sound task that is due as well."""
    process.add(every(60), every(60, task_id="sound"))
    process.sql("UPDATE scheduler_tasks SET definition = :text WHERE id = 't'", text=request.param)
    return process


def test_a_bad_row_stops_nobody_else(poisoned):
    """The pass tells of it once, and leaves it alone from then on."""
    result = poisoned.run_pass(60)
    assert [claim.task.id for claim in result.claims] == ["sound"]
    [(task_id, problem)] = result.quarantined
    assert task_id == "t"
    assert "definition" in problem
    poisoned.complete(61)
    assert poisoned.run_pass(120).quarantined == []
    assert poisoned.history("sound")[-1] == ("running", 120, 0)


def test_a_bad_row_stays_listed_with_its_problem(poisoned):
    """Before it has come due and afterwards."""
    assert poisoned.listed().definition is None
    poisoned.run_pass(60)
    assert poisoned.listed().problem
    assert poisoned.sql("SELECT count(*) FROM scheduler_tasks") == [(2,)]


def test_adding_the_task_again_mends_it(poisoned):
    """It keeps its due time, so nothing is lost: what it owes meanwhile is accounted for."""
    poisoned.run_pass(60)
    poisoned.add(every(60), now=200)
    assert poisoned.listed().problem is None
    assert poisoned.started(200) == [("t", 180)]
    assert poisoned.history() == [("running", 180, 2)]


def test_a_bad_row_can_be_removed(poisoned):
    """And paused, and resumed, without harm."""
    poisoned.pause(70)
    poisoned.resume(80)
    poisoned.remove(90)
    assert poisoned.listed() is None
    assert poisoned.started(120) == [("sound", 120)]


def test_a_bad_row_can_be_neither_got_nor_triggered(poisoned):
    """The error says which task and what to do."""
    for call in (lambda: poisoned.store.get_task("t"), lambda: poisoned.trigger(1)):
        with pytest.raises(InvalidTaskError, match=r"Task t: .*add the task again"):
            call()


def test_a_run_that_waits_on_a_bad_row_stops_nobody(process):
    """Nor is it lost: it starts when the task has been fixed."""
    process.add(every(DAY), every(DAY, task_id="sound"))
    process.trigger(1)
    process.trigger(2, "sound")
    process.sql("UPDATE scheduler_tasks SET definition = '{' WHERE id = 't'")
    assert process.started(3) == [("sound", 2)]
    assert process.statuses() == ["pending"]
    process.add(every(DAY), now=4)
    assert process.started(5) == [("t", 1)]


def test_a_run_of_a_bad_row_can_end(process, new_process):
    """Its outcome is written; if its process dies, it is interrupted."""
    process.add(*(every(60, task_id=name, rerun_after_crash=True) for name in "ab"))
    process.run_pass(60)
    process.sql("UPDATE scheduler_tasks SET definition = '{'")
    process.complete(61, task_id="a")
    process.sql("DELETE FROM scheduler_owners")
    new_process(62).run_pass(62)
    assert (process.statuses("a"), process.statuses("b")) == (["succeeded"], ["interrupted"])


def test_a_zone_that_is_not_known_here_stops_nobody(process):
    """A task that was stored where there are newer time zones is quarantined, and says so."""
    zoned = {"task_type": "cron", "interval_seconds": None, "cron_expression": "* * * * *"}
    process.add(every(60).model_copy(update=zoned), every(60, task_id="sound"))
    process.sql("UPDATE scheduler_tasks SET zone = 'Mars/Olympus_Mons' WHERE id = 't'")
    result = process.run_pass(60)
    assert [claim.task.id for claim in result.claims] == ["sound"]
    assert [task_id for task_id, _ in result.quarantined] == ["t"]
    assert "Mars/Olympus_Mons" in process.listed().problem
    process.add(every(60).model_copy(update=zoned), now=70)
    assert process.listed().problem is None
    assert process.started(70) == [("t", 60)]


def test_earlier_attempts_that_cannot_be_read_stop_nobody(process):
    """The run continues without them."""
    process.add(every(600, max_attempts=3, retry_delay_seconds=0), every(600, task_id="other"))
    process.run_pass(600)
    process.complete(601, RunStatus.FAILED, task_id="t")
    process.sql("UPDATE scheduler_runs SET earlier_attempts = '{' WHERE task_id = 't'")
    assert process.runs()[0].attempt == 2
    process.end(602, RunStatus.FAILED, task_id="t")
    process.complete(602, task_id="other")
    assert process.statuses("other") == ["succeeded"]
    assert process.runs()[0].attempt == 3


def test_an_outcome_can_quarantine_its_task(process):
    """Where its graph or callback is gone: no retries, and nothing more comes due until it is added again."""
    process.add(every(60, max_attempts=5))
    process.run_pass(60)
    result = process.complete(61, RunStatus.FAILED, quarantine="graph='gone:graph' cannot be imported")
    assert result.quarantined == [("t", "graph='gone:graph' cannot be imported")]
    assert process.listed().problem == "graph='gone:graph' cannot be imported"
    assert process.started(200) == []
    assert process.statuses() == ["failed"]
    process.add(every(60), now=210)
    assert process.started(210) == [("t", 180)]


def test_a_one_time_task_that_is_quarantined_stays_listed(process):
    """It must not leave the list with its problem unseen."""
    process.add(once(60))
    process.run_pass(60)
    process.complete(61, RunStatus.FAILED, quarantine="its graph is gone")
    assert process.listed().problem == "its graph is gone"


def test_what_the_list_shows_of_a_bad_row(process, tmp_path, monkeypatch):
    """`list_tasks` says `error: …` in `next_run`, and the task's id in place of its name."""
    from scheduler.task_scheduler import _shown

    process.add(every(60))
    process.sql("UPDATE scheduler_tasks SET definition = '{'")
    process.store.run_pass(instant(60), 5, [], [])
    shown = _shown(process.listed())
    assert shown["next_run"].startswith("error: ")
    assert (shown["id"], shown["name"], shown["definition"]) == ("t", "t", None)
