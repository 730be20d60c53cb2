"""cancel, retry: stop runs, and repeat runs, one or many."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from scheduler import Run, RunStatus, TaskScheduler
from scheduler.cli.commands.many import OnlyTag, Yes, agreed
from scheduler.cli.errors import CommandError, ExitCode
from scheduler.cli.options import Db, DbUrl, Json, complete_run, complete_task, opened
from scheduler.cli.ui.moments import parse_since
from scheduler.cli.ui.output import note, say, show_json
from scheduler.cli.ui.shapes import run_shape
from scheduler.errors import SchedulerError
from scheduler.models import OPEN_STATUSES, RunTrigger

_MOST: Final = 100_000

MaybeRun = Annotated[
    str | None, typer.Argument(metavar="[RUN_ID]", help="Name the run by its id.", autocompletion=complete_run)
]
OfTask = Annotated[
    str | None,
    typer.Option("--task", metavar="ID", help="Use all such runs of this task.", autocompletion=complete_task),
]


def cancel(
    run_id: MaybeRun = None,
    task: OfTask = None,
    tag: OnlyTag = None,
    backfill: Annotated[bool, typer.Option("--backfill", help="Cancel only runs of backfills; with --task.")] = False,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Record this reason.")] = None,
    yes: Yes = False,
    db: Db = None,
    db_url: DbUrl = None,
    as_json: Json = False,
) -> None:
    """Cancel a run, or all open runs of a task or a tag; what is running, within the poll interval of its process."""
    many = task is not None or tag is not None
    if (run_id is None) != many or (backfill and not many):
        raise CommandError("give a run's id, or --task or --tag, with or without --backfill", ExitCode.USAGE)
    with opened(db, db_url) as scheduler:
        if run_id is not None:
            scheduler.cancel_run(run_id, reason)
            done = [run_id]
        else:
            found = _runs(scheduler, task, sorted(OPEN_STATUSES), tag=tag)
            runs = [run for run in found if not backfill or run.trigger is RunTrigger.BACKFILL]
            done = _each(runs, "Cancel", lambda found: scheduler.cancel_run(found, reason), yes=yes)
        _report([scheduler.get_run(each) for each in done], "Cancelled", one=run_id is not None, as_json=as_json)


def retry(
    run_id: MaybeRun = None,
    task: OfTask = None,
    tag: OnlyTag = None,
    status: Annotated[
        RunStatus | None,
        typer.Option("--status", metavar="STATUS", help="Repeat all runs that ended with this status, such as failed."),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Use only runs due since then, such as 2h (ago).")
    ] = None,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Start from the beginning, not from a checkpoint.")
    ] = False,
    yes: Yes = False,
    db: Db = None,
    db_url: DbUrl = None,
    as_json: Json = False,
) -> None:
    """Repeat a run that is over, or many after a question, each as a new run with the same prompt."""
    if (run_id is None) == (status is None) or (run_id is not None and (task or tag or since)):
        hint = "give a run's id, or --status with or without --task, --tag and --since"
        raise CommandError(hint, ExitCode.USAGE)
    earliest = None if since is None else parse_since(since, datetime.now(UTC))
    with opened(db, db_url) as scheduler:
        new: list[str] = []

        def repeat(found: str) -> None:
            new.append(scheduler.retry_run(found, from_start))

        if status is None:
            repeat(str(run_id))
        else:
            runs = _runs(scheduler, task, [status], tag=tag, since=earliest)
            repeated = {run.retry_of for run in scheduler.list_runs(task, tag=tag, since=earliest, limit=_MOST)}
            _each([run for run in runs if run.id not in repeated], "Repeat", repeat, yes=yes)
        if new and not scheduler.running_schedulers():
            note("No scheduler is running on this store; the runs wait until one does.")
        _report([scheduler.get_run(each) for each in new], "Repeats", one=run_id is not None, as_json=as_json)


def _runs(
    scheduler: TaskScheduler,
    task: str | None,
    statuses: Sequence[RunStatus],
    *,
    tag: str | None,
    since: datetime | None = None,
) -> list[Run]:
    """Return runs, the oldest first."""
    if task is not None:
        scheduler.get_task(task)
    return scheduler.list_runs(task, statuses=statuses, tag=tag, since=since, limit=_MOST)[::-1]


def _each(runs: Sequence[Run], verb: str, change: Callable[[str], object], *, yes: bool) -> list[str]:
    """Change many runs, the oldest first, after a question; return those that were changed."""
    if runs and not yes and not agreed(f"{verb} {len(runs)} runs?"):
        note("Nothing was changed.")
        raise typer.Exit(ExitCode.FAILED)
    done = []
    for run in runs:
        try:
            change(run.id)
        except (SchedulerError, ValueError) as error:  # it has ended meanwhile, or somebody repeats it
            note(f"{error}")
        else:
            done.append(run.id)
    return done


def _report(runs: Sequence[Run], done: str, *, one: bool, as_json: bool) -> None:
    if as_json:
        shapes = [run_shape(run) for run in runs]
        show_json(shapes[0] if one else shapes)
        return
    for run in runs:
        if run.status is RunStatus.RUNNING:
            say(f"Run {run.id} of {run.task_id} is being cancelled.")
        elif run.retry_of is not None and done == "Repeats":
            say(f"Run {run.id} of {run.task_id} repeats run {run.retry_of}.")
        else:
            say(f"{done} run {run.id} of {run.task_id}.")
    if not runs:
        say("No such runs.")
