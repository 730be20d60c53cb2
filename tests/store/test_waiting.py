"""Runs that wait: what they ask is read whatever is stored, and answers are stored only if they can be read again."""

import json

import pytest
from store_kit import every

from scheduler import RunStatus
from scheduler.models import Question


@pytest.fixture
def waiting(process):
    """Return a process, and the id of its run that waits."""
    process.add(every(60))
    process.run_pass(60)
    process.complete(61, RunStatus.WAITING, questions=(Question(id="q", value="May I?"),))
    (run,) = process.runs()
    return process, run.id


def store_questions(process, text):
    process.sql("UPDATE scheduler_runs SET questions = :text", text=text)


def test_a_question_that_an_earlier_release_stored(waiting):
    """An integer of 5,000 digits, which no JSON reader takes, is shown as text; the run can be listed and answered."""
    process, run_id = waiting
    digits = "1" + "0" * 4_999
    store_questions(process, f'[{{"id": "q", "value": {{"amount": {digits}, "n": 7}}}}]')
    (run,) = process.runs(statuses=(RunStatus.WAITING,))
    assert run.questions[0].value == {"amount": digits, "n": 7}
    assert process.store.get_run(run_id) == run
    process.store.answer_run(run_id, "yes", 0)
    assert process.statuses() == ["pending"]


@pytest.mark.parametrize("text", ["no JSON", "[]", '{"id": "q"}', '[{"value": 1}]', "[" * 5_000, "7"])
def test_questions_that_cannot_be_read(waiting, text):
    """Changed by hand: the run is listed without questions, and an answer is refused with what to do."""
    process, run_id = waiting
    store_questions(process, text)
    (run,) = process.runs()
    assert (run.status, run.questions) == (RunStatus.WAITING, ())
    with pytest.raises(ValueError, match="its stored questions cannot be read; remove the task"):
        process.store.answer_run(run_id, "yes", 0)


def nested(depth):
    value = "core"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (nested(200), "nested more than 100 levels"),
        (nested(5_000), "the answer is no JSON"),
        ("half \ud800", "surrogates not allowed"),
        ({"\udfff": 1}, "surrogates not allowed"),
        ([10**5_000], "the answer is no JSON"),
        (float("nan"), "the answer is no JSON"),
    ],
)
def test_an_answer_that_could_not_be_read_again(waiting, answer, problem):
    """It is refused; the run still waits. A claim that failed to read it would hold up every task."""
    process, run_id = waiting
    with pytest.raises(ValueError, match=problem):
        process.store.answer_run(run_id, answer, 0)
    assert process.statuses() == ["waiting"]


@pytest.mark.parametrize("answer", [nested(90), "grün \0", {"a": [None, True, 1.5, 10**1_000]}])
def test_an_answer_of_json_reaches_the_claim(waiting, answer):
    """As it was given."""
    process, run_id = waiting
    process.store.answer_run(run_id, answer, 0)
    (claim,) = process.run_pass(62).claims
    assert claim.answers == {"q": answer}


def test_usage_that_cannot_be_read(process):
    """A run whose stored usage was changed by hand, or has numbers that no reader takes, is listed without it."""
    process.add(every(60))
    process.run_pass(60)
    process.complete(61)
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    process.sql("UPDATE scheduler_runs SET usage = :text", text=json.dumps(usage).replace("2", "9" * 5_000))
    assert [run.usage for run in process.runs()] == [None]


@pytest.mark.parametrize("answer", ["perhaps", "", None, 1, ["yes"], {"approved": True}, "yes, but less"])
def test_an_answer_to_a_breakpoint_that_is_not_clear(process, answer):
    """It is refused: a graph must not continue because somebody meant something else."""
    run_id = stop_at_breakpoint(process)
    with pytest.raises(ValueError, match="it waits at a breakpoint; give True"):
        process.store.answer_run(run_id, answer, 0)
    assert process.statuses() == ["waiting"]


@pytest.mark.parametrize(
    ("answer", "may_continue"),
    [(True, True), ("Yes!", True), (" approve ", True), ({"breakpoint:1": "ok"}, True), (False, False), ("NO", False)],
)
def test_an_answer_to_a_breakpoint(process, answer, may_continue):
    """The claim says whether the graph may continue, in one way."""
    run_id = stop_at_breakpoint(process)
    process.store.answer_run(run_id, answer, 0)
    (claim,) = process.run_pass(62).claims
    assert claim.answers == {"breakpoint:1": may_continue}


def stop_at_breakpoint(process):
    process.add(every(60))
    process.run_pass(60)
    process.complete(61, RunStatus.WAITING, questions=(Question(id="breakpoint:1", value={"next": ["pay"]}),))
    (run,) = process.runs()
    return run.id
