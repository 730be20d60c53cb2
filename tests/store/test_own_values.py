"""trigger_task(prompt=…, metadata=…): what one run has of its own, stored with the run."""

import pytest
from helpers import hourly
from store_kit import every, instant

from scheduler import RunStatus


def test_a_run_has_its_own_prompt_and_metadata(process):
    """The claim has them, in every attempt, the task is as it was, and other runs know nothing of them."""
    process.add(every(60, metadata={"a": 1, "b": 2}, max_attempts=2, retry_delay_seconds=0))
    run_id = process.store.trigger_task("t", instant(1), "Other words.", {"b": 3, "c": None})
    for now in (1, 2):
        [claim] = process.run_pass(now).claims
        assert (claim.run_id, claim.task.prompt) == (run_id, "Other words.")
        assert claim.task.metadata == {"a": 1, "b": 3, "c": None}
        process.complete(now, RunStatus.FAILED, slots=0)
    run = process.store.get_run(run_id)
    assert (run.prompt, run.metadata, run.retry_of) == ("Other words.", {"b": 3, "c": None}, None)
    assert process.store.get_task("t") == every(60, metadata={"a": 1, "b": 2}, max_attempts=2, retry_delay_seconds=0)
    [claim] = process.run_pass(60).claims
    assert (claim.task.prompt, claim.task.metadata) == ("Go on.", {"a": 1, "b": 2})
    scheduled = process.store.get_run(claim.run_id)
    assert (scheduled.prompt, scheduled.metadata) == (None, None)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"prompt": " "}, "Task t: prompt=' '"),
        ({"prompt": 7}, "Task t: prompt=7"),
        ({"metadata": {"a": object()}}, "Task t: metadata="),
        ({"metadata": ["a"]}, "Task t: metadata="),
        ({"metadata": {"a": "x" * 1_000_001}}, "Task t: metadata="),
    ],
)
def test_wrong_values_are_refused(face, arguments, problem):
    """As they are of a task, and nothing is stored."""
    face.add_task(hourly("t"))
    with pytest.raises(ValueError, match=problem):
        face.trigger_task("t", **arguments)
    assert face.list_runs() == []


def test_metadata_must_fit_beside_those_of_the_task(face):
    """Both together are no larger than those of a task may be."""
    face.add_task(hourly("t", metadata={"a": "x" * 600_000}))
    with pytest.raises(ValueError, match="metadata="):
        face.trigger_task("t", metadata={"b": "x" * 600_000})


def test_metadata_that_somebody_damaged_are_left_out(process):
    """The run itself must be able to run."""
    process.add(every(60))
    run_id = process.store.trigger_task("t", instant(1), None, {"a": 1})
    process.sql("UPDATE scheduler_runs SET metadata = '{'")
    [claim] = process.run_pass(1).claims
    assert claim.task.metadata == {}
    assert process.store.get_run(run_id).metadata is None
