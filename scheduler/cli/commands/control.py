"""cancel, retry: stop runs, and repeat runs, one or many."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from scheduler import Run, RunStatus, TaskScheduler
from scheduler.cli.commands.many import OnlyTag, Yes, agreed
from scheduler.cli.errors import CommandError, ExitCode
from scheduler.cli.options import RUN_HELP, Db, DbUrl, Json, complete_run, complete_task, opened
from scheduler.cli.ui.moments import parse_since
from scheduler.cli.ui.output import note, say, show_json
from scheduler.errors import RunNotFoundError, TaskNotFoundError
from scheduler.models import OPEN_STATUSES, RunTrigger
from scheduler.shapes import run_shape
from scheduler.store import StoreTransaction
from scheduler.timing.clock import to_micros

_MOST: Final = 100_000

MaybeRun = Annotated[str | None, typer.Argument(metavar="[RUN_ID]", help=RUN_HELP, autocompletion=complete_run)]
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
            done = [scheduler.find_run(run_id).id]
            scheduler.cancel_run(done[0], reason)
        else:
            found = _runs(scheduler, task, sorted(OPEN_STATUSES), tag=tag)
            runs = [run for run in found if not backfill or run.trigger is RunTrigger.BACKFILL]
            _agree(runs, "Cancel", yes=yes)
            done = _cancel_all(scheduler, runs, reason)
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
        if run_id is not None:
            new = [scheduler.retry_run(scheduler.find_run(run_id).id, from_start)]
        else:
            looked_at = scheduler.now()
            runs = _runs(scheduler, task, [status] if status else [], tag=tag, since=earliest)
            runs = _not_repeated(runs, scheduler.list_runs(task, tag=tag, since=earliest, limit=_MOST))
            _agree(runs, "Repeat", yes=yes)
            new = _repeat_all(scheduler, runs, looked_at, from_start=from_start)
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


def _not_repeated(runs: Sequence[Run], history: Sequence[Run]) -> list[Run]:
    """Return the runs that no run of a history repeats."""
    repeated = {run.retry_of for run in history}
    return [run for run in runs if run.id not in repeated]


def _agree(runs: Sequence[Run], verb: str, *, yes: bool) -> None:
    """Ask whether many runs shall be changed; end the command if not."""
    if runs and not yes and not agreed(f"{verb} {len(runs)} runs?"):
        note("Nothing was changed.")
        raise typer.Exit(ExitCode.FAILED)


def _cancel_all(scheduler: TaskScheduler, runs: Sequence[Run], reason: str | None) -> list[str]:
    """Cancel runs in one transaction; return those that were."""

    def change(store: StoreTransaction, run_id: str) -> str:
        store.cancel_run(run_id, reason)
        return run_id

    return _change_all(scheduler, lambda _: runs, change)


def _repeat_all(scheduler: TaskScheduler, runs: Sequence[Run], since: datetime, *, from_start: bool) -> list[str]:
    """Repeat runs in one transaction, but for those that were repeated since an instant; return the new runs."""

    def choose(store: StoreTransaction) -> list[Run]:
        return _not_repeated(runs, store.list_runs(since=to_micros(since), limit=_MOST))

    return _change_all(scheduler, choose, lambda store, run_id: store.retry_run(run_id, from_start=from_start))


def _change_all(
    scheduler: TaskScheduler,
    choose: Callable[[StoreTransaction], Sequence[Run]],
    change: Callable[[StoreTransaction, str], str],
) -> list[str]:
    """Change runs in one transaction; return what each change returned."""
    done, problems = [], []
    with scheduler.transaction() as store:
        for run in choose(store):
            try:
                done.append(change(store, run.id))
            # It has ended meanwhile, or somebody repeats it. What is wrong with the store ends it all.
            except (RunNotFoundError, TaskNotFoundError, ValueError) as error:
                problems.append(f"{error}")
    for problem in problems:  # after the transaction: a terminal may be slow
        note(problem)
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
