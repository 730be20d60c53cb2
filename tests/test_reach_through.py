"""`TaskScheduler.scheduler` is APScheduler's own: what its users know works, and nothing of ours is half changed."""

import asyncio
import io
import json
import threading
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from apscheduler.events import (
    EVENT_ALL,
    EVENT_EXECUTOR_ADDED,
    EVENT_JOB_ADDED,
    EVENT_JOB_ERROR,
    EVENT_JOB_EXECUTED,
    EVENT_JOB_MAX_INSTANCES,
    EVENT_JOB_MISSED,
    EVENT_JOB_MODIFIED,
    EVENT_JOB_REMOVED,
    EVENT_JOB_SUBMITTED,
    EVENT_JOBSTORE_ADDED,
    EVENT_SCHEDULER_PAUSED,
    EVENT_SCHEDULER_RESUMED,
    EVENT_SCHEDULER_SHUTDOWN,
    EVENT_SCHEDULER_STARTED,
)
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import ConflictingIdError, JobLookupError
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers import SchedulerAlreadyRunningError, SchedulerNotRunningError
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from helpers import (
    PATIENCE,
    BlockingGraph,
    FailingGraph,
    hourly,
    one_time,
    soon,
    statuses,
    steps,
    wait_for_runs,
    wait_until,
)

from scheduler import RunStatus, SchedulerError, TaskDefinition

ran = []


async def measure(value="measured"):
    """Stand in for a function of the user's own."""
    ran.append(value)


def measure_in_thread():
    ran.append(threading.current_thread().name)


@pytest.fixture(autouse=True)
def nothing_ran():
    """Forget what ran in the test before."""
    ran.clear()


@pytest.fixture
async def started(new_scheduler, echo):
    """Return a running scheduler with one task that is not due."""
    scheduler = new_scheduler(echo)
    scheduler.add_task(hourly())
    scheduler.start()
    await scheduler.scheduler.pass_done.wait()
    return scheduler


def listen(scheduler, mask=EVENT_ALL):
    """Return the list into which a listener puts what it hears."""
    heard = []
    scheduler.scheduler.add_listener(heard.append, mask)
    return heard


def codes(heard):
    return [event.code for event in heard]


# --- Looking ---


async def test_it_is_an_asyncio_scheduler(started):
    """The object is an `AsyncIOScheduler`, and says that it runs."""
    assert isinstance(started.scheduler, AsyncIOScheduler)
    assert started.scheduler.running


async def test_get_jobs(started):
    """`get_jobs()` shows our tasks as jobs, each with its next due time, beside functions of the user's own."""
    started.add_tasks([hourly("paused", enabled=False), one_time("late", datetime.now(UTC) + timedelta(days=2))])
    cron = TaskDefinition(
        id="cron", name="Cron", task_type="cron", cron_expression="0 9 1 1 *", prompt="Go.", timezone="Asia/Tokyo"
    )
    started.add_task(cron)
    started.scheduler.add_job(measure, "interval", hours=9, id="own")
    jobs = {job.id: job for job in started.scheduler.get_jobs()}
    assert list(jobs) == ["hourly", "late", "cron", "paused", "own"]
    assert jobs["paused"].next_run_time is None
    assert (jobs["cron"].next_run_time.hour, str(jobs["cron"].next_run_time.tzinfo)) == (9, "Asia/Tokyo")
    assert jobs["hourly"].name == "Hourly"
    assert str(jobs["hourly"].trigger) == "interval[1:00:00]"
    assert str(jobs["cron"].trigger) == "cron[0 9 1 1 * (Asia/Tokyo)]"
    listed = {task["id"]: task["next_run"] for task in started.list_tasks()}
    assert str(jobs["hourly"].next_run_time) == listed["hourly"]
    assert [job.id for job in started.scheduler.get_jobs(jobstore="tasks")] == ["hourly", "late", "cron", "paused"]
    assert [job.id for job in started.scheduler.get_jobs(jobstore="default")] == ["own"]


async def test_trigger_of_a_job(started):
    """The trigger of a task's job tells its further due times."""
    job = started.scheduler.get_job("hourly")
    second = job.trigger.get_next_fire_time(job.next_run_time, datetime.now(UTC))
    assert second - job.next_run_time == timedelta(hours=1)


