"""Who calls a tool: its owner, its conversation and its run.

Nothing here comes from the model. The owner is part of the id of each of its tasks, `agent:<owner>:<name>`, and is in
their metadata. The model knows only the last part of the id, so it cannot name a task of another owner.

Where the owner comes from, in this order: the task of the scheduled run in which the agent works; `owner=`; the user
that a LangGraph server has authenticated; `user_id` in the context, then in `configurable`, then in the metadata.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from urllib.parse import quote, unquote
from uuid import UUID

from langgraph.prebuilt import ToolRuntime

from scheduler._limits import ID_LIMIT
from scheduler.current_run import current_run_id
from scheduler.errors import RunNotFoundError, TaskNotFoundError
from scheduler.models import DEFAULT_SESSION, Run, RunStatus, TaskDefinition
from scheduler.task_scheduler import TaskScheduler
from scheduler.thread_ids import ThreadId, server_thread
from scheduler.tools.refusal import Refusal

OWNER_KEY: Final = "agent_owner"
"""The key of a task's metadata that holds its owner."""
THREAD_KEY: Final = "agent_thread"
"""The key of a task's metadata that holds the thread in which it was scheduled."""
RUN_KEY: Final = "agent_run"
"""The key of a task's metadata that holds the run of this scheduler in which it was scheduled."""

_MARK: Final = "agent"
_OWNER_LIMIT: Final = 180
_THREAD_LIMIT: Final = 1_000
"""The longest name of a thread, in bytes: it becomes part of each task's metadata."""
_SHORT_ID: Final = re.compile(r"[A-Za-z0-9-]{1,60}")

OwnerOf: TypeAlias = str | Callable[[ToolRuntime[Any, Any]], object] | None
"""The owner of all tasks; or a function that finds it; or None: it is looked for under `user_id`."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose agent calls, and from where."""

    owner: str
    session: str
    thread: str | None
    scheduled_run: str | None
    """The run of this scheduler in which the agent works; None: somebody else runs it."""

    @property
    def prefix(self) -> str:
        """What the ids of the owner's tasks begin with."""
        return f"{_MARK}:{_quoted(self.owner)}:"

    @property
    def metadata(self) -> dict[str, str]:
        """What the owner's tasks carry in their metadata."""
        marks = {OWNER_KEY: self.owner, THREAD_KEY: self.thread, RUN_KEY: self.scheduled_run}
        return {key: value for key, value in marks.items() if value is not None}

    def full_id(self, given: str) -> str | None:
        """Return the id in the store of what the model calls a task's id; None if it can be no id of the owner's."""
        short = given.strip().removeprefix(self.prefix)
        return self.prefix + short if _SHORT_ID.fullmatch(short) else None

    def short_id(self, task_id: str) -> str:
        """Return what the model is given as a task's id."""
        return task_id.removeprefix(self.prefix)

    def owns(self, task_id: str, definition: TaskDefinition | None) -> bool:
        """Tell whether a task belongs to the owner; a definition that cannot be read is judged by its id alone."""
        named = definition is None or definition.metadata.get(OWNER_KEY) == self.owner
        return task_id.startswith(self.prefix) and named


def caller_of(runtime: object, owner_of: OwnerOf, task_scheduler: TaskScheduler) -> Caller:
    """Return who calls. Inside a run of a task that an agent scheduled, the owner is the owner of that task.

    Raises `Refusal` if nobody says who the owner is or the conversation cannot be named, and `StoreError`.
    """
    if not isinstance(runtime, ToolRuntime):
        raise Refusal("Not done: this tool works only where LangGraph runs it, in create_agent or a ToolNode.")
    thread = _thread_of(runtime)
    run = _scheduled_run(runtime, thread, task_scheduler)
    owner = _owner_in(run) or _checked(_found(runtime, owner_of))
    session = _session_of(run, task_scheduler) if run is not None else _new_session(owner, thread)
    return Caller(owner, session, thread, current_run_id() or _named_run(runtime))


def _thread_of(runtime: ToolRuntime[Any, Any]) -> str | None:
    thread = _text(runtime.config.get("configurable", {}).get("thread_id"))
    if thread is not None and len(thread.encode(errors="replace")) > _THREAD_LIMIT:
        raise Refusal(
            f"Not done: the name of this conversation is longer than {_THREAD_LIMIT:,} bytes. Tell the user that the "
            "program has to use a shorter thread_id."
        )
    return thread


