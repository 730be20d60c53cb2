"""Adding a task again: what a program that calls `add_task` at every start keeps, and what it changes."""

import re

import pytest
from store_kit import DAY, HOUR, RETENTION, cron, every, instant, moment, once, seconds_of

from scheduler import RunStatus, TaskDefinition, TaskNotFoundError, parse_schedule


def add_one(process, task, now):
    """Add a task as `add_task` does; return what is left out."""
    return process.store.add_tasks([task], instant(now), refuse_passed=True)


def add_all(process, *tasks, now):
    """Add tasks as `add_tasks` does; return what is left out."""
    return process.store.add_tasks(tasks, instant(now))


def test_an_unchanged_schedule_keeps_its_next_due_time_and_anchor(process):
    """Each start of a program adds its tasks; an interval longer than the time between starts fires all the same."""
    process.add(every(HOUR))
    for now in range(600, 3600, 600):
        process.add(every(HOUR), now=now)
    assert process.due() == HOUR
    assert process.started(HOUR + 5) == [("t", HOUR)]
    assert process.due() == 2 * HOUR


def test_words_that_leave_out_weeks_keep_their_start(process):
    """Every other Monday, added again in the week between, does not begin at the Monday of that week."""
    words = parse_schedule("every other Monday at 9am")
    task = TaskDefinition(id="t", name="T", prompt="Go.", **words)
    process.add(task)
    first = process.due()
    assert process.started(first) == [("t", first)]
    assert process.due() == first + 14 * DAY
    process.add(TaskDefinition(id="t", name="T", prompt="Go.", **words), now=first + 3 * DAY)
    assert process.due() == first + 14 * DAY


def test_other_changed_fields_take_effect(process):
    """A changed prompt is sent with the next run, and the due time stays."""
    process.add(every(HOUR))
    process.add(every(HOUR, prompt="Something else."), now=1800)
    assert process.due() == HOUR
    assert process.run_pass(HOUR).claims[0].task.prompt == "Something else."


def test_an_overdue_task_that_is_added_unchanged_stays_due(process, new_process):
    """What came due while the program was down is not lost by adding the task at the next start."""
    process.add(every(HOUR))
    later = new_process(10 * HOUR)
    later.add(every(HOUR, prompt="Something else."), now=10 * HOUR)
    assert later.started(10 * HOUR) == [("t", 10 * HOUR)]
    assert later.history() == [("running", 10 * HOUR, 9)]


@pytest.mark.parametrize(
    "changed",
    [
        every(600),
        cron("5 0 * * *"),
        once(300),
        every(HOUR, jitter_seconds=7),
        every(HOUR, start_at=moment(300)),
        every(HOUR, end_at=moment(DAY)),
    ],
    ids=["interval", "cron", "one_time", "jitter", "start_at", "end_at"],
)
def test_a_changed_schedule_is_reckoned_from_now(process, changed):
    """Each field of the schedule counts."""
    process.add(every(HOUR))
    process.add(changed, now=60)
    fresh = process.due()
    process.remove(61)
    process.add(changed, now=60)
    assert fresh == process.due()


def test_a_changed_schedule_accounts_for_what_was_owed(process):
    """Due times that had come and were not started yet are `skipped`, with the reason."""
    process.add(every(60))
    process.add(every(90), now=200)
    assert process.history() == [("skipped", 180, 2)]
    assert "schedule of the task was changed" in process.runs()[0].error
    assert process.due() == 290


def test_a_paused_task_stays_paused(process):
    """Neither adding it unchanged nor changing its schedule resumes a task that `pause_task` paused."""
    process.add(every(60))
    process.pause(1)
    process.add(every(60), now=2)
    assert process.listed().paused
    process.add(every(70), now=3)
    assert process.listed().paused
    assert process.started(1000) == []
    assert process.history() == []


def test_a_resumed_task_that_is_defined_as_disabled_stays_resumed(process):
    """`enabled=False` always pauses, each time that it is said."""
    process.add(every(60, enabled=False))
    process.resume(1)
    assert not process.listed().paused
    process.add(every(60, enabled=False), now=2)
    assert process.listed().paused


def test_enabled_changed_to_true_resumes(process):
    """From False to True resumes, also where `pause_task` was called as well."""
    process.add(every(60, enabled=False))
    process.pause(1)
    process.add(every(60), now=100)
    assert not process.listed().paused
    assert process.due() == 120


def test_enabled_changed_to_true_with_another_schedule_resumes(process):
    """Both at once do both."""
    process.add(every(60, enabled=False))
    process.add(every(90), now=100)
    assert not process.listed().paused
    assert process.due() == 190


