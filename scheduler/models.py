"""TaskDefinition, TaskType, Run, RunStatus and their kin, in pydantic; validates, computes nothing."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from scheduler._definition_errors import Hint, id_of, refused, reworded
from scheduler._field_types import (
    CallbackPath,
    Count,
    Crontab,
    Exceptions,
    Flag,
    GraphPath,
    Identifier,
    Interval,
    Jitter,
    JsonObject,
    Moment,
    Name,
    PositiveSeconds,
    Prompt,
    RecurrenceRule,
    Seconds,
    Tags,
    Zone,
    is_stored,
)
from scheduler._limits import (
    FIRST_YEAR,
    ID_LIMIT,
    INTERVAL_LIMIT,
    LAST_YEAR,
    NAME_LIMIT,
    TAG_LIMIT,
    TAGS_LIMIT,
    TEXT_LIMIT,
)
from scheduler._texts import shown
from scheduler.calendars import Calendar, calendar_from
from scheduler.timing.local_time import LocalTimeError, in_whole_minutes, instant_of
from scheduler.timing.rule_parser import parse_rule


class TaskType(StrEnum):
    """What kind of schedule a task has."""

    #: A crontab expression, read in the task's time zone.
    CRON = "cron"
    #: Every so many seconds, counted from an anchor.
    INTERVAL = "interval"
    #: One instant.
    ONE_TIME = "one_time"
    #: A recurrence rule of RFC 5545, read in the task's time zone.
    RRULE = "rrule"


class OverlapPolicy(StrEnum):
    """What happens when a task becomes due while its previous run is still running (the names are Temporal's)."""

    #: The due time is not started; the history says so in a `skipped` row.
    SKIP = "skip"
    #: One due time waits for the previous run to end; further ones are skipped.
    BUFFER_ONE = "buffer_one"
    #: Each due time waits for its turn, up to a thousand of them; further ones are skipped.
    BUFFER_ALL = "buffer_all"
    #: The previous run is cancelled, and the due time starts when that run has ended.
    CANCEL_OTHER = "cancel_other"
    #: The due time starts beside the previous run.
    ALLOW_ALL = "allow_all"


class SessionMode(StrEnum):
    """Which conversation the runs of a task belong to; it matters to a graph with a checkpointer."""

    #: All runs of the task continue one conversation, which belongs to this task alone.
    TASK = "task"
    #: All runs continue the session's conversation, with those of other tasks of the session, one at a time.
    SHARED = "shared"
    #: Each run has a conversation of its own.
    PER_RUN = "per_run"


class Durability(StrEnum):
    """When LangGraph writes its checkpoints (its own words)."""

    #: When the graph ends.
    EXIT = "exit"
    #: During the next step.
    ASYNC = "async"
    #: Before the next step begins.
    SYNC = "sync"


class RunStatus(StrEnum):
    """Where a run stands. A status of `OPEN_STATUSES` may still change, the others are final."""

    #: Waits to be started: triggered by hand, buffered by its overlap policy, or between two attempts.
    PENDING = "pending"
    #: An attempt is running.
    RUNNING = "running"
    #: The graph asked a human, and waits for `answer_run`; `questions` says what.
    WAITING = "waiting"
    #: The graph returned.
    SUCCEEDED = "succeeded"
    #: The graph raised, at the last attempt.
    FAILED = "failed"
    #: The last attempt took longer than `timeout_seconds`.
    TIMED_OUT = "timed_out"
    #: Cancelled by `cancel_run`, its overlap policy or itself, or since its task was removed or nobody answered.
    CANCELLED = "cancelled"
    #: Its process died or was stopped before the graph returned.
    INTERRUPTED = "interrupted"
    #: Not started, because of the overlap policy or because its task was changed first; `error` gives the reason.
    SKIPPED = "skipped"
    #: Not started, because it was later than `misfire_grace_seconds`.
    MISSED = "missed"


OPEN_STATUSES: Final = frozenset({RunStatus.PENDING, RunStatus.RUNNING, RunStatus.WAITING})
"""The statuses of runs that are not over; a run in one of them has no `finished_at`."""


class RunTrigger(StrEnum):
    """What called for a run."""

    #: A due time of the task's schedule.
    SCHEDULE = "schedule"
    #: A call of `trigger_task`.
    MANUAL = "manual"
    #: A call of `retry_run`.
    RETRY = "retry"
    #: A call of `backfill_task`.
    BACKFILL = "backfill"


class Attempt(BaseModel):
    """One try of a run at the graph that was followed by another try."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    number: int
    """1 for the first attempt."""
    status: RunStatus
    """How it ended."""
    started_at: AwareDatetime
    """When it began, in UTC."""
    finished_at: AwareDatetime
    """When it ended, in UTC; for an attempt whose process died, when that was noticed."""
    error: str | None = None
    """What went wrong: type and message."""


BREAKPOINT_PREFIX: Final = "breakpoint:"
"""What the ids of questions begin with that ask whether a graph may continue from a breakpoint."""


class Question(BaseModel):
    """What a graph asks a human: one of its interrupts, or whether it may continue from a breakpoint."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    id: str
    """LangGraph's id of the interrupt, or `breakpoint:…`; `answer_run` takes answers by it."""
    value: Any
    """What the graph gave to `interrupt()`, as JSON. At a breakpoint a dict: `question`, in words; `next`, the nodes
    that the graph would run next; `tool_calls`, if its last message has any."""
    response_schema: dict[str, Any] | None = None
    """The JSON schema of an answer, if the graph gave one to `interrupt()`; other answers are refused."""


class TokenUsage(BaseModel):
    """The tokens that chat models used."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    input_tokens: int
    """What the models read."""
    output_tokens: int
    """What they wrote."""
    total_tokens: int
    """Both, as the models' providers count it."""


class Run(BaseModel):
    """One firing of a task: a row of the run history. All datetimes are in UTC."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    id: str
    """The run's id; ids rise with the time of their making."""
    task_id: str
    """The id of the task that it belongs to."""
    scheduled_at: AwareDatetime
    """The due time that it stands for; for a manual run, when it was triggered."""
    started_at: AwareDatetime | None
    """When its latest attempt began; None if there was none."""
    finished_at: AwareDatetime | None
    """When it ended; None while it is `pending`, `running` or `waiting`."""
    status: RunStatus
    """Where it stands."""
    attempt: int
    """The number of attempts so far."""
    coalesced: int
    """Further due times that this row stands for, beside `scheduled_at`."""
    trigger: RunTrigger
    """What called for it."""
    thread_id: str
    """The LangGraph thread that it runs on."""
    response: str | None
    """The text of the graph's last message, cut to 2,000 characters."""
    error: str | None
    """Why it failed or was not started: a type and message, or a reason."""
    earlier_attempts: tuple[Attempt, ...] = ()
    """The attempts before the latest one, oldest first."""
    resumed: bool = False
    """Whether the latest attempt continued from a checkpoint of the run instead of from the beginning."""
    questions: tuple[Question, ...] = ()
    """What the graph asks while the run is `waiting`."""
    current_step: str | None = None
    """With `stream`: the node, or task of an entrypoint, of the latest attempt that returned last; None if none has.
    Written at most once per `poll_interval`, and when the run ends."""
    usage: TokenUsage | None = None
    """The tokens that the run used: the sum over the `usage_metadata` of the messages that follow the run's own prompt
    in what the graph returned, those of earlier attempts that it continued among them; None if no message tells."""

    prompt: str | None = None
    """The prompt of this run alone; None: the task's."""
    metadata: dict[str, Any] | None = None
    """Further metadata of this run alone, in addition to the task's."""
    retry_of: str | None = None
    """The run that this one repeats."""
    number: int = 0
    """Its number among the runs of its task, from 1 on, in the order of their making; 0 where it is not known."""
    pending_reason: str | None = None
    """Why a `pending` run does not run yet, such as which run holds its conversation; None for other runs."""


class CurrentRun(BaseModel):
    """The run that an `input_builder` with two arguments builds an input for. All datetimes are in UTC."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    id: str
    """The run's id."""
    scheduled_at: AwareDatetime
    """The due time that it stands for; for a run by hand, when it was triggered."""
    attempt: int
    """1 for the first attempt."""
    trigger: RunTrigger
    """What called for it."""
    prompt: str | None
    """Its own prompt, if it has one, else the task's; None if neither has one."""
    last_success_at: AwareDatetime | None
    """When the task's newest successful run ended, as far as its history is kept; None: there is none."""
    previous: Run | None
    """The task's run before this one, among those that have started; None: there is none."""


class TaskChanges(BaseModel):
    """What `apply_tasks` did, or would do, to the tasks of a store: ids, in the order in which they were given."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    added: tuple[str, ...] = ()
    """Tasks that were not there."""
    changed: tuple[str, ...] = ()
    """Tasks whose definition was another one."""
    kept: tuple[str, ...] = ()
    """Tasks that were there as they are."""
    removed: tuple[str, ...] = ()
    """Tasks of the same source that were not given any more; only with `prune`."""
    left_out: tuple[tuple[str, str], ...] = ()
    """Tasks that were not stored because their time has passed, each with the reason."""
    adopted: tuple[str, ...] = ()
    """Other sources whose tasks now belong to this one."""
    orphaned: tuple[tuple[str, str], ...] = ()
    """Tasks of files that do not exist any more, and were not adopted; each with the file."""


DEFAULT_SESSION: Final = "scheduler"
"""The session of tasks that name none."""
_MOMENTS: Final = ("run_at", "start_at", "end_at")
SCHEDULE_FIELDS: Final = {
    TaskType.CRON: "cron_expression",
    TaskType.INTERVAL: "interval_seconds",
    TaskType.ONE_TIME: "run_at",
    TaskType.RRULE: "rrule",
}
_RESERVED: Final = frozenset({"thread_id", "run_id", "checkpoint_id", "checkpoint_ns", "checkpoint_map"})
_set: Final = object.__setattr__
_MOMENT_HINT: Final = Hint(
    f"give a datetime from the year {FIRST_YEAR} to {LAST_YEAR}; "
    "one without an offset is local if the task names timezone, else UTC"
)


class TaskDefinition(BaseModel):
    """What to send to the graph, and when.

    Raises `pydantic.ValidationError`, which is a `ValueError`, when a value or a combination of values is wrong;
    each line of it names the task, the field, the value and the hint. All times are in seconds.
    """

    # Copies do not have it.
    __slots__ = ("_is_checked",)

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", hide_input_in_errors=True)

    id: Annotated[Identifier, Hint(f"give a text of 1 to {ID_LIMIT} characters without control characters")]
    """The permanent id: adding a definition with the same id replaces the task."""
    name: Annotated[Name, Hint(f"give a text that is not blank, of at most {NAME_LIMIT} characters")]
    """For people: it stands in logs and as the `run_name` of the graph's runs."""
    task_type: Annotated[TaskType, Hint("give 'cron', 'interval', 'one_time' or 'rrule'")]
    """Which of `cron_expression`, `interval_seconds`, `run_at` and `rrule` is the schedule."""
    enabled: Annotated[Flag, Hint("give True or False")] = True
    """False: the task is stored paused."""
    prompt: Annotated[Prompt | None, Hint(f"give a text that is not blank, of at most {TEXT_LIMIT:,} characters")] = (
        None
    )
    """The content of the user message that the graph is invoked with; a task has either a prompt or an `input`, and
    needs neither if it has an `input_builder`."""
    input: Annotated[JsonObject | None, Hint("give a dict of JSON values, or None")] = None
    """The graph's input, passed as it is, in place of a prompt; JSON."""
    session_id: Annotated[Identifier, Hint(f"give a text of 1 to {ID_LIMIT} characters without control characters")] = (
        DEFAULT_SESSION
    )
    """The session, as the graph's input names it. One other than `scheduler` is a conversation that all its tasks
    share, unless `session_mode` says otherwise."""
    session_mode: Annotated[SessionMode, Hint("give one of SessionMode: 'task', 'shared', 'per_run'")] = (
        SessionMode.TASK
    )
    """Whether the task has a conversation of its own, shares the session's, or has one for each run. If it is not
    given: `shared` for a `session_id` other than `scheduler`, else `task`."""
    thread_id: Annotated[
        Identifier | None, Hint(f"give a text of 1 to {ID_LIMIT} characters without control characters, or None")
    ] = None
    """The LangGraph thread of a conversation that the program itself has, which the task joins: the runs' `thread_id`,
    as it is. The input's `session_id` does not change."""
    session_retention: Annotated[
        PositiveSeconds | None, Hint("give a number of seconds above 0, or None for no limit")
    ] = None
    """With `session_mode="per_run"`: how long the conversation of a run is kept after its end; None: no limit."""
    session_keep_runs: Annotated[
        Count | None, Hint("give a whole number of runs, 1 or more, or None to keep all messages")
    ] = None
    """How many of the runs before it a run still sees of its conversation: the messages of older ones are removed when
    it begins. For graphs whose `messages` have the reducer `add_messages`. None: all."""
    metadata: Annotated[
        JsonObject, Hint("give a dict of JSON values: text, finite numbers, True, False, None, lists and dicts")
    ] = Field(default_factory=dict)
    """Further values for the `metadata` of the graph's input; JSON."""
    tags: Annotated[
        Tags,
        Hint(
            f"give a list of at most {TAGS_LIMIT} texts of letters, digits and . : / @ + - _, such as 'team:sales', "
            f"each of at most {TAG_LIMIT} characters"
        ),
    ] = ()
    """Words by which tasks are found and changed together."""
    cron_expression: Annotated[
        Crontab | None,
        Hint("give five fields, such as '0 9 * * 1-5', or an alias, such as '@daily'"),
    ] = None
    """Five fields or an alias, with the meaning that Debian's cron gives them."""
    interval_seconds: Annotated[
        Interval | None,
        Hint(f"give a whole number of seconds from 1 to {INTERVAL_LIMIT}"),
    ] = None
    """The time from one due time to the next; they are counted from `start_at`, else from when the task was added."""
    run_at: Annotated[Moment | None, _MOMENT_HINT] = None
    """The instant of a one-time task. Naive datetimes, here and in `start_at` and `end_at`, are local if the task names
    `timezone` itself, else UTC."""
    rrule: Annotated[
        RecurrenceRule | None, Hint("give a rule of RFC 5545, such as 'FREQ=WEEKLY;INTERVAL=2;BYDAY=MO;BYHOUR=9'")
    ] = None
    """A recurrence rule of RFC 5545. `start_at` is its DTSTART; without it, the rule starts at the first time after the
    task was added that fits its other parts."""
    exdates: Annotated[
        Exceptions, Hint("give a list of datetimes, or of dates, such as '2026-12-24', which exclude whole days")
    ] = ()
    """Due times of `rrule` that do not come: datetimes, and dates, which are whole days in the task's zone."""
    calendar: Annotated[
        Calendar | str | None,
        BeforeValidator(calendar_from),
        Hint("give a Calendar, or the name of one that the scheduler has"),
    ] = None
    """Days and hours at which no run starts: a `Calendar`, or the name of one of the scheduler's `calendars`. The
    stored task holds the calendar itself. Runs by hand start all the same."""
    result_callback: Annotated[
        CallbackPath | None, Hint("give the dotted path of an async function, such as 'my_package.callbacks.notify'")
    ] = None
    """Dotted path of an async function; called as `await callback(task, result)` when the graph has returned."""
    timezone: Annotated[Zone | None, Hint("give the name of an IANA zone, such as 'Europe/Berlin'")] = None
    """The IANA zone of the crontab expression; None: the zone of the scheduler that adds the task."""
    start_at: Annotated[Moment | None, _MOMENT_HINT] = None
    """No due time lies before it; the anchor, and first due time, of an interval."""
    end_at: Annotated[Moment | None, _MOMENT_HINT] = None
    """No due time lies after it."""
    jitter_seconds: Annotated[
        Jitter,
        Hint(f"give a whole number of seconds from 0 to {INTERVAL_LIMIT}"),
    ] = 0
    """Each due time is delayed by up to this many seconds, always by the same amount, and never past the next one."""
    max_runs: Annotated[Count | None, Hint("give a whole number, 1 or more, or None for no bound")] = None
    """So many scheduled runs may start, then the task is finished."""
    overlap: Annotated[
        OverlapPolicy,
        Hint("give one of OverlapPolicy: 'skip', 'buffer_one', 'buffer_all', 'cancel_other', 'allow_all'"),
    ] = OverlapPolicy.SKIP
    """What happens when the task becomes due while its previous run is still running."""
    misfire_grace_seconds: Annotated[
        Seconds | None, Hint("give a number of seconds, 0 or more, or None for however late")
    ] = None
    """A due time that is later than this when it could start is `missed`; None: however late, it starts."""
    coalesce: Annotated[Flag, Hint("give True or False")] = True
    """True: due times that passed unserved become one run; False: each is judged by itself, oldest first."""
    timeout_seconds: Annotated[
        PositiveSeconds | None, Hint("give a number of seconds above 0, or None for no time-out")
    ] = None
    """How long an attempt may take."""
    max_attempts: Annotated[Count, Hint("give a whole number, 1 or more")] = 1
    """How many attempts a run has, the first included, when the graph raises or takes too long."""
    retry_delay_seconds: Annotated[Seconds, Hint("give a number of seconds, 0 or more")] = 1
    """The wait after the first attempt; it doubles with each further one."""
    retry_max_delay_seconds: Annotated[Seconds, Hint("give a number of seconds, 0 or more")] = 300
    """The longest wait between two attempts."""
    rerun_after_crash: Annotated[Flag, Hint("give True or False")] = False
    """True: a run that was `interrupted` has a further attempt."""
    retry_from_start: Annotated[Flag, Hint("give True or False")] = False
    """True: a retry gives the graph its input again; False: it continues from the last checkpoint, if there is one."""
    expire_waiting_after_seconds: Annotated[
        PositiveSeconds | None, Hint("give a number of seconds above 0, or None for no limit")
    ] = None
    """How long a run waits for an answer before it is `cancelled`; None: no limit."""
    recursion_limit: Annotated[
        Count | None, Hint("give a whole number, 1 or more, or None for LangGraph's default")
    ] = None
    """How many steps the graph may take; None: LangGraph's default."""
    durability: Annotated[
        Durability | None, Hint("give one of Durability: 'exit', 'async', 'sync', or None for LangGraph's default")
    ] = None
    """When checkpoints are written; None: the scheduler's, which is `sync` unless it says otherwise."""
    context: Annotated[JsonObject | None, Hint("give a dict of JSON values, or None")] = None
    """The run's context, for graphs that have a `context_schema`; JSON. It is copied into `configurable` as well."""
    configurable: Annotated[JsonObject | None, Hint("give a dict of JSON values, or None")] = None
    """What the config's `configurable` has beside the thread; JSON."""
    input_builder: Annotated[
        CallbackPath | None,
        Hint("give the dotted path of a function that takes the task, such as 'my_package.inputs.build'"),
    ] = None
    """Dotted path of a function from the task to the graph's input, for graphs whose state has no `messages`."""
    stream: Annotated[Flag, Hint("give True or False")] = False
    """True: the graph is streamed, and each step is reported during the run, as `Run.current_step`."""
    pause_after_failures: Annotated[Count | None, Hint("give a whole number, 1 or more, or None for never")] = None
    """So many failed runs in a row pause the task."""
    graph: Annotated[
        GraphPath | None,
        Hint(
            "give 'module:attribute', such as 'my_package.graphs:research', 'path/to/file.py:attribute', a name of"
            " langgraph.json, or 'langgraph+http://host:port/assistant'"
        ),
    ] = None
    """The graph for this task: `module:attribute`, `path/to/file.py:attribute`, a name of langgraph.json, or an address
    on a server; None: the scheduler's."""

    @model_validator(mode="wrap")
    @classmethod
    def _check(cls, data: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:  # noqa: ANN401 (pydantic's own signature)
        """Say what is wrong in our own words, and look at the fields together once each is right by itself."""
        try:
            task = handler(data)
        except ValidationError as error:
            raise reworded(id_of(data), error, cls.model_fields) from None
        if "session_mode" not in task.model_fields_set:
            task.__dict__["session_mode"] = usual_mode(task.session_id)
        problems = list(_placed_in_time(task, info)) or list(_contradictions(task))
        if problems:
            raise refused(task.id, ((field, getattr(task, field), problem) for field, problem in problems))
        if task is not data:  # which pydantic returns as it is, however it was changed
            _set(task, "_is_checked", True)  # noqa: FBT003 (object's own signature)
        return task

    def __setattr__(self, name: str, value: object) -> None:
        """Set a field; it is checked when the task is added."""
        _set(self, "_is_checked", False)  # noqa: FBT003
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        """Delete a field; that it is missing is found when the task is added."""
        _set(self, "_is_checked", False)  # noqa: FBT003
        super().__delattr__(name)

    @property
    def subject(self) -> str:
        """What people are shown that the task asks: the prompt, or the name where there is none."""
        return self.prompt or self.name


def usual_mode(session_id: str) -> SessionMode:
    """Return the session mode of a task that gives none."""
    return SessionMode.TASK if session_id == DEFAULT_SESSION else SessionMode.SHARED


def calendar_of(task: TaskDefinition) -> Calendar | None:
    """Return the calendar of a task; a name alone is one that closes nothing yet."""
    calendar = task.calendar
    return Calendar(name=calendar) if isinstance(calendar, str) else calendar


def given_fields(task: TaskDefinition, *, mode: Literal["json", "python"] = "python") -> dict[str, Any]:
    """Return the fields of a definition that are not what they are when nothing is given."""
    fields = task.model_dump(mode=mode, exclude_defaults=True, exclude={"session_mode"})
    is_usual = task.session_mode == usual_mode(task.session_id)
    return fields if is_usual else {**fields, "session_mode": task.session_mode}


def stored_text(task: TaskDefinition) -> str:
    """Return a definition as JSON, without the fields that are what they are when nothing is given."""
    if task.session_mode == usual_mode(task.session_id):
        return task.model_dump_json(exclude_defaults=True, exclude=_SESSION_MODE)
    return json.dumps(given_fields(task, mode="json"), ensure_ascii=False, separators=(",", ":"))


_SESSION_MODE: Final = {"session_mode"}


def is_as_checked(task: TaskDefinition) -> bool:
    """Tell whether a definition is for certain what was checked when it was built.

    It is not if a field was set since, if it was made without a check (`model_copy`, `model_construct`), and where it
    holds dicts, which may have been changed.
    """
    is_checked = type(task) is TaskDefinition and getattr(task, "_is_checked", False)
    has_dicts = task.metadata or not (task.context is task.input is task.configurable is None)
    return is_checked and not has_dicts


def _placed_in_time(task: TaskDefinition, info: ValidationInfo) -> Iterator[tuple[str, str]]:
    """Give naive datetimes the offset of the task's own zone, else UTC. Yields those that are two instants, or none."""
    for field in _MOMENTS:
        value = getattr(task, field)
        if not isinstance(value, datetime):
            continue
        try:
            if value.tzinfo is None:
                value = instant_of(value, UTC if task.timezone is None or is_stored(info) else ZoneInfo(task.timezone))
            task.__dict__[field] = in_whole_minutes(value)
        except LocalTimeError as error:
            yield field, f"{field}={error}"
    if task.exdates:
        yield from _placed_exdates(task, info)


def _placed_exdates(task: TaskDefinition, info: ValidationInfo) -> Iterator[tuple[str, str]]:
    zone = UTC if task.timezone is None or is_stored(info) else ZoneInfo(task.timezone)
    placed: list[date | datetime] = []
    for value in task.exdates:
        if not isinstance(value, datetime):
            placed.append(value)
            continue
        try:
            placed.append(in_whole_minutes(value if value.tzinfo is not None else instant_of(value, zone)))
        except LocalTimeError as error:
            yield "exdates", f"exdates: {error}"
    task.__dict__["exdates"] = tuple(placed)


def _contradictions(task: TaskDefinition) -> Iterator[tuple[str, str]]:
    kind = task.task_type
    given = (task.cron_expression is not None) + (task.interval_seconds is not None) + (task.run_at is not None)
    given += task.rrule is not None
    if given != 1 or getattr(task, SCHEDULE_FIELDS[kind]) is None:
        yield from _wrong_schedules(task)
    if task.rrule is not None:
        yield from _wrong_start(task, task.rrule)
    elif task.exdates:
        yield "exdates", f"exdates are for rrule, and this is a task of type {kind}; leave them out"
    if kind is TaskType.ONE_TIME:
        for field in ("start_at", "end_at"):
            if getattr(task, field) is not None:
                yield field, _foreign(task, field, "leave it out: run_at says when")
    yield from _wrong_inputs(task)
    yield from _wrong_thread(task)
    yield from _wrong_bound(task)
    if task.session_retention is not None and task.session_mode is not SessionMode.PER_RUN:
        kept = f"session_retention={task.session_retention:g} is for conversations of single runs"
        yield "session_retention", f"{kept}; leave it out, or use session_mode='per_run'"
    if task.start_at and task.end_at and task.end_at < task.start_at:
        order = f"end_at={task.end_at.isoformat()} is before start_at={task.start_at.isoformat()}"
        yield "end_at", f"{order}; give an end_at that is not before start_at"


def _wrong_thread(task: TaskDefinition) -> Iterator[tuple[str, str]]:
    if task.thread_id is None:
        return
    if task.thread_id.startswith(("scheduler:", "scheduler-task:")):
        hint = "leave thread_id out, and give the session_id or the session_mode"
        yield "thread_id", f"thread_id={shown(task.thread_id)} is a thread of the scheduler's; {hint}"
    if task.session_mode != usual_mode(task.session_id):
        problem = f"thread_id and session_mode={task.session_mode.value!r} both say where runs talk"
        yield "thread_id", f"{problem}; leave one of them out"


def _wrong_bound(task: TaskDefinition) -> Iterator[tuple[str, str]]:
    """Yield what does not go together with `session_keep_runs`."""
    if task.session_keep_runs is None:
        return
    kept = f"session_keep_runs={task.session_keep_runs}"
    if task.thread_id is not None:
        yield "session_keep_runs", f"{kept} would remove messages of the program's own; leave it out, or thread_id"
    if task.session_mode is SessionMode.PER_RUN:
        yield "session_keep_runs", f"{kept} is for conversations of several runs; leave it out, or session_mode"
    for name in ("input", "input_builder"):
        if getattr(task, name) is not None:
            yield "session_keep_runs", f"{kept} is for tasks with a prompt; leave it out, or {name}"


def _wrong_start(task: TaskDefinition, rule: str) -> Iterator[tuple[str, str]]:
    """Yield what a rule needs of its start."""
    missing = parse_rule(rule).missing()
    if task.start_at is None and missing is not None:
        problem = f"rrule={rule!r} does not say when without start_at"
        yield "rrule", f"{problem}; give {missing} in the rule, or start_at"
    if task.start_at is not None and task.start_at.microsecond:
        hint = "give whole seconds: a rule knows no shorter time"
        yield "start_at", f"start_at={task.start_at.isoformat()} has a part of a second; {hint}"


def _wrong_inputs(task: TaskDefinition) -> Iterator[tuple[str, str]]:
    if task.prompt is not None and task.input is not None:
        yield "input", "input and prompt both say what the graph receives; leave one of them out"
    if task.input is not None and task.input_builder is not None:
        yield "input", "input and input_builder both say what the graph receives; leave one of them out"
    if task.prompt is None and task.input is None and task.input_builder is None:
        hint = f"give a text that is not blank, of at most {TEXT_LIMIT:,} characters, or input, a dict"
        missing = "prompt=None: it is missing" if "prompt" in task.model_fields_set else "prompt is required"
        yield "prompt", f"{missing}; {hint}"
    for name in task.configurable or ():
        if is_reserved(name):
            yield "configurable", f"configurable has {shown(name)}, which the scheduler sets; leave it out"


def is_reserved(name: str) -> bool:
    """Tell whether a key of `configurable` belongs to LangGraph: it says where a run stands, and with which one."""
    return name in _RESERVED or name.startswith("__")


def _wrong_schedules(task: TaskDefinition) -> Iterator[tuple[str, str]]:
    for owner, field in SCHEDULE_FIELDS.items():
        value = getattr(task, field)
        if owner is task.task_type and value is None:
            yield field, f"{field} required for {task.task_type} tasks"
        elif owner is not task.task_type and value is not None:
            yield field, _foreign(task, field, f"leave it out, or use task_type={owner.value!r}")


def _foreign(task: TaskDefinition, field: str, hint: str) -> str:
    value = getattr(task, field)
    given = value.isoformat() if isinstance(value, datetime) else shown(value)
    return f"{field}={given} does not belong to {task.task_type} tasks; {hint}"
