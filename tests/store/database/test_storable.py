"""Text that no database takes, and outcomes that this one refuses: the run says so, and the others continue."""

import json

import pytest
from store_kit import every, instant, once

from scheduler import RunNotFoundError, RunStatus, TaskNotFoundError
from scheduler.models import Question, TokenUsage
from scheduler.store import Outcome, history
from scheduler.store.database.storable import storable

ODD = {
    "surrogate": ("caf\udce9.txt", "caf\ufffd.txt"),
    "half an emoji": ("\ud83d and", "\ufffd and"),
    "both halves": ("\ud83d\ude00", "\N{GRINNING FACE}"),
    "NUL": ("a\0b", "a\ufffdb"),
    "both": ("\udcff\0 é", "\ufffd\ufffd é"),
}


@pytest.fixture(params=ODD.values(), ids=ODD.keys())
def odd(request):
    """Return a text that no database takes, and what is stored in its place."""
    return request.param


def others_go_on(process, now):
    """Assert that the task `sound` starts, and that its outcome is written."""
    assert ("sound", now) in process.started(now)
    process.complete(now + 1, task_id="sound")
    assert process.history("sound")[-1] == ("succeeded", now, 0)


@pytest.mark.parametrize("value", ["", "plain", "é \N{GRINNING FACE} \ufffd \ufeff", "\ufeffx", None, 7])
def test_what_can_be_stored_is_stored_as_it_is(value):
    """Nothing else is touched."""
    assert storable(value) == value


def test_errors_responses_and_steps(process, odd):
    """What a graph says, and what it raises."""
    text, stored = odd
    process.add(every(60), every(60, "sound"))
    [claim, _] = sorted(process.run_pass(60).claims, key=lambda each: each.task.id != "t")
    process.session.run_pass(instant(61), 0, [], list(process.running), steps=[(claim, text)])
    assert [run.current_step for run in process.runs()] == [stored]
    process.complete(62, RunStatus.FAILED, response=text, error=text)
    [run] = process.runs()
    assert (run.status, run.response, run.error) == ("failed", stored, stored)
    others_go_on(process, 120)


def test_the_reason_of_a_pause(process, odd):
    """It quotes the last error."""
    text, stored = odd
    process.add(every(60, pause_after_failures=1), every(60, "sound"))
    process.run_pass(60)
    process.complete(61, RunStatus.FAILED, error=text)
    assert process.listed().paused
    assert process.listed().pause_reason.endswith(stored)
    others_go_on(process, 120)


def test_why_a_task_cannot_be_loaded(new_process, odd):
    """It quotes the error of an import; the same error at a later try is not a new one."""
    text, stored = odd
    process = new_process(missing={"gone:graph": text})
    process.add(every(60, graph="gone:graph"), every(60, "sound"))
    process.run_pass(60)
    assert process.run_pass(61).unloadable.problems == [("t", stored)]
    assert process.listed(now=61).trouble == f"cannot be loaded here: {stored}"
    process.complete(70)
    assert process.run_pass(71).unloadable.problems == []
    others_go_on(process, 120)


def test_the_errors_of_earlier_attempts(process, odd):
    """They stand in JSON."""
    text, stored = odd
    process.add(every(1000, max_attempts=3, retry_delay_seconds=1), every(1000, "sound"))
    process.run_pass(1000)
    process.complete(1001, RunStatus.FAILED, error=text)
    process.run_pass(1010)
    process.complete(1011, RunStatus.TIMED_OUT, error=text)
    [run] = process.runs()
    assert run.status == "pending"
    assert [attempt.error.replace("\0", "\ufffd") for attempt in run.earlier_attempts] == [stored, stored]
    others_go_on(process, 2000)


def test_questions(process, odd):
    """They stand in JSON, too; a question is stored with its keys."""
    text, stored = odd
    process.add(every(60), every(60, "sound"))
    process.run_pass(60)
    question = Question(id="q", value={text: [text]})
    process.end(61, RunStatus.WAITING, task_id="t", questions=(question,), response=text)
    process.run_pass(61)
    [run] = process.runs()
    shown = json.loads(json.dumps(run.questions[0].value).replace("\\u0000", "\\ufffd"))
    assert (run.status, run.response, shown) == ("waiting", stored, {stored: [stored]})
    process.complete(62)
    process.store.answer_run(run.id, "yes", instant(63))
    [claim] = process.run_pass(64).claims
    assert claim.answers == {"q": "yes"}
    others_go_on(process, 120)