def test_enabled_unchanged_leaves_what_pause_task_did(process):
    """`enabled=True`, said again, resumes nothing."""
    process.add(every(60))
    process.pause(1)
    process.add(every(60, enabled=True, prompt="Something else."), now=2)
    assert process.listed().paused


def test_disabling_accounts_for_what_was_owed(process):
    """Due times that had come when `enabled=False` paused the task are in the history, as with `pause_task`."""
    process.add(every(60))
    process.add(every(60, enabled=False), now=200)
    assert process.history() == [("skipped", 180, 2)]
    process.resume(500)
    assert process.due() == 540


def test_disabling_keeps_the_one_time_task_that_is_owed(process):
    """A one-time task that is disabled when it is due already runs when it is resumed."""
    process.add(once(60))
    process.add(once(60, enabled=False), now=100)
    assert process.history() == []
    process.resume(200)
    assert process.started(200) == [("t", 60)]


@pytest.mark.parametrize("status", [RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.INTERRUPTED, RunStatus.CANCELLED])
def test_a_one_time_task_that_has_had_a_run_does_not_run_again(process, status):
    """However that run ended, the same instant is done with."""
    process.add(once(60))
    process.run_pass(60)
    process.complete(61, status)
    for now in (100, 200):
        process.add(once(60, prompt="Something else."), now=now)
        assert process.started(now + 1) == []
        assert process.listed() is None
    assert process.statuses() == [str(status)]


def test_a_one_time_task_interrupted_by_a_crash_does_not_run_again(process, new_process, dead_pid):
    """The start after a crash adds the task again, and finds it done."""
    process.add(once(60))
    process.run_pass(60)
    process.die(dead_pid)
    later = new_process(100)
    later.add(once(60), now=100)
    later.run_pass(100)
    assert later.started(101) == []
    assert later.statuses() == ["interrupted"]
    later.add(once(60), now=102)
    assert later.started(103) == []


def test_a_one_time_task_that_was_missed_does_not_run_again(process):
    """`missed` is an end as well."""
    process.add(once(60, misfire_grace_seconds=5))
    process.run_pass(100)
    process.add(once(60), now=200)
    assert process.started(201) == []
    assert process.history() == [("missed", 60, 0)]


def test_a_one_time_task_while_it_runs_is_listed_and_not_started_again(process):
    """Adding it again meanwhile changes nothing of its run."""
    process.add(once(60))
    process.run_pass(60)
    process.add(once(60, name="Other"), now=70)
    assert process.listed().open_status is RunStatus.RUNNING
    assert process.started(71) == []
    process.complete(80)
    assert process.listed() is None


def test_a_one_time_task_with_a_new_instant_runs_again(process):
    """Another instant is another schedule, also after the task has finished."""
    process.add(once(60))
    process.run_pass(60)
    process.complete(61)
    process.add(once(300), now=100)
    assert process.started(300) == [("t", 300)]


def test_a_new_one_time_task_in_the_past_is_refused(process):
    """The error names task, field and value, and says how to fix it; the instant `now` itself has passed, too."""
    for seconds in (59, 60):
        with pytest.raises(ValueError, match=r"Task t: run_at=.* has passed .*trigger_task"):
            add_one(process, once(seconds), 60)
    assert process.store.list_tasks() == []


def test_a_one_time_task_moved_into_the_past_is_refused_and_stays(process):
    """A refused change leaves the task as it was."""
    process.add(once(600))
    with pytest.raises(ValueError, match="has passed"):
        process.add(once(60), now=100)
    assert process.due() == 600
    assert process.history() == []


def test_an_end_that_leaves_no_due_time_is_refused(process):
    """A recurring task that can never be due says so when it is added."""
    with pytest.raises(ValueError, match=r"Task t: end_at=.* leaves no due time"):
        add_one(process, every(60, end_at=moment(30)), 0)


def test_a_removed_task_is_new_when_it_is_added_again(process):
    """Its pause, anchor and count of runs are gone; its history stays and continues."""
    process.add(every(60, max_runs=1))
    process.run_pass(60)
    process.complete(61)
    process.add(every(60, task_id="other"), now=62)
    process.remove(70)
    process.add(every(60, max_runs=1), now=100)
    assert process.due() == 160
    assert process.started(160) == [("other", 122), ("t", 160)]
    assert process.statuses() == ["succeeded", "running"]


