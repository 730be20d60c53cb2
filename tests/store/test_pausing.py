"""Pausing, resuming, removing and triggering: what is a due time meanwhile, and where the others went."""

from datetime import UTC, datetime, timedelta

import pytest
from helpers import hourly
from store_kit import HOUR, cron, every, instant, moment, once, seconds_of

from scheduler import RunStatus


def test_instants_while_a_recurring_task_is_paused_are_no_due_times(process):
    """It does not catch up on what passed, and keeps its old anchor."""
    process.add(every(60))
    process.pause(30)
    assert process.started(200) == []
    process.resume(200)
    assert process.due() == 240
    assert process.started(239) == []
    assert process.started(240) == [("t", 240)]
    assert process.history() == [("running", 240, 0)]


def test_the_instant_of_the_resumption_is_no_due_time(process):
    """Due times lie strictly after it."""
    process.add(every(60))
    process.pause(30)
    process.resume(60)
    assert process.due() == 120


def test_due_times_owed_at_the_pause_are_accounted_for(process):
    """What had come and was not started before the pause is `skipped`, with the reason; the instant itself counts."""
    process.add(every(60))
    process.pause(180)
    assert process.history() == [("skipped", 180, 2)]
    assert process.runs()[0].error == "the task was paused before it could start"
    process.resume(600)
    assert process.due() == 660


def test_pausing_twice_accounts_once(process):
    """The second call changes nothing."""
    process.add(every(60))
    process.pause(180)
    process.pause(600)
    assert process.history() == [("skipped", 180, 2)]


def test_resuming_what_is_not_paused_changes_nothing(process):
    """Neither an owed due time nor one to come."""
    process.add(every(60))
    process.resume(200)
    assert process.due() == 60
    assert process.started(200) == [("t", 180)]


def test_a_one_time_task_that_came_due_while_paused_runs_when_it_is_resumed(process):
    """Its instant is not lost."""
    process.add(once(60))
    process.pause(30)
    assert process.started(100) == []
    process.resume(200)
    assert process.started(200) == [("t", 60)]


def test_a_one_time_task_that_was_due_when_it_was_paused_runs_when_it_is_resumed(process):
    """Also where the pause came between its instant and its start."""
    process.add(once(60))
    process.pause(61)
    assert process.started(62) == []
    process.resume(200)
    assert process.started(200) == [("t", 60)]
    assert process.history() == [("running", 60, 0)]


def test_a_one_time_task_resumed_past_its_grace_is_missed(process):
    """Its grace says otherwise."""
    process.add(once(60, misfire_grace_seconds=10))
    process.pause(30)
    process.resume(200)
    assert process.started(200) == []
    assert process.history() == [("missed", 60, 0)]
    assert process.listed() is None


def test_a_task_whose_end_passes_while_it_is_paused_finishes_when_it_is_resumed(process):
    """It stays listed as paused until then."""
    process.add(every(60, end_at=moment(150)))
    process.pause(30)
    process.run_pass(300)
    assert process.listed().paused
    process.resume(301)
    assert process.listed() is None
    assert process.history() == []


def test_a_task_paused_when_its_last_due_time_is_owed_finishes(process):
    """There is nothing left that a resumption could bring."""
    process.add(every(60, end_at=moment(150)))
    process.pause(200)
    assert process.history() == [("skipped", 120, 1)]
    assert process.listed() is None


def test_a_run_that_is_going_goes_on_when_its_task_is_paused(process):
    """Its outcome is written."""
    process.add(every(60))
    process.run_pass(60)
    process.pause(61)
    process.complete(62)
    assert process.statuses() == ["succeeded"]
    assert process.listed().paused


def test_a_paused_crontab_task_goes_on_with_the_calendar(process):
    """A crontab task has no anchor to lose."""
    process.add(cron("0 * * * *"))
    process.pause(60)
    process.resume(5 * HOUR + 60)
    assert process.due() == 6 * HOUR


# --- Removing ---


def test_the_history_of_a_removed_task_stays(process):
    """And continues when the task is added again."""
    process.add(every(60))
    process.run_pass(60)
    process.complete(61)
    process.remove(70)
    assert process.listed() is None
    assert process.statuses() == ["succeeded"]


def test_due_times_owed_at_the_removal_are_accounted_for(process):
    """As `skipped`, with the reason; nothing comes due any more."""
    process.add(every(60), once(60, "once"))
    process.remove(180)
    process.remove(180, "once")
    assert process.history() == [("skipped", 180, 2)]
    assert process.history("once") == [("skipped", 60, 0)]
    assert process.runs()[0].error == "the task was removed before it could start"
    assert process.started(1000) == []