async def test_get_job(started):
    """`get_job` finds a task by its id, and None where there is none."""
    assert started.scheduler.get_job("hourly").id == "hourly"
    assert started.scheduler.get_job("hourly", "tasks").id == "hourly"
    assert started.scheduler.get_job("hourly", "default") is None
    assert started.scheduler.get_job("other") is None


async def test_print_jobs(started):
    """`print_jobs` prints tasks and functions, each under its job store."""
    started.scheduler.add_job(measure, "interval", hours=9, id="own")
    out = io.StringIO()
    started.scheduler.print_jobs(out=out)
    lines = out.getvalue().splitlines()
    assert lines[0] == "Jobstore default:"
    assert lines[1].startswith("    measure (trigger: interval[9:00:00], next run at: ")
    assert lines[2] == "Jobstore tasks:"
    assert lines[3].startswith("    Hourly (trigger: interval[1:00:00], next run at: ")


async def test_before_start(new_scheduler):
    """Before `start()` the jobs that can be seen are APScheduler's pending ones, as ever; our tasks are untouched."""
    scheduler = new_scheduler()
    scheduler.add_task(hourly())
    out = io.StringIO()
    scheduler.scheduler.print_jobs(out=out)
    assert "No pending jobs" in out.getvalue()
    assert scheduler.scheduler.get_jobs() == []
    assert scheduler.scheduler.get_job("hourly") is None
    scheduler.scheduler.remove_all_jobs()
    with pytest.raises(JobLookupError):
        scheduler.scheduler.remove_job("hourly")
    assert len(scheduler.list_tasks()) == 1


async def test_export_jobs(started, tmp_path):
    """`export_jobs` writes what there is, and importing it into our job store is refused."""
    started.scheduler.add_job(measure, "interval", hours=9, id="own")
    started.scheduler.export_jobs(tmp_path / "jobs.json")
    exported = json.loads((tmp_path / "jobs.json").read_text())
    assert [job["id"] for job in exported["jobs"]] == ["hourly", "own"]
    with pytest.raises(SchedulerError, match="add_task"):
        started.scheduler.import_jobs(tmp_path / "jobs.json", "tasks")
    assert [task["id"] for task in started.list_tasks()] == ["hourly"]


# --- Listening ---


async def test_events_of_a_run(started):
    """Listeners are called on the loop when a task was submitted, when it ended and when it is gone, in this order."""
    threads = set()
    heard = listen(started)
    started.scheduler.add_listener(lambda _event: threads.add(threading.current_thread()), EVENT_ALL)
    task = one_time()
    started.add_task(task)
    await wait_until(lambda: EVENT_JOB_EXECUTED in codes(heard), started)
    assert sorted(codes(heard)) == sorted([EVENT_JOB_REMOVED, EVENT_JOB_SUBMITTED, EVENT_JOB_EXECUTED])
    submitted, executed = (event for event in heard if event.code != EVENT_JOB_REMOVED)
    assert (submitted.job_id, submitted.jobstore) == ("once", "tasks")
    assert submitted.scheduled_run_times == [task.run_at]
    assert (executed.job_id, executed.jobstore, executed.scheduled_run_time) == ("once", "tasks", task.run_at)
    assert (executed.retval, executed.exception) == ("Echo: Prompt of once", None)
    assert threads == {threading.main_thread()}


async def test_event_of_a_failure(new_scheduler):
    """A run that fails is an EVENT_JOB_ERROR with the exception and its traceback."""
    error = ValueError("no such city")
    scheduler = new_scheduler(FailingGraph(error))
    heard = listen(scheduler, EVENT_JOB_ERROR | EVENT_JOB_EXECUTED)
    scheduler.start()
    scheduler.add_task(one_time())
    await wait_until(lambda: heard, scheduler)
    [event] = heard
    assert (event.code, event.job_id, event.exception) == (EVENT_JOB_ERROR, "once", error)
    assert "ainvoke" in event.traceback


