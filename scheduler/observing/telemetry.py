"""OpenTelemetry: a span for each attempt and metrics of all runs. Its API is imported when telemetry is asked for."""

import contextlib
import importlib
import weakref
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, Final

from scheduler import logbook
from scheduler._safe_text import ERROR_LIMIT, can_be_printed, error_text, frames_text, qualified_type_name
from scheduler.errors import TelemetryError
from scheduler.models import OPEN_STATUSES, RunStatus
from scheduler.observing.events import RunEvent, RunEventKind
from scheduler.store import Claim, Outcome
from scheduler.timing.clock import SECOND, Clock, to_datetime

_SCOPE: Final = "scheduler"
_NANOS: Final = 1_000
"""Nanoseconds in a microsecond."""
_BAD: Final = frozenset({RunStatus.FAILED, RunStatus.TIMED_OUT, RunStatus.INTERRUPTED})
_ENDS: Final = {
    *(RunEventKind(status) for status in RunStatus if status not in OPEN_STATUSES),
    RunEventKind.CALLBACK_FAILED,
}
# In seconds; OpenTelemetry's own are made for milliseconds.
_LATENESS: Final = (0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30, 60, 300, 3600)
_DURATION: Final = (0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600)

_live: "weakref.WeakSet[Telemetry]" = weakref.WeakSet()

_Attempt = Callable[[Claim], Coroutine[Any, Any, Outcome]]


@dataclass(frozen=True, slots=True)
class _CutOff:
    """An attempt that was cancelled; what became of its run is known when that has been written."""

    span: Any
    began: int
    ended: int


class Telemetry:
    """Spans and metrics of one scheduler, given to the providers that the program has set for OpenTelemetry.

    A span `scheduler.run` for each attempt is the root of a trace; what the graph does in it nests under it.
    """

    def __init__(self, clock: Clock, queue_depth: Callable[[], int | None]) -> None:
        """Look up the tracer and the meter. Raises `TelemetryError` if OpenTelemetry is not installed.

        `queue_depth` returns how many runs are ready to start, None if that is not known; it is called from any thread.
        """
        self._clock = clock
        self._trace = _imported("opentelemetry.trace")
        self._root = _imported("opentelemetry.context").Context
        self._tracer = self._trace.get_tracer(_SCOPE)
        self._instruments = _Instruments()
        self._cut_off: dict[tuple[str, int], _CutOff] = {}
        self.queue_depth = queue_depth
        _live.add(self)

    def store_failed(self) -> None:
        """Count a pass in which the store could not be used."""
        with _harmless():
            self._instruments.store_errors.add(1)

    def count(self, event: RunEvent) -> None:
        """Count what has happened to a run."""
        with _harmless():
            self._count(event)

    def _count(self, event: RunEvent) -> None:
        run = event.run
        if event.kind in _ENDS:
            self._instruments.runs.add(1, {"scheduler.run.status": str(run.status)})
        cut_off = self._cut_off.pop((run.id, run.attempt), None)
        if cut_off is not None:
            last = run.earlier_attempts[-1] if event.kind is RunEventKind.RETRYING else run
            self._end(cut_off, last.status, last.error)

    async def traced(self, attempt: _Attempt, claim: Claim) -> Outcome:
        """Make an attempt in a span of its own; what the program's providers raise does not reach the run."""
        began, span = self._clock.now(), None
        with _harmless():
            span = self._start(claim, began)
        if span is None:
            return await attempt(claim)
        outcome = None
        try:
            with self._trace.use_span(span, record_exception=False, set_status_on_exception=False):
                outcome = await attempt(claim)
            return outcome
        finally:
            with _harmless():
                self._attempt_has_ended(_CutOff(span, began, self._clock.now()), claim, outcome)

    def _start(self, claim: Claim, began: int) -> Any:  # noqa: ANN401 (OpenTelemetry's own)
        span = self._tracer.start_span(
            "scheduler.run", context=self._root(), attributes=_attributes(claim, began), start_time=began * _NANOS
        )
        self._instruments.running.add(1)
        if claim.attempt == 1:
            self._instruments.lateness.record(_lateness(claim, began))
        return span

    def _attempt_has_ended(self, done: _CutOff, claim: Claim, outcome: Outcome | None) -> None:
        self._instruments.running.add(-1)
        if outcome is None:
            self._cut_off[claim.run_id, claim.attempt] = done
        else:
            _describe(done.span, outcome)
            self._end(done, outcome.status, outcome.error)

    def _end(self, done: _CutOff, status: RunStatus, error: str | None) -> None:
        done.span.set_attribute("scheduler.run.status", str(status))
        if status in _BAD:
            done.span.set_status(self._trace.StatusCode.ERROR, error)
        done.span.end(end_time=done.ended * _NANOS)
        seconds = max(0, done.ended - done.began) / SECOND
        self._instruments.duration.record(seconds, {"scheduler.run.status": str(status)})

    def end(self) -> None:
        """End the spans of attempts of which nothing could be written."""
        for cut_off in self._cut_off.values():
            with _harmless():
                self._end(cut_off, RunStatus.INTERRUPTED, None)
        self._cut_off.clear()


