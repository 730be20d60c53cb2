"""The time-out of tasks that set none."""

from datetime import UTC, datetime, timedelta

import pytest

from scheduler import RunStatus, TaskDefinition, TaskScheduler
from scheduler.testing import FakeGraph, SimulatedScheduler

START = datetime(2026, 3, 27, tzinfo=UTC)


def once(task_id, **fields):
    run_at = START + timedelta(seconds=1)
    return TaskDefinition(id=task_id, name=task_id, prompt="Go.", task_type="one_time", run_at=run_at, **fields)


def test_a_task_that_sets_no_time_out_has_the_schedulers():
    """One that sets a longer time has it; and a retry is measured by it as well."""
    graph = FakeGraph(takes=timedelta(seconds=90))
    with SimulatedScheduler(start=START, graph=graph, default_timeout_seconds=60) as scheduler:
        scheduler.add_task(once("default", max_attempts=2, retry_delay_seconds=5))
        scheduler.add_task(once("longer", timeout_seconds=120))
        scheduler.advance(minutes=5)
        [default], [longer] = scheduler.runs("default"), scheduler.runs("longer")
        assert (default.status, default.attempt) == (RunStatus.TIMED_OUT, 2)
        assert "timeout_seconds=60" in default.error
        assert longer.status is RunStatus.SUCCEEDED
        assert scheduler.get_task("default").timeout_seconds is None


def test_without_one_a_run_may_take_any_time():
    with SimulatedScheduler(start=START, graph=FakeGraph(takes="3h")) as scheduler:
        scheduler.add_task(once("t"))
        scheduler.advance(hours=4)
        assert scheduler.runs()[0].status is RunStatus.SUCCEEDED


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), "60"])
def test_what_is_no_time_is_refused(seconds):
    with pytest.raises(ValueError, match="default_timeout_seconds"):
        TaskScheduler(persistent=False, graph=FakeGraph(), default_timeout_seconds=seconds)