async def test_event_of_a_timeout(new_scheduler):
    """A run that times out is an EVENT_JOB_ERROR too."""
    scheduler = new_scheduler(BlockingGraph())
    heard = listen(scheduler, EVENT_JOB_ERROR)
    scheduler.start()
    scheduler.add_task(one_time(timeout_seconds=0.02))
    await wait_until(lambda: heard, scheduler)
    assert isinstance(heard[0].exception, TimeoutError)


async def test_event_of_a_missed_due_time(new_scheduler, echo):
    """A due time past its grace is an EVENT_JOB_MISSED."""
    with time_machine.travel(datetime.now(UTC) - timedelta(minutes=90)):
        new_scheduler(echo).add_task(hourly(misfire_grace_seconds=1))
    scheduler = new_scheduler(echo)
    heard = listen(scheduler, EVENT_JOB_MISSED)
    scheduler.start()
    await wait_until(lambda: heard, scheduler)
    [run] = scheduler.list_runs()
    assert (heard[0].job_id, heard[0].scheduled_run_time) == ("hourly", run.scheduled_at)


async def test_event_of_a_skipped_due_time(new_scheduler, blocking):
    """A due time that is skipped for overlap is an EVENT_JOB_MAX_INSTANCES, with its due time, as APScheduler's is."""
    scheduler = new_scheduler(blocking)
    heard = listen(scheduler, EVENT_JOB_MAX_INSTANCES)
    scheduler.add_task(hourly(interval_seconds=1, start_at=soon(10)))
    scheduler.start()
    await wait_until(lambda: heard, scheduler)
    assert heard[0].job_id == "hourly"
    assert heard[0].scheduled_run_times == [run.scheduled_at for run in scheduler.list_runs(status="skipped")]


async def test_listener_that_raises(started):
    """A listener that raises harms neither the run nor other listeners."""

    def break_off(_event):
        raise ZeroDivisionError

    started.scheduler.add_listener(break_off, EVENT_ALL)
    heard = listen(started, EVENT_JOB_EXECUTED)
    started.add_task(one_time())
    [run] = await wait_for_runs(started, 1)
    assert run.status == RunStatus.SUCCEEDED
    assert codes(heard) == [EVENT_JOB_EXECUTED]


async def test_listener_that_uses_the_face(started):
    """A listener may call the face: here it pauses a task as soon as one of its runs was submitted."""
    started.scheduler.add_listener(lambda event: started.pause_task(event.job_id), EVENT_JOB_SUBMITTED)
    started.add_task(hourly("soon", start_at=soon(20)))
    await wait_for_runs(started, 1)
    assert {task["id"]: task["next_run"] for task in started.list_tasks()}["soon"] == "paused"


@pytest.mark.parametrize("method", ["pause_job", "remove_job"])
async def test_listener_that_changes_a_task_that_was_claimed(started, method):
    """A change through APScheduler is refused at any moment: also right when the task was submitted."""
    refusals = []

    def change(event):
        try:
            getattr(started.scheduler, method)(event.job_id)
        except SchedulerError as error:
            refusals.append(error)

    started.scheduler.add_listener(change, EVENT_JOB_SUBMITTED)
    heard = listen(started, EVENT_JOB_MODIFIED | EVENT_JOB_REMOVED)
    started.add_task(hourly("soon", start_at=soon(20)))
    await wait_for_runs(started, 1)
    assert len(refusals) == 1
    assert heard == []
    assert {task["id"] for task in started.list_tasks()} == {"hourly", "soon"}


async def test_events_of_the_scheduler(new_scheduler):
    """Start, pause, resume and shutdown are events, as ever."""
    scheduler = new_scheduler()
    heard = listen(scheduler)
    scheduler.start()
    scheduler.scheduler.pause()
    scheduler.scheduler.resume()
    await scheduler.stop()
    assert codes(heard) == [
        EVENT_EXECUTOR_ADDED,  # the default ones, as APScheduler does
        EVENT_JOBSTORE_ADDED,
        EVENT_SCHEDULER_STARTED,
        EVENT_SCHEDULER_PAUSED,
        EVENT_SCHEDULER_RESUMED,
        EVENT_SCHEDULER_SHUTDOWN,
    ]


# --- The whole scheduler ---


