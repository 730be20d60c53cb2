"""Recurrence rules and calendars in the store: added again, and when the clock is set back."""

import sys
from datetime import timedelta

import pytest
from store_kit import DAY, HOUR, MINUTE, every, moment

from scheduler import Calendar, TaskDefinition
from scheduler.timing import closed_times, holiday_days

EVERY_OTHER_MONDAY = "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO;BYHOUR=9"
WEEK = 7 * DAY


def rule(text=EVERY_OTHER_MONDAY, **fields):
    """Return a task with a rule; `START` is a Monday."""
    return TaskDefinition(id="t", name="T", prompt="Go on.", task_type="rrule", rrule=text, **fields)


def test_a_rule_without_a_start_keeps_its_weeks_when_it_is_added_again(process):
    """Also a week later, in the week that it leaves out, and with another prompt."""
    process.add(rule(), now=HOUR)
    assert process.due() == 9 * HOUR
    process.run_pass(9 * HOUR)
    process.complete(9 * HOUR + 1)
    assert process.due() == 2 * WEEK + 9 * HOUR
    process.add(rule(), now=WEEK + HOUR)
    assert process.due() == 2 * WEEK + 9 * HOUR
    process.add(rule().model_copy(update={"prompt": "Something else."}), now=WEEK + 2 * HOUR)
    assert process.due() == 2 * WEEK + 9 * HOUR


def test_another_rule_begins_anew(process):
    process.add(rule(), now=10 * HOUR)
    assert process.due() == WEEK + 9 * HOUR
    process.add(rule("FREQ=WEEKLY;INTERVAL=2;BYDAY=TU;BYHOUR=9"), now=11 * HOUR)
    assert process.due() == DAY + 9 * HOUR


def test_excluded_days_belong_to_the_schedule(process):
    process.add(rule("FREQ=DAILY;BYHOUR=9"), now=HOUR)
    assert process.due() == 9 * HOUR
    today = moment(HOUR).date()
    process.add(rule("FREQ=DAILY;BYHOUR=9", exdates=[today, today + timedelta(days=1)]), now=2 * HOUR)
    assert process.due() == 2 * DAY + 9 * HOUR


def test_a_rule_is_not_served_twice_when_the_clock_is_set_back(process):
    """The due time that has run does not come again; the weeks stay the same."""
    process.add(rule(), now=HOUR)
    process.run_pass(9 * HOUR)
    process.complete(9 * HOUR + 1)
    process.run_pass(8 * HOUR)  # an hour back
    assert process.due() == 2 * WEEK + 9 * HOUR
    process.run_pass(9 * HOUR + MINUTE)
    assert len(process.runs()) == 1


def test_a_rule_that_ran_ahead_of_time_continues_after_the_clock_is_corrected(process):
    """The clock was four weeks ahead: what comes then is due again on the days of the rule."""
    process.add(rule(), now=HOUR)
    process.run_pass(4 * WEEK + 10 * HOUR)
    process.complete(4 * WEEK + 10 * HOUR + 1)
    process.run_pass(HOUR)
    due = process.due()
    assert due is not None
    assert due <= 6 * WEEK + 9 * HOUR
    assert (due - 9 * HOUR) % (2 * WEEK) == 0


def test_a_closed_due_time_is_skipped_once_when_the_clock_is_set_back(process):
    process.add(rule("FREQ=DAILY;BYHOUR=9", calendar=Calendar(closed="mon")), now=HOUR)
    process.run_pass(9 * HOUR)
    assert process.history() == [("skipped", 9 * HOUR, 0)]
    process.run_pass(8 * HOUR)
    process.run_pass(9 * HOUR + MINUTE)
    assert process.history() == [("skipped", 9 * HOUR, 0)]
    process.run_pass(DAY + 9 * HOUR)
    assert [each[:2] for each in process.history()] == [("skipped", 9 * HOUR), ("running", DAY + 9 * HOUR)]


def test_a_moved_due_time_runs_once_when_the_clock_is_set_back(process):
    """Sunday and Monday are one run on Tuesday, which does not come again."""
    calendar = Calendar(closed=["sun", "mon"], on_closed="next_open")
    process.add(rule("FREQ=DAILY;BYHOUR=9", calendar=calendar), now=HOUR)
    process.run_pass(DAY + 9 * HOUR)
    assert process.history() == [("running", DAY + 9 * HOUR, 1)]
    process.complete(DAY + 10 * HOUR)
    process.run_pass(DAY + 8 * HOUR)
    process.run_pass(DAY + 9 * HOUR + MINUTE)
    assert len(process.runs()) == 1
    assert process.due() == 2 * DAY + 9 * HOUR


def test_what_is_closed_takes_no_slot(process):
    """With one slot, a younger task that is open starts beside an older one that is closed."""
    closed = rule("FREQ=DAILY;BYHOUR=8", calendar=Calendar(closed="mon"))
    is_open = TaskDefinition(id="u", name="U", prompt="Go.", task_type="cron", cron_expression="0 9 * * *")
    process.add(closed, is_open, now=HOUR)
    claimed = process.run_pass(9 * HOUR + 1, 1).claims
    assert [each.task.id for each in claimed] == ["u"]


def test_a_calendar_whose_holidays_are_not_known_here_holds_its_task(process, new_process, monkeypatch):
    """Without the package of holidays nothing fires here and nothing is quarantined; another process runs it."""
    process.add(rule("FREQ=DAILY;BYHOUR=9", calendar=Calendar(holidays="DE-BY")), now=HOUR)
    caches = [holiday_days._maker, holiday_days.holiday_names, closed_times.closed_days, closed_times.open_times]
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "holidays", None)
        for each in caches:
            each.cache_clear()
        assert process.run_pass(9 * HOUR).claims == []
        listed = process.listed(now=9 * HOUR)
        assert listed.problem is None
        assert "needs the package holidays; pip install 'langgraph-task-scheduler[calendars]'" in listed.trouble
    for each in caches:
        each.cache_clear()
    other = new_process(9 * HOUR)
    assert [claim.task.id for claim in other.run_pass(9 * HOUR + 1).claims] == ["t"]


@pytest.mark.parametrize(("now", "latest"), [(DAY + 2 * HOUR, DAY + 3 * HOUR), (2 * HOUR, DAY + 3 * HOUR)])
def test_an_interval_whose_due_times_move_is_not_silent_after_the_clock_is_set_back(process, now, latest):
    """It was added while the clock was a year ahead; on a closed day the next one is on the day after."""
    calendar = Calendar(closed="mon", on_closed="next_open")
    process.add(every(HOUR, calendar=calendar), now=400 * DAY)
    process.run_pass(400 * DAY + 2 * HOUR)
    process.complete(400 * DAY + 2 * HOUR + 1)
    process.run_pass(now)
    assert max(now, DAY) < process.due() <= latest
