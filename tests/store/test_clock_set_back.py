"""The wall clock is set back or forward: no due time is served twice, and no task falls silent."""

import contextlib
from datetime import UTC, datetime

import pytest
from store_kit import DAY, HOUR, LEASE, RETENTION, START, Process, cron, every, instant, moment, once, seconds_of

from scheduler import RunStatus, StoreError, TaskNotFoundError
from scheduler.models import Question
from scheduler.timing.clock import SECOND, to_micros

# --- Due times that come again ---


def come_again(process, due):
    """Let due times come again from an instant on, as when the clock is set back."""
    process.sql("UPDATE scheduler_tasks SET next_due = :due", due=instant(due))


def test_a_clock_that_was_put_back_starts_nothing_twice(process):
    """Due times that have had their run come a second time, and are let go."""
    process.add(cron("*/10 * * * *"))
    for now in range(600, HOUR + 1, 600):
        assert process.started(now) == [("t", now)]
        process.complete(now + 1)
    started = [pair for now in range(60, 2 * HOUR + 301, 300) for pair in _start_and_end(process, now)]
    assert started == [("t", due) for due in range(HOUR + 600, 2 * HOUR + 1, 600)]
    assert len({run.scheduled_at for run in process.runs()}) == len(process.runs()) == 12


def _start_and_end(process, now):
    started = process.started(now)
    process.end(now)
    return started


def test_a_due_time_that_comes_a_second_time_while_a_run_goes_stops_nobody(process):
    """It has a row already; the pass continues with the other tasks."""
    process.add(cron("*/10 * * * *"), cron("*/10 * * * *", "other"))
    process.run_pass(600)
    process.run_pass(1200)
    process.complete(1201, task_id="other")
    process.run_pass(1800)
    process.complete(1801, task_id="other")
    process.run_pass(300)
    for now in range(600, 2401, 600):
        process.run_pass(now)
    assert process.history("other")[-1] == ("running", 2400, 0)
    assert [run for run in process.history() if run[0] != "skipped"] == [("running", 600, 0)]


def test_skipped_due_times_that_share_a_row_are_not_forgotten(process):
    """The row names the latest of them, also if earlier ones are added to it after the clock was set back."""
    process.add(every(60, "t", start_at=moment(-7)))
    process.run_pass(60)
    process.run_pass(600)
    assert process.history() == [("running", 53, 0), ("skipped", 593, 8)]
    process.run_pass(-3008)
    process.run_pass(592)
    assert process.history() == [("running", 53, 0), ("skipped", 593, 17)]
    assert process.due() == 653


def test_a_task_resumed_after_the_clock_was_put_back_is_not_started_twice(process):
    """Nor is one that is removed and added again."""
    process.add(every(60, overlap="allow_all"))
    for now in (60, 120, 180):
        process.run_pass(now)
    process.pause(190)
    process.resume(30)
    process.remove(31)
    process.add(cron("* * * * *", overlap="allow_all"), now=31)
    assert process.started(60) == process.started(120) == process.started(180) == []
    assert process.started(240) == [("t", 240)]


@pytest.mark.parametrize("coalesce", [True, False])
def test_due_times_that_come_again_are_not_counted_for_max_runs(process, coalesce):
    """The task ends after as many runs as it was granted."""
    fields = {"max_runs": 5, "coalesce": coalesce}
    process.add(every(60, "anchored", start_at=moment(0), **fields), cron("* * * * *", "cron", **fields))
    for now in (60, 120, 180):
        process.started(now)
        process.complete(now + 1)
    for now in range(50, 1200, 10):
        process.run_pass(now)
        process.end(now)
    for task_id in ("anchored", "cron"):
        assert process.history(task_id) == [("succeeded", due, 0) for due in (60, 120, 180, 240, 300)]
        assert process.listed(task_id) is None


@pytest.mark.parametrize("last", [None, moment(240)])
def test_a_task_whose_last_due_times_come_again_still_ends(process, last):
    """Nothing is left to be served: the task is finished, and not listed any more."""
    process.add(cron("* * * * *", end_at=last, max_runs=None if last else 4))
    for now in (60, 120, 180):
        process.started(now)
        process.complete(now + 1)
    come_again(process, 60)
    process.run_pass(180)
    assert process.due() == 240
    process.run_pass(240)
    process.complete(241)
    assert process.statuses() == ["succeeded"] * 4
    assert process.listed() is None