def test_a_removed_one_time_task_in_the_past_is_left_out_when_it_is_added_again(process):
    """A program that adds it at each start must start although somebody has removed the task."""
    process.add(once(60))
    process.run_pass(60)
    process.complete(61)
    process.remove(62)
    [(task_id, reason)] = add_one(process, once(60), 63)
    assert (task_id, reason) == ("t", f"run_at={moment(60).isoformat()} has passed")
    assert process.started(64) == []
    with pytest.raises(TaskNotFoundError):
        process.store.get_task("t")


def test_a_removed_paused_task_is_not_paused_when_it_is_added_again(process):
    """A new task begins unpaused."""
    process.add(every(60))
    process.pause(1)
    process.remove(2)
    process.add(every(60), now=3)
    assert not process.listed().paused


def test_another_default_zone_reckons_crontab_tasks_anew(process, new_process):
    """A crontab task without a zone follows the scheduler that adds it; one with a zone of its own does not."""
    own = cron("0 9 * * *", "own", timezone="UTC")
    process.add(cron("0 9 * * *"), own)
    assert process.due() == process.due("own") == 9 * HOUR
    tokyo = new_process(zone="Asia/Tokyo")
    tokyo.add(cron("0 9 * * *"), own, now=60)
    assert tokyo.due() == DAY
    assert tokyo.due("own") == 9 * HOUR
    assert tokyo.listed().zone == "Asia/Tokyo"


def test_another_default_zone_leaves_intervals_alone(process, new_process):
    """An interval has no zone."""
    process.add(every(HOUR))
    new_process(zone="Asia/Tokyo").add(every(HOUR), now=1800)
    assert process.due() == HOUR


# --- Finished tasks ---


def test_finished_tasks_leave_the_list_and_are_still_known(process):
    """`get_task` and `list_runs` know them."""
    process.add(once(60))
    process.run_pass(60)
    assert process.listed() is not None
    process.complete(61)
    assert process.listed() is None
    assert process.store.get_task("t").id == "t"
    assert process.statuses() == ["succeeded"]


def test_a_task_whose_end_has_come_finishes(process):
    """`end_at` is the last due time, at that instant too."""
    process.add(every(60, end_at=moment(120)))
    assert process.started(60) == [("t", 60)]
    process.complete(61)
    assert process.started(120) == [("t", 120)]
    assert process.listed().next_due is None
    process.complete(121)
    assert process.listed() is None


def test_removed_tasks_are_unknown(process):
    """Every call that names one says so; the error is a `KeyError` as well."""
    process.add(every(60))
    process.remove(1)
    calls = [process.store.get_task, *(lambda task_id, call=call: call(2, task_id) for call in _calls(process))]
    for call in calls:
        for task_id in ("t", "never"):
            with pytest.raises(TaskNotFoundError, match=repr(task_id)) as error:
                call(task_id)
            assert isinstance(error.value, KeyError)


def _calls(process):
    return [process.pause, process.resume, process.remove, process.trigger]


# --- max_runs ---


def test_max_runs_counts_scheduled_runs_that_started(process):
    """Skipped and missed due times and runs by hand do not count."""
    process.add(every(60, max_runs=2, misfire_grace_seconds=30))
    process.trigger(1)
    assert len(process.run_pass(1).claims) == 1
    assert process.started(60) == []
    process.complete(61)
    assert process.started(170) == []
    assert process.started(180) == [("t", 180)]
    process.complete(181)
    assert process.started(240) == [("t", 240)]
    process.complete(241)
    assert process.listed() is None
    assert process.history() == [
        ("succeeded", 1, 0),
        ("skipped", 60, 0),
        ("missed", 120, 0),
        ("succeeded", 180, 0),
        ("succeeded", 240, 0),
    ]


def test_a_greater_max_runs_takes_a_finished_task_up_again(process):
    """From now on, on its old anchor: what passed while it was finished is no due time."""
    process.add(every(60, max_runs=1))
    process.run_pass(60)
    process.complete(61)
    process.add(every(60, max_runs=3), now=200)
    assert process.due() == 240
    assert process.started(240) == [("t", 240)]
    process.complete(241)
    assert process.started(300) == [("t", 300)]
    process.complete(301)
    assert process.listed() is None


def test_no_max_runs_any_more_takes_a_finished_task_up_again(process):
    """None is no bound."""
    process.add(every(60, max_runs=1))
    process.run_pass(60)
    process.add(every(60), now=70)
    assert process.due() == 120


