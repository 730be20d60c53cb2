"""OpenTelemetry: a span for each attempt, under which the graph's own nest, and metrics; read in memory by the SDK."""

import asyncio
import subprocess
import sys
import textwrap

import pytest
from helpers import PATIENCE, BlockingGraph, FailingGraph, hourly, one_time, rows, wait_for_runs, wait_until
from langchain_core.messages import AIMessage
from langgraph.graph import MessagesState
from observing_kit import Listening
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from session_kit import chain

from scheduler import StoreError

tracer = trace.get_tracer("of the graph")


@pytest.fixture(scope="module")
def providers():
    """Set the process's providers, which can be set once."""
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(provider)
    meter_provider = MeterProvider([reader])
    metrics.set_meter_provider(meter_provider)
    yield spans, reader
    meter_provider.shutdown()
    provider.shutdown()


@pytest.fixture
def spans(providers):
    """Return what reads the spans that have ended, of a name."""
    exporter, _ = providers
    exporter.clear()

    def read(name="scheduler.run"):
        return [span for span in exporter.get_finished_spans() if span.name == name]

    return read


@pytest.fixture
def measured(providers):
    """Return what reads how much a metric has grown since the test began; of one status, if it is given."""
    _, reader = providers

    def points():
        data = reader.get_metrics_data()
        if data is None:
            return {}
        return {
            (metric.name, point.attributes.get("scheduler.run.status")): point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
        }

    def number(point):
        return 0 if point is None else getattr(point, "count", getattr(point, "value", None))

    before = points()

    def read(name, status=None, *, since=True):
        key = name, status
        return number(points().get(key)) - (number(before.get(key)) if since else 0)

    read.points = points
    return read


# --- Spans ---


async def test_a_run_is_a_span(new_scheduler, spans):
    """A trace of its own, with the task, the run, its due time, lateness, attempt, trigger and status."""
    recorder = Listening()
    scheduler = new_scheduler(telemetry=True, on_event=recorder)
    with tracer.start_as_current_span("of the program"):
        scheduler.start()
    scheduler.add_task(one_time("news", name="The news"))
    (event,) = await recorder.wait_for("succeeded")
    (span,) = spans()
    assert span.parent is None
    attributes = dict(span.attributes)
    assert 0 <= attributes.pop("scheduler.run.lateness") < PATIENCE
    assert attributes == {
        "scheduler.task.id": "news",
        "scheduler.task.name": "The news",
        "scheduler.run.id": event.run.id,
        "scheduler.run.attempt": 1,
        "scheduler.run.trigger": "schedule",
        "scheduler.run.scheduled_at": event.run.scheduled_at.isoformat(),
        "scheduler.run.status": "succeeded",
    }
    assert span.status.status_code is StatusCode.UNSET
    assert span.start_time <= span.end_time


async def test_what_the_graph_does_nests_under_its_run(new_scheduler, spans):
    """Spans of asynchronous nodes, of synchronous ones in their threads, and of nodes side by side."""

    async def on_the_loop(_state):
        with tracer.start_as_current_span("node"):
            await asyncio.sleep(0)
        return {"messages": [AIMessage("a")]}

    def in_a_thread(_state):
        with tracer.start_as_current_span("node"):
            return {"messages": [AIMessage("b")]}

    recorder = Listening()
    graph = chain(MessagesState, a=on_the_loop, b=in_a_thread).compile()
    scheduler = new_scheduler(graph, telemetry=True, on_event=recorder)
    scheduler.start()
    scheduler.add_tasks([one_time("plain"), one_time("streamed", stream=True)])
    await recorder.wait_for("succeeded", 2)
    runs = {span.context.span_id: span for span in spans()}
    nodes = spans("node")
    assert len(runs) == 2
    assert sorted(node.parent.span_id for node in nodes) == sorted([*runs, *runs])
    assert all(node.context.trace_id == runs[node.parent.span_id].context.trace_id for node in nodes)


