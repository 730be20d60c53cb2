"""What a pass says of tasks: those that were paused by their failures, that are over, and that will be soon."""

import pytest
from store_kit import DAY, HOUR, every, instant, moment, once, seconds_of

from scheduler import RunStatus
from scheduler.models import Question

FAILED = RunStatus.FAILED


@pytest.fixture
def process(new_process):
    process = new_process()
    process.is_observed = lambda: True
    return process


def run_until(process, end, *, step=10, start=10):
    """Make passes up to an instant, each of which ends what the one before has started; return what they say."""
    said = []
    for now in range(start, end + 1, step):
        process.end(now)
        result = process.run_pass(now)
        said += [(now, "expiring", *each) for each in result.expiring.tasks]
        said += [(now, "finished", *each) for each in finished(result)]
    return said


def finished(result):
    """Return the tasks that a pass has finished; one that has nothing to write says nothing."""
    return [] if result.committed is None else result.committed.finished


# --- Paused by failures ---


def test_a_task_that_its_failures_pause(process):
    """It is named once, by the pass that writes the last failure, with the run that failed."""
    process.add(every(60, pause_after_failures=2))
    process.run_pass(60)
    assert process.complete(61, FAILED).paused == []
    process.run_pass(120)
    result = process.complete(121, FAILED, error="ValueError: no")
    assert result.paused == [("t", "2 runs in a row failed, the last with ValueError: no")]
    assert result.committed.newest["t"].status is FAILED
    assert process.listed().pause_reason == result.paused[0][1]


def test_a_task_that_is_paused_already(process):
    """A triggered run that fails meanwhile pauses it no second time, and does not change the reason."""
    process.add(every(60, pause_after_failures=1))
    process.run_pass(60)
    process.complete(61, FAILED, error="first")
    process.trigger(70)
    process.run_pass(70)
    assert process.complete(71, FAILED, error="second").paused == []
    assert process.listed().pause_reason.endswith("first")


# --- Finished ---


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        (once(60), "its instant is over"),
        (every(60, max_runs=1), "max_runs=1 is reached"),
        (every(60, end_at=moment(90)), f"end_at={moment(90).isoformat()} is reached"),
    ],
    ids=["one-time", "max_runs", "end_at"],
)
@pytest.mark.parametrize("status", [RunStatus.SUCCEEDED, FAILED])
def test_a_task_that_is_finished(process, task, reason, status):
    """By the pass that writes the end of its last run; its newest run is that one."""
    process.add(task)
    assert finished(process.run_pass(60)) == []
    result = process.complete(61, status)
    assert result.committed.finished == [("t", reason)]
    assert result.committed.newest["t"] == result.committed.changed[0]
    assert finished(process.run_pass(62)) == []


def test_a_task_that_is_finished_without_a_run(process):
    """Its only due time was missed."""
    process.add(once(60, misfire_grace_seconds=1))
    assert process.run_pass(100).committed.finished == [("t", "its instant is over")]


def test_a_task_whose_run_was_lost_is_finished(process, new_process, dead_pid):
    """By the process that finds it."""
    process.add(once(60))
    process.run_pass(60)
    process.die(dead_pid)
    other = new_process(61)
    other.is_observed = lambda: True
    assert other.run_pass(61).committed.finished == [("t", "its instant is over")]


def test_a_task_whose_last_run_nobody_answers_is_finished(process):
    """When that run is cancelled."""
    process.add(once(60, expire_waiting_after_seconds=100))
    process.run_pass(60)
    process.complete(61, RunStatus.WAITING, questions=(Question(id="q", value="Go on?"),))
    assert process.run_pass(170).committed.finished == [("t", "its instant is over")]


def test_a_task_that_the_stop_finishes(process):
    """The last writes say so, too."""
    process.add(once(60))
    process.run_pass(60)
    process.end(61)
    assert process.session.end(process._ended, instant(61)).committed.finished == [("t", "its instant is over")]


def test_a_task_that_is_removed_is_not_finished(process):
    """Its last run ends after that."""
    process.add(once(60))
    process.run_pass(60)
    process.remove(61)
    assert finished(process.complete(61)) == []


def test_a_recurring_task_is_not_finished(process):
    """It has further due times."""
    process.add(every(60))
    assert run_until(process, 300) == []


# --- Expiring ---


def test_a_task_whose_end_is_near(process):
    """When nine tenths of its time have passed, once, by the next pass; and before it is finished."""
    process.add(every(60, end_at=moment(1000)))
    said = run_until(process, 1200)
    end = moment(1000).isoformat()
    assert said == [
        (910, "expiring", "t", f"no due time comes after end_at={end}"),
        (970, "finished", "t", f"end_at={end} is reached"),
    ]


def test_a_task_that_lasts_long(process):
    """A day before its end at most."""
    process.add(every(HOUR, end_at=moment(100 * DAY)))
    said = [process.complete(99 * DAY + seconds).expiring.tasks for seconds in range(-3, 5)]
    assert [len(tasks) for tasks in said] == [0, 0, 0, 1, 0, 0, 0, 0]