def test_a_backlog_counts_no_due_time_that_was_served(process):
    """`coalesced` is the number of due times that had no run yet."""
    process.add(cron("* * * * *"))
    for now in (120, 240, 360):
        process.started(now)
        process.complete(now)
    come_again(process, 60)
    assert process.started(420) == [("t", 420)]
    assert process.history()[-1] == ("running", 420, 3)


@pytest.mark.parametrize("overlap", ["skip", "buffer_one", "buffer_all", "cancel_other", "allow_all"])
@pytest.mark.parametrize("coalesce", [True, False])
def test_every_overlap_policy_leaves_served_due_times_out(process, overlap, coalesce):
    """While a run is running, too: no row is added for a due time that has one."""
    process.add(cron("* * * * *", overlap=overlap, coalesce=coalesce))
    for now in (60, 120, 180):
        process.started(now)
        process.complete(now)
    process.trigger(185)
    process.run_pass(185)
    come_again(process, 60)
    for now in (60, 120, 180, 240):
        process.run_pass(now)
    scheduled = [run for run in process.runs() if run.trigger == "schedule"]
    assert [seconds_of(run.scheduled_at) for run in scheduled] == [60, 120, 180, 240]


@pytest.mark.parametrize("end", ["pause", "remove"])
def test_a_task_that_is_taken_away_owes_no_due_time_that_was_served(process, end):
    """Its last row says only what was left."""
    process.add(cron("* * * * *"))
    for now in (60, 120):
        process.started(now)
        process.complete(now)
    come_again(process, 60)
    getattr(process, end)(130)
    assert process.history() == [("succeeded", 60, 0), ("succeeded", 120, 0)]


def test_rows_that_were_changed_by_hand_start_nothing_twice(process):
    """The number of the next row is taken: that run is not started, and other tasks are served."""
    process.add(every(60, "a", overlap="allow_all"), every(60, "b", overlap="allow_all"))
    process.run_pass(60)
    process.sql("UPDATE scheduler_tasks SET last_seq = 0 WHERE id = 'a'")
    assert process.started(120) == [("b", 120)]
    assert process.started(180) == [("a", 180), ("b", 180)]


# --- The clock was ahead when the program last ran ---

YEARS = 3_650 * DAY
RECURRING = {
    "interval": every(60, "interval"),
    "jittered": every(60, "jittered", jitter_seconds=30),
    "anchored": every(60, "anchored", start_at=moment(-DAY)),
    "cron": cron("* * * * *", "cron"),
}


def longest_wait(task):
    return 60 + (task.jitter_seconds or 0)


@pytest.fixture(params=["stopped", "killed", "killed elsewhere", "only added"])
def ran(request, new_process, dead_pid):
    """Return what lets a program add tasks and run for two minutes at a time, and then end."""

    def run(now, *tasks):
        program = new_process(now)
        program.add(*tasks, now=now)
        if request.param == "only added":
            program.sql("DELETE FROM scheduler_owners")
            return
        for second in range(now, now + 121, 10):
            program.run_pass(second)
            program.end(second)
        program.run_pass(now + 121)
        if request.param == "stopped":
            program.session.end([], instant(now + 121))
        elif request.param == "killed":
            program.die(dead_pid)
        else:
            program.sql("UPDATE scheduler_owners SET namespace = 'another'")

    return run


@pytest.mark.parametrize(
    ("kind", "ahead"),
    [
        ("interval", 140),
        ("interval", YEARS),
        ("jittered", HOUR),
        ("anchored", 2 * LEASE + 121),
        ("cron", HOUR),
        ("cron", YEARS),
    ],
)
def test_a_start_notices_that_the_clock_was_ahead(ran, new_process, kind, ahead):
    """Each recurring task is due as soon as after any other start, whether the clock was ahead by a little or a lot."""
    ran(ahead, RECURRING[kind])
    program = new_process(0)
    assert 0 < program.due(kind) <= longest_wait(RECURRING[kind])
    started = [pair for second in range(0, 301, 5) for pair in _start_and_end(program, second)]
    assert len(started) >= 3


