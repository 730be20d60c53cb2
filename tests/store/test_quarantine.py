"""Damaged rows, which no process can use: they stay, they say what is wrong, and the other tasks run."""

import pytest
from store_kit import DAY, every, instant, moment, once, seconds_of

from scheduler import RunStatus, TaskNotFoundError
from scheduler.errors import InvalidTaskError
from scheduler.models import Question
from scheduler.views import view_of

DAMAGED = {
    "bad JSON": '{"id": "t", ',
    "no object": "[1, 2]",
    "empty": "",
    "null": "null",
    "no fields": "{}",
    "no name": '{"id":"t","task_type":"interval","interval_seconds":60,"prompt":"p"}',
    "no schedule": '{"id":"t","name":"T","task_type":"interval","prompt":"p"}',
    "less than nothing": '{"id":"t","name":"T","task_type":"interval","interval_seconds":-60,"prompt":"p"}',
    "deep": '{"metadata":' + "[" * 5_000,
}


@pytest.fixture(params=DAMAGED.values(), ids=DAMAGED.keys())
def damaged(process, request):
    """Return a process on a store whose task `t` has a damaged row, beside a sound task that is due as well."""
    process.add(every(60), every(60, task_id="sound"))
    process.sql("UPDATE scheduler_tasks SET definition = :text WHERE id = 't'", text=request.param)
    return process


def test_a_damaged_row_stops_nobody_else(damaged):
    """The pass tells of it once, and leaves it alone from then on."""
    result = damaged.run_pass(60)
    assert [claim.task.id for claim in result.claims] == ["sound"]
    [(task_id, problem)] = result.quarantined
    assert task_id == "t"
    assert "definition" in problem
    damaged.complete(61)
    assert damaged.run_pass(120).quarantined == []
    assert damaged.history("sound")[-1] == ("running", 120, 0)


def test_a_damaged_row_stays_listed_with_its_problem(damaged):
    """Before it has come due and afterwards."""
    assert damaged.listed().definition is None
    assert damaged.listed().is_unusable
    assert damaged.listed().trouble.startswith("the stored definition cannot be used: ")
    damaged.run_pass(60)
    assert damaged.listed().problem
    assert damaged.sql("SELECT count(*) FROM scheduler_tasks") == [(2,)]


def test_adding_the_task_again_repairs_it(damaged):
    """It keeps its due time, so nothing is lost: what it owes meanwhile is accounted for."""
    damaged.run_pass(60)
    damaged.add(every(60), now=200)
    assert damaged.listed().problem is None
    assert damaged.started(200) == [("t", 180)]
    assert damaged.history() == [("running", 180, 2)]


def test_a_damaged_row_can_be_removed(damaged):
    """And paused. Its due time is in the history, since more cannot be known."""
    damaged.run_pass(60)
    damaged.pause(70)
    damaged.remove(90)
    assert damaged.listed() is None
    assert damaged.history() == [("skipped", 60, 0)]
    assert "paused before it could start; later due times are not counted" in damaged.runs()[0].error
    damaged.complete(100)
    assert damaged.started(120) == [("sound", 120)]


def test_a_damaged_row_that_is_due_can_be_removed(damaged):
    """Its due time is in the history."""
    damaged.remove(90)
    assert damaged.history() == [("skipped", 60, 0)]
    assert "removed before it could start; later due times are not counted" in damaged.runs()[0].error


def test_a_damaged_one_time_task_stays_due_when_it_is_paused(process):
    """As one does that can be read."""
    process.add(once(60))
    process.sql("UPDATE scheduler_tasks SET definition = '{' WHERE id = 't'")
    process.pause(70)
    assert process.history() == []
    process.add(once(60), now=80)
    process.resume(90)
    assert process.started(90) == [("t", 60)]


@pytest.mark.parametrize("is_quarantined", [True, False])
def test_a_damaged_row_says_why_not(damaged, is_quarantined):
    """`get_task`, `trigger_task` and `resume_task` name the task, the reason, and what to do."""
    if is_quarantined:
        damaged.run_pass(60)
    else:
        damaged.pause(30)
    for call in (lambda: damaged.store.get_task("t"), lambda: damaged.trigger(61), lambda: damaged.resume(61)):
        with pytest.raises(
            InvalidTaskError, match=r"Task t: its stored definition cannot be used \(.*add the task again"
        ):
            call()
    assert damaged.listed().is_unusable


@pytest.mark.parametrize("look", ["begin", "look_again", "resume", "trigger"])
def test_a_row_that_was_repaired_is_looked_at_again(process, look):
    """By a start, by `check`, by `resume_task` and by `trigger_task`; what it owes is a backlog, as after downtime."""
    process.add(every(60))
    definition = process.sql("SELECT definition FROM scheduler_tasks")[0][0]
    process.sql("UPDATE scheduler_tasks SET definition = '{'")
    assert process.run_pass(60).quarantined
    process.sql("UPDATE scheduler_tasks SET definition = :text", text=definition)
    assert process.started(120) == []
    if look == "begin":
        process.begin(190)
    elif look == "look_again":
        process.store.look_again()
    elif look == "resume":
        process.resume(190)
    else:
        process.trigger(190)
    assert process.listed().problem is None
    process.run_pass(190)
    assert ("t", 180) in [(run.task_id, seconds_of(run.scheduled_at)) for run in process.runs()]


