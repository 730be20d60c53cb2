"""backfill: runs for due times in the past."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from scheduler import TaskScheduler
from scheduler.cli.errors import CommandError, ExitCode, unusable_tasks_fail
from scheduler.cli.options import Db, DbUrl, Json, TaskId, opened
from scheduler.cli.ui.asking import agrees, is_person
from scheduler.cli.ui.following import polled
from scheduler.cli.ui.moments import local, parse_since
from scheduler.cli.ui.output import console, note, say, show_json
from scheduler.models import OPEN_STATUSES, RunTrigger

_MOST = 10_000


def backfill(
    task_id: TaskId,
    start: Annotated[
        str, typer.Option("--from", metavar="TIME", help="Start the range here: 2d (ago), or 2027-03-15T14:00.")
    ],
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="Finish the range here; default: now.")] = "0s",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the due times, and run nothing.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", metavar="NUMBER", min=1, max=_MOST, help="Allow at most this many runs.")
    ] = 1000,
    max_concurrent: Annotated[
        int, typer.Option("--max-concurrent", metavar="NUMBER", min=1, help="Allow this many of them at once.")
    ] = 1,
    force: Annotated[
        bool, typer.Option("--force", help="Run due times, too, that are older than the history of the task.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the runs, and show how many are over.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    db: Db = None,
    db_url: DbUrl = None,
    as_json: Json = False,
) -> None:
    """Run a task for each due time of a past range for which no run has started, the oldest first."""
    now = datetime.now(UTC)
    first, last = parse_since(start, now), parse_since(end, now)
    with opened(db, db_url) as scheduler:
        with unusable_tasks_fail():
            due = scheduler.backfill_task(task_id, first, last, limit=limit, force=force, dry_run=True)
        if due and not dry_run:
            if not yes:
                _agree(len(due), task_id)
            due = scheduler.backfill_task(task_id, first, last, limit=limit, max_concurrent=max_concurrent, force=force)
            if not scheduler.running_schedulers():
                note("No scheduler is running on this store; the runs wait until one does.")
            if wait:
                _follow(scheduler, task_id, len(due))
    if as_json:
        show_json({"task_id": task_id, "due_times": [each.isoformat() for each in due], "dry_run": dry_run})
        return
    for each in due if dry_run else []:
        say(local(each))
    done = "would run" if dry_run else "runs"
    say(f"{task_id} {done} for {len(due)} due times." if due else f"{task_id}: there is nothing to fill.")


def _agree(number: int, task_id: str) -> None:
    question = f"Run {task_id!r} for {number} due times?"
    if not is_person():
        raise CommandError(f"nobody can be asked here ({question}); give --yes to do it", ExitCode.USAGE)
    if not agrees(question, default=False):
        note("Nothing was changed.")
        raise typer.Exit(ExitCode.FAILED)


def _follow(scheduler: TaskScheduler, task_id: str, number: int) -> None:
    """Wait until no run of a backfill of the task is open, and show the progress."""
    try:
        with console(stderr=True).status(f"backfill of {task_id}") as status:
            for _ in polled():
                left = open_backfills(scheduler, task_id)
                status.update(f"backfill of {task_id}: {max(0, number - left)} of {number} runs are over")
                if not left:
                    return
    except KeyboardInterrupt:
        note("The backfill continues; task-scheduler cancel --backfill ends it.")
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def open_backfills(scheduler: TaskScheduler, task_id: str) -> int:
    """Return how many runs of backfills of a task are open."""
    runs = (run for status in OPEN_STATUSES for run in scheduler.list_runs(task_id, status=status, limit=_MOST))
    return sum(run.trigger is RunTrigger.BACKFILL for run in runs)
