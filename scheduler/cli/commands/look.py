"""list, show, next: what will run, and when."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from pydantic import ValidationError
from rich.text import Text

from scheduler import Run, TaskDefinition, TaskNotFoundError, TaskScheduler, next_due_times
from scheduler._definition_errors import problems_in
from scheduler.cli.commands.history import run_rows
from scheduler.cli.commands.many import OnlyTag, found_tasks
from scheduler.cli.errors import CommandError, ExitCode
from scheduler.cli.metadata_options import json_object
from scheduler.cli.options import Db, DbUrl, Json, TaskId, opened
from scheduler.cli.ui.moments import in_local_words, local, on_the_clock
from scheduler.cli.ui.output import cell, note, one_line, say, show_json, show_pairs, show_table, status_cell, table
from scheduler.cli.ui.output import show as show_parts
from scheduler.models import SessionMode, usual_mode
from scheduler.schedule_texts import schedule_fields
from scheduler.shapes import due_times, has_clock, in_words, run_shape, task_shape
from scheduler.thread_ids import shared_thread
from scheduler.views import TaskState, TaskView

_DUE_TIMES: Final = 5
_RUNS: Final = 5
_MOST_RUNS: Final = 100_000
_MOST: Final = 1000
_SHOWN: Final = ("finished_at", "finish_reason", "pause_reason", "paused_since", "paused_until", "problem", "schedule")


def list_tasks(
    tag: OnlyTag = None,
    search: Annotated[
        str | None,
        typer.Option("--search", metavar="TEXT", help="Show only tasks with this text in id, name or prompt."),
    ] = None,
    state: Annotated[
        TaskState | None,
        typer.Option("--state", metavar="STATE", help=f"Show only tasks in this state: {', '.join(TaskState)}."),
    ] = None,
    source: Annotated[
        str | None, typer.Option("--source", metavar="PATH", help="Show only tasks that this file has brought.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="NUMBER", min=1, help="Show a page of at most this many, by id.")
    ] = None,
    after: Annotated[
        str | None, typer.Option("--after", metavar="ID", help="Show the page that follows this id; with --limit.")
    ] = None,
    db: Db = None,
    db_url: DbUrl = None,
    as_json: Json = False,
) -> None:
    """List the tasks by next due time, or those that you look for by id, with their last status."""
    if after is not None and limit is None:
        raise CommandError("--after goes with --limit; give both", ExitCode.USAGE)
    wanted = {"tag": tag, "search": search, "state": state, "source": source}
    with opened(db, db_url) as scheduler:
        if limit is not None:
            tasks = scheduler.find_tasks(**wanted, after=after, limit=limit)
        elif any(wanted.values()):
            tasks = found_tasks(scheduler, **wanted)
        else:
            tasks = scheduler.task_views()
        last = {task.id: last_run(scheduler, task.id) for task in tasks}
    if as_json:
        show_json([task_shape(task, last[task.id]) for task in tasks])
    elif tasks:
        columns = ("ID", "NEXT DUE", "IN ITS ZONE", "LAST RUN", "SCHEDULE", "NAME")
        show_table(columns, [task_row(task, last[task.id]) for task in tasks], keep=["ID"])
        for task in tasks:
            if task.problem is not None and task.state is not TaskState.UNUSABLE:
                note(f"warning: task {task.id} {task.problem}")
        if len(tasks) == limit:
            note(f"More may follow: --after {tasks[-1].id}")
    else:
        say("No tasks." if not any(wanted.values()) else "No such tasks.")


def last_run(scheduler: TaskScheduler, task_id: str) -> Run | None:
    """Return the newest run of a task that began or waits to; due times that were skipped or missed count too."""
    newest = scheduler.list_runs(task_id, limit=1)
    return newest[0] if newest else None


def task_row(task: TaskView, run: Run | None) -> list[str | Text]:
    """Return a task as a row of the list."""
    return [
        cell(task.id, "bold"),
        next_due_cell(task),
        "" if task.next_due is None else f"{on_the_clock(task.next_due)} {task.timezone}",
        status_cell(run.status if run else None),
        "" if task.definition is None else in_words(task.definition, task.timezone),
        task.name,
    ]


def next_due_cell(task: TaskView) -> Text:
    """Return when a task is due next in local words, or why it is not."""
    if task.next_due is not None:
        return Text(in_local_words(task.next_due, datetime.now(UTC)))
    style = "red" if task.state is TaskState.UNUSABLE else "yellow"
    if task.state is TaskState.FINISHED:
        at = "" if task.finished_at is None else f" {local(task.finished_at)}"
        return cell(f"finished{at}: {task.finish_reason}", "dim")
    bounds = (("since", task.paused_since), ("until", task.paused_until))
    times = [f" {word} {local(moment)}" for word, moment in bounds if moment is not None]
    why = f": {task.pause_reason}" if task.pause_reason else ""
    return cell(task.next_run + "".join(times if task.state is TaskState.PAUSED else []) + why, style)


def show(task_id: TaskId, db: Db = None, db_url: DbUrl = None, as_json: Json = False) -> None:
    """Show one task: its definition, its schedule in words, the next five due times and the last runs."""
    with opened(db, db_url) as scheduler:
        task = scheduler.task_view(task_id)
        runs = scheduler.list_runs(task_id, limit=_RUNS)
        conversation = _conversation(scheduler, task)
    shape, times = task_shape(task, runs[0] if runs else None), due_times(task, _DUE_TIMES)
    if as_json:
        due = [moment.isoformat() for moment in times]
        about = {"conversation": conversation, "due_times": due, "runs": [run_shape(run) for run in runs]}
        show_json({**shape, **about})
        return
    spoken = [] if conversation is None else [("conversation", Text(_in_words(conversation)))]
    show_pairs([*_facts(shape), *spoken, *_due_lines(times, str(shape["timezone"]))])
    if runs:
        columns, rows = run_rows(runs, with_task=False)
        show_parts(Text("\nLast runs", "bold"), table(columns, rows, keep=["ID"]))


def _conversation(scheduler: TaskScheduler, task: TaskView) -> dict[str, Any] | None:
    """Return the thread of a task's runs, which other tasks share it, and how many runs in the history were on it."""
    if task.definition is None:
        return None
    thread = shared_thread(task.definition)
    others = []
    if task.definition.session_mode is SessionMode.SHARED or task.definition.thread_id is not None:
        found = (each.definition for each in scheduler.task_views() if each.id != task.id)
        others = sorted(each.id for each in found if each is not None and shared_thread(each) == thread)
    runs = [run for each in (task.id, *others) for run in scheduler.list_runs(each, limit=_MOST_RUNS)]
    number = sum(1 for run in runs if run.started_at is not None and thread in {None, run.thread_id})
    return {"thread_id": thread, "shared_with": others, "runs": number}


