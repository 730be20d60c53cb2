"""add: a task from options, one for each field of `TaskDefinition`."""

from typing import Annotated, Any, Final

import typer

from scheduler import OverlapPolicy, TaskDefinition, TaskNotFoundError, TaskScheduler
from scheduler.cli.calendar_options import calendar_value, with_stored_calendar
from scheduler.cli.commands.changes import report
from scheduler.cli.commands.look import exists
from scheduler.cli.errors import CommandError
from scheduler.cli.metadata_options import json_object, parse_metadata
from scheduler.cli.modules import modules_of_working_directory
from scheduler.cli.options import Db, DbUrl, Json, opened
from scheduler.cli.schedule_options import one_schedule
from scheduler.cli.ui.moments import parse_duration, parse_instant
from scheduler.models import Durability, SessionMode

_WHEN: Final = "Schedule: give one of the first five"
_WHAT: Final = "Input, session and graph"
_FAILURES: Final = "Overlap, delays and failures"
_SECONDS: Final = frozenset(
    {
        "session_keep_runs",
        "session_retention",
        "thread_id",
        "misfire_grace_seconds",
        "timeout_seconds",
        "retry_delay_seconds",
        "retry_max_delay_seconds",
        "expire_waiting_after_seconds",
    }
)


def _when(flag: str, metavar: str | None, text: str) -> Any:  # noqa: ANN401 (typer's own type)
    return typer.Option(flag, metavar=metavar, help=text, rich_help_panel=_WHEN)


def _what(flag: str, metavar: str | None, text: str) -> Any:  # noqa: ANN401
    return typer.Option(flag, metavar=metavar, help=text, rich_help_panel=_WHAT)


def _failure(flag: str, metavar: str | None, text: str) -> Any:  # noqa: ANN401
    return typer.Option(flag, metavar=metavar, help=text, rich_help_panel=_FAILURES)


