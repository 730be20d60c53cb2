"""The log lines of a pass."""

from collections.abc import Callable

from scheduler import logbook
from scheduler.store import NotStarted, PassResult


def log_pass(result: PassResult, on_not_started: Callable[[NotStarted], None]) -> None:
    """Log what a pass has found and done; call a function for due times that were not started."""
    _log_runs(result)
    for task_id, problem in result.quarantined:
        logbook.task_quarantined(task_id, problem)
    for task_id, reason in result.paused:
        logbook.task_paused(task_id, reason)
    for task_id in result.resumed:
        logbook.task_resumed(task_id)
    for task_id, reason in result.expiring.tasks:
        logbook.task_expires(task_id, reason)
    for run_id, task_id, end in result.expiring.runs:
        logbook.run_expires(task_id, run_id, end)
    logbook.tasks_not_loaded(result.unloadable.problems)
    for task_id in result.unloadable.solved:
        logbook.task_loaded_again(task_id)
    for each in result.not_started:
        logbook.due_times_not_started(
            each.name,
            each.task_id,
            status=each.status,
            number=each.number,
            last=each.scheduled_at,
            reason=each.reason,
        )
        on_not_started(each)


def _log_runs(result: PassResult) -> None:
    for outcome in result.lost:
        logbook.outcome_refused(outcome.claim.task.id, outcome.claim.run_id, outcome.status)
    for outcome, reason in result.replaced:
        logbook.outcome_replaced(outcome.claim.task.id, outcome.claim.run_id, outcome.status, reason)
    for outcome, reason in result.unwritten:
        logbook.outcome_unwritten(outcome.claim.task.id, outcome.claim.run_id, outcome.status, reason)
    for run_id in result.taken_over:
        logbook.run_taken_over(run_id)
    for run_id in result.recovered:
        logbook.run_recovered(run_id)
