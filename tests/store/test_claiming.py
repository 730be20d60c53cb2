"""What a pass makes of due times: backlogs, graces, overlap policies and slots, each due time accounted for once."""

import pytest
from store_kit import DAY, accounted, every, once, seconds_of

from scheduler import RunStatus
from scheduler.timing.planning import BUFFER_LIMIT


def test_nothing_starts_before_its_time(process):
    """Nor is anything written."""
    process.add(every(60))
    assert process.started(59.999999) == []
    assert process.started(60) == [("t", 60)]
    assert process.started(60) == []


def test_a_pass_says_when_the_next_due_time_comes(process):
    """The due time of a task, or of a retry."""
    process.add(every(60), every(90, task_id="later", max_attempts=2, retry_delay_seconds=1000))
    assert seconds_of(process.run_pass(1).wake_at) == 60
    assert seconds_of(process.run_pass(60).wake_at) == 90


def test_no_slots_leave_due_times_due(process):
    """What does not fit waits as it is; None leaves all alone."""
    process.add(once(10, "a"), once(11, "b"), once(12, "c"))
    assert process.started(20, slots=None) == process.started(20, slots=0) == []
    assert process.started(20, slots=2) == [("a", 10), ("b", 11)]
    assert process.history("c") == []
    process.end(21)
    assert process.started(21, slots=2) == [("c", 12)]


def test_the_oldest_due_times_start_first(process):
    """In the order of their due times, whatever the order in which tasks were added."""
    process.add(*(once(100 - number, f"t{number:02}") for number in range(20)))
    started = [due for _ in range(4) for _, due in process.started(200, slots=5)]
    assert started == sorted(started)
    assert len(started) == 20


# --- Backlog ---


def test_a_coalesced_backlog_is_one_run(process):
    """The latest due time, which stands for the others."""
    process.add(every(60))
    assert process.started(10 * 60 + 1) == [("t", 600)]
    assert process.history() == [("running", 600, 9)]
    assert process.due() == 660


def test_a_month_of_seconds_is_one_row(process):
    """2.6 million missed due times are counted, not enumerated."""
    process.add(every(1), every(1, task_id="grace", misfire_grace_seconds=0, coalesce=False))
    process.run_pass(30 * DAY + 0.5)
    assert process.history() == [("running", 30 * DAY, 30 * DAY - 1)]
    assert process.history("grace") == [("missed", 30 * DAY, 30 * DAY - 1)]


def test_a_coalesced_backlog_past_the_grace_is_one_missed_row(process):
    """If even the latest is too late; at the grace itself it is not."""
    process.add(every(60, misfire_grace_seconds=10), every(60, task_id="just", misfire_grace_seconds=11))
    assert process.started(191) == [("just", 180)]
    assert process.history() == [("missed", 180, 2)]
    assert process.due() == 240


def test_without_coalesce_each_due_time_is_judged_by_itself(process):
    """Those past the grace are missed in one row, the next starts, those after it overlap."""
    process.add(every(60, coalesce=False, misfire_grace_seconds=100))
    assert process.started(305) == [("t", 240)]
    assert process.history() == [("missed", 180, 2), ("running", 240, 0), ("skipped", 300, 0)]


def test_without_coalesce_buffer_all_runs_each_in_turn(process):
    """Oldest first, one after the other."""
    process.add(every(60, coalesce=False, overlap="buffer_all"))
    assert process.started(250) == [("t", 60)]
    for number in (2, 3, 4):
        [claim] = process.complete(250 + number).claims
        assert seconds_of(claim.scheduled_at) == number * 60
    assert accounted(process.runs()) == 4


def test_without_coalesce_allow_all_runs_all_at_once(process):
    """As many as there are slots; the others stay due."""
    process.add(every(60, coalesce=False, overlap="allow_all"))
    assert process.started(250, slots=3) == [("t", 60), ("t", 120), ("t", 180)]
    assert process.due() == 240
    assert process.started(250, slots=3) == [("t", 240)]


def test_a_one_time_task_past_its_grace_is_missed(process):
    """And is finished."""
    process.add(once(60, misfire_grace_seconds=1))
    result = process.run_pass(62)
    assert [(each.task_id, each.status, each.number) for each in result.not_started] == [("t", "missed", 1)]
    assert process.listed() is None
    assert "misfire_grace_seconds=1" in process.runs()[0].error


# --- Overlap ---


def test_skip_accounts_for_each_due_time_in_one_row(process):
    """Consecutive ones share a row and its count, and say why."""
    process.add(every(60))
    process.run_pass(60)
    for now in (120, 180, 240):
        process.run_pass(now)
    assert process.history() == [("running", 60, 0), ("skipped", 240, 2)]
    assert "overlap=skip" in process.runs()[1].error
    process.complete(250)
    process.run_pass(300)
    process.run_pass(360)
    assert process.history()[2:] == [("running", 300, 0), ("skipped", 360, 0)]


def test_skip_says_so_when_there_is_no_free_slot_either(process):
    """A busy task's due time needs no slot to be skipped."""
    process.add(every(60))
    process.run_pass(60, slots=1)
    process.run_pass(120, slots=0)
    assert process.history()[1:] == [("skipped", 120, 0)]


def test_a_run_by_hand_is_a_run_that_overlaps(process):
    """Any running run counts for skipping, whatever started it."""
    process.add(every(60))
    process.trigger(50)
    process.run_pass(50)
    assert process.started(60) == []
    assert process.statuses() == ["running", "skipped"]