def test_a_start_notices_a_step_that_is_shorter_than_a_lease(new_process, process, dead_pid):
    """An interval of a second is not silent for the twenty seconds that come again."""
    process.add(every(1))
    for now in range(25):
        process.run_pass(now)
        process.end(now)
    process.die(dead_pid)
    assert new_process(4).due() <= 5


def test_a_start_after_an_ordinary_pause_changes_nothing(new_process, process):
    """Neither a downtime nor a correction of the clock by less than a second is a step."""
    process.add(*RECURRING.values(), every(7, "other"))
    for now in range(0, 200, 20):
        process.run_pass(now)
        process.end(now)
    process.run_pass(200)
    process.session.end([], instant(200))
    before = process.sql("SELECT * FROM scheduler_tasks ORDER BY id")
    new_process(199.5).session.end([], instant(199.5))
    new_process(900)
    assert process.sql("SELECT * FROM scheduler_tasks ORDER BY id") == before


def test_the_second_start_after_a_step_corrects_nothing_more(ran, new_process):
    """The first one has; anchors stay."""
    ran(HOUR, *RECURRING.values())
    program = new_process(0)
    program.session.end([], instant(0))
    before = program.sql("SELECT * FROM scheduler_tasks ORDER BY id")
    again = new_process(5)
    assert again.sql("SELECT * FROM scheduler_tasks ORDER BY id") == before


def test_due_times_are_spread_as_before(ran, new_process):
    """Intervals go on with what was left of their waits: not all of them at one instant."""
    tasks = [every(60, f"t{number}") for number in range(6)]
    for number, task in enumerate(tasks):
        ran(HOUR + 7 * number, task)
    program = new_process(0)
    dues = [program.due(task.id) for task in tasks]
    assert all(0 < due <= 60 for due in dues)
    assert len({round(due) for due in dues}) == 6


# --- The clock is set back while a program runs ---


def serve(process, start, end, step=5):
    """Make passes and end what runs; return which due times were started."""
    return [pair for now in range(start, end, step) for pair in _start_and_end(process, now)]


@pytest.mark.parametrize("back", [2, 45, HOUR - 120])
def test_a_running_program_notices_a_step(process, back):
    """An interval is not silent for longer than between two due times; cron is quiet for what it has served."""
    process.add(*RECURRING.values())
    serve(process, 0, HOUR)
    process.run_pass(HOUR - back)
    for task_id in ("interval", "jittered"):
        assert process.due(task_id) <= HOUR - back + longest_wait(RECURRING[task_id])
    for task_id in ("anchored", "cron"):
        assert process.due(task_id) == HOUR


def test_jittered_intervals_keep_their_anchor_where_they_can(process):
    """Twice the interval is as long as they wait at any other time."""
    tasks = [every(60, f"t{number}", jitter_seconds=60) for number in range(40)]
    process.add(*tasks)
    for now in range(0, 900, 10):
        process.run_pass(now)
        process.end(now)
    process.run_pass(899)
    due = {task.id: process.due(task.id) for task in tasks}
    process.run_pass(897)
    assert {row.anchor for row in process.sql("SELECT anchor FROM scheduler_tasks")} == {instant(0)}
    assert {task.id: process.due(task.id) for task in tasks} == due


def test_small_corrections_that_add_up_are_a_step(process):
    """Each is shorter than a second; the clock falls behind all the same."""
    process.add(every(60))
    serve(process, 0, 120)
    process.run_pass(120)
    for tenth in range(1, 300):
        process.run_pass(120 - tenth / 10)
    assert process.due() <= 120 - 29.9 + 61