async def test_each_attempt_is_a_span(new_scheduler, spans):
    """With the error that ended it, recorded as an exception."""
    recorder = Listening()
    scheduler = new_scheduler(FailingGraph(), telemetry=True, on_event=recorder)
    scheduler.start()
    scheduler.add_task(one_time(max_attempts=2, retry_delay_seconds=0))
    await recorder.wait_for("failed")
    first, second = spans()
    for number, span in enumerate((first, second), 1):
        assert span.attributes["scheduler.run.attempt"] == number
        assert span.attributes["scheduler.run.status"] == "failed"
        assert span.attributes["error.type"] == "ValueError"
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "ValueError: no such city")
        assert [event.attributes["exception.message"] for event in span.events] == ["no such city"]
    assert "scheduler.run.lateness" in first.attributes
    assert "scheduler.run.lateness" not in second.attributes


async def test_tokens_stand_in_the_span(new_scheduler, spans):
    """By the names that OpenTelemetry has for them."""

    async def ask(_state):
        usage = {"input_tokens": 7, "output_tokens": 2, "total_tokens": 9}
        return {"messages": [AIMessage("told", usage_metadata=usage)]}

    recorder = Listening()
    scheduler = new_scheduler(chain(MessagesState, ask=ask).compile(), telemetry=True, on_event=recorder)
    scheduler.start()
    scheduler.add_task(one_time())
    await recorder.wait_for("succeeded")
    (span,) = spans()
    assert (span.attributes["gen_ai.usage.input_tokens"], span.attributes["gen_ai.usage.output_tokens"]) == (7, 2)


async def test_a_run_that_times_out(new_scheduler, spans):
    """It is an error."""
    recorder = Listening()
    scheduler = new_scheduler(BlockingGraph(), telemetry=True, on_event=recorder)
    scheduler.start()
    scheduler.add_task(one_time(timeout_seconds=0.01))
    await recorder.wait_for("timed_out")
    (span,) = spans()
    assert (span.attributes["scheduler.run.status"], span.status.status_code) == ("timed_out", StatusCode.ERROR)


async def test_a_run_that_is_cancelled(new_scheduler, spans, blocking):
    """It ends when it was cancelled, and says so; that is no error."""
    recorder = Listening()
    scheduler = new_scheduler(blocking, telemetry=True, on_event=recorder, poll_interval=0.05)
    scheduler.start()
    scheduler.add_task(hourly(interval_seconds=1, overlap="cancel_other"))
    await recorder.wait_for("cancelled")
    (span,) = spans()
    assert (span.attributes["scheduler.run.status"], span.status.status_code) == ("cancelled", StatusCode.UNSET)


@pytest.mark.parametrize("goes_on", [False, True])
async def test_a_run_that_the_stop_cuts_off(new_scheduler, spans, blocking, goes_on):
    """It is interrupted, whether it will continue or not."""
    scheduler = new_scheduler(blocking, telemetry=True)
    scheduler.start()
    scheduler.add_task(one_time(rerun_after_crash=goes_on))
    await blocking.entered.wait()
    await scheduler.stop()
    (span,) = spans()
    assert (span.attributes["scheduler.run.status"], span.status.status_code) == ("interrupted", StatusCode.ERROR)
    assert span.status.description == "the scheduler was stopped"
    assert scheduler.list_runs()[0].status == ("pending" if goes_on else "interrupted")


async def test_a_run_of_which_nothing_can_be_written(new_scheduler, spans, blocking):
    """Its span ends all the same, with the scheduler."""
    scheduler = new_scheduler(blocking, telemetry=True)
    scheduler.start()
    scheduler.add_task(one_time())
    await blocking.entered.wait()

    def fail(*_arguments):
        raise StoreError("x", "it is gone", "bring it back")

    scheduler._engine._parts.session.end = fail
    await scheduler.stop()
    (span,) = spans()
    assert span.attributes["scheduler.run.status"] == "interrupted"


# --- Metrics ---


async def test_runs_are_counted_by_status(new_scheduler, measured, failing, db_path):
    """Those that are over; a run that is tried again counts once. Lateness counts once, too, duration each attempt."""
    recorder = Listening()
    before = new_scheduler()
    before.add_task(hourly("late", misfire_grace_seconds=0))
    before.stop()
    with rows(db_path) as store:
        store.execute("UPDATE scheduler_tasks SET next_due = anchor")
    scheduler = new_scheduler(failing, telemetry=True, on_event=recorder)
    scheduler.start()
    scheduler.add_task(one_time("fails", max_attempts=3, retry_delay_seconds=0))
    await recorder.wait_for("failed")
    await recorder.wait_for("missed")
    assert measured("scheduler.runs", "failed") == 1
    assert measured("scheduler.runs", "missed") == 1
    assert measured("scheduler.runs", "succeeded") == 0
    assert measured("scheduler.run.lateness") == 1
    assert measured("scheduler.run.duration", "failed") == 3


