"""Calendars in force: what starts, what the history says, and what follows a change of the calendar."""

from datetime import UTC, datetime, timedelta

import pytest

from scheduler import Calendar, RunStatus, TaskDefinition, TaskScheduler
from scheduler.errors import InvalidTaskError
from scheduler.testing import FakeGraph, SimulatedScheduler

FRIDAY = "2026-04-24 12:00 Europe/Berlin"
WEEKEND = {"closed": ("sat", "sun")}


def daily(calendar, **fields):
    given = {"task_type": "cron", "cron_expression": "0 9 * * *", "timezone": "Europe/Berlin", **fields}
    return TaskDefinition(id="t", name="T", prompt="Go.", calendar=calendar, **given)


def simulated(start=FRIDAY, **options):
    return SimulatedScheduler(start=start, graph=FakeGraph(), timezone="Europe/Berlin", **options)


def rows(scheduler):
    """The history: status, due time in Berlin's summer, what a row stands for beside it, and why."""
    summer = timedelta(hours=2)
    return [
        (str(run.status), f"{run.scheduled_at + summer:%a %H:%M}", run.coalesced, run.error)
        for run in scheduler.runs("t")
    ]


def test_closed_due_times_are_skipped_with_the_reason():
    with simulated() as scheduler:
        scheduler.add_task(daily(Calendar(holidays={"2026-04-27": "Company day"}, **WEEKEND)))
        assert str(scheduler.task_view("t").next_due) == "2026-04-28 09:00:00+02:00"
        assert len(scheduler.advance(days=5)) == 5
        assert rows(scheduler) == [
            ("skipped", "Sat 09:00", 0, "closed: Saturday (calendar=the task's own)"),
            ("skipped", "Sun 09:00", 0, "closed: Sunday (calendar=the task's own)"),
            ("skipped", "Mon 09:00", 0, "closed: Company day (calendar=the task's own)"),
            ("succeeded", "Tue 09:00", 0, None),
            ("succeeded", "Wed 09:00", 0, None),
        ]


def test_a_closed_night_is_one_row():
    with simulated() as scheduler:
        quiet = Calendar(quiet_hours="22:00-07:00")
        scheduler.add_task(
            daily(quiet, cron_expression="*/30 * * * *", start_at=datetime(2026, 4, 24, 19, 45, tzinfo=UTC))
        )
        scheduler.advance_to("2026-04-25 07:10 Europe/Berlin")
        reason = "closed: quiet hours 22:00-07:00 (calendar=the task's own)"
        assert rows(scheduler) == [("skipped", "Sat 06:30", 17, reason), ("succeeded", "Sat 07:00", 0, None)]


def test_due_times_that_move_to_one_instant_are_one_run():
    with simulated() as scheduler:
        scheduler.add_task(daily(Calendar(on_closed="next_open", **WEEKEND)))
        scheduler.advance(days=5)
        assert rows(scheduler) == [
            ("succeeded", "Mon 09:00", 2, None),
            ("succeeded", "Tue 09:00", 0, None),
            ("succeeded", "Wed 09:00", 0, None),
        ]


@pytest.mark.parametrize("coalesce", [True, False])
def test_what_passed_while_nothing_ran_is_accounted_for(coalesce):
    """Closed due times in a row of their own, and the open ones as their task says; none twice."""
    with simulated() as scheduler:
        scheduler.add_task(daily(Calendar(**WEEKEND), coalesce=coalesce, overlap="buffer_all"))
        scheduler.crash()
        scheduler.set_clock("2026-04-29 12:00 Europe/Berlin")
        scheduler.restart()
        scheduler.advance(minutes=1)
        found = sorted(rows(scheduler), key=lambda row: row[0])
        assert found[0] == ("skipped", "Sun 09:00", 1, "closed: Sunday (calendar=the task's own)")
        started = [row for row in found if row[0] == "succeeded"]
        assert sum(1 + row[2] for row in started) == 3
        assert [row[1] for row in started] == (["Wed 09:00"] if coalesce else ["Mon 09:00", "Tue 09:00", "Wed 09:00"])


def test_max_runs_counts_what_started():
    with simulated() as scheduler:
        scheduler.add_task(daily(Calendar(**WEEKEND), max_runs=2))
        scheduler.advance(days=10)
        assert [row[1] for row in rows(scheduler) if row[0] == "succeeded"] == ["Mon 09:00", "Tue 09:00"]
        assert str(scheduler.task_view("t").state) == "finished"


def test_a_task_ends_though_its_last_due_times_are_closed():
    with simulated() as scheduler:
        scheduler.add_task(daily(Calendar(closed="sun"), end_at=datetime(2026, 4, 26, 12, tzinfo=UTC)))
        scheduler.advance(days=3)
        assert [row[:2] for row in rows(scheduler)] == [("succeeded", "Sat 09:00"), ("skipped", "Sun 09:00")]
        assert str(scheduler.task_view("t").state) == "finished"


def test_a_task_that_is_always_closed_is_refused_and_not_stored():
    with simulated() as scheduler:
        with pytest.raises(InvalidTaskError, match="is closed at every due time") as refused:
            scheduler.add_task(daily(Calendar(closed="sun"), cron_expression="0 9 * * sun"))
        assert refused.value.field == "calendar"
        assert scheduler.list_tasks() == []