def test_a_step_while_the_database_fails(process, monkeypatch):
    """It is not forgotten before a commit has succeeded."""
    process.add(every(60))
    serve(process, 0, HOUR)
    write = process.database.write

    @contextlib.contextmanager
    def fails_at_commit(*arguments):
        with write(*arguments) as connection:
            yield connection
            connection.undo()
        raise StoreError(process.database.name, "it fails", "wait")

    with monkeypatch.context() as failing:
        failing.setattr(process.database, "write", fails_at_commit)
        for now in (100, 101, 150):
            with pytest.raises(StoreError):
                process.run_pass(now)
            process.session.failed(instant(now))
    process.run_pass(151)
    assert process.due() <= 151 + 60


def test_a_step_while_the_scheduler_is_paused(process):
    """Nothing is claimed then, and the due times are right when it goes on."""
    process.add(every(60))
    serve(process, 0, HOUR)
    process.session.run_pass(instant(60), None, [], [])
    assert process.due() <= 121


def test_a_step_while_a_task_is_paused(process):
    """It is due in time when it is resumed, also by a process that has seen nothing."""
    process.add(*RECURRING.values())
    serve(process, 0, HOUR)
    for task_id in RECURRING:
        process.pause(HOUR, task_id)
    process.run_pass(60)
    for task_id, task in RECURRING.items():
        process.resume(61, task_id)
        assert task_id in {"anchored", "cron"} or process.due(task_id) <= 61 + longest_wait(task)


def test_a_step_forward_is_a_backlog(process):
    """As after downtime; and when it is taken back, what was not served is due again."""
    process.add(cron("* * * * *"), every(60, "interval"))
    serve(process, 0, 121)
    assert sorted(serve(process, HOUR, HOUR + 1)) == [("interval", HOUR), ("t", HOUR)]
    assert process.history()[-1] == ("running", HOUR, 57)
    process.end(HOUR)
    started = serve(process, 130, 260)
    assert [due for task_id, due in started if task_id == "t"] == [180, 240]
    assert len([due for task_id, due in started if task_id == "interval"]) == 2


def test_a_step_back_in_the_night_when_clocks_go_back(process):
    """02:30 comes twice on the clock of the zone; each due time runs once all the same."""
    night = to_micros(datetime(2026, 10, 25, 0, 30, tzinfo=UTC))
    zero = (night - START) // SECOND
    process.add(cron("30 2 * * *", "fixed", timezone="Europe/Berlin"), now=zero - 600)
    process.add(cron("*/30 * * * *", "wildcard", timezone="Europe/Berlin"), now=zero - 600)
    first = serve(process, zero - 600, zero + HOUR + 60, 30)
    assert first == [("fixed", zero), ("wildcard", zero), ("wildcard", zero + 1800), ("wildcard", zero + HOUR)]
    assert serve(process, zero - 300, zero + HOUR + 60, 30) == []
    assert serve(process, zero + HOUR + 60, zero + 2 * HOUR, 30) == [("wildcard", zero + HOUR + 1800)]


def test_a_task_that_ended_in_the_wrong_future_goes_on(process):
    """Its end is still to come; what has had its runs, or was one instant, does not."""
    process.add(
        every(60, "ends", end_at=moment(DAY)),
        cron("0 * * * *", "cron", end_at=moment(DAY)),
        every(60, "counted", max_runs=2),
        once(HOUR, "once"),
    )
    serve(process, 0, 121)
    serve(process, YEARS, YEARS + 20)
    assert process.store.list_tasks() == []
    process.run_pass(200)
    assert {each.id for each in process.store.list_tasks()} == {"ends", "cron"}
    assert process.due("ends") <= 260
    assert process.due("cron") == HOUR
    serve(process, 200, DAY + 301, 300)
    process.run_pass(DAY + 302)
    assert process.store.list_tasks() == []


def test_due_times_whose_rows_were_trimmed_do_not_run_again(new_process):
    """The history keeps ten runs; the others were served as well."""
    process = new_process()
    process.session._history_limit = 10
    process.add(cron("* * * * *"))
    served = serve(process, 0, HOUR + 1, 60)
    again = serve(process, 300, HOUR + 301, 60)
    assert len(set(served + again)) == len(served + again) == 65


def test_a_task_is_not_silent_for_years_that_were_trimmed(new_process):
    """The clock was years ahead, for longer than the history lasts."""
    process = new_process()
    process.session._history_limit = 10
    process.add(cron("* * * * *"))
    serve(process, 0, 601, 60)
    serve(process, YEARS, YEARS + HOUR, 60)
    assert process.history()[0][1] > YEARS
    process.run_pass(660)
    assert process.due() == 720