def test_a_row_that_is_still_damaged_is_quarantined_again(process):
    """A start looks at it once more, and says so once more."""
    process.add(every(60))
    process.sql("UPDATE scheduler_tasks SET definition = '{'")
    for now in (60, 120):
        process.begin(now)
        assert [task_id for task_id, _ in process.run_pass(now).quarantined] == ["t"]
        assert process.run_pass(now + 1).quarantined == []


def test_what_an_earlier_release_quarantined_runs_again(process):
    """It did so also for what one process could not import; a start releases it, and its backlog is one run."""
    process.add(every(60))
    process.sql("UPDATE scheduler_tasks SET problem = 'graph=''gone:graph'': there is no module gone'")
    assert process.started(200) == []
    assert process.listed().trouble == "graph='gone:graph': there is no module gone"
    process.begin(210)
    assert process.started(210) == [("t", 180)]
    assert process.history() == [("running", 180, 2)]


def test_a_run_that_waits_on_a_damaged_row_stops_nobody(process):
    """Nor is it lost: it starts when the task has been repaired. It keeps no pass busy meanwhile."""
    process.add(every(DAY), every(DAY, task_id="sound"))
    process.trigger(1)
    process.trigger(2, "sound")
    process.sql("UPDATE scheduler_tasks SET definition = '{' WHERE id = 't'")
    assert process.started(3) == [("sound", 2)]
    assert process.statuses() == ["pending"]
    assert not process.run_pass(4).has_more
    process.add(every(DAY), now=4)
    assert process.started(5) == [("t", 1)]


def test_a_run_of_a_damaged_row_can_end(process, new_process):
    """Its outcome is written; if its process dies, it is interrupted."""
    process.add(*(every(60, task_id=name, rerun_after_crash=True) for name in "ab"))
    process.run_pass(60)
    process.sql("UPDATE scheduler_tasks SET definition = '{'")
    process.complete(61, task_id="a")
    process.sql("DELETE FROM scheduler_owners")
    new_process(62).run_pass(62)
    assert (process.statuses("a"), process.statuses("b")) == (["succeeded"], ["interrupted"])


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


def test_what_the_list_shows_of_a_damaged_row(process):
    """`list_tasks` says `error: …` in `next_run`, and the task's id in place of its name."""
    process.add(every(60))
    process.sql("UPDATE scheduler_tasks SET definition = '{'")
    process.session.run_pass(instant(60), 5, [], [])
    shown = view_of(process.listed()).as_dict()
    assert shown["next_run"].startswith("error: the stored definition cannot be used: ")
    assert shown["problem"] == shown["next_run"].removeprefix("error: ")
    assert (shown["id"], shown["name"], shown["definition"]) == ("t", "t", None)


def test_a_quarantined_task_that_is_removed_is_gone(process):
    """Nothing of it comes due again at the next start."""
    process.add(every(60, end_at=moment(DAY)))
    process.sql("UPDATE scheduler_tasks SET definition = '{'")
    process.run_pass(60)
    process.remove(61)
    process.begin(70)
    assert process.run_pass(70).quarantined == []
    with pytest.raises(TaskNotFoundError):
        process.resume(71)


@pytest.mark.parametrize(("column", "value"), [("anchor", "x"), ("started_runs", "x"), ("last_seq", "x")])
def test_a_row_with_a_value_of_another_kind_stops_nobody_else(request, process, column, value):
    """SQLite keeps a text in a column of numbers; the task is quarantined, and the others run."""
    if "postgresql" in request.node.callspec.id:
        pytest.skip("PostgreSQL refuses it")
    process.add(every(60), every(60, task_id="sound"))
    process.sql(f"UPDATE scheduler_tasks SET {column} = :value WHERE id = 't'", value=value)
    result = process.run_pass(60)
    assert [claim.task.id for claim in result.claims] == ["sound"]
    [(task_id, problem)] = result.quarantined
    assert task_id == "t"
    assert problem.startswith("its due times cannot be computed: ")
    process.complete(61)
    assert process.started(120) == [("sound", 120)]


@pytest.mark.parametrize("answer", ["{", "", "[1]", "[" * 100_000, '"\\ud800'])
def test_a_stored_answer_that_cannot_be_read_stops_nobody_else(process, answer):
    """Its run starts without it, so that the graph asks again."""
    process.add(every(60), every(60, task_id="sound"))
    process.run_pass(60)
    process.end(61, RunStatus.WAITING, task_id="t", questions=(Question(id="q", value="Go?"),))
    process.complete(61)
    process.store.answer_run(process.runs()[0].id, "yes", instant(62))
    process.sql("UPDATE scheduler_runs SET answer = :answer WHERE task_id = 't'", answer=answer)
    claims = {claim.task.id: claim for claim in process.run_pass(120).claims}
    assert claims.keys() == {"t", "sound"}
    assert claims["t"].answers is None