async def test_pause_and_resume(new_scheduler, blocking):
    """While the APScheduler object is paused nothing starts, and running runs end as usual; then all continues."""
    scheduler = new_scheduler(blocking)
    scheduler.add_task(one_time("first"))
    scheduler.start()
    await wait_until(lambda: blocking.inside, scheduler)
    scheduler.scheduler.pause()
    scheduler.add_task(one_time("second"))
    blocking.release.set()
    [run] = await wait_for_runs(scheduler, 1)
    assert (run.task_id, run.status) == ("first", RunStatus.SUCCEEDED)
    await scheduler.scheduler.pass_done.wait()
    assert len(blocking.calls) == 1
    scheduler.scheduler.resume()
    runs = await wait_for_runs(scheduler, 2)
    assert {run.task_id for run in runs} == {"first", "second"}


async def test_pause_while_a_claim_is_in_flight(new_scheduler, echo, db_path):
    """A claim that the thread commits while the object is being paused goes back into the queue, and runs later."""
    scheduler = new_scheduler(echo)
    run_pass, claimed, go_on = scheduler._engine._parts.session.run_pass, threading.Event(), threading.Event()

    def held(*arguments):
        result = run_pass(*arguments)
        if result.claims and not claimed.is_set():
            claimed.set()
            assert go_on.wait(PATIENCE)
        return result

    scheduler._engine._parts.session.run_pass = held
    scheduler.add_task(hourly())
    scheduler.trigger_task("hourly")
    scheduler.start()
    await asyncio.to_thread(claimed.wait, PATIENCE)
    scheduler.scheduler.pause()
    go_on.set()
    await wait_until(lambda: statuses(db_path) == {"pending": 1}, scheduler)
    assert echo.calls == []
    scheduler.scheduler.resume()
    await wait_for_runs(scheduler, 1)
    assert len(echo.calls) == 1


async def test_start_paused(new_scheduler, echo):
    """`start(paused=True)` fires nothing until `resume()`."""
    scheduler = new_scheduler(echo)
    scheduler.add_task(hourly())
    scheduler.trigger_task("hourly")
    scheduler.scheduler.start(paused=True)
    await steps()
    assert echo.calls == []
    scheduler.scheduler.resume()
    await wait_for_runs(scheduler, 1)


async def test_start_through_it(new_scheduler, echo):
    """`start()` through the object works; a second one is APScheduler's own error."""
    scheduler = new_scheduler(echo)
    scheduler.scheduler.start()
    with pytest.raises(SchedulerAlreadyRunningError):
        scheduler.scheduler.start()
    scheduler.start()
    scheduler.add_task(one_time())
    await wait_for_runs(scheduler, 1)


@pytest.mark.parametrize(("wait", "status"), [(True, "succeeded"), (False, "interrupted")])
async def test_shutdown_through_it(new_scheduler, blocking, db_path, wait, status):
    """`shutdown(wait=True)` gives runs their grace, `wait=False` does not; `stop()` after it waits for the drain."""
    scheduler = new_scheduler(blocking, shutdown_grace_seconds=PATIENCE)
    scheduler.add_task(one_time())
    scheduler.start()
    await wait_until(lambda: blocking.inside, scheduler)
    scheduler.scheduler.shutdown(wait=wait)
    assert not scheduler.scheduler.running
    with pytest.raises(SchedulerNotRunningError):
        scheduler.scheduler.shutdown()
    if wait:
        blocking.release.set()
    await scheduler.stop()
    assert statuses(db_path) == {status: 1}


async def test_not_running(new_scheduler):
    """Where APScheduler raises its SchedulerNotRunningError, this object does."""
    scheduler = new_scheduler()
    for method in (scheduler.scheduler.shutdown, scheduler.scheduler.pause, scheduler.scheduler.resume):
        with pytest.raises(SchedulerNotRunningError):
            method()


# --- Functions of the user's own ---


async def test_own_function_added_before_start(new_scheduler):
    """A function that is added before `start()` fires after it."""
    scheduler = new_scheduler()
    job = scheduler.scheduler.add_job(measure, "interval", seconds=0.02)
    assert job.pending
    scheduler.start()
    await wait_until(lambda: len(ran) >= 2, scheduler)