# --- Everything that waits for an instant ---


def test_waits_are_no_longer_than_they_were_meant_to_be(process, new_process):
    """Retries, answers, threads, leases and the purge: after a step nobody waits for the step."""
    process.is_checkpointed = lambda task: task.session_mode == "per_run"
    process.add(
        once(HOUR, "asks", expire_waiting_after_seconds=600),
        once(HOUR, "retries", max_attempts=3, retry_delay_seconds=60),
        once(HOUR, "thread", session_mode="per_run", session_retention=300),
        once(HOUR, "finished"),
        every(2, "buffered", overlap="buffer_all", start_at=moment(HOUR), max_runs=2),
        every(YEARS, "hand"),
    )
    process.run_pass(HOUR)
    process.end(HOUR + 1, RunStatus.WAITING, task_id="asks", questions=(Question(id="q", value="?"),))
    process.end(HOUR + 1, RunStatus.FAILED, task_id="retries")
    process.end(HOUR + 1, task_id="thread")
    process.end(HOUR + 1, task_id="finished")
    process.run_pass(HOUR + 2)
    process.trigger(HOUR + 3, "hand")
    other = new_process(HOUR + 3)
    other.sql("UPDATE scheduler_owners SET namespace = 'another' WHERE id = :id", id=other.session._owner.id)

    process.run_pass(100, slots=0)
    [retry] = process.sql("SELECT ready_at FROM scheduler_runs WHERE task_id = 'retries'")
    assert 0 < seconds_of(retry.ready_at) - 100 <= 75
    [asks] = process.sql("SELECT expires_at FROM scheduler_runs WHERE task_id = 'asks'")
    assert seconds_of(asks.expires_at) == 700
    [thread] = process.sql("SELECT thread_until FROM scheduler_runs WHERE task_id = 'thread'")
    assert seconds_of(thread.thread_until) == 400
    assert all(seconds_of(row.lease_until) <= 100 + LEASE for row in process.sql("SELECT * FROM scheduler_owners"))
    finished = process.sql("SELECT finished_at FROM scheduler_tasks WHERE finished_at IS NOT NULL")
    assert {seconds_of(row.finished_at) for row in finished} == {100}
    process.end(101, task_id="buffered")
    assert sorted(task_id for task_id, _ in process.started(101)) == ["buffered", "hand"]
    process.end(102)
    assert process.started(180) == [("retries", HOUR)]
    process.run_pass(701)
    assert process.statuses("asks") == ["cancelled"]
    process.end(702)
    process.run_pass(RETENTION + 800)
    with pytest.raises(TaskNotFoundError):
        process.store.get_task("finished")


def test_waits_that_are_right_stay_as_they_are(process):
    """An instant within the length of its wait may have been computed at the right time."""
    process.add(
        once(60, "asks", expire_waiting_after_seconds=600), once(60, "retries", max_attempts=2, retry_delay_seconds=400)
    )
    process.run_pass(60)
    process.end(61, RunStatus.WAITING, task_id="asks", questions=(Question(id="q", value="?"),))
    process.end(61, RunStatus.FAILED, task_id="retries")
    process.run_pass(65)
    before = process.sql("SELECT id, ready_at, expires_at FROM scheduler_runs ORDER BY id")
    process.run_pass(63)
    assert process.sql("SELECT id, ready_at, expires_at FROM scheduler_runs ORDER BY id") == before


def test_an_outcome_that_comes_after_the_step_waits_no_longer_either(process):
    """The run had ended before the clock was set back, and was not written yet."""
    process.add(once(HOUR, max_attempts=2, retry_delay_seconds=10))
    process.run_pass(HOUR)
    process.end(HOUR + 1, RunStatus.FAILED)
    process.run_pass(50)
    [row] = process.sql("SELECT ready_at FROM scheduler_runs")
    assert seconds_of(row.ready_at) <= 50 + 12.5


# --- Leases, and schedulers with different views ---


