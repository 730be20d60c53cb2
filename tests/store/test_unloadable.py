"""What one process cannot load it leaves to the others, and tries again later; nothing is lost or waits for it."""

import itertools
import json

import pytest
from store_kit import DAY, LEASE, every, instant, once, seconds_of

from scheduler import RunStatus
from scheduler.errors import InvalidTaskError, StoreError
from scheduler.store.unloadable import LeftBy

GONE = "there is no module gone"
LACKS = {"gone:graph": GONE}
UNKNOWN = {
    "field": {"colour": "red"},
    "kind of schedule": {"task_type": "lunar", "interval_seconds": None},
    "crontab": {"cron_expression": "* * * * * *", "task_type": "cron", "interval_seconds": None},
    "word": {"overlap": "queue_by_priority"},
    "number": {"interval_seconds": 0.5},
    "time zone": {"timezone": "Mars/Olympus_Mons"},
}


def named(task_id="t", **fields):
    """Return a task that names a graph."""
    return every(60, task_id, graph="gone:graph", **fields)


@pytest.fixture
def old(new_process):
    """Return a process that lacks the module."""
    return new_process(missing=dict(LACKS))


def change_definition(process, **fields):
    """Change the stored definition of `t`, as a later release might have written it; return the text before."""
    [(before,)] = process.sql("SELECT definition FROM scheduler_tasks WHERE id = 't'")
    text = json.dumps({**json.loads(before), **fields})
    process.sql("UPDATE scheduler_tasks SET definition = :text WHERE id = 't'", text=text)
    return before


def set_definition(process, text):
    process.sql("UPDATE scheduler_tasks SET definition = :text WHERE id = 't'", text=text)


def fail_to_load(process, now=60):
    """Let a process find out that it cannot import the graph of a task that is due."""
    process.run_pass(now)
    return process.run_pass(now)


def problems(result):
    return result.unloadable.problems


# --- What is left, and what is not ---