def test_what_brings_tasks(process, odd):
    """A tasks file may lie in a folder whose name is not UTF-8; its tasks are found again."""
    text, _ = odd
    for _ in range(2):
        changes = process.store.apply_tasks([every(60)], text, instant(0), prune=True, dry_run=False)
    assert changes.kept == ("t",)
    changes = process.store.apply_tasks([], text, instant(0), prune=True, dry_run=False)
    assert changes.removed == ("t",)


def test_ids_that_nothing_can_have(process, odd):
    """They are not found."""
    text, _ = odd
    process.add(every(60))
    for call in (
        process.store.get_task,
        lambda given: process.remove(1, given),
        lambda given: process.trigger(1, given),
    ):
        with pytest.raises(TaskNotFoundError):
            call(text)
    with pytest.raises(RunNotFoundError):
        process.store.get_run(text)
    with pytest.raises(RunNotFoundError):
        process.store.answer_run(text, 1, instant(1))
    assert process.store.find_task(text) is None
    assert process.runs(text) == []


@pytest.mark.parametrize("number", [1, 4, 5, 40])
def test_many_at_once(process, odd, number):
    """One by one and together: each form of a statement makes its texts storable."""
    text, stored = odd
    process.add(*(every(60, f"t{each}", pause_after_failures=1) for each in range(number)))
    process.run_pass(60, slots=number)
    process.complete(61, RunStatus.FAILED, response=text, error=text)
    for each in range(number):
        [run] = process.runs(f"t{each}")
        assert (run.response, run.error) == (stored, stored)
        assert process.listed(f"t{each}").paused


# --- Refused for another reason ---


def refuse(process, condition):
    """Let the database refuse rows of runs for which a condition holds, as a trigger of its administrator may."""
    if process.database.name.startswith("postgresql"):
        process.sql(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this one'; END $$"
        )
        process.sql(
            f"CREATE TRIGGER refuse BEFORE UPDATE ON scheduler_runs FOR EACH ROW WHEN ({condition})"
            " EXECUTE FUNCTION refuse()"
        )
    else:
        process.sql(
            f"CREATE TRIGGER refuse BEFORE UPDATE ON scheduler_runs WHEN {condition}"
            " BEGIN SELECT RAISE(ABORT, 'not this one'); END"
        )


@pytest.mark.parametrize("number", [2, 40])
def test_a_refused_outcome_is_a_failure_and_holds_up_nobody(process, number):
    """Whatever the reason; it says which, and what the outcome was."""
    process.add(*(every(60, f"t{each}") for each in range(number)))
    process.run_pass(60, slots=number)
    refuse(process, "NEW.response = 'odd'")
    process.end(61, task_id="t1", response="odd", usage=TokenUsage(input_tokens=1, output_tokens=1, total_tokens=2))
    result = process.complete(61, response="fine")
    [(outcome, reason)] = result.replaced
    assert (outcome.claim.task.id, outcome.status, outcome.response) == ("t1", "succeeded", "odd")
    assert "not this one" in reason
    assert (result.lost, result.unwritten) == ([], [])
    [run] = process.runs("t1")
    assert (run.status, run.response) == ("failed", None)
    assert run.error == f"the run ended as succeeded, which could not be stored: {reason}"
    assert [process.statuses(f"t{each}") for each in range(number) if each != 1] == [["succeeded"]] * (number - 1)
    assert len(process.started(120, slots=number)) == number


@pytest.mark.parametrize(
    ("status", "more"),
    [
        (RunStatus.SUCCEEDED, {"response": object()}),
        (RunStatus.WAITING, {"questions": (Question(id="q", value=10**5000),)}),
        (RunStatus.WAITING, {"questions": (Question(id="q", value=object()),)}),
        (RunStatus.INTERRUPTED, {"error": object()}),
    ],
)
def test_values_that_the_driver_refuses(process, status, more):
    """Nothing of them reaches the database; the reason is in plain letters."""
    process.add(every(60, max_attempts=3), every(60, "sound"))
    process.run_pass(60)
    process.end(61, status, task_id="t", **more)
    result = process.complete(61)
    assert [(outcome.claim.task.id, outcome.status) for outcome, _ in result.replaced] == [("t", status)]
    [run] = process.runs()
    assert run.status == "failed"
    assert run.error.startswith(f"the run ended as {status}, which could not be stored: ")
    assert run.error.isascii()
    assert len(run.error) < 500
    assert process.listed().problem is None
    others_go_on(process, 120)