def test_a_max_runs_that_is_reached_already_finishes_a_task(process):
    """At once if no run is running, else when the running runs end."""
    process.add(every(60), every(60, task_id="idle"))
    process.run_pass(60)
    process.complete(61, task_id="idle")
    process.add(every(60, max_runs=1), every(60, task_id="idle", max_runs=1), now=70)
    assert process.listed("idle") is None
    assert process.listed().next_due is None
    process.complete(71)
    assert process.listed() is None


def test_a_max_runs_that_is_reached_accounts_for_what_was_owed(process):
    """A due time that had come before `max_runs` was lowered is in the history."""
    process.add(every(60))
    process.run_pass(60)
    process.complete(61)
    process.add(every(60, max_runs=1), now=130)
    assert process.history() == [("succeeded", 60, 0), ("skipped", 120, 0)]


def test_coalesced_due_times_are_one_run_for_max_runs(process):
    """A run that stands for many due times counts once."""
    process.add(every(60, max_runs=2))
    assert process.started(1000) == [("t", 960)]
    process.complete(1001)
    assert process.started(1020) == [("t", 1020)]
    process.complete(1021)
    assert process.listed() is None


def test_max_runs_holds_for_a_backlog_that_is_not_coalesced(process):
    """No due time is made up beyond the last run."""
    process.add(every(60, max_runs=3, coalesce=False, overlap="buffer_all"))
    process.run_pass(1000)
    for now in range(1001, 1005):
        process.complete(now)
    assert process.history() == [("succeeded", 60, 0), ("succeeded", 120, 0), ("succeeded", 180, 0)]
    assert process.listed() is None


# --- All or nothing ---


def test_add_tasks_is_all_or_nothing(process):
    """One refused task among many leaves all of them as they were."""
    process.add(every(60, task_id="old"))
    with pytest.raises(ValueError, match="Task b: cron_expression"):
        process.add(every(60, task_id="a"), every(90, task_id="old"), cron("0 0 30 2 *", "b"), now=0)
    assert [listed.id for listed in process.store.list_tasks()] == ["old"]
    assert process.due("old") == 60


# --- Tasks whose time has passed ---

LATER = RETENTION + 10 * DAY
OVER = {
    "run_at": (once(60), "run_at=.* has passed"),
    "end_at": (every(60, end_at=moment(90)), "end_at=.* has passed"),
    "max_runs": (every(60, max_runs=1), "max_runs=1 was reached"),
    "max_runs of a cron task": (cron("* * * * *", max_runs=1), "max_runs=1 was reached"),
}


def finish_and_purge(process, task):
    """Let a task have its run and be purged."""
    process.add(task)
    assert process.started(60) == [("t", 60)]
    process.complete(61)
    process.run_pass(120)
    assert process.listed() is None
    process.run_pass(LATER)
    assert process.sql("SELECT count(*) FROM scheduler_tasks") == [(0,)]


@pytest.mark.parametrize(("task", "words"), OVER.values(), ids=OVER.keys())
@pytest.mark.parametrize("times", [1, 2])
def test_a_task_that_was_purged_is_left_out(process, task, words, times):
    """A program that adds it at each start can start, with its other tasks, and the task does not run again."""
    finish_and_purge(process, task)
    for now in range(LATER + 1, LATER + 1 + times):
        [(task_id, reason)] = add_all(process, every(DAY, "other"), task, now=now)
        assert task_id == "t"
        assert re.fullmatch(words, reason)
        assert [(task_id, reason)] == add_one(process, task, now)
    assert [listed.id for listed in process.store.list_tasks()] == ["other"]
    assert [task for task, _ in process.started(LATER + 2 * DAY)] == ["other"]


@pytest.mark.parametrize(("task", "words"), OVER.values(), ids=OVER.keys())
def test_a_source_leaves_out_a_task_that_was_purged(process, task, words):
    """`apply_tasks` does so, too, and gives the reason."""
    finish_and_purge(process, task)
    changes = process.store.apply_tasks([task], "file", instant(LATER + 1), prune=True, dry_run=False)
    [(left_out, reason)] = changes.left_out
    assert left_out == "t"
    assert re.fullmatch(words, reason)
    assert changes.added == ()


@pytest.mark.parametrize(("task", "words"), OVER.values(), ids=OVER.keys())
def test_a_task_that_was_removed_and_purged_is_known(process, task, words):
    """Its id was stored once, so that it is no error; its runs are not counted."""
    process.add(task)
    process.run_pass(60)
    process.complete(61)
    process.remove(62)
    process.run_pass(LATER)
    left_out = add_one(process, task, LATER)
    assert [task_id for task_id, _ in left_out] == ([] if task.max_runs else ["t"])