async def test_own_function_added_after_start(started):
    """A function that is added to a running scheduler fires, also one that is not async, and one due at once."""
    heard = listen(started, EVENT_JOB_ADDED | EVENT_JOB_EXECUTED)
    started.scheduler.add_job(measure, args=["now"], misfire_grace_time=None)
    started.scheduler.add_job(measure_in_thread, "date", run_date=soon(20), misfire_grace_time=None)
    await wait_until(lambda: codes(heard).count(EVENT_JOB_EXECUTED) == 2, started)
    assert ran[0] == "now"
    assert ran[1].startswith("asyncio_")


async def test_own_function_from_another_thread(started):
    """`add_job` works from any thread, as ever."""
    await asyncio.to_thread(started.scheduler.add_job, measure, misfire_grace_time=None)
    await wait_until(lambda: ran, started)


async def test_own_function_while_the_store_is_busy(started):
    """A function that is added, or due, while a pass waits in the store's thread does not wait for it."""
    run_pass, held, go_on = started._engine._parts.session.run_pass, threading.Event(), threading.Event()

    def hold(*arguments):
        held.set()
        assert go_on.wait(PATIENCE)
        return run_pass(*arguments)

    done = asyncio.Event()

    async def own():
        done.set()

    started._engine._parts.session.run_pass = hold
    started.scheduler.wakeup()
    await asyncio.to_thread(held.wait, PATIENCE)
    started.scheduler.add_job(own, "date", run_date=soon(20), misfire_grace_time=None)
    async with asyncio.timeout(PATIENCE):
        await done.wait()
    go_on.set()


async def test_scheduled_job(started):
    """The decorator works as ever."""
    heard = asyncio.Event()

    @started.scheduler.scheduled_job("interval", seconds=0.02, id="decorated")
    async def decorated():
        heard.set()

    async with asyncio.timeout(PATIENCE):
        await heard.wait()
    assert started.scheduler.get_job("decorated", "default").id == "decorated"


async def test_own_jobs_can_be_changed(started):
    """Functions of the user's own are paused, resumed, changed and removed through APScheduler, as ever."""
    job = started.scheduler.add_job(measure, "interval", hours=9, id="own")
    job.pause()
    assert started.scheduler.get_job("own").next_run_time is None
    started.scheduler.resume_job("own")
    started.scheduler.reschedule_job("own", trigger="interval", hours=3)
    assert str(started.scheduler.get_job("own").trigger) == "interval[3:00:00]"
    started.scheduler.modify_job("own", name="renamed")
    assert started.scheduler.get_job("own").name == "renamed"
    job.remove()
    assert started.scheduler.get_job("own") is None
    with pytest.raises(JobLookupError):
        started.scheduler.remove_job("own")


async def test_own_jobs_of_a_task_s_name(started):
    """A function may have the id of a task; named with its job store, it is not the task."""
    started.scheduler.add_job(measure, "interval", hours=9, id="hourly")
    started.scheduler.pause_job("hourly", "default")
    started.scheduler.remove_job("hourly", "default")
    assert [job.id for job in started.scheduler.get_jobs()] == ["hourly"]
    started.scheduler.add_job(measure, "interval", hours=9, id="own")
    started.scheduler.remove_all_jobs("default")
    assert [job.id for job in started.scheduler.get_jobs()] == ["hourly"]


async def test_own_job_that_raises(started):
    """A function that raises is an EVENT_JOB_ERROR of its own, and harms nobody."""

    async def break_off():
        raise ZeroDivisionError

    heard = listen(started, EVENT_JOB_ERROR)
    started.scheduler.add_job(break_off, misfire_grace_time=None)
    await wait_until(lambda: heard, started)
    started.add_task(one_time())
    await wait_for_runs(started, 1)