def add(
    task_id: Annotated[str, typer.Option("--id", metavar="ID", help="Set the permanent id of the task.")],
    prompt: Annotated[
        str | None, typer.Option("--prompt", metavar="TEXT", help="Set the message that the graph receives.")
    ] = None,
    literal_input: Annotated[
        str | None, _what("--input", "JSON", "Set the graph's input, a JSON object, in place of a prompt.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="TEXT", help="Set the name for people; default: the id.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the task that has this id.")] = False,
    cron: Annotated[str | None, _when("--cron", "EXPRESSION", 'Use a cron expression, such as "0 9 * * 1-5".')] = None,
    every: Annotated[
        str | None, _when("--every", "TIME", "Repeat after this time, such as 90s, 5m, 1h30m or 2d.")
    ] = None,
    at: Annotated[
        str | None, _when("--at", "INSTANT", "Run once, at a time such as 2027-03-15T14:00 (in --timezone).")
    ] = None,
    schedule: Annotated[
        str | None, _when("--schedule", "WORDS", 'Use words, such as "every Monday at 8:30am".')
    ] = None,
    rrule: Annotated[
        str | None, _when("--rrule", "RULE", "Use a recurrence rule, such as FREQ=WEEKLY;INTERVAL=2;BYDAY=MO;BYHOUR=9.")
    ] = None,
    timezone: Annotated[
        str | None, _when("--timezone", "ZONE", "Set the IANA zone of the schedule; default: UTC.")
    ] = None,
    start_at: Annotated[
        str | None,
        _when("--start-at", "INSTANT", "Set the earliest due time; also the anchor of an interval or a rule."),
    ] = None,
    exdates: Annotated[
        list[str] | None,
        _when("--exdate", "DATE", "Declare that a rule has no due time on this day, or at this time; can be repeated."),
    ] = None,
    end_at: Annotated[str | None, _when("--end-at", "INSTANT", "Set the latest due time.")] = None,
    calendar: Annotated[
        str | None,
        _when("--calendar", "NAME", "Start no run while this calendar, a name or JSON, is closed."),
    ] = None,
    jitter_seconds: Annotated[str | None, _when("--jitter", "TIME", "Delay each due time by up to this time.")] = None,
    max_runs: Annotated[int | None, _when("--max-runs", "NUMBER", "Finish the task after this many runs.")] = None,
    paused: Annotated[bool, _when("--paused", None, "Add the task paused.")] = False,
    session_id: Annotated[
        str | None, _what("--session", "NAME", "Set the session, which is the conversation; default: scheduler.")
    ] = None,
    session_mode: Annotated[
        SessionMode | None,
        _what(
            "--session-mode",
            "MODE",
            "Use a conversation of the task (task), the session (shared) or each run (per_run).",
        ),
    ] = None,
    session_keep_runs: Annotated[
        int | None,
        _what("--session-keep-runs", "NUMBER", "Keep the messages of only this many earlier runs in the conversation."),
    ] = None,
    thread_id: Annotated[
        str | None, _what("--thread-id", "ID", "Use this conversation of your own program's, a LangGraph thread.")
    ] = None,
    session_retention: Annotated[
        str | None, _what("--session-retention", "TIME", "Keep the conversation of a run for this time; with per_run.")
    ] = None,
    metadata: Annotated[
        list[str] | None,
        _what("--metadata", "KEY=VALUE", "Add metadata to the input; also a JSON object; can be repeated."),
    ] = None,
    tags: Annotated[
        list[str] | None,
        _what("--tag", "TAG", "Give the task a tag, to find it with others; can be repeated."),
    ] = None,
    graph: Annotated[
        str | None, _what("--graph", "MODULE:ATTRIBUTE", "Use this graph instead of the scheduler's.")
    ] = None,
    input_builder: Annotated[
        str | None, _what("--input-builder", "PATH", "Build the graph's input with this function of the task.")
    ] = None,
    result_callback: Annotated[
        str | None, _what("--result-callback", "PATH", "Call this async function with the task and the result.")
    ] = None,
    context: Annotated[str | None, _what("--context", "JSON", "Set the run's context, a JSON object.")] = None,
    configurable: Annotated[
        str | None, _what("--configurable", "JSON", "Set what the config's configurable has, a JSON object.")
    ] = None,
    recursion_limit: Annotated[
        int | None, _what("--recursion-limit", "NUMBER", "Limit the steps of the graph.")
    ] = None,
    durability: Annotated[
        Durability | None, _what("--durability", "WHEN", f"Set when checkpoints are written: {', '.join(Durability)}.")
    ] = None,
    stream: Annotated[bool, _what("--stream", None, "Report the steps of the graph while it runs.")] = False,
    overlap: Annotated[
        OverlapPolicy | None,
        _failure("--overlap", "POLICY", f"Set what happens while a run is running: {', '.join(OverlapPolicy)}."),
    ] = None,
    misfire_grace_seconds: Annotated[
        str | None,
        _failure("--misfire-grace", "TIME", "Record later due times as missed; default: start however late."),
    ] = None,
    no_coalesce: Annotated[bool, _failure("--no-coalesce", None, "Handle each missed due time by itself.")] = False,
    timeout_seconds: Annotated[str | None, _failure("--timeout", "TIME", "Cancel an attempt after this time.")] = None,
    max_attempts: Annotated[
        int | None, _failure("--max-attempts", "NUMBER", "Allow this many attempts per run.")
    ] = None,
    retry_delay_seconds: Annotated[
        str | None, _failure("--retry-delay", "TIME", "Wait this long before the first retry; doubles each time.")
    ] = None,
    retry_max_delay_seconds: Annotated[
        str | None, _failure("--retry-max-delay", "TIME", "Limit the wait between two attempts.")
    ] = None,
    retry_from_start: Annotated[
        bool, _failure("--retry-from-start", None, "Start retries from the input, not from a checkpoint.")
    ] = False,
    rerun_after_crash: Annotated[bool, _failure("--rerun-after-crash", None, "Try interrupted runs again.")] = False,
    expire_waiting_after_seconds: Annotated[
        str | None,
        _failure("--expire-waiting-after", "TIME", "Cancel a run that waits for an answer longer than this."),
    ] = None,
    pause_after_failures: Annotated[
        int | None, _failure("--pause-after-failures", "NUMBER", "Pause the task after this many failed runs in a row.")
    ] = None,
    db: Db = None,
    db_url: DbUrl = None,
    as_json: Json = False,
) -> None:
    """Add a task. An id that exists is refused, unless --replace is given."""
    given = dict(locals())
    when = one_schedule(cron=cron, every=every, at=at, words=schedule, rule=rrule, timezone=timezone)
    fields = {field: given[field] for field in TaskDefinition.model_fields if given.get(field) is not None}
    fields |= {
        "id": task_id,
        "name": name or task_id,
        "enabled": not paused,
        "coalesce": not no_coalesce,
        "metadata": parse_metadata(metadata or []),
        **{field: parse_instant(text, timezone) for field in ("start_at", "end_at") if (text := given[field])},
        **{field: _seconds(given[field]) for field in _SECONDS if given[field] is not None},
    }
    if jitter_seconds is not None:
        fields["jitter_seconds"] = parse_duration(jitter_seconds)
    for field, text in (("context", context), ("configurable", configurable), ("input", literal_input)):
        if text is not None:
            fields[field] = json_object(f"--{field}", text)
    if calendar is not None:
        fields["calendar"] = calendar_value(calendar)
    task = TaskDefinition(**{**fields, **when})
    with opened(db, db_url, create=True) as scheduler:
        task = with_stored_calendar(scheduler, task)
        is_known = exists(scheduler, task_id)
        if is_known and not replace:
            raise CommandError(f"task {task_id!r} exists; give --replace to replace it, or another --id")
        with modules_of_working_directory():
            scheduler.add_task(task)
        if not _is_stored(scheduler, task):
            raise CommandError(f"task {task_id!r} has no due time left; nothing was changed")
        report(scheduler, task_id, "Replaced" if is_known else "Added", as_json=as_json)


def _is_stored(scheduler: TaskScheduler, task: TaskDefinition) -> bool:
    try:
        return scheduler.get_task(task.id) == task
    except TaskNotFoundError:
        return False


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return parse_duration(text)