def _scheduled_run(runtime: ToolRuntime[Any, Any], thread: str | None, task_scheduler: TaskScheduler) -> Run | None:
    """Return the run of this scheduler in which the tool is called, if the store says that it is running.

    In this process the scheduler itself marks the context of its runs, which no request can do. On a LangGraph server
    the run's metadata name it, which a request can do as well: there it must also be running on the thread of the call.
    """
    marked = current_run_id()
    if marked is not None:
        return _running(marked, task_scheduler)
    named = _named_run(runtime)
    if named is None or getattr(runtime, "server_info", None) is None:
        return None
    run = _running(named, task_scheduler)
    return run if run is not None and thread in {run.thread_id, server_thread(run.thread_id)} else None


def _named_run(runtime: ToolRuntime[Any, Any]) -> str | None:
    """Return the run that the metadata name. It grants nothing; it only forbids what scheduled runs must not do."""
    return _text((runtime.config.get("metadata") or {}).get("scheduler_run_id"))


def _running(run_id: str, task_scheduler: TaskScheduler) -> Run | None:
    try:
        run = task_scheduler.get_run(run_id)
    except (RunNotFoundError, ValueError):
        return None
    return run if run.status is RunStatus.RUNNING else None


def _owner_in(run: Run | None) -> str | None:
    """Return the owner that the id of a run's task names."""
    parts = [] if run is None else run.task_id.split(":", 2)
    return unquote(parts[1]) if parts[:1] == [_MARK] and len(parts) == 3 else None  # noqa: PLR2004 (mark, owner, name)


def _session_of(run: Run, task_scheduler: TaskScheduler) -> str:
    thread = ThreadId.parse(run.thread_id, run.id)
    if isinstance(thread, ThreadId):
        return thread.session
    try:
        return task_scheduler.get_task(run.task_id).session_id
    except (TaskNotFoundError, ValueError):  # it was removed or changed meanwhile
        return DEFAULT_SESSION


def _new_session(owner: str, thread: str | None) -> str:
    """Return the session of what is scheduled in a thread: of this owner, and of this thread alone."""
    session = f"{_MARK}:{_quoted(owner)}"
    if thread is None:
        return session
    named = f"{session}:{quote(thread, safe='-_.')}"
    return named if len(named) <= ID_LIMIT else f"{session}:{hashlib.sha256(thread.encode()).hexdigest()[:32]}"


def _found(runtime: ToolRuntime[Any, Any], owner_of: OwnerOf) -> object:
    if isinstance(owner_of, str):
        return owner_of
    if owner_of is not None:
        return owner_of(runtime)
    return next((value for value in _candidates(runtime) if value is not None), None)


def _candidates(runtime: ToolRuntime[Any, Any]) -> Iterator[object]:
    """Yield what may name the user: first what a request cannot set, then what is nearest to the program."""
    yield getattr(getattr(getattr(runtime, "server_info", None), "user", None), "identity", None)
    yield _member(runtime.context, "user_id")
    yield runtime.config.get("configurable", {}).get("user_id")
    yield (runtime.config.get("metadata") or {}).get("user_id")


def _member(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _checked(value: object) -> str:
    """Return the owner exactly as the program gave it: another type or another blank is another owner, or none."""
    if isinstance(value, str) and is_owner(value):
        return value
    if isinstance(value, int | UUID) and not isinstance(value, bool):
        raise Refusal(
            f"Not done: the program names the user by a {type(value).__name__}, which may be taken for another user's "
            "name. The program has to give a text, such as str(user.id). Tell the user that scheduling is not set up."
        )
    raise Refusal(
        "Not done: it is not known for whom. The program has to say: scheduling_tools(owner=…), or user_id in the "
        "context or the config of the run. Tell the user that scheduling is not set up."
    )


def is_owner(owner: str) -> bool:
    """Tell whether a text can name an owner, in ids too."""
    return bool(owner.strip()) and owner.isprintable() and len(_quoted(owner)) <= _OWNER_LIMIT


def _text(value: object) -> str | None:
    """Return the name of a thread or a run as text."""
    if isinstance(value, bool) or not isinstance(value, str | int | UUID):
        return None
    return str(value).strip() or None


def _quoted(owner: str) -> str:
    return quote(owner, safe="@", errors="replace")