def test_a_task_that_is_new_and_over_is_left_out_among_others(process):
    """On a new store it must not take the other tasks with it; alone it is refused."""
    over = [once(60, "once"), every(60, "bounded", end_at=moment(90)), every(DAY, "short", end_at=moment(LATER + 5))]
    left_out = add_all(process, *over, every(60, "other"), now=LATER)
    assert [task_id for task_id, _ in left_out] == ["once", "bounded", "short"]
    assert [listed.id for listed in process.store.list_tasks()] == ["other"]
    for task in over:
        with pytest.raises(ValueError, match=f"Task {task.id}: (run|end)_at="):
            add_one(process, task, LATER)


def test_a_purged_task_with_another_schedule_begins_anew(process):
    """Another instant is another schedule; what was recorded of the earlier one is gone then."""
    finish_and_purge(process, once(60))
    assert add_one(process, once(LATER + 60), LATER + 1) == []
    assert process.started(LATER + 60) == [("t", LATER + 60)]
    assert process.sql("SELECT count(*) FROM scheduler_purged") == [(0,)]


def test_a_purged_task_with_more_runs_goes_on(process):
    """As one does that was not purged: its earlier runs count."""
    finish_and_purge(process, every(60, max_runs=1))
    assert add_one(process, every(60, max_runs=2), LATER) == []
    assert process.started(LATER + 60) == [("t", LATER + 60)]
    process.complete(LATER + 61)
    assert process.listed() is None


def test_a_task_that_is_purged_twice_is_recorded_once(process):
    """With what is true of the second time."""
    finish_and_purge(process, once(60))
    again = LATER + 60
    process.add(once(again), now=LATER + 1)
    process.run_pass(again)
    process.complete(again + 1)
    process.run_pass(again + LATER)
    assert process.sql("SELECT id, started_runs FROM scheduler_purged") == [("t", 1)]
    assert [task_id for task_id, _ in add_one(process, once(again), again + LATER)] == ["t"]


def test_a_finished_task_with_another_passed_instant_stays_as_it_was(process):
    """The new definition is left out, as it would be for a task that is not stored."""
    process.add(once(60))
    process.run_pass(60)
    process.complete(61)
    assert [task_id for task_id, _ in add_one(process, once(70), 100)] == ["t"]
    assert process.store.get_task("t").run_at == moment(60)


# --- What is stored ---


def test_a_model_that_was_changed_into_nonsense_is_refused(process):
    """A definition is checked again when it is added, for pydantic lets it be changed."""
    task = every(60)
    task.interval_seconds = -1
    with pytest.raises(ValueError, match="interval_seconds"):
        process.add(task)
    task = every(60)
    task.metadata["when"] = object()
    with pytest.raises(ValueError, match="Task t"):
        process.add(task)
    assert process.store.list_tasks() == []


def test_more_tasks_than_a_statement_takes_parameters_are_added_at_once(process):
    """New ones and old ones alike."""
    tasks = [every(60, task_id=f"t{number:05}") for number in range(1200)]
    process.add(*tasks)
    process.add(*tasks, every(60, task_id="further"), now=30)
    assert len(process.store.list_tasks()) == 1201
    assert {seconds_of(listed.next_due) for listed in process.store.list_tasks()} == {60, 90}


def test_what_is_stored_is_what_was_added(process):
    """A definition comes back as it was, with each of its fields."""
    task = TaskDefinition(
        id="ä\u2603 t",
        name="Name 'with\" quotes",
        task_type="cron",
        enabled=False,
        prompt="Zeile\nZeile \U0001f600",
        session_id="s",
        metadata={"a": [1, 2.5, None, {"b": "c"}], "": True},
        cron_expression="*/5 9-17 * * mon-fri",
        timezone="Europe/Berlin",
        start_at=moment(5),
        end_at=moment(10**8),
        jitter_seconds=30,
        max_runs=7,
        overlap="buffer_all",
        misfire_grace_seconds=0.5,
        coalesce=False,
        timeout_seconds=1.5,
        max_attempts=3,
        retry_delay_seconds=0,
        retry_max_delay_seconds=9,
        rerun_after_crash=True,
        pause_after_failures=4,
        graph="module:graph",
    )
    process.add(task)
    assert process.store.get_task(task.id) == task
    assert process.listed(task.id).definition == task


def test_the_list_is_ordered_by_next_due_time(process):
    """Tasks without one come last."""
    process.add(once(30, "b"), every(20, "c"), once(5, "going"), every(10, "a"))
    process.run_pass(5)
    assert [listed.id for listed in process.store.list_tasks()] == ["a", "c", "b", "going"]