class OddError(str):
    """A text that cannot be turned into what is stored, and whose error cannot be shown either."""

    __slots__ = ()

    def isascii(self):
        raise UnshowableError

    def encode(self, *_):
        raise UnshowableError


class UnshowableError(Exception):
    def __str__(self):
        raise ValueError


def test_an_error_that_cannot_be_shown(process):
    """Then its type is the reason."""
    process.add(every(60), every(60, "sound"))
    process.run_pass(60)
    process.end(61, RunStatus.FAILED, task_id="t", error=OddError("odd"))
    process.complete(61)
    assert process.runs()[0].error.endswith(": UnshowableError")
    others_go_on(process, 120)


def test_what_is_refused_even_as_a_failure_holds_up_nobody(process, new_process, dead_pid):
    """It is logged once; its run stays as it is, and the next start finds it."""
    process.add(every(60), every(60, "sound"))
    process.run_pass(60)
    refuse(process, "NEW.task_id = 't' AND NEW.status IN ('failed', 'succeeded')")
    result = process.complete(61, response="odd")
    assert [(outcome.claim.task.id, "not this one" in reason) for outcome, reason in result.unwritten] == [("t", True)]
    assert process.statuses() == ["running"]
    others_go_on(process, 120)
    process.die(dead_pid)
    new_process(130).run_pass(130)
    assert process.statuses()[0] == "interrupted"


def test_a_run_that_was_not_launched_does_not_become_a_failure(process):
    """It has not failed."""
    process.add(once(60), every(60, "sound"))
    process.run_pass(60)
    refuse(process, "NEW.task_id = 't'")
    process.end(61, RunStatus.PENDING, task_id="t")
    result = process.complete(61)
    assert [outcome.claim.task.id for outcome, _ in result.unwritten] == ["t"]
    assert process.statuses() == ["running"]
    others_go_on(process, 120)


def test_a_refused_step_is_left_out(process):
    """It is news, not history: the others, and the outcome of its own run, are written."""
    process.add(*(every(60, name) for name in ("t", "sound", "third")))
    process.run_pass(60)
    claims = {claim.task.id: claim for claim in process.running.values()}
    steps = [(claims["t"], object()), (claims["sound"], "one"), (claims["third"], "two")]
    ended = [Outcome(claims["t"], RunStatus.SUCCEEDED, instant(61))]
    result = process.session.run_pass(instant(61), 0, ended, list(process.running), steps=steps)
    assert (result.replaced, result.unwritten) == ([], [])
    assert [process.runs(name)[0].current_step for name in ("t", "sound", "third")] == [None, "one", "two"]
    assert process.statuses() == ["succeeded"]


def test_the_last_outcomes(process):
    """Those that are written at the stop."""
    process.add(every(60), every(60, "sound"))
    process.run_pass(60)
    process.end(61, task_id="t", response=object())
    process.end(61, task_id="sound")
    result = process.session.end(process._ended, instant(61))
    assert [outcome.claim.task.id for outcome, _ in result.replaced] == ["t"]
    assert (process.statuses("t"), process.statuses("sound")) == (["failed"], ["succeeded"])


def test_listeners_are_told_of_what_was_stored(process):
    """Not of what was refused."""
    process.is_observed = lambda: True
    process.add(every(60), every(60, "sound"))
    process.run_pass(60)
    process.end(61, task_id="t", response=object())
    result = process.complete(61)
    changed = {run.task_id: str(run.status) for run in result.committed.changed}
    assert changed == {"t": "failed", "sound": "succeeded"}


def test_a_run_that_cannot_be_read_back_holds_up_nobody(process, caplog, monkeypatch):
    """What was done to it is committed, and a log line says why no event is sent."""
    read = history.to_run

    def read_but_one(row):
        if row.task_id == "t":
            raise ValueError("its row was changed by hand")
        return read(row)

    monkeypatch.setattr(history, "to_run", read_but_one)
    process.is_observed = lambda: True
    process.add(every(60), every(60, "sound"))
    process.run_pass(60)
    result = process.complete(61)
    assert [run.task_id for run in result.committed.changed] == ["sound"]
    assert process.statuses("sound") == ["succeeded"]
    assert process.sql("SELECT status FROM scheduler_runs WHERE task_id = 't'") == [("succeeded",)]
    assert "cannot be read from the store" in caplog.text
    others_go_on(process, 120)