def test_a_paused_task_owes_nothing_when_it_is_removed(process):
    """What passed while it was paused was no due time."""
    process.add(every(60))
    process.pause(30)
    process.remove(300)
    assert process.history() == []


def test_a_removed_task_that_runs_goes_on_and_its_outcome_is_written(process):
    """Removing is no cancelling."""
    process.add(every(60))
    process.run_pass(60)
    process.remove(61)
    assert process.complete(62).lost == []
    assert process.statuses() == ["succeeded"]
    assert process.listed() is None


def test_runs_that_wait_are_cancelled_with_their_task(process):
    """Buffered, triggered, and waiting for a further attempt."""
    process.add(every(60, overlap="buffer_one"), every(60, task_id="again", max_attempts=2))
    process.run_pass(60)
    process.complete(61, RunStatus.FAILED, task_id="again", slots=0)
    process.run_pass(120, slots=0)
    process.trigger(121)
    process.remove(122)
    process.remove(122, "again")
    assert process.statuses() == ["running", "cancelled", "cancelled"]
    assert process.statuses("again")[0] == "cancelled"
    assert process.started(1000) == []


def test_a_removed_task_has_no_further_attempt(process):
    """Its run is over with the attempt that was running."""
    process.add(every(60, max_attempts=3))
    process.run_pass(60)
    process.remove(61)
    process.complete(62, RunStatus.FAILED)
    assert process.statuses() == ["failed"]
    assert process.started(1000) == []


def test_what_was_claimed_and_not_launched_is_not_started_after_the_removal(process):
    """A claim that is given back belongs to no task any more."""
    process.add(every(60))
    process.run_pass(60)
    process.remove(61)
    process.complete(62, RunStatus.PENDING)
    assert process.started(1000) == []
    assert process.statuses() == ["cancelled"]


def test_a_task_removed_and_added_again_does_not_overlap_its_old_run(process):
    """The run of the removed task is still a run of this id."""
    process.add(every(60))
    process.run_pass(60)
    process.remove(61)
    process.add(every(60), now=62)
    assert process.started(122) == []
    assert process.statuses() == ["running", "skipped"]


# --- Triggering ---


def test_a_trigger_starts_a_run_and_changes_no_due_time(process):
    """The run is `manual`, and what is due on schedule is due all the same."""
    process.add(every(60))
    run_id = process.trigger(10)
    assert process.due() == 60
    [claim] = process.run_pass(10).claims
    assert (claim.run_id, claim.trigger, claim.attempt) == (run_id, "manual", 1)
    process.complete(11)
    assert process.started(60) == [("t", 60)]


def test_a_trigger_works_on_a_paused_task(process):
    """It stays paused."""
    process.add(every(60))
    process.pause(1)
    process.trigger(10)
    assert process.started(10) == [("t", 10)]
    process.complete(11)
    assert process.listed().paused


def test_a_trigger_works_on_a_finished_task(process):
    """It stays finished."""
    process.add(once(60))
    process.run_pass(60)
    process.complete(61)
    process.trigger(100)
    assert process.started(100) == [("t", 100)]
    process.complete(101)
    assert process.listed() is None
    assert process.statuses() == ["succeeded", "succeeded"]


def test_a_trigger_by_a_process_that_does_not_run_is_started_by_another(process, new_process):
    """The queue is the table."""
    process.add(every(60))
    new_process().trigger(10)
    assert process.started(10) == [("t", 10)]


def test_a_triggered_run_waits_for_the_run_that_is_going(process):
    """Unless its task may overlap."""
    process.add(every(60), every(60, task_id="wide", overlap="allow_all"))
    process.run_pass(60)
    process.trigger(61)
    process.trigger(61, "wide")
    assert process.started(61) == [("wide", 61)]
    process.complete(62, task_id="t")
    assert process.statuses() == ["succeeded", "running"]


def test_two_triggers_are_two_runs(process):
    """One after the other, at one and the same instant too."""
    process.add(every(60))
    assert process.trigger(10) != process.trigger(10)
    assert len(process.run_pass(10).claims) == 1
    process.complete(11)
    process.complete(12)
    assert process.statuses() == ["succeeded", "succeeded"]


def test_a_trigger_at_the_due_time_leaves_that_to_the_schedule(process):
    """A run by hand does not take the place of the scheduled one, nor does its row."""
    process.add(every(60, overlap="allow_all"))
    process.trigger(60)
    assert sorted(process.started(60)) == [("t", 60), ("t", 60)]
    assert sorted(run.trigger for run in process.runs()) == ["manual", "schedule"]