def test_a_run_between_two_attempts_is_not_over(process):
    """What comes due meanwhile overlaps."""
    process.add(every(60, max_attempts=2, retry_delay_seconds=1000, retry_max_delay_seconds=1000))
    process.run_pass(60)
    process.complete(61, RunStatus.FAILED)
    assert process.started(120) == []
    assert process.history() == [("pending", 60, 0), ("skipped", 120, 0)]


def test_buffer_one_lets_one_wait(process):
    """Further ones are skipped; the one that waits starts when the run has ended."""
    process.add(every(60, overlap="buffer_one"))
    for now in (60, 120, 180, 240):
        process.run_pass(now)
    assert process.history() == [("running", 60, 0), ("pending", 120, 0), ("skipped", 240, 1)]
    assert [seconds_of(claim.scheduled_at) for claim in process.complete(250).claims] == [120]


def test_buffer_all_lets_each_wait_up_to_a_bound(process):
    """When the queue is full, due times are skipped, with the reason."""
    process.add(every(1, overlap="buffer_all", coalesce=False))
    process.run_pass(1)
    process.run_pass(BUFFER_LIMIT + 11)
    statuses = process.statuses()
    assert statuses.count("pending") == BUFFER_LIMIT
    assert process.history()[-1] == ("skipped", BUFFER_LIMIT + 11, 9)
    assert f"{BUFFER_LIMIT} due times" in process.runs()[-1].error


def test_cancel_other_asks_for_the_cancellation_and_starts_afterwards(process):
    """The due time waits until the run that it cancels has ended."""
    process.add(every(60, overlap="cancel_other"))
    [first] = process.run_pass(60).claims
    result = process.run_pass(120)
    assert result.claims == []
    assert list(result.cancels) == [first.run_id]
    result = process.complete(121, RunStatus.CANCELLED)
    assert [seconds_of(claim.scheduled_at) for claim in result.claims] == [120]
    assert process.statuses() == ["cancelled", "running"]


def test_cancel_other_replaces_the_one_that_waits(process):
    """A due time that waits for a cancellation gives way to the next."""
    process.add(every(60, overlap="cancel_other"))
    for now in (60, 120, 180):
        process.run_pass(now)
    assert process.statuses() == ["running", "cancelled", "pending"]
    process.complete(181, RunStatus.CANCELLED)
    assert process.history()[-1] == ("running", 180, 0)


def test_cancel_other_reaches_a_run_in_another_process(process, new_process):
    """Its owner finds the request in its next pass."""
    process.add(every(60, overlap="cancel_other"))
    [claim] = process.run_pass(60).claims
    assert new_process().run_pass(120).cancels == {}
    assert list(process.run_pass(121).cancels) == [claim.run_id]


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.INTERRUPTED])
def test_a_run_that_is_to_be_cancelled_has_no_further_attempt(process, status):
    """However it ends: the next due time does not wait for its retries."""
    process.add(every(60, overlap="cancel_other", max_attempts=5, rerun_after_crash=True))
    process.run_pass(60)
    process.run_pass(120)
    process.complete(121, status)
    assert process.history() == [(str(status), 60, 0), ("running", 120, 0)]


def test_max_runs_does_not_count_what_was_cancelled_before_it_began(process):
    """`max_runs` counts runs that started."""
    process.add(every(60, overlap="cancel_other", max_runs=3))
    for now in (60, 120, 180):
        process.run_pass(now)
    process.complete(181, RunStatus.CANCELLED)
    process.complete(182)
    assert process.started(240) == [("t", 240)]
    process.complete(241)
    assert process.listed() is None


def test_cancel_other_waits_for_a_slot_and_accounts_once(process):
    """Due times that a later one has replaced are done with, also while that one waits for a slot."""
    wide = every(10, task_id="a", overlap="allow_all", coalesce=False)
    process.add(wide, every(10, overlap="cancel_other", coalesce=False))
    for _ in range(3):
        process.run_pass(35, slots=2)
    process.run_pass(39, slots=9)
    assert accounted(process.runs()) == 3
    assert process.history()[-1] == ("running", 30, 0)


def test_allow_all_starts_beside_the_run_that_is_going(process):
    """Each due time is a run."""
    process.add(every(60, overlap="allow_all"))
    for now in (60, 120, 180):
        assert process.started(now) == [("t", now)]
    assert process.statuses() == ["running"] * 3


def test_overlap_holds_between_processes(process, new_process):
    """A run in one process is in the way of a due time that another one finds."""
    other = new_process()
    process.add(every(60), every(60, task_id="buffered", overlap="buffer_one"))
    assert len(process.run_pass(60).claims) == 2
    assert other.started(120) == []
    assert process.statuses() == ["running", "skipped"]
    process.complete(121)
    assert process.statuses("buffered") == ["succeeded", "running"]


def test_one_due_time_is_started_by_one_process(process, new_process):
    """Whoever comes first; the other finds nothing."""
    processes = [process, new_process(), new_process()]
    process.add(*(once(60, f"t{number}") for number in range(30)))
    started = [pair for _ in range(5) for each in processes for pair in each.started(60, slots=3)]
    assert len(started) == len(set(started)) == 30


def test_how_late_tasks_may_start_that_do_not_say_so(new_process):
    """The scheduler says it; a task that sets a time itself keeps it."""
    process = new_process(grace=10)
    process.add(
        every(60), every(60, "patient", misfire_grace_seconds=1_000), every(60, "strict", misfire_grace_seconds=0)
    )
    process.run_pass(71)
    assert process.history() == [("missed", 60, 0)]
    assert process.history("patient") == [("running", 60, 0)]
    assert process.history("strict") == [("missed", 60, 0)]
    assert "later than misfire_grace_seconds=10" in process.runs()[0].error
    process.run_pass(130)
    assert process.history() == [("missed", 60, 0), ("running", 120, 0)]