@pytest.mark.parametrize("fields", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_a_definition_that_this_release_does_not_know(process, fields):
    """It is nobody's fault: the row is not quarantined, the reason is told once, and the other tasks run."""
    process.add(every(60), every(60, "sound"))
    change_definition(process, **fields)
    result = process.run_pass(60)
    assert [claim.task.id for claim in result.claims] == ["sound"]
    assert result.quarantined == []
    [(task_id, problem)] = problems(result)
    assert task_id == "t"
    assert next(iter(fields)) in problem
    assert process.sql("SELECT problem FROM scheduler_tasks WHERE id = 't'") == [(None,)]
    assert process.listed(now=60).trouble == f"cannot be loaded here: {problem}"
    process.complete(61)
    assert problems(process.run_pass(120)) == []


def test_a_zone_that_this_machine_does_not_know(process):
    """It runs as soon as there are newer time zones; its backlog is one run."""
    process.add(every(60), every(60, "sound"))
    process.sql("UPDATE scheduler_tasks SET zone = 'Mars/Olympus_Mons' WHERE id = 't'")
    result = process.run_pass(60)
    assert [claim.task.id for claim in result.claims] == ["sound"]
    assert problems(result) == [("t", "no time zone is called 'Mars/Olympus_Mons' on this machine")]
    process.sql("UPDATE scheduler_tasks SET zone = 'UTC' WHERE id = 't'")
    process.end(61)
    assert process.started(130) == [("t", 120), ("sound", 120)]


def test_what_one_process_lacks_runs_in_another(old, new_process):
    """In the pass in which it is due, and ever after."""
    new = new_process(missing={})
    old.add(named())
    fail_to_load(old)
    assert new.started(60) == []
    assert new.started(60) == [("t", 60)], "once its graph is imported"
    for now in (120, 180):
        new.complete(now - 30)
        old.run_pass(now)
        assert new.started(now) == [("t", now)]
    assert [status for status, _, _ in new.history()] == ["succeeded", "succeeded", "running"]


def test_the_code_is_loaded_before_the_due_time_is_claimed(new_process):
    """While it is being loaded, nothing is claimed and nothing is lost; then the run starts."""
    process = new_process(missing={})
    process.add(named(), named("same"), every(60, "sound"))
    result = process.run_pass(60)
    assert [claim.task.id for claim in result.claims] == ["sound"]
    assert [each.code for each in result.unloadable.to_load] == ["gone:graph"]
    assert problems(result) == []
    assert process.listed(now=60).trouble is None
    assert process.started(61) == [("same", 60), ("t", 60)]
    process.complete(62)
    assert process.run_pass(120).unloadable.to_load == [], "it stays loaded"


def test_tasks_with_the_same_code_are_tried_together(old):
    """One import for all of them; what comes due later does not ask for another at once."""
    old.add(*(named(f"t{number}") for number in range(40)), every(90, "later", graph="gone:graph"))
    assert len(old.run_pass(60).unloadable.to_load) == 1
    result = old.run_pass(60)
    assert result.unloadable.to_load == []
    assert len(problems(result)) == 40
    assert {problem for _, problem in problems(result)} == {GONE}
    result = old.run_pass(90)
    assert [each.code for each in result.unloadable.to_load] == ["gone:graph"], "the time for it has come"
    assert [task_id for task_id, _ in problems(result)] == ["later"]


# --- Nobody waits for it ---


def test_what_is_left_takes_no_slots(old):
    """However many tasks cannot be loaded, those that can are claimed."""
    old.add(*(named(f"gone{number:03}") for number in range(100)))
    old.add(*(every(61, f"sound{number}") for number in range(3)))
    started = []
    for _ in range(60):
        started += old.started(61, slots=2)
        old.end(61)
    assert started == [(f"sound{number}", 61) for number in range(3)]


def test_what_is_left_makes_no_busy_passes(old, monkeypatch):
    """Once it is known, a pass reads and does not write, and asks for no further one."""
    old.add(named())
    old.add(every(DAY, "later"))
    old.trigger(30)
    fail_to_load(old)
    monkeypatch.setattr(old.session, "_work", lambda *_, **__: pytest.fail("it makes a transaction"))
    result = old.run_pass(61)
    assert not result.has_more
    assert seconds_of(result.wake_at) > 3600


def test_a_run_that_waits_is_left_too(old, new_process):
    """A triggered one: it stays pending for whoever can load its task."""
    old.add(every(DAY, graph="gone:graph"))
    old.trigger(1)
    fail_to_load(old, 1)
    assert old.statuses() == ["pending"]
    assert not old.run_pass(2).has_more
    new = new_process(2, missing={})
    new.run_pass(2)
    assert new.started(2) == [("t", 1)]


def test_a_session_does_not_wait_for_a_task_that_nobody_can_load(old):
    """A run that waits to begin does not keep its thread from the others, if no scheduler can run it."""
    old.is_checkpointed = lambda _task: True
    old.add(every(DAY, graph="gone:graph", session_id="talk"), every(DAY, "other", session_id="talk"))
    old.trigger(1)
    old.trigger(2, "other")
    old.sql("UPDATE scheduler_runs SET checkpointed = 1")
    assert old.started(3) == [], "until it is known, the older run comes first"
    assert old.started(3) == [("other", 2)]


def test_a_session_waits_for_a_task_that_another_scheduler_can_load(old, new_process):
    """It will run there: the runs of a session keep their order."""
    new = new_process(missing={})
    for each in (old, new):
        each.is_checkpointed = lambda _task: True
    old.add(every(DAY, graph="gone:graph", session_id="talk"), every(DAY, "other", session_id="talk"))
    old.trigger(1)
    old.trigger(2, "other")
    old.sql("UPDATE scheduler_runs SET checkpointed = 1")
    fail_to_load(old, 3)
    assert old.started(3) == []
    new.run_pass(3)
    assert new.started(3) == [("t", 1)]


# --- Trying again ---


def test_it_is_tried_again_with_growing_waits(old):
    """After 2 s, doubling up to five minutes; the reason is told once, unless it changes."""
    old.add(named())
    tries, told = [], []
    for now in range(60, 1500):
        result = old.run_pass(now)
        tries += [now - 60] if result.unloadable.to_load else []
        told += problems(result)
    assert tries[:6] == [0, 3, 8, 17, 34, 67]
    assert max(later - sooner for sooner, later in itertools.pairwise(tries)) <= 302
    assert told == [("t", GONE)]
    old.missing["gone:graph"] = "ConnectionError: no network"
    for now in range(1500, 1900):
        told += problems(old.run_pass(now))
    assert told[1:] == [("t", "ConnectionError: no network")]


def test_a_definition_is_read_again_with_growing_waits(process):
    """So is a definition that this release does not know."""
    process.add(every(60))
    text = change_definition(process, colour="red")
    process.run_pass(60)
    set_definition(process, text)
    assert process.started(61) == []
    assert process.started(62) == [("t", 60)]


def test_what_passes_by_itself_is_made_good(old):
    """A connection that failed when a module was imported: a moment later it runs, and the log says so."""
    old.add(named())
    fail_to_load(old)
    old.missing.clear()
    solved, started = [], []
    for now in range(61, 70):
        result = old.run_pass(now)
        solved += result.unloadable.solved
        started += [(claim.task.id, seconds_of(claim.scheduled_at)) for claim in result.claims]
    assert (solved, started) == (["t"], [("t", 60)])


def test_it_is_tried_again_when_the_clock_was_set_back(old):
    """The instant of the next try was by a clock that was ahead."""
    old.add(named())
    fail_to_load(old, 10_000)
    old.missing.clear()
    old.run_pass(5_000)
    assert old.run_pass(5_001).unloadable.solved == ["t"]


@pytest.mark.parametrize("look", ["resume", "trigger", "look_again", "add"])
def test_it_is_tried_again_when_somebody_asks(old, new_process, look):
    """Also by another process, such as the command line: each scheduler looks again at its next pass."""
    old.add(named())
    fail_to_load(old)
    for now in (100, 200, 400, 800):
        old.run_pass(now)
    old.missing.clear()
    asking = new_process(900)
    calls = {
        "resume": lambda: asking.resume(900),
        "trigger": lambda: asking.trigger(900),
        "look_again": asking.store.look_again,
        "add": lambda: asking.add(named(prompt="Other."), now=900),
    }
    calls[look]()
    old.run_pass(900)
    assert ("t", 900) in old.started(900)


def test_a_start_tries_again(old):
    """What was found out belongs to the scheduler that found it."""
    old.add(named())
    fail_to_load(old)
    old.session.end([], instant(61))
    old.missing.clear()
    old.begin(62)
    old.run_pass(62)
    assert old.started(62) == [("t", 60)]


def test_a_loading_that_is_lost_is_asked_for_again(new_process, monkeypatch):
    """The pass that asked for it may have been committed although it seemed to fail."""
    process = new_process(missing={})
    process.add(named())
    process.session.run_pass(instant(60), 5, [], [])
    process.store.look_again()
    assert process.run_pass(100).unloadable.to_load == []
    result = process.run_pass(121)
    assert [each.code for each in result.unloadable.to_load] == ["gone:graph"]
    assert problems(result) == [("t", "the import of its code has taken longer than 60 s")], "or it takes so long"
    assert process.started(122) == [("t", 120)]
    assert process.listed(now=122).trouble is None


def test_what_came_of_loading_is_told_once_more_if_the_pass_fails(old):
    """As outcomes are."""
    old.add(named())
    old.run_pass(60)
    write = old.database.write

    def fail(*_):
        raise StoreError("store", "it is locked", "try again")

    old.database.write = fail
    with pytest.raises(StoreError):
        old.run_pass(60)
    old.database.write = write
    assert problems(old.run_pass(61)) == [("t", GONE)]


# --- Nothing is lost ---


@pytest.mark.parametrize(
    ("fields", "history"),
    [
        ({}, [("running", 240, 3)]),
        ({"coalesce": False}, [("running", 60, 0), ("skipped", 240, 2)]),
        ({"misfire_grace_seconds": 5}, [("missed", 240, 3)]),
    ],
    ids=["coalesced", "each by itself", "too late"],
)
def test_when_it_can_be_loaded_again_its_due_times_are_a_backlog(new_process, fields, history):
    """As if the program had been down meanwhile."""
    old = new_process(missing=dict(LACKS))
    old.add(named(**fields))
    fail_to_load(old)
    old.session.end([], instant(61))
    later = new_process(250, missing={})
    later.run_pass(250)
    later.run_pass(250)
    assert later.history() == history


@pytest.mark.parametrize(("by_scheduler", "of_task"), [(None, 10), (10, None), (500, 10)])
def test_what_nobody_can_load_is_missed_in_time(new_process, by_scheduler, of_task):
    """A due time that is too late is in the history while nobody can load its task; others have one lease length."""
    old = new_process(missing=dict(LACKS), grace=by_scheduler)
    old.add(named(misfire_grace_seconds=of_task, max_runs=100))
    missed_at = None
    for now in range(60, 60 + 10 + LEASE + 60):
        old.run_pass(now)
        if missed_at is None and old.history():
            missed_at = now
    assert 60 + 10 + LEASE < missed_at <= 60 + 10 + LEASE + 40
    assert old.history() == [("missed", 60, 0)]
    assert "later than misfire_grace_seconds=10" in old.runs()[0].error
    assert old.due() > 60


def test_what_nobody_can_load_and_may_be_late_stays_due(old):
    """However long it takes, it is one run in the end."""
    old.add(named())
    for now in range(60, 2000, 10):
        old.run_pass(now)
    assert old.history() == []
    assert old.due() == 60


def test_removing_a_task_that_cannot_be_read_accounts_for_its_due_time(process):
    """More cannot be known here."""
    process.add(every(60))
    change_definition(process, colour="red")
    process.run_pass(60)
    process.remove(200)
    assert process.history() == [("skipped", 60, 0)]
    assert process.sql("SELECT count(*) FROM scheduler_unloadable") == [(0,)]


def test_a_task_that_cannot_be_read_says_why_it_cannot_be_resumed_or_triggered(process):
    """Which task, what this process lacks, and what to do."""
    process.add(every(60))
    change_definition(process, colour="red")
    process.pause(30)
    why = r"Task t: its stored definition cannot be used here \(this release does not know the field colour\)"
    for call in (lambda: process.resume(61), lambda: process.trigger(61), lambda: process.store.get_task("t")):
        with pytest.raises(InvalidTaskError, match=why):
            call()
    assert process.listed().paused


# --- Runs of dead processes ---


@pytest.mark.parametrize("rerun", [True, False])
def test_a_run_whose_definition_cannot_be_read_here_is_not_ended_here(process, new_process, dead_pid, rerun):
    """Whoever can read it decides whether it continues: it goes back into the queue."""
    process.add(every(DAY, rerun_after_crash=rerun))
    process.trigger(1)
    process.run_pass(1)
    process.die(dead_pid)
    text = change_definition(process, colour="red")
    other = new_process(2)
    other.run_pass(2)
    [run] = other.runs()
    assert (run.status, run.attempt, run.earlier_attempts[0].status) == ("pending", 1, "interrupted")
    set_definition(other, text)
    other.store.look_again()
    [claim] = other.run_pass(3).claims
    assert (claim.attempt, claim.last_status) == (2, RunStatus.INTERRUPTED)


def test_a_thread_is_deleted_from_the_graph_that_its_task_names(process):
    """Also where this release does not know all fields of the definition."""
    task = once(60, graph="gone:graph", session_mode="per_run", session_retention=10)
    process.is_checkpointed = lambda _task: True
    process.add(task)
    process.run_pass(60)
    process.complete(61)
    change_definition(process, colour="red")
    [old_thread] = process.session.threads_to_delete(instant(100))
    assert old_thread.graph == "gone:graph"


# --- Who can see it ---


def test_it_is_listed_with_the_reason(old):
    """By the process itself and by any other one, until it can be loaded."""
    old.add(named())
    fail_to_load(old)
    listed = old.listed(now=60)
    assert (listed.is_unusable, listed.trouble) == (True, f"cannot be loaded here: {GONE}")
    assert old.listed().trouble is None, "who gives no time asks for no other schedulers"
    old.missing.clear()
    for now in range(61, 65):
        old.run_pass(now)
    assert old.listed(now=65).trouble is None


def test_a_share_of_the_schedulers_is_named(old, new_process):
    """The task is usable as long as one of them can load it, or has not tried yet."""
    new = new_process(55, missing={})
    old.add(named())
    fail_to_load(old)
    listed = new.listed(now=60)
    assert listed.left_by == LeftBy(GONE, 1, 2)
    assert (listed.is_unusable, listed.trouble) == (False, f"cannot be loaded here: {GONE} (in 1 of 2 schedulers)")
    fail_to_load(new_process(61, missing=dict(LACKS)), 61)
    assert new.listed(now=61).left_by == LeftBy(GONE, 2, 3)
    new.session.end([], instant(62))
    assert new.listed(now=62).is_unusable


def test_what_a_dead_scheduler_could_not_load_is_not_listed(old, new_process):
    """Its lease is over; its rows go with it."""
    old.add(named())
    fail_to_load(old)
    new = new_process(60 + 2 * LEASE, missing={})
    assert new.listed(now=60 + 2 * LEASE).trouble is None
    new.run_pass(3 * DAY)
    assert new.sql("SELECT count(*) FROM scheduler_unloadable") == [(1,)]
    new.run_pass(6 * DAY)
    assert new.sql("SELECT owner FROM scheduler_unloadable") in ([], [(new.session._owner.id,)])


def test_a_task_that_is_added_again_is_not_listed_with_the_reason_of_before(old):
    """It names another graph now."""
    old.add(named())
    fail_to_load(old)
    old.add(every(60), now=61)
    assert old.listed(now=61).trouble is None
    assert old.started(61) == [("t", 60)]


def test_many_tasks_are_left_with_few_statements(old):
    """Thousands that name the same missing module: each pass takes what it would have claimed."""
    old.add(*(named(f"t{number:05}") for number in range(600)))
    for _ in range(4):
        old.run_pass(60, slots=200)
    assert old.sql("SELECT count(*), count(problem) FROM scheduler_unloadable") == [(600, 600)]
    old.missing.clear()
    for now in (70, 71):
        old.run_pass(now, slots=0)
    assert old.sql("SELECT count(*) FROM scheduler_unloadable") == [(0,)]
    assert len(old.run_pass(72, slots=600).claims) == 600