def test_a_one_time_task_that_would_be_skipped_is_refused():
    sunday = datetime(2026, 4, 26, 10, tzinfo=UTC)
    fields = {"task_type": "one_time", "run_at": sunday, "cron_expression": None}
    with simulated() as scheduler:
        with pytest.raises(InvalidTaskError, match="is closed at every due time"):
            scheduler.add_task(daily(Calendar(closed="sun"), **fields))
        scheduler.add_task(daily(Calendar(closed="sun", on_closed="next_open"), **fields))
        scheduler.advance(days=4)
        assert rows(scheduler) == [("succeeded", "Mon 12:00", 0, None)]


def test_a_run_by_hand_starts_though_it_is_closed():
    with simulated("2026-04-26 12:00 Europe/Berlin") as scheduler:
        scheduler.add_task(daily(Calendar(closed="sun")))
        scheduler.trigger_task("t")
        assert [run.status for run in scheduler.run_due()] == [RunStatus.SUCCEEDED]
        with pytest.raises(InvalidTaskError, match="is closed now: Sunday; it is open again at 2026-04-27 00:00:00"):
            scheduler.trigger_task("t", respect_calendar=True)
        assert len(scheduler.runs()) == 1
        scheduler.advance_to("2026-04-27 00:00 Europe/Berlin")
        scheduler.trigger_task("t", respect_calendar=True)
        assert len(scheduler.run_due()) == 1


def test_a_backfill_leaves_out_what_was_closed():
    with simulated("2026-04-29 12:00 Europe/Berlin") as scheduler:
        scheduler.add_task(daily(Calendar(**WEEKEND)))
        start, end = datetime(2026, 4, 23, 12, tzinfo=UTC), datetime(2026, 4, 28, 12, tzinfo=UTC)
        found = scheduler.backfill_task("t", start, end)
        assert [f"{each:%a}" for each in found] == ["Fri", "Mon", "Tue"]


# --- Named calendars ---


def test_a_stored_task_holds_the_calendar_that_it_names(tmp_path):
    """Every process that opens the store knows it, also one that was given no calendars."""
    path = tmp_path / "scheduler.db"
    moving = {"on_closed": "next_open"}
    first = TaskScheduler(db_path=path, graph=FakeGraph(), calendars={"office": Calendar(closed="sun", **moving)})
    first.add_task(daily("office", cron_expression="0 9 * * sun"))
    assert first.task_view("t").next_due.strftime("%a") == "Mon"
    assert first.get_task("t").calendar == Calendar(name="office", closed="sun", **moving)
    first.stop()
    second = TaskScheduler(db_path=path, graph=FakeGraph())
    assert second.task_view("t").next_due.strftime("%a") == "Mon", "each process knows the calendar"
    second.stop()


async def test_a_changed_calendar_is_followed_at_start(tmp_path):
    path = tmp_path / "scheduler.db"
    moving = {"on_closed": "next_open"}
    first = TaskScheduler(db_path=path, graph=FakeGraph(), calendars={"office": Calendar(closed="sun", **moving)})
    first.add_task(daily("office", cron_expression="0 9 * * sun"))
    await first.stop()
    closed = Calendar(closed=["sun", "mon"], **moving)
    async with TaskScheduler(db_path=path, graph=FakeGraph(), calendars={"office": closed}) as second:
        assert second.task_view("t").next_due.strftime("%a") == "Tue"
        assert second.get_task("t").calendar.closed == ("sun", "mon")


def test_a_calendar_that_skips_changes_no_due_time(tmp_path):
    with simulated() as scheduler:
        every = TaskDefinition(id="t", name="T", prompt="Go.", task_type="interval", interval_seconds=7_000)
        scheduler.add_task(every)
        due = scheduler.task_view("t").next_due
        scheduler.advance(minutes=30)
        scheduler.update_task("t", calendar=Calendar(closed="sun"))
        assert scheduler.task_view("t").next_due == due


@pytest.mark.parametrize(
    ("calendars", "said"),
    [
        ({"office": Calendar(name="home", closed="sun")}, r"calendars\.office has name='home'; leave it out"),
        ({"office": Calendar()}, r"calendars\.office closes nothing"),
        ({"office": "sun"}, r"calendars\.office is a str; give a Calendar"),
        ({"office": {"closed": "someday"}}, r"calendars\.office: closed='someday' is no day"),
    ],
)
def test_calendars_that_mean_nothing_are_refused(calendars, said):
    with pytest.raises(ValueError, match=said):
        TaskScheduler(persistent=False, graph=FakeGraph(), calendars=calendars)


def test_a_name_that_nobody_knows_is_refused():
    with simulated(calendars={"office": Calendar(closed="sun")}) as scheduler:
        with pytest.raises(InvalidTaskError, match="its calendars are: office;") as refused:
            scheduler.add_task(daily("home"))
        assert refused.value.field == "calendar"
        scheduler.add_task(daily("office"))
        with pytest.raises(InvalidTaskError, match="calendar='home' is no calendar"):
            scheduler.update_task("t", calendar="home")
        assert scheduler.get_task("t").calendar.name == "office"