@pytest.mark.parametrize("noticed", [True, False])
def test_the_lease_of_a_dead_owner_lasts_no_longer_than_a_lease(process, new_process, noticed):
    """Whether another scheduler saw the step or begins after it."""
    other = new_process(HOUR) if noticed else None
    process.add(once(HOUR + 60), now=HOUR)
    process.run_pass(HOUR + 60)
    process.sql("UPDATE scheduler_owners SET namespace = 'another' WHERE id = :id", id=process.session._owner.id)
    other = other or new_process(100)
    other.run_pass(100)
    recovered = [run for now in range(100, 100 + 2 * LEASE + 10, 5) for run in other.run_pass(now).recovered]
    assert len(recovered) == 1


def test_leases_of_another_length_are_kept(process, connect):
    """The length of a lease is its owner's own."""
    long = Process(connect(), lease=10 * LEASE).begin(0)
    long.add(once(60))
    long.run_pass(60)
    for now in range(60, 60 + 3 * LEASE, 5):
        assert process.run_pass(now).recovered == []


def test_a_scheduler_whose_clock_is_ahead_is_not_corrected_while_it_is_there(process, new_process):
    """Nobody knows whose clock is right: the two must not move each other's due times back and forth."""
    ahead = new_process(HOUR)
    ahead.add(*RECURRING.values(), now=HOUR)
    started = []
    for now in range(0, 600, 5):
        for each, view in ((process, now), (ahead, now + HOUR)):
            started += _start_and_end(each, view)
            assert each.statuses("cron").count("interrupted") == 0
    assert len(set(started)) == len(started)
    assert len([due for task_id, due in started if task_id == "interval"]) in range(9, 12)


@pytest.mark.parametrize("end", ["stopped", "killed elsewhere"])
def test_what_a_scheduler_whose_clock_was_ahead_has_left_is_corrected(process, new_process, end):
    """Soon after it is gone, by one that has been there all the time."""
    ahead = new_process(HOUR)
    ahead.add(*RECURRING.values(), now=HOUR)
    for now in range(0, 300, 5):
        process.run_pass(now)
        _start_and_end(ahead, now + HOUR)
    if end == "stopped":
        ahead.session.end(ahead._ended, instant(HOUR + 300))
    served = [task_id for task_id, _ in serve(process, 300, 300 + 2 * LEASE + 130)]
    assert set(served) == set(RECURRING)


def test_a_process_that_is_behind_and_begins_again_and_again_moves_little(process, new_process):
    """Clocks of machines differ by a second or two; a rolling deployment must not change what is due when."""
    process.add(*RECURRING.values(), every(1, "often"))
    served = []
    for now in range(300):
        served += _start_and_end(process, now)
        if now % 10 == 5:
            new_process(now - 2).session.end([], instant(now - 2))
    assert len(set(served)) == len(served)
    assert len([1 for task_id, _ in served if task_id == "interval"]) in {4, 5}
    assert len([1 for task_id, _ in served if task_id == "cron"]) == 4
    assert len([1 for task_id, _ in served if task_id == "often"]) in range(270, 331)


@pytest.fixture
def ended_as_noticed(process):
    """Return a task whose last run in the wrong future ends in the pass that notices that the clock was set back."""
    task = every(60, end_at=moment(YEARS + 70))
    process.add(task, now=YEARS)
    process.run_pass(YEARS + 60)
    process.end(499)
    process.run_pass(500)
    return task


def test_a_task_that_ends_as_the_step_is_noticed_goes_on(process, ended_as_noticed):
    """Its end is still to come."""
    assert process.due("t") <= 560
    process.run_pass(process.due("t"))
    assert process.statuses("t")[-1] == "running"


def test_an_interval_that_is_added_again_begins_now(process, ended_as_noticed):
    """If its anchor is years ahead, because the clock was."""
    process.sql("UPDATE scheduler_tasks SET next_due = NULL, finished_at = :now", now=instant(505))
    process.sql("UPDATE scheduler_tasks SET anchor = :years", years=instant(YEARS))
    process.add(ended_as_noticed, now=510)
    process.run_pass(511)
    assert process.due("t") <= 570
