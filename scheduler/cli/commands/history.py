"""trigger, runs, run: what ran, what runs, and running a task now."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from scheduler import Run, RunStatus, TaskNotFoundError, TaskScheduler
from scheduler.cli.commands.many import MaybeTask, OnlyTag, Tag, Yes, agree_on, check_one
from scheduler.cli.errors import CommandError, ExitCode, unusable_tasks_fail
from scheduler.cli.metadata_options import parse_metadata
from scheduler.cli.options import Db, DbUrl, Json, RunId, complete_task, opened
from scheduler.cli.ui.editing import edit_text
from scheduler.cli.ui.following import RunFeed, polled, wait_for_end
from scheduler.cli.ui.moments import local, parse_duration, parse_since
from scheduler.cli.ui.output import (
    STYLES,
    cell,
    console,
    note,
    one_line,
    say,
    show_json,
    show_pairs,
    show_table,
    status_cell,
)
from scheduler.shapes import run_shape, shown_seconds, took

_TAIL: Final = 10
_SHOWN: Final = 20
_MOST: Final = 100_000


def trigger(
    task_id: MaybeTask = None,
    tag: Tag = None,
    prompt: Annotated[
        str | None, typer.Option("--prompt", metavar="TEXT", help="Send this prompt, in this run only.")
    ] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option(
            "--metadata", metavar="KEY=VALUE", help="Add metadata to this run; also a JSON object; can be repeated."
        ),
    ] = None,
    edit: Annotated[
        bool, typer.Option("--edit", help="Edit the prompt of this run in the editor that $VISUAL or $EDITOR names.")
    ] = False,
    respect_calendar: Annotated[
        bool,
        typer.Option("--respect-calendar", help="Start nothing while the task's calendar is closed."),
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end of the run; exit with 1 if it fails.")] = False,
    timeout: Annotated[
        str | None,
        typer.Option("--timeout", metavar="TIME", help="Stop waiting after this time, such as 2m; with --wait."),
    ] = None,
    yes: Yes = False,
    db: Db = None,
    db_url: DbUrl = None,
    as_json: Json = False,
) -> None:
    """Run a task now, or all that have a tag. A running scheduler starts them within its poll interval."""
    check_one(task_id, tag)
    if timeout is not None and not wait:
        raise typer.BadParameter("it goes with --wait", param_hint="--timeout")
    if tag is not None and (wait or edit or respect_calendar):
        only = "--wait, --edit and --respect-calendar are for one task"
        raise CommandError(f"{only}; give its id, or leave them out", ExitCode.USAGE)
    seconds = None if timeout is None else parse_duration(timeout)
    own = parse_metadata(metadata) if metadata else None
    with opened(db, db_url) as scheduler:
        if task_id is None:
            _trigger_all(scheduler, str(tag), prompt, own, yes=yes, as_json=as_json)
            return
        if edit:
            prompt = edit_text(scheduler.get_task(task_id).subject if prompt is None else prompt)
        with unusable_tasks_fail():
            run_id = scheduler.trigger_task(task_id, prompt=prompt, metadata=own, respect_calendar=respect_calendar)
        _warn_if_nobody_runs(scheduler)
        run = _follow(scheduler, run_id, seconds) if wait else scheduler.get_run(run_id)
    if as_json:
        show_json(run_shape(run))
    elif wait:
        _show_end(run)
    else:
        say(f"Triggered {task_id}: run {run_id}")
    if wait and run.status is not RunStatus.SUCCEEDED:
        raise typer.Exit(ExitCode.FAILED)


def _trigger_all(
    scheduler: TaskScheduler, tag: str, prompt: str | None, own: dict[str, Any] | None, *, yes: bool, as_json: bool
) -> None:
    agree_on(scheduler, "Run", tag, yes=yes)
    with unusable_tasks_fail():
        found = [scheduler.get_run(each) for each in scheduler.trigger_tasks(tag=tag, prompt=prompt, metadata=own)]
    _warn_if_nobody_runs(scheduler)
    if as_json:
        show_json([run_shape(run) for run in found])
        return
    for run in found:
        say(f"Triggered {run.task_id}: run {run.id}")


def _warn_if_nobody_runs(scheduler: TaskScheduler) -> None:
    if not scheduler.running_schedulers():
        note("No scheduler is running on this store; the run waits until one does.")


def _follow(scheduler: TaskScheduler, run_id: str, seconds: float | None) -> Run:
    people = console(stderr=True)
    try:
        with people.status(f"run {run_id}") as status:

            def changed(run: Run) -> None:
                status.update(f"run {run_id}: {run.status}")
                if run.status is RunStatus.WAITING:
                    note(f"Run {run_id} waits for an answer.")

            return wait_for_end(scheduler, run_id, seconds, changed)
    except KeyboardInterrupt:
        note(f"Run {run_id} is still running.")
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def _show_end(run: Run) -> None:
    took_ = shown_seconds(took(run.started_at, run.finished_at))
    console().print(Text(str(run.status), STYLES[run.status]), Text(f"run {run.id}, {took_}"))
    if run.pending_reason:
        say(run.pending_reason)
    if run.error or run.response:
        say(run.error or run.response or "")


def runs(
    task_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Show only runs of this task.", autocompletion=complete_task)
    ] = None,
    status: Annotated[
        list[RunStatus] | None,
        typer.Option(
            "--status",
            metavar="STATUS",
            help=f"Show only runs with this status: {', '.join(RunStatus)}; can be repeated.",
        ),
    ] = None,
    tag: OnlyTag = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="TIME", help="Show only runs due since then, such as 2h (ago) or 2027-03-15T14:00."
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Show only runs due before then, such as 1h (ago).")
    ] = None,
    before: Annotated[
        str | None,
        typer.Option("--before", metavar="RUN_ID", help="Show the next page: the runs after this one in the list."),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="NUMBER", min=1, max=_MOST, help="Show at most this many.")
    ] = _SHOWN,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print each change of status, until Ctrl+C.")] = False,
    db: Db = None,
    db_url: DbUrl = None,
    as_json: Json = False,
) -> None:
    """List runs, newest first. With --follow, print the last ten, oldest first, and then each change."""
    now = datetime.now(UTC)
    earliest = None if since is None else parse_since(since, now)
    latest = None if until is None else parse_since(until, now)
    if follow and (tag or latest or before):
        raise CommandError("--tag, --until and --before do not go with --follow; leave them out", ExitCode.USAGE)
    statuses = status or None
    with opened(db, db_url) as scheduler:
        if follow:
            backlog = limit if since is not None or limit != _SHOWN else _TAIL
            _follow_runs(scheduler, task_id, statuses, earliest, backlog, as_json=as_json)
            return
        found = scheduler.list_runs(
            task_id, statuses=statuses, tag=tag, since=earliest, until=latest, before=before, limit=limit
        )
        if not found and task_id is not None:
            _check_task(scheduler, task_id)
    if as_json:
        show_json([run_shape(run) for run in found])
    elif found:
        columns, rows = run_rows(found, with_task=task_id is None)
        show_table(columns, rows, keep=["ID"])
    else:
        say("No runs.")


def _check_task(scheduler: TaskScheduler, task_id: str) -> None:
    if not scheduler.list_runs(task_id, limit=1):
        scheduler.get_task(task_id)


def _follow_runs(
    scheduler: TaskScheduler,
    task_id: str | None,
    statuses: Sequence[RunStatus] | None,
    earliest: datetime | None,
    backlog: int,
    *,
    as_json: bool,
) -> None:
    if task_id is not None:
        _check_task(scheduler, task_id)
    feed = RunFeed(scheduler, task_id)
    feed.changes()
    shown = scheduler.list_runs(task_id, statuses=statuses, since=earliest, limit=backlog)
    feed.skip(shown)
    people = console()
    try:
        for run in reversed(shown):
            _show_change(people, run, as_json=as_json)
        for _ in polled():
            for run in feed.changes():
                if statuses is None or run.status in statuses:
                    _show_change(people, run, as_json=as_json)
    except KeyboardInterrupt:
        return


def _show_change(people: Any, run: Run, *, as_json: bool) -> None:  # noqa: ANN401 (rich's Console)
    if as_json:
        show_json(run_shape(run), line=True)
        return
    at = run.finished_at or run.started_at or run.scheduled_at
    line = Text(f"{local(at)}  ")
    line.append(f"{run.status:<11} ", STYLES[run.status]).append(one_line(run.task_id), "bold")
    seconds = took(run.started_at, run.finished_at)
    line.append(f"  {run.id}" + ("" if seconds is None else f"  {shown_seconds(seconds)}"))
    step = run.current_step if run.status is RunStatus.RUNNING else None
    if text := one_line(step or run.error or run.response):
        line.append(f"  {text}")
    people.print(line, soft_wrap=True)
    people.file.flush()


def run(
    run_id: RunId,
    full: Annotated[
        bool, typer.Option("--full", help="Show the whole response, not only its first 2,000 characters.")
    ] = False,
    db: Db = None,
    db_url: DbUrl = None,
    as_json: Json = False,
) -> None:
    """Show one run: prompt, response, error, attempts and their durations."""
    with opened(db, db_url) as scheduler:
        found = scheduler.find_run(run_id)
        if full:
            found = found.model_copy(update={"response": scheduler.get_response(found.id)})
        try:
            prompt = found.prompt or scheduler.get_task(found.task_id).subject
        except TaskNotFoundError:
            prompt = None
    if as_json:
        show_json({**run_shape(found), "prompt": prompt})
        return
    show_pairs(_run_facts(found, prompt))


def _run_facts(run: Run, prompt: str | None) -> list[tuple[str, str | Text]]:
    facts: list[tuple[str, str | Text]] = [
        ("id", run.id),
        ("task", one_line(run.task_id)),
        ("number", str(run.number)),
        ("status", status_cell(run.status)),
        ("trigger", str(run.trigger)),
        ("due", local(run.scheduled_at)),
        ("started", local(run.started_at)),
        ("finished", local(run.finished_at)),
        ("took", shown_seconds(took(run.started_at, run.finished_at))),
        ("thread", one_line(run.thread_id)),
        ("prompt", prompt or "(the task is gone)"),
    ]
    if run.metadata:
        facts.append(("metadata", one_line(json.dumps(run.metadata, ensure_ascii=False))))
    if run.retry_of is not None:
        facts.append(("retry of", run.retry_of))
    if run.coalesced:
        facts.append(("coalesced", f"it stands for {run.coalesced} further due times"))
    if run.current_step is not None:
        facts.append(("step", one_line(run.current_step)))
    if (used := run.usage) is not None:
        facts.append(("tokens", f"{used.total_tokens} ({used.input_tokens} in, {used.output_tokens} out)"))
    facts += [("question", f"{each.value}") for each in run.questions]
    facts += [(name, text) for name, text in (("response", run.response), ("error", run.error)) if text]
    for attempt in run.earlier_attempts:
        seconds = shown_seconds(took(attempt.started_at, attempt.finished_at))
        ended = f"{attempt.status}, {local(attempt.started_at)}, {seconds}"
        facts.append((f"attempt {attempt.number}", f"{ended}: {attempt.error}" if attempt.error else ended))
    if run.attempt > 1:
        seconds = shown_seconds(took(run.started_at, run.finished_at))
        facts.append((f"attempt {run.attempt}", f"{run.status}, {local(run.started_at)}, {seconds}"))
    return facts


def run_rows(runs: Sequence[Run], *, with_task: bool) -> tuple[list[str], list[list[str | Text]]]:
    """Return runs as a table: its columns, and its rows."""
    columns = ["ID", *(["TASK"] if with_task else []), "NO", "STATUS", "DUE", "STARTED", "TOOK", "RESPONSE OR ERROR"]
    return columns, [_run_row(run, with_task=with_task) for run in runs]


def _run_row(run: Run, *, with_task: bool) -> list[str | Text]:
    return [
        run.id,
        *([cell(run.task_id, "bold")] if with_task else []),
        str(run.number),
        status_cell(run.status),
        local(run.scheduled_at),
        local(run.started_at),
        shown_seconds(took(run.started_at, run.finished_at)),
        one_line(run.pending_reason or run.error or run.response)[:200],
    ]