def test_a_task_that_begins_later(process):
    """Its time begins with `start_at`."""
    process.add(every(60, start_at=moment(1000), end_at=moment(2000)))
    assert [now for now, kind, *_ in run_until(process, 2000) if kind == "expiring"] == [1910]


def test_an_idle_pass_notices_what_expires(process):
    """Also where nothing is due: a paused task expires as well."""
    process.add(every(60, end_at=moment(1000)))
    process.pause(1)
    assert [(now, kind) for now, kind, *_ in run_until(process, 1200)] == [(910, "expiring")]


def test_an_end_that_has_passed_is_not_near(process):
    """The program was down: the task is finished, and was not expiring."""
    process.add(every(60, end_at=moment(1000)))
    process.begin(5000)
    said = run_until(process, 5020, start=5000)
    assert [kind for _, kind, *_ in said] == ["finished"]


def test_a_task_whose_last_due_time_comes_before_its_end_is_near(process):
    """It is said when its last run starts."""
    process.add(every(60, end_at=moment(100)))
    end = moment(100).isoformat()
    assert run_until(process, 200) == [
        (60, "expiring", "t", f"no due time comes after end_at={end}"),
        (70, "finished", "t", f"end_at={end} is reached"),
    ]


def test_a_short_wait_is_not_said_to_end(process):
    """Less than a second would be left to answer."""
    process.add(once(10, expire_waiting_after_seconds=9))
    process.run_pass(10)
    process.complete(11, RunStatus.WAITING, questions=(Question(id="q", value="Go on?"),))
    assert [process.run_pass(now).expiring.runs for now in range(12, 25)] == [[]] * 13


def test_a_changed_end_is_said_again(process):
    """It is another schedule; added again unchanged, it is not said twice."""
    process.add(every(60, end_at=moment(1000)))
    run_until(process, 910)
    process.add(every(60, end_at=moment(1000)), now=915)
    assert run_until(process, 940, start=920) == []
    process.add(every(60, end_at=moment(2000)), now=945)
    assert [now for now, kind, *_ in run_until(process, 2000, start=950) if kind == "expiring"] == [1910]


def test_the_last_run_by_max_runs(process):
    """It is said when that run starts; not for a one-time task, which has no other."""
    process.add(every(60, max_runs=2), once(60, "once", max_runs=1))
    said = [each for each in run_until(process, 200) if each[2] == "t"]
    assert said == [
        (120, "expiring", "t", "max_runs=2 is reached with its present run"),
        (130, "finished", "t", "max_runs=2 is reached"),
    ]


def test_a_run_that_nobody_has_answered(process):
    """When nine tenths of the wait have passed, once; an answer ends it."""
    question = (Question(id="q", value="Go on?"),)
    process.add(*(once(10, name, expire_waiting_after_seconds=1000) for name in ("silent", "answered")))
    process.run_pass(10)
    process.complete(11, RunStatus.WAITING, questions=question)
    [answered] = process.runs("answered")
    assert process.run_pass(910).expiring.runs == []
    process.store.answer_run(answered.id, "yes", instant(910))
    result = process.run_pass(911)
    result = result if result.expiring.runs else process.run_pass(912)
    [(run_id, task_id, end)] = result.expiring.runs
    assert (run_id, task_id, seconds_of(end)) == (process.runs("silent")[0].id, "silent", 1011)
    assert [run.id for run in result.committed.expiring] == [run_id]
    assert process.run_pass(950).expiring.runs == []
    assert process.complete(1011).committed.changed[-1].status is RunStatus.CANCELLED


def test_only_one_process_says_it(process, new_process):
    """The first to notice; nothing is said where nobody listens, but for the log."""
    process.add(every(DAY, end_at=moment(10 * DAY)))
    processes = [process, new_process()]
    said = []
    for now in range(9 * DAY - 5, 9 * DAY + 5):
        for each in processes:
            each.end(now)
            said += each.run_pass(now).expiring.tasks
    assert [task_id for task_id, _ in said] == ["t"]


# --- Nobody listens ---


def test_without_listeners_nothing_is_read(new_process):
    """What the log says is known all the same."""
    process = new_process()
    process.add(every(60, max_runs=1, pause_after_failures=1), every(60, "second", pause_after_failures=1))
    result = process.run_pass(60)
    assert (result.committed, [task_id for task_id, _ in result.expiring.tasks]) == (None, ["t"])
    result = process.complete(61, FAILED)
    assert result.committed is None
    assert sorted(task_id for task_id, _ in result.paused) == ["second", "t"]


def test_the_newest_run_of_a_damaged_task(process):
    """For an event about it."""
    process.add(every(60))
    process.run_pass(60)
    process.complete(61)
    process.sql("UPDATE scheduler_tasks SET definition = '{'")
    result = process.run_pass(120)
    assert [task_id for task_id, _ in result.quarantined] == ["t"]
    assert result.committed.newest["t"] == process.runs()[0]
