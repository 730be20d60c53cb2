"""Long responses: the beginning stands with the run, the whole in a table of its own, as long as the run is kept."""

import pytest
from store_kit import every, instant, once

from scheduler import RunNotFoundError, RunStatus
from scheduler.models import Question

LONG = "Ä" * 2_000 + "the end"


def stored(process):
    return [row[0] for row in process.sql("SELECT run_id FROM scheduler_responses ORDER BY run_id")]


@pytest.mark.parametrize(("response", "is_apart"), [(LONG, True), (LONG[:2_000], False), ("", False), (None, False)])
def test_a_response_is_kept_whole(process, response, is_apart):
    """Of any length; only a long one takes a row of its own."""
    process.add(once(10, "t"))
    [claim] = process.run_pass(10).claims
    process.complete(11, response=response)
    assert process.store.get_response(claim.run_id) == response
    assert process.store.get_run(claim.run_id).response == (None if response is None else response[:2_000])
    assert stored(process) == [claim.run_id] * is_apart


def test_many_at_once(process):
    """Runs that end together, some with long responses."""
    process.add(*(once(10, f"t{number}") for number in range(9)))
    claims = process.run_pass(10).claims
    for number, claim in enumerate(claims):
        process.end(11, response=f"{number}" + LONG * (number % 2), task_id=claim.task.id)
    process.run_pass(12, slots=0)
    for number, claim in enumerate(claims):
        assert process.store.get_response(claim.run_id) == f"{number}" + LONG * (number % 2)


def test_the_last_response_counts(process):
    """What was answered while the run waited for a human is not shown as its result."""
    process.add(once(10, "t"))
    [claim] = process.run_pass(10).claims
    process.complete(11, RunStatus.WAITING, response=LONG, questions=(Question(id="q", value="Sure?"),))
    assert process.store.get_response(claim.run_id) == LONG
    process.store.answer_run(claim.run_id, "yes", instant(12))
    process.run_pass(12)
    process.complete(13, response="Short.")
    assert process.store.get_response(claim.run_id) == "Short."
    assert stored(process) == []


def test_a_response_goes_with_its_run(process):
    """When the history is trimmed, and when the task is purged."""
    process.add(every(10, "t"))
    for now in range(10, 1_000, 10):
        process.run_pass(now)
        process.complete(now + 1, response=LONG)
    kept = sorted(run.id for run in process.runs())
    assert stored(process) == kept
    process.store.remove_task("t", instant(1_000))
    process.run_pass(10**9)
    process.run_pass(10**9 + 1)
    assert stored(process) == []


def test_a_run_that_there_is_not(process):
    """It has no response, either."""
    with pytest.raises(RunNotFoundError):
        process.store.get_response("nobody")


def test_what_came_too_late_leaves_no_response(process):
    """The run belongs to another attempt by now."""
    process.add(once(10, "t", rerun_after_crash=True))
    [claim] = process.run_pass(10).claims
    process.sql("UPDATE scheduler_runs SET attempt = 2 WHERE id = :id", id=claim.run_id)
    process.complete(11, response=LONG)
    assert stored(process) == []