class _Instruments:
    """What is measured."""

    def __init__(self) -> None:
        metrics = _imported("opentelemetry.metrics")
        meter = metrics.get_meter(_SCOPE)
        self.runs = meter.create_counter("scheduler.runs", "{run}", "Runs that are over, by status")
        self.running = meter.create_up_down_counter("scheduler.runs.running", "{run}", "Attempts that are running")
        self.store_errors = meter.create_counter(
            "scheduler.store.errors", "{error}", "Passes in which the store could not be used"
        )
        self.lateness = meter.create_histogram(
            "scheduler.run.lateness",
            "s",
            "From the due time of a run to its first attempt",
            explicit_bucket_boundaries_advisory=_LATENESS,
        )
        self.duration = meter.create_histogram(
            "scheduler.run.duration",
            "s",
            "How long an attempt took, by how it ended",
            explicit_bucket_boundaries_advisory=_DURATION,
        )
        meter.create_observable_gauge(
            "scheduler.queue.depth",
            [_queue_depth(metrics.Observation)],
            "{run}",
            "Runs that are ready to start",
        )


def _queue_depth(observation: Callable[[int], Any]) -> Callable[[object], Iterator[Any]]:
    """Return what looks the depth up whenever metrics are collected, for all schedulers of the process together.

    OpenTelemetry knows one gauge of a name: a second scheduler's would not be heard.
    """

    def look(_options: object) -> Iterator[Any]:
        depths = [depth for each in list(_live) if (depth := each.queue_depth()) is not None]
        if depths:
            yield observation(sum(depths))

    return look


def _attributes(claim: Claim, began: int) -> dict[str, str | int | float]:
    found: dict[str, str | int | float] = {
        "scheduler.task.id": claim.task.id,
        "scheduler.task.name": claim.task.name,
        "scheduler.run.id": claim.run_id,
        "scheduler.run.attempt": claim.attempt,
        "scheduler.run.trigger": str(claim.trigger),
        "scheduler.run.scheduled_at": to_datetime(claim.scheduled_at).isoformat(),
    }
    if claim.attempt == 1:
        found["scheduler.run.lateness"] = _lateness(claim, began)
    return found


def _lateness(claim: Claim, began: int) -> float:
    return max(0, began - claim.scheduled_at) / SECOND


def _describe(span: Any, outcome: Outcome) -> None:  # noqa: ANN401 (OpenTelemetry's own)
    if (usage := outcome.known_usage) is not None:
        span.set_attribute("gen_ai.usage.input_tokens", usage.input_tokens)
        span.set_attribute("gen_ai.usage.output_tokens", usage.output_tokens)
    if outcome.exception is not None:
        span.set_attribute("error.type", qualified_type_name(outcome.exception))
        _record(span, outcome.exception)


def _record(span: Any, error: BaseException) -> None:  # noqa: ANN401 (OpenTelemetry's own)
    """Record an exception; of one that cannot be printed, what can be said of it."""
    with contextlib.suppress(Exception):
        if can_be_printed(error):
            span.record_exception(error)
            return
    text = error_text(error, ERROR_LIMIT)
    attributes = {"type": qualified_type_name(error), "message": text, "stacktrace": frames_text(error)}
    span.add_event("exception", {f"exception.{name}": value for name, value in attributes.items()})


@contextlib.contextmanager
def _harmless() -> Iterator[None]:
    """Log what is raised, by the span processors and the metric readers of the program."""
    try:
        yield
    except Exception as error:  # noqa: BLE001
        logbook.telemetry_failed(error)


def _imported(name: str) -> Any:  # noqa: ANN401 (a module)
    try:
        return importlib.import_module(name)
    except ImportError:
        raise TelemetryError from None
