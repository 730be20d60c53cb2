"""From the end of a run's asyncio task to its outcome."""

import asyncio
from dataclasses import replace
from typing import Final

from scheduler import _containment, logbook
from scheduler._safe_text import ERROR_LIMIT, error_text
from scheduler.models import RunStatus
from scheduler.store import STOPPED, Claim, Outcome

_ITSELF: Final = "the graph cancelled itself"


def outcome_of(task: asyncio.Task[Outcome], claim: Claim, reason: str | None, now: int) -> Outcome:
    """Return how a run ended, whatever fails here: without an outcome it would stay `running`.

    `reason` is why the scheduler cancelled the run, None if it did not.
    """
    try:
        return _outcome_of(task, claim, reason, now)
    except BaseException as error:  # noqa: BLE001
        text = f"how the run ended is not known: {error_text(error, ERROR_LIMIT)}"
        return Outcome(claim, RunStatus.FAILED, now, error=text, exception=error)


def _outcome_of(task: asyncio.Task[Outcome], claim: Claim, reason: str | None, now: int) -> Outcome:
    if task.cancelled():
        if reason is None and task.cancelling():
            return interrupted(claim, now)
        return cancelled(claim, reason or _ITSELF, now)
    error = task.exception()
    if reason is not None:
        # The graph did something else when it was cancelled; that it has returned does not make it a success.
        outcome = cancelled(claim, reason, now)
        return replace(task.result(), status=outcome.status, error=reason, questions=()) if error is None else outcome
    if error is None:
        return task.result()
    return interrupted(claim, now) if _containment.is_from_signal(error) else failed(claim, error, now)


def failed(claim: Claim, error: BaseException, now: int) -> Outcome:
    """Log that the attempt raised; return its outcome."""
    raised = _containment.original(error)
    logbook.run_failed(claim.task.name, claim.task.id, claim.run_id, raised)
    return Outcome(claim, RunStatus.FAILED, now, error=error_text(raised, ERROR_LIMIT), exception=raised)


def cancelled(claim: Claim, reason: str, now: int) -> Outcome:
    """Log that the run was cancelled; return its outcome."""
    logbook.run_cancelled(claim.task.id, claim.run_id, reason)
    return Outcome(claim, RunStatus.CANCELLED, now, error=reason)


def interrupted(claim: Claim, now: int) -> Outcome:
    """Log that the scheduler's stop ended the run; return its outcome."""
    logbook.run_interrupted(claim.task.id, claim.run_id)
    return Outcome(claim, RunStatus.INTERRUPTED, now, error=STOPPED)
