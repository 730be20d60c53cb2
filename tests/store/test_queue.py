"""One queue by readiness: runs that wait and tasks that are due start in the order in which they became ready."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from store_kit import Process, every, instant, once, seconds_of

from scheduler import OverlapPolicy, RunStatus
from scheduler.store import database_at


def begun(process, now, slots):
    """Make a pass; return the tasks whose runs it started, in order."""
    return [task_id for task_id, _ in process.started(now, slots)]


def test_triggers_do_not_starve_a_schedule(process):
    """Twice as many runs by hand as there are slots: what is due still starts after those that were there before it."""
    process.add(once(10**6, "hand", overlap="allow_all"), every(10, "tick"))
    for now in range(1, 100):
        process.trigger(now, "hand")
        process.trigger(now, "hand")
        process.end(now)
        process.run_pass(now, slots=1)
    assert process.statuses("tick").count("succeeded") >= 2
    waits = [run.started_at - run.scheduled_at for run in process.runs("tick") if run.started_at]
    assert max(waits).total_seconds() <= 60


def test_a_schedule_does_not_starve_triggers(process):
    """Tasks that are due at every instant let a run by hand start in its turn."""
    process.add(*(every(1, f"t{number}") for number in range(4)), once(10**6, "hand"))
    process.run_pass(1, slots=1)
    process.trigger(1.5, "hand")
    orders = []
    for now in range(2, 9):
        process.end(now)
        orders += begun(process, now, slots=1)
    assert "hand" in orders[:5]


def test_the_longest_wait_is_first(process):
    """Whether it is a run by hand, a retry or a due time."""
    process.add(once(30, "c"), once(10, "a"), once(10**6, "hand"), once(1, "r", max_attempts=2, retry_delay_seconds=40))
    process.run_pass(1)
    process.end(2, RunStatus.FAILED, task_id="r")
    process.run_pass(2)
    process.trigger(20, "hand")
    assert begun(process, 60, slots=1) == ["a"]
    assert begun(process, 60, slots=1) == ["hand"]
    assert begun(process, 60, slots=5) == ["c", "r"]


def test_a_due_time_goes_before_a_younger_run_by_hand_of_its_task(process):
    """The run by hand waits for it, as for any run of a task whose runs do not overlap."""
    process.add(once(10, "t"))
    process.trigger(20, "t")
    claims = process.run_pass(30).claims
    assert [claim.trigger for claim in claims] == ["schedule"]
    process.end(31)
    assert [claim.trigger for claim in process.run_pass(31).claims] == ["manual"]


def test_what_is_cancelled_by_a_due_time_does_not_start_beside_it(process):
    """With `cancel_other`, an older due time cancels a retry that is in the queue of the same pass."""
    process.add(every(10, "t", overlap="cancel_other", max_attempts=2, retry_delay_seconds=7))
    process.run_pass(10)
    process.end(16, RunStatus.FAILED)
    process.run_pass(16, slots=0)
    result = process.run_pass(25)
    assert [claim.attempt for claim in result.claims] == []
    assert process.statuses("t") == ["cancelled", "pending"]
    assert [claim.attempt for claim in process.run_pass(25).claims] == [1]


@pytest.fixture
def checkpointed(process):
    process.is_checkpointed = lambda _task: True
    return process


def test_a_taken_thread_blocks_nobody_else(checkpointed):
    """Runs that wait for a thread do not use up the slots of a pass."""
    checkpointed.add(*(once(10**6, f"s{number}", session_id="one") for number in range(5)), once(30, "free"))
    for number in range(5):
        checkpointed.trigger(10 + number, f"s{number}")
    assert begun(checkpointed, 40, slots=2) == ["s0", "free"]


def test_the_oldest_is_first_on_a_thread(checkpointed):
    """A due time that is older than a run by hand on the same thread starts before it."""
    checkpointed.add(once(10, "due", session_id="one"), once(10**6, "hand", session_id="one"))
    checkpointed.trigger(20, "hand")
    assert begun(checkpointed, 30, slots=5) == ["due"]
    checkpointed.end(31)
    assert begun(checkpointed, 31, slots=5) == ["hand"]


def test_what_could_not_start_in_a_pass_leaves_no_slot_free(checkpointed):
    """Two runs are refused for what the same pass has started: the one behind them starts in a pass at once."""
    checkpointed.add(once(5, "due", session_id="one"), every(10**6, "due2", session_id="two"))
    checkpointed.add(once(10**6, "hand", session_id="one"), once(10**6, "behind", session_id="three"))
    checkpointed.trigger(10, "hand")
    checkpointed.trigger(11, "due")
    checkpointed.trigger(12, "behind")
    started, result = [], None
    while result is None or (result.wake_at is not None and result.wake_at <= instant(30)):
        result = checkpointed.run_pass(30, slots=2 - len(started))
        started += [claim.task.id for claim in result.claims]
    assert started == ["due", "behind"]


@given(
    moves=st.lists(
        st.tuples(st.integers(1, 12), st.lists(st.integers(0, 5), max_size=4), st.integers(1, 3)), max_size=8
    )
)
@settings(max_examples=60, deadline=None)
def test_a_pass_that_leaves_slots_free_asks_for_another_while_something_can_start(moves):
    """Tasks on two threads: where a second pass at the same instant starts something, the first has asked for it."""
    database = database_at(None, None)
    process, now = Process(database), 0
    process.is_checkpointed = lambda _task: True
    process.begin(0)
    for number, overlap in enumerate([*OverlapPolicy, "allow_all", "skip"]):
        process.add(every(7 + number, f"t{number}", session_id=f"s{number % 2}", overlap=overlap))
    for seconds, triggered, slots in moves:
        for number in triggered:
            process.trigger(now + 0.25, f"t{number}")
        now += seconds
        process.end(now - 0.5)
        first = process.run_pass(now, slots=slots)
        free = slots - len(first.claims)
        if free and process.run_pass(now, slots=free).claims:
            assert first.wake_at is not None
            assert first.wake_at <= instant(now)
    database.close()


def test_busy_tasks_do_not_keep_a_due_task_from_its_slot(process):
    """Due times that need no slot, as a run of theirs waits for its retry, leave the slot to the oldest that does."""
    process.add(every(10, "retried", max_attempts=2, retry_delay_seconds=1), every(10, "last"))
    process.trigger(1, "retried")
    process.run_pass(1)
    process.end(9.5, RunStatus.FAILED)
    process.run_pass(9.5, slots=0)
    assert begun(process, 12, slots=1) == ["last"]


# --- Any order of things, against what the rows say before and after ---

IDS = ("a", "b", "c", "d")
MOVES = st.lists(
    st.tuples(
        st.integers(1, 12),
        st.lists(st.sampled_from(IDS), max_size=3),
        st.lists(st.sampled_from([*IDS, "retry"]), max_size=4),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=12,
)


@given(
    periods=st.tuples(*[st.sampled_from([3, 10, 40])] * len(IDS)),
    overlaps=st.tuples(*[st.sampled_from(list(OverlapPolicy))] * len(IDS)),
    moves=MOVES,
)
@example(  # a retry that is cancelled by its task's due time leaves the slot to the run by hand behind it
    periods=(3, 3, 10, 3),
    overlaps=("cancel_other", "skip", "skip", "allow_all"),
    moves=[(1, [], [], 0), (3, [], [], 1), (3, [], ["a", "retry"], 1), (1, [], [], 1), (1, ["c"], [], 1)],
)
@settings(max_examples=150, deadline=None)
def test_nothing_younger_starts_before_what_could_start(periods, overlaps, moves):
    """Whatever is triggered, due, ended and retried: of what a pass leaves, nothing that could start is older."""
    database = database_at(None, None)
    process, now = Process(database).begin(0), 0
    policies = dict(zip(IDS, map(OverlapPolicy, overlaps), strict=True))
    for task_id, period in zip(IDS, periods, strict=True):
        process.add(every(period, task_id, overlap=policies[task_id], max_attempts=2, retry_delay_seconds=1))
    for seconds, triggered, ended, slots in moves:
        for task_id in triggered:
            process.trigger(now + 0.25, task_id)
        now += seconds
        for task_id in ended:
            status = RunStatus.FAILED if "retry" in ended else RunStatus.SUCCEEDED
            process.end(now - 0.5, status, task_id=task_id)
        check_pass(process, now, slots, policies)
    database.close()


def check_pass(process, now, slots, policies):
    process.run_pass(now, slots=0)  # what has ended is written, so that the rows say what is there
    waited = {row.id: row for row in process.sql("SELECT * FROM scheduler_runs WHERE status = 'pending'")}
    due = {row.id: row.next_due for row in process.sql("SELECT id, next_due FROM scheduler_tasks")}
    claims = process.run_pass(now, slots).claims
    since = [waited[claim.run_id].ready_at if claim.run_id in waited else due[claim.task.id] for claim in claims]
    assert len(claims) <= slots
    youngest = max(since, default=None)
    if youngest is None:
        return
    running = {row.task_id for row in process.sql("SELECT task_id FROM scheduler_runs WHERE status = 'running'")}
    for row in process.sql("SELECT * FROM scheduler_runs WHERE status = 'pending'"):
        could_start = policies[row.task_id] is OverlapPolicy.ALLOW_ALL or row.task_id not in running
        others = [other for other in waited.values() if other.task_id == row.task_id and other.id != row.id]
        is_first = not any(other.attempt or (other.ready_at, other.id) < (row.ready_at, row.id) for other in others)
        if row.id in waited and row.ready_at <= instant(now) and could_start and is_first:
            assert row.ready_at >= youngest, (row.task_id, seconds_of(row.ready_at))
    for row in process.sql("SELECT id, next_due FROM scheduler_tasks"):
        if row.next_due == due[row.id] and row.next_due <= instant(now):
            assert row.next_due >= youngest, (row.id, seconds_of(row.next_due))