@pytest.mark.parametrize("slots", [1, 2])
def test_triggers_of_one_task_do_not_keep_other_tasks_waiting(process, slots):
    """Of a task whose runs go one at a time, the second in the queue takes no slot, nor the place of others."""
    process.add(every(HOUR), every(HOUR, task_id="other"))
    for _ in range(3):
        process.trigger(10)
    process.trigger(11, "other")
    process.run_pass(12, slots=slots)
    assert process.statuses("other") == (["running"] if slots == 2 else ["pending"])


# --- Pausing for a time ---


def test_a_pause_ends_by_itself(process):
    """What comes due from its end on runs, the end itself included; what came before is no due time."""
    process.add(every(60))
    process.store.pause_task("t", instant(30), None, instant(180))
    assert process.run_pass(179).wake_at == instant(180)
    assert process.listed().paused
    result = process.run_pass(180)
    assert result.resumed == ["t"]
    assert [seconds_of(claim.scheduled_at) for claim in result.claims] == [180]
    assert process.history() == [("running", 180, 0)]
    assert process.listed().pause_until is process.listed().paused_at is None


def test_due_times_between_the_end_of_a_pause_and_the_next_scheduler_are_due(process):
    """They were missed because nothing ran, as any other."""
    process.add(every(60))
    process.store.pause_task("t", instant(30), None, instant(100))
    process.run_pass(500)
    assert process.history() == [("running", 480, 6)]


def test_a_pause_has_a_note_and_a_beginning(process):
    """A second call changes the note and the end, not the beginning; a resumption forgets all of them."""
    process.add(every(60))
    process.store.pause_task("t", instant(30), "the provider is down", instant(180))
    process.store.pause_task("t", instant(40), "it is still down", instant(300))
    listed = process.listed()
    assert (listed.pause_reason, seconds_of(listed.paused_at), seconds_of(listed.pause_until)) == (
        "it is still down",
        30,
        300,
    )
    process.store.pause_task("t", instant(50))
    listed = process.listed()
    assert (listed.pause_reason, listed.pause_until) == ("it is still down", None)
    process.resume(60)
    listed = process.listed()
    assert (listed.paused, listed.pause_reason, listed.paused_at, listed.pause_until) == (False, None, None, None)


def test_a_pause_with_an_end_survives_an_addition_and_a_new_schedule(process):
    """A task that is added again stays paused, for as long as it was to be."""
    process.add(every(60))
    process.store.pause_task("t", instant(30), "why", instant(180))
    process.add(every(60), now=40)
    process.add(every(50), now=40)
    assert (process.listed().pause_reason, seconds_of(process.listed().pause_until)) == ("why", 180)
    assert process.started(180) == []
    assert process.started(190) == [("t", 190)]


def test_the_end_of_a_pause_of_a_task_that_cannot_be_read_leaves_it_paused(process):
    """It says so, and does not come up again in each pass."""
    process.add(every(60))
    process.store.pause_task("t", instant(30), None, instant(100))
    process.sql("UPDATE scheduler_tasks SET definition = '{}'")
    assert process.run_pass(100).resumed == []
    assert process.listed().pause_until is None
    assert process.listed().pause_reason == "its definition could not be read when its pause ended"


def test_a_removed_task_is_not_resumed(process):
    """Its pause is gone with it."""
    process.add(every(60))
    process.store.pause_task("t", instant(30), None, instant(100))
    process.remove(40)
    assert process.run_pass(100).resumed == []


def test_a_one_time_task_comes_due_when_its_pause_ends(process):
    """Its instant passed meanwhile."""
    process.add(once(60))
    process.store.pause_task("t", instant(30), None, instant(100))
    assert process.started(99) == []
    assert process.started(100) == [("t", 60)]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"until": moment(0)}, "until=2026-01-05T00:00:00.*has passed"),
        ({"until": moment(0).replace(tzinfo=None)}, "has no time zone"),
        ({"until": "tomorrow"}, "until='tomorrow' is no datetime"),
        ({"note": " "}, "note=' '"),
        ({"note": 7}, "note=7"),
        ({"note": "x" * 2001}, "at most 2000 characters"),
    ],
)
def test_a_wrong_pause_is_refused(face, arguments, problem):
    """And nothing is stored."""
    face.add_task(hourly("t"))
    with pytest.raises(ValueError, match=problem):
        face.pause_task("t", **arguments)
    assert face.task_views()[0].state == "scheduled"


def test_a_pause_is_shown_with_its_end(face):
    """In the zone of the task."""
    face.add_task(hourly("t", timezone="Europe/Berlin"))
    end = datetime.now(UTC) + timedelta(hours=1)
    face.pause_task("t", until=end, note="the provider is down")
    (view,) = face.task_views()
    assert (view.pause_reason, view.paused_until) == ("the provider is down", end)
    assert view.paused_until.tzinfo.key == "Europe/Berlin"
    assert view.paused_since < end