async def test_what_is_running(new_scheduler, measured, blocking):
    """It goes up and down with the attempts."""
    recorder = Listening()
    scheduler = new_scheduler(blocking, telemetry=True, on_event=recorder)
    scheduler.start()
    scheduler.add_tasks([one_time("one"), one_time("two")])
    await wait_until(lambda: blocking.inside == 2, scheduler)
    assert measured("scheduler.runs.running") == 2
    blocking.release.set()
    await recorder.wait_for("succeeded", 2)
    assert measured("scheduler.runs.running") == 0


async def test_how_much_waits(new_scheduler, measured, blocking):
    """Tasks that are due, and runs that are pending, beyond what may run at once; nothing after the stop."""
    scheduler = new_scheduler(blocking, telemetry=True, max_concurrent_runs=1)
    scheduler.add_tasks([hourly("a"), hourly("b"), hourly("c", interval_seconds=1)])
    for task_id in "abb":
        scheduler.trigger_task(task_id)
    scheduler.start()
    await blocking.entered.wait()
    depth = await asyncio.to_thread(measured, "scheduler.queue.depth", since=False)
    assert depth in {2, 3}
    async with asyncio.timeout(PATIENCE):
        while await asyncio.to_thread(measured, "scheduler.queue.depth", since=False) != 3:
            await scheduler.scheduler.pass_done.wait()
    await scheduler.stop()
    assert ("scheduler.queue.depth", None) not in await asyncio.to_thread(measured.points)


async def test_errors_of_the_store(new_scheduler, measured):
    """Each pass that could not use it."""
    scheduler = new_scheduler(telemetry=True)
    scheduler.start()
    await scheduler.scheduler.pass_done.wait()
    run_pass, failures = scheduler._engine._parts.session.run_pass, [1, 2]

    def fail(*arguments):
        if failures:
            failures.pop()
            raise StoreError("x", "it is gone", "bring it back")
        return run_pass(*arguments)

    scheduler._engine._parts.session.run_pass = fail
    scheduler.add_task(one_time())
    await wait_for_runs(scheduler, 1)
    assert measured("scheduler.store.errors") == 2


async def test_units(new_scheduler, providers, measured):
    """As OpenTelemetry writes them; the buckets of histograms are made for seconds."""
    recorder = Listening()
    scheduler = new_scheduler(telemetry=True, on_event=recorder)
    scheduler.start()
    scheduler.add_task(one_time())
    await recorder.wait_for("succeeded")
    data = await asyncio.to_thread(providers[1].get_metrics_data)
    found = {
        metric.name: metric
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if scope.scope.name == "scheduler"
    }
    assert {name: metric.unit for name, metric in found.items()}.items() >= {
        ("scheduler.runs", "{run}"),
        ("scheduler.runs.running", "{run}"),
        ("scheduler.run.lateness", "s"),
        ("scheduler.run.duration", "s"),
        ("scheduler.queue.depth", "{run}"),
    }
    assert found["scheduler.run.duration"].data.data_points[0].explicit_bounds[0] < 0.1


# --- Who does not ask for it ---


def test_without_telemetry_opentelemetry_is_not_imported(tmp_path):
    """Neither by `import scheduler`, nor by a scheduler that does not ask for it; and it works without."""
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent("""
        import sys
        sys.modules["opentelemetry"] = None  # as if it were not installed
        from scheduler import SchedulerError, TaskScheduler
        TaskScheduler(persistent=False).stop()
        try:
            TaskScheduler(telemetry=True, db_path="x.db")
        except SchedulerError as error:
            print(error)
        """)
    )
    done = subprocess.run([sys.executable, str(program)], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == (
        "telemetry=True needs the package opentelemetry-api; "
        "pip install 'langgraph-task-scheduler[otel]', or leave telemetry out\n"
    )
    assert not (tmp_path / "x.db").exists()


async def test_a_scheduler_that_does_not_ask_makes_no_spans(new_scheduler, spans):
    """Although the program has set OpenTelemetry up."""
    scheduler = new_scheduler()
    scheduler.start()
    scheduler.add_task(one_time())
    await wait_for_runs(scheduler, 1)
    assert spans() == []