async def test_own_jobs_that_conflict_at_start(new_scheduler, echo):
    """Two pending jobs of one id are found by `start()`; that leaves nothing half started, and can be fixed."""
    scheduler = new_scheduler(echo)
    for _ in range(2):
        scheduler.scheduler.add_job(measure, "interval", hours=9, id="twice")
    with pytest.raises(ConflictingIdError):
        scheduler.start()
    assert not scheduler.scheduler.running
    assert [task for task in asyncio.all_tasks() if task.get_name() == "task scheduler"] == []
    async with asyncio.timeout(PATIENCE):
        await scheduler.stop()
    scheduler.scheduler.remove_all_jobs()
    scheduler.start()
    scheduler.add_task(one_time())
    await wait_for_runs(scheduler, 1)


# --- Our tasks are changed by the face alone ---

CHANGES = {
    "pause_job": (lambda it: it.pause_job("hourly"), "pause_task"),
    "resume_job": (lambda it: it.resume_job("hourly"), "resume_task"),
    "modify_job": (lambda it: it.modify_job("hourly", name="renamed"), "add_task"),
    "reschedule_job": (lambda it: it.reschedule_job("hourly", trigger="interval", seconds=5), "add_task"),
    "remove_job": (lambda it: it.remove_job("hourly"), "remove_task"),
    "remove_job of the store": (lambda it: it.remove_job("hourly", "tasks"), "remove_task"),
    "remove_all_jobs": (lambda it: it.remove_all_jobs(), "remove_task"),
    "remove_all_jobs of the store": (lambda it: it.remove_all_jobs("tasks"), "remove_task"),
    "add_job": (lambda it: it.add_job(measure, "interval", hours=1, jobstore="tasks"), "add_task"),
    "add_job with its id": (
        lambda it: it.add_job(measure, id="hourly", jobstore="tasks", replace_existing=True),
        "add_task",
    ),
    "add_job on its executor": (lambda it: it.add_job(measure, "interval", hours=1, executor="runs"), "add_task"),
    "add_job by position": (
        lambda it: it.add_job(measure, "date", None, None, "x", None, None, None, 1, None, "tasks"),
        "add_task",
    ),
    "scheduled_job": (lambda it: it.scheduled_job("interval", hours=1, jobstore="tasks")(measure), "add_task"),
    "scheduled_job on its executor": (
        lambda it: it.scheduled_job("interval", hours=1, executor="runs")(measure),
        "add_task",
    ),
    "Job.pause": (lambda it: it.get_job("hourly").pause(), "pause_task"),
    "Job.resume": (lambda it: it.get_job("hourly").resume(), "resume_task"),
    "Job.remove": (lambda it: it.get_job("hourly").remove(), "remove_task"),
    "Job.modify": (lambda it: it.get_job("hourly").modify(max_instances=3), "add_task"),
    "Job.reschedule": (lambda it: it.get_job("hourly").reschedule("interval", seconds=5), "add_task"),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_changes_are_refused(started, db_path, change):
    """A change of our tasks through APScheduler is refused, names the face's method, and changes nothing at all."""
    call, method = CHANGES[change]
    started.scheduler.add_job(measure, "interval", hours=9, id="own")
    heard = listen(started)
    before = started.list_tasks(), [job.id for job in started.scheduler.get_jobs()]
    with pytest.raises(SchedulerError, match=rf"use TaskScheduler\.(.* or )?{method}"):
        call(started.scheduler)
    assert started.list_tasks() == before[0]
    assert [job.id for job in started.scheduler.get_jobs()] == before[1]
    assert heard == []
    started.trigger_task("hourly")
    await wait_for_runs(started, 1)


@pytest.mark.parametrize(
    "keywords", [{"jobstore": "tasks"}, {"executor": "runs"}, {"jobstore": "tasks", "executor": "runs"}]
)
async def test_refused_before_start_too(new_scheduler, keywords):
    """What is refused is refused before `start()` as well, not at it."""
    scheduler = new_scheduler()
    with pytest.raises(SchedulerError, match="add_task"):
        scheduler.scheduler.add_job(measure, "interval", hours=1, **keywords)
    with pytest.raises(SchedulerError, match="add_task"):
        scheduler.scheduler.scheduled_job("interval", hours=1, **keywords)(measure)
    scheduler.start()
    await scheduler.scheduler.pass_done.wait()
    assert scheduler.scheduler.get_jobs() == []


async def test_own_job_moved_to_the_runs_executor(started, caplog):
    """A function that is moved to the executor of our runs is not run there; the log says so, and tasks continue."""
    job = started.scheduler.add_job(measure, "interval", seconds=0.02, id="own")
    job.modify(executor="runs")
    await wait_until(lambda: 'Error submitting job "measure' in caplog.text, started)
    assert "another executor for other functions" in caplog.text
    started.add_task(one_time())
    await wait_for_runs(started, 1)
    assert ran == []


class Noting(MemoryJobStore):
    """Notes what it is given."""

    def add_job(self, job):
        ran.append(f"stored {job.id}")
        super().add_job(job)


async def test_own_parts_before_the_start(new_scheduler):
    """A default job store and executor of the user's own, as APScheduler has it; tasks run beside them."""
    scheduler = new_scheduler()
    inner = scheduler.scheduler
    inner.add_jobstore(Noting())
    inner.add_executor(ThreadPoolExecutor(1))
    inner.remove_executor("default")
    inner.add_executor(ThreadPoolExecutor(1))
    inner.add_job(measure_in_thread, id="own")
    scheduler.add_task(one_time())
    scheduler.start()
    await wait_until(lambda: len(ran) == 2, scheduler)
    await wait_for_runs(scheduler, 1)
    assert ran[0] == "stored own"
    assert ran[1].startswith("ThreadPoolExecutor")


async def test_configure(new_scheduler):
    """Defaults of the user's own jobs, and parts by their names; our parts stay, and tasks run."""
    scheduler = new_scheduler()
    inner = scheduler.scheduler
    heard = listen(scheduler)
    inner.configure(job_defaults={"misfire_grace_time": 3, "coalesce": False, "max_instances": 6})
    assert heard == []
    job = inner.add_job(measure, "interval", hours=1, id="own")
    scheduler.add_task(one_time())
    scheduler.start()
    assert (job.misfire_grace_time, job.coalesce, job.max_instances) == (3, False, 6)
    await wait_for_runs(scheduler, 1)
    with pytest.raises(SchedulerAlreadyRunningError):
        inner.configure(job_defaults={"coalesce": True})
    await scheduler.stop()
    inner.configure(
        {"apscheduler.jobstores.mine.class": f"{__name__}:Noting", "apscheduler.job_defaults.coalesce": "true"}
    )
    inner.add_job(measure, "interval", hours=1, id="mine", jobstore="mine")
    scheduler.add_task(one_time("again"))
    scheduler.start()
    await wait_for_runs(scheduler, 2)
    assert ran == ["stored mine"]


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        ({"timezone": "Asia/Tokyo"}, r"TaskScheduler\(timezone=…\) instead of timezone='Asia/Tokyo'"),
        ({"event_loop": None}, r"start\(\) in the event loop"),
        ({"jobstores": {"tasks": MemoryJobStore()}}, "another name than 'tasks' in jobstores"),
        ({"executors": {"runs": ThreadPoolExecutor()}}, "another name than 'runs' in executors"),
        ({"executors": {"own": 5}}, "Expected executor instance or dict"),
    ],
)
async def test_configure_that_is_refused(new_scheduler, options, refusal):
    """What belongs to `TaskScheduler`, and what APScheduler refuses: everything is as before."""
    scheduler = new_scheduler()
    scheduler.scheduler.add_jobstore(Noting(), "own")
    with pytest.raises((SchedulerError, TypeError), match=refusal):
        scheduler.scheduler.configure(**options)
    scheduler.scheduler.add_job(measure, "interval", hours=1, id="own", jobstore="own")
    scheduler.add_task(one_time())
    scheduler.start()
    await wait_for_runs(scheduler, 1)
    assert ran == ["stored own"]


PARTS = {
    "remove_jobstore": lambda it: it.remove_jobstore("tasks"),
    "remove_executor": lambda it: it.remove_executor("runs"),
}


@pytest.mark.parametrize("part", PARTS)
async def test_our_parts_stay(started, part):
    """Our job store and executor cannot be taken away from under the tasks."""
    with pytest.raises(SchedulerError, match="TaskScheduler"):
        PARTS[part](started.scheduler)
    started.trigger_task("hourly")
    await wait_for_runs(started, 1)
