"""A run by what a person types."""

import pytest
from store_kit import MINUTE, every, instant

from scheduler import RunNotFoundError, TaskNotFoundError
from scheduler.errors import AmbiguousRunError


@pytest.fixture
def runs(process):
    """Three runs of a task, oldest first."""
    process.add(every(MINUTE, "t#1"), every(1_000_000, "quiet"))
    for number in (1, 2, 3):
        process.run_pass(number * MINUTE)
        process.complete(number * MINUTE + 1)
    return process.runs("t#1")


def find(process, reference):
    return process.store.find_run(reference, instant(10 * MINUTE)).id


def test_a_run_by_its_number(process, runs):
    """The task's id may have the mark itself."""
    assert [run.number for run in runs] == [1, 2, 3]
    assert [find(process, f"t#1#{number}") for number in (1, 2, 3, "last")] == [run.id for run in [*runs, runs[-1]]]


def test_a_run_by_its_id_or_the_beginning_of_it(process, runs):
    for run in runs:
        assert find(process, run.id) == run.id
        shortest = next(
            length for length in range(6, 37) if sum(other.id.startswith(run.id[:length]) for other in runs) == 1
        )
        for length in range(shortest, 37):
            assert find(process, run.id[:length]) == run.id
            assert find(process, run.id[:length].upper()) == run.id


def test_the_beginning_of_several_ids(process, runs):
    with pytest.raises(AmbiguousRunError, match="is the beginning of several runs") as refused:
        find(process, runs[0].id[:6])
    assert refused.value.run_ids == [run.id for run in reversed(runs)]


@pytest.mark.parametrize(
    "reference", ["t#1#4", "t#1#0", "t#1#-1", "01", "zzzzzz", "quiet#last", "quiet#1", "000000", "%"]
)
def test_a_run_that_there_is_not(process, runs, reference):
    with pytest.raises(RunNotFoundError):
        find(process, reference)


def test_a_task_that_there_is_not(process, runs):
    with pytest.raises(TaskNotFoundError) as refused:
        find(process, "other#last")
    assert refused.value.task_id == "other"


def test_runs_of_a_task_that_was_removed(process, runs):
    process.remove(5 * MINUTE, "t#1")
    assert find(process, "t#1#3") == runs[-1].id


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("t#1#9", "Run 't#1#9' does not exist; list_runs() shows those that there are"),
        ("nobody", "Run 'nobody' does not exist; list_runs()"),
        ("t#1#1", "Run 't#1#1' is too old to be kept; list_runs()"),
        ("0199c0de-0000-7000-8000-000000000000", "does not exist, or is too old to be kept; list_runs()"),
    ],
)
def test_whether_there_was_such_a_run(process, runs, reference, said):
    """Numbers tell it, and what cannot be an id; of an id nobody knows any more."""
    process.sql("DELETE FROM scheduler_runs WHERE task_id = 't#1' AND seq = 1")
    with pytest.raises(RunNotFoundError) as refused:
        find(process, reference)
    assert said in str(refused.value)