def _in_words(conversation: dict[str, Any]) -> str:
    if conversation["thread_id"] is None:
        return "each run has its own"
    others = ", ".join(conversation["shared_with"])
    whose = f"shared with {others}" if others else "its own"
    number = conversation["runs"]
    return one_line(f"{conversation['thread_id']} ({whose}; {number} run{'' if number == 1 else 's'})")


def describe_task(scheduler: TaskScheduler, task_id: str) -> dict[str, Any]:
    """Return a task in the shape of `--json`. Raises `TaskNotFoundError`."""
    return task_shape(scheduler.task_view(task_id), last_run(scheduler, task_id))


def exists(scheduler: TaskScheduler, task_id: str) -> bool:
    """Tell whether a task has this id, finished ones included."""
    try:
        scheduler.task_view(task_id)
    except TaskNotFoundError:
        return False
    return True


def _facts(shape: dict[str, Any]) -> list[tuple[str, str | Text]]:
    facts: list[tuple[str, str | Text]] = [("id", one_line(shape["id"])), ("state", shape["state"])]
    facts += [(name, one_line(shape[name])) for name in _SHOWN if shape[name]]
    for field, value in (shape["definition"] or {}).items():
        if field != "id" and value != _default(field, shape["definition"]["session_id"]):
            shown = int(value) if isinstance(value, float) and value.is_integer() else value
            facts.append((field, value if field == "prompt" else one_line(str(shown))))
    return facts


def _default(field: str, session_id: str) -> Any:  # noqa: ANN401 (of any field)
    """Return what a field is as JSON if it is not given, by its task's session."""
    if field == "session_mode":
        return usual_mode(session_id)
    default = TaskDefinition.model_fields[field].get_default(call_default_factory=True)
    return list(default) if isinstance(default, tuple) else default


def _due_lines(times: list[datetime], zone: str) -> list[tuple[str, str | Text]]:
    now = datetime.now(UTC)
    lines = [f"{in_local_words(moment, now):<18} {on_the_clock(moment)} {zone}" for moment in times]
    return [("due", "\n".join(lines))] if lines else []


def next_(
    schedule: Annotated[
        str,
        typer.Argument(
            metavar="SCHEDULE", help='Preview this cron expression, or words such as "every Monday at 8:30am".'
        ),
    ],
    timezone: Annotated[
        str | None, typer.Option("--timezone", metavar="ZONE", help="Set the IANA zone; default: UTC.")
    ] = None,
    count: Annotated[
        int, typer.Option("--count", metavar="NUMBER", min=1, max=_MOST, help="Show this many due times.")
    ] = _DUE_TIMES,
    calendar: Annotated[
        str | None,
        typer.Option("--calendar", metavar="JSON", help='Apply this calendar, such as \'{"closed": "sun"}\'.'),
    ] = None,
    as_json: Json = False,
) -> None:
    """Preview the due times of a schedule, and what shapes each, without a store."""
    fields = schedule_fields(schedule, timezone)
    if calendar is not None:
        fields["calendar"] = json_object("--calendar", calendar)
    try:
        task = TaskDefinition(id="preview", name="preview", prompt="preview", **fields)
    except ValidationError as error:
        raise CommandError("; ".join(problems_in(error)), ExitCode.USAGE) from None
    zone = task.timezone or timezone or "UTC"
    times = next_due_times(task.model_copy(update={"timezone": zone}), count, explain=True)
    words = in_words(task, zone if has_clock(task) else task.timezone)
    if as_json:
        given = task.model_dump(mode="json", include=set(fields))
        due = [each.at.isoformat() for each in times if each.runs]
        shaped = [{"at": each.at.isoformat(), "runs": each.runs, "notes": each.notes} for each in times]
        show_json({"schedule": words, "timezone": zone, "fields": given, "due_times": due, "explained": shaped})
        return
    say(words)
    now = datetime.now(UTC)
    for each in times:
        notes = "; ".join(each.notes)
        said = f"{on_the_clock(each.at)} {zone}  {in_local_words(each.at, now)}" if each.runs else on_the_clock(each.at)
        say(f"{said}  {notes}" if notes else said)
