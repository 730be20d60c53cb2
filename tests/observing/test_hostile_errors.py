"""Whatever a graph raises, its run ends with an outcome and its slot is free; whoever observes runs changes nothing."""

import asyncio
import logging

import pytest
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED
from helpers import EchoGraph, FailingGraph, one_time, wait_for_runs
from observing_kit import Listening
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from scheduler._safe_text import error_text


def raising(error):
    """Return a method that raises."""

    def method(*_):
        raise error

    return method


class OfItselfError(Exception):
    def __str__(self):
        raise self


class EndlessError(Exception):
    def __str__(self):
        return str(self)


class OtherText(str):
    __slots__ = ()
    __getitem__ = __format__ = __len__ = encode = replace = __str__ = raising(RuntimeError("no text"))


class Metaclass(type):
    def __getattribute__(cls, name):
        raise RuntimeError(name)


class OddClassError(Exception, metaclass=Metaclass):
    pass


def error_with(**members):
    """Return an exception whose class has members that raise, or are otherwise not as they should be."""
    return type("OddError", (Exception,), members)("text")


class OddError(Exception):
    def __str__(self):
        return OtherText("odd")


def chained(number):
    """Return an exception with a long chain of causes."""
    error = ValueError("first")
    for each in range(number):
        later = ValueError(each)
        later.__cause__ = error
        error = later
    return error


def nested(number):
    """Return an exception group in an exception group, and so on."""
    error = ValueError("inner")
    for _ in range(number):
        error = ExceptionGroup("group", [error])
    return error


def noted(notes):
    error = ValueError("text")
    error.__notes__ = notes
    return error


ERRORS = {
    "str raises itself": OfItselfError(),
    "str raises another error": error_with(__str__=raising(RuntimeError())),
    "str and repr raise": error_with(__str__=raising(RuntimeError()), __repr__=raising(RuntimeError())),
    "str raises SystemExit": error_with(__str__=raising(SystemExit(3))),
    "str raises CancelledError": error_with(__str__=raising(asyncio.CancelledError())),
    "str raises GeneratorExit": error_with(__str__=raising(GeneratorExit())),
    "str raises KeyboardInterrupt": error_with(__str__=raising(KeyboardInterrupt())),
    "str is no text": error_with(__str__=lambda _: 5),
    "str is another text": OddError(),
    "str without end": EndlessError(),
    "an argument raises": ValueError(OfItselfError()),
    "the class raises": OddClassError("text"),
    "__class__": error_with(__class__=property(raising(RuntimeError()))),
    "__dict__": error_with(__dict__=property(raising(RuntimeError()))),
    "args": error_with(args=property(raising(RuntimeError()))),
    "__traceback__": error_with(__traceback__=property(raising(RuntimeError()))),
    "__cause__": error_with(__cause__=property(raising(RuntimeError()))),
    "__notes__": error_with(__notes__=property(raising(RuntimeError()))),
    "notes that are none": noted(5),
    "bool": error_with(__bool__=raising(RuntimeError())),
    "len": error_with(__len__=raising(RuntimeError())),
    "eq and hash": error_with(__eq__=raising(RuntimeError()), __hash__=raising(RuntimeError())),
    "getattribute": error_with(__getattribute__=raising(RuntimeError())),
    "a chain": chained(5_000),
    "groups": nested(5_000),
}


@pytest.fixture
def spans(monkeypatch):
    """Return what reads spans, from a provider of this test's own."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield exporter.get_finished_spans
    provider.shutdown()


@pytest.mark.parametrize("is_in_telemetry", [False, True], ids=["plain", "telemetry"])
@pytest.mark.parametrize("name", ERRORS)
async def test_a_graph_that_raises_something_odd(new_scheduler, spans, name, is_in_telemetry):
    """The run is `failed`, with a text, and so is the next one; listeners, log and spans are given what there is."""
    recorder, events = Listening(), []
    graph = FailingGraph()
    graph.error = ERRORS[name]
    scheduler = new_scheduler(graph, max_concurrent_runs=1, on_event=recorder, telemetry=is_in_telemetry)
    scheduler.scheduler.add_listener(events.append, EVENT_JOB_ERROR | EVENT_JOB_EXECUTED)
    scheduler.start()
    scheduler.add_tasks([one_time("first"), one_time("second")])
    runs = await wait_for_runs(scheduler, 2)
    assert [str(run.status) for run in runs] == ["failed"] * 2
    assert all(isinstance(run.error, str) and 3 < len(run.error) <= 2_000 for run in runs)
    await recorder.wait_for("failed", 2)
    await scheduler.stop()
    assert len(spans()) == 2 * is_in_telemetry
    assert len(events) <= 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("str raises itself", "OfItselfError: (OfItselfError, whose str raised OfItselfError)"),
        ("str raises SystemExit", "OddError: (OddError, whose str raised SystemExit)"),
        ("str without end", "EndlessError: (EndlessError, whose str raised RecursionError)"),
        ("an argument raises", "ValueError: (ValueError, whose str raised OfItselfError)"),
        ("the class raises", "OddClassError: text"),
        ("str is another text", "OddError: odd"),
        ("__class__", "OddError: text"),
    ],
)
def test_what_is_said_of_it(name, text):
    """As much as there is."""
    assert error_text(ERRORS[name], 2_000) == text


# --- Observers that raise ---


class BadHandler(logging.Handler):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def emit(self, record):
        raise self.error


@pytest.fixture(params=[RuntimeError(), RecursionError(), SystemExit(3), KeyboardInterrupt()], ids=repr)
def bad_log(request):
    """Give the library's logger a handler that raises."""
    logger, handler = logging.getLogger("scheduler"), BadHandler(request.param)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.mark.parametrize("graph", [EchoGraph(), FailingGraph()], ids=["succeeds", "fails"])
@pytest.mark.usefixtures("bad_log")
async def test_a_log_that_raises(new_scheduler, graph):
    """Runs start and end all the same."""
    scheduler = new_scheduler(graph)
    scheduler.start()
    scheduler.add_task(one_time())
    [run] = await wait_for_runs(scheduler, 1)
    assert (run.status, run.error) == (("succeeded", None) if graph.__class__ is EchoGraph else ("failed", run.error))
    await scheduler.stop()


class BadProcessor(SimpleSpanProcessor):
    def __init__(self, place):
        self.place = place

    def on_start(self, span, parent_context=None):
        if self.place == "start":
            raise RuntimeError

    def on_end(self, span):
        if self.place == "end":
            raise RuntimeError

    def shutdown(self):
        pass


class BadInstrument:
    add = record = raising(RuntimeError("no metrics"))


@pytest.mark.parametrize("place", ["start", "end", "metrics"])
async def test_telemetry_that_raises(new_scheduler, monkeypatch, caplog, place):
    """The run is what the graph made of it; a log line says what failed."""
    provider = TracerProvider()
    provider.add_span_processor(BadProcessor(place))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    scheduler = new_scheduler(telemetry=True)
    if place == "metrics":
        for name in ("runs", "running", "lateness", "duration", "store_errors"):
            setattr(scheduler._observers.telemetry._instruments, name, BadInstrument())
    scheduler.start()
    scheduler.add_tasks([one_time("first"), one_time("second")])
    runs = await wait_for_runs(scheduler, 2)
    assert [str(run.status) for run in runs] == ["succeeded"] * 2
    assert "OpenTelemetry failed; the run is not affected" in caplog.text
    await scheduler.stop()
    provider.shutdown()
