"""add: a task from options, one for each field of `TaskDefinition`."""

import json
from typing import Annotated, Any, Final

import typer

from scheduler import OverlapPolicy, TaskDefinition, TaskNotFoundError, TaskScheduler
from scheduler.cli.changes import report
from scheduler.cli.errors import CommandError, ExitCode
from scheduler.cli.look import exists
from scheduler.cli.moments import parse_duration, parse_instant
from scheduler.cli.options import Db, DbUrl, Json, opened
from scheduler.cli.words import one_schedule
from scheduler.models import Durability, SessionMode

_WHEN: Final = "When: one of the first four"
_WHAT: Final = "What is sent, and to whom"
_TROUBLE: Final = "When things go otherwise"
_SECONDS: Final = frozenset(
    {
        "session_retention",
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


def _trouble(flag: str, metavar: str | None, text: str) -> Any:  # noqa: ANN401
    return typer.Option(flag, metavar=metavar, help=text, rich_help_panel=_TROUBLE)


def add(
    task_id: Annotated[str, typer.Option("--id", metavar="ID", help="Names the task for ever.")],
    prompt: Annotated[str, typer.Option("--prompt", metavar="TEXT", help="What the graph is asked.")],
    name: Annotated[str | None, typer.Option("--name", metavar="TEXT", help="For people; else the id.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the task that has this id.")] = False,
    cron: Annotated[str | None, _when("--cron", "EXPRESSION", 'Such as "0 9 * * 1-5".')] = None,
    every: Annotated[str | None, _when("--every", "TIME", "Such as 90s, 5m, 1h30m or 2d.")] = None,
    at: Annotated[str | None, _when("--at", "INSTANT", "Such as 2027-03-15T14:00, in the zone of --timezone.")] = None,
    schedule: Annotated[str | None, _when("--schedule", "WORDS", 'Such as "every Monday at 8:30am".')] = None,
    timezone: Annotated[str | None, _when("--timezone", "ZONE", "The IANA zone of the schedule; else UTC.")] = None,
    start_at: Annotated[str | None, _when("--start-at", "INSTANT", "Not due before; anchors an interval.")] = None,
    end_at: Annotated[str | None, _when("--end-at", "INSTANT", "Not due after.")] = None,
    jitter_seconds: Annotated[str | None, _when("--jitter", "TIME", "Put off by up to so much.")] = None,
    max_runs: Annotated[int | None, _when("--max-runs", "NUMBER", "So many runs, then it is finished.")] = None,
    paused: Annotated[bool, _when("--paused", None, "It waits to be resumed.")] = False,
    session_id: Annotated[str | None, _what("--session", "NAME", "The conversation; else scheduler.")] = None,
    session_mode: Annotated[
        SessionMode | None, _what("--session-mode", "MODE", "One conversation (shared), or one a run (per_run).")
    ] = None,
    session_retention: Annotated[
        str | None, _what("--session-retention", "TIME", "How long the conversation of a single run is kept.")
    ] = None,
    metadata: Annotated[
        list[str] | None, _what("--metadata", "KEY=VALUE", "Further input; also a JSON object; may be repeated.")
    ] = None,
    graph: Annotated[str | None, _what("--graph", "MODULE:ATTRIBUTE", "A graph other than the scheduler's.")] = None,
    input_builder: Annotated[
        str | None, _what("--input-builder", "PATH", "A function from the task to the graph's input.")
    ] = None,
    result_callback: Annotated[
        str | None, _what("--result-callback", "PATH", "An async function that takes task and result.")
    ] = None,
    context: Annotated[str | None, _what("--context", "JSON", "The run's context, a JSON object.")] = None,
    recursion_limit: Annotated[
        int | None, _what("--recursion-limit", "NUMBER", "How many steps the graph may take.")
    ] = None,
    durability: Annotated[
        Durability | None, _what("--durability", "WHEN", f"When checkpoints are written: {', '.join(Durability)}.")
    ] = None,
    stream: Annotated[bool, _what("--stream", None, "The steps of the graph are told while it runs.")] = False,
    overlap: Annotated[
        OverlapPolicy | None, _trouble("--overlap", "POLICY", f"Due while a run is going: {', '.join(OverlapPolicy)}.")
    ] = None,
    misfire_grace_seconds: Annotated[
        str | None, _trouble("--misfire-grace", "TIME", "How late it may start; else however late.")
    ] = None,
    no_coalesce: Annotated[bool, _trouble("--no-coalesce", None, "Missed due times do not become one run.")] = False,
    timeout_seconds: Annotated[str | None, _trouble("--timeout", "TIME", "How long an attempt may take.")] = None,
    max_attempts: Annotated[int | None, _trouble("--max-attempts", "NUMBER", "How many tries a run has.")] = None,
    retry_delay_seconds: Annotated[
        str | None, _trouble("--retry-delay", "TIME", "The wait after the first try; it doubles.")
    ] = None,
    retry_max_delay_seconds: Annotated[
        str | None, _trouble("--retry-max-delay", "TIME", "The longest wait between two tries.")
    ] = None,
    retry_from_start: Annotated[
        bool, _trouble("--retry-from-start", None, "A retry does not continue from a checkpoint.")
    ] = False,
    rerun_after_crash: Annotated[
        bool, _trouble("--rerun-after-crash", None, "An interrupted run is tried again.")
    ] = False,
    expire_waiting_after_seconds: Annotated[
        str | None, _trouble("--expire-waiting-after", "TIME", "How long a run waits for an answer.")
    ] = None,
    pause_after_failures: Annotated[
        int | None, _trouble("--pause-after-failures", "NUMBER", "So many failed runs in a row pause it.")
    ] = None,
    db: Db = None,
    db_url: DbUrl = None,
    as_json: Json = False,
) -> None:
    """Add a task. An id that exists is refused, unless --replace is given."""
    given = dict(locals())
    when = one_schedule(cron=cron, every=every, at=at, words=schedule, timezone=timezone)
    fields = {field: given[field] for field in TaskDefinition.model_fields if given.get(field) is not None}
    fields |= {
        "id": task_id,
        "name": name or task_id,
        "enabled": not paused,
        "coalesce": not no_coalesce,
        "metadata": _metadata(metadata or []),
        **{field: parse_instant(text, timezone) for field in ("start_at", "end_at") if (text := given[field])},
        **{field: _seconds(given[field]) for field in _SECONDS if given[field] is not None},
    }
    if jitter_seconds is not None:
        fields["jitter_seconds"] = parse_duration(jitter_seconds)
    if context is not None:
        fields["context"] = _json_object("--context", context)
    task = TaskDefinition(**{**fields, **when})
    with opened(db, db_url, create=True) as scheduler:
        is_known = exists(scheduler, task_id)
        if is_known and not replace:
            raise CommandError(f"task {task_id!r} exists; give --replace to replace it, or another --id")
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


def _metadata(given: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in given:
        if text.lstrip().startswith("{"):
            found |= _json_object("--metadata", text)
            continue
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise CommandError(f"--metadata {text!r}: give KEY=VALUE or a JSON object", ExitCode.USAGE)
        found[key] = value
    return found


def _json_object(option: str, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise CommandError(f"{option}: this is no JSON ({error})", ExitCode.USAGE) from None
    if not isinstance(value, dict):
        raise CommandError(f'{option}: give a JSON object, such as {{"team": "ops"}}', ExitCode.USAGE)
    return value
