"""How a session is written as a LangGraph thread: here, in the graph's input, and on a LangGraph server."""

import uuid
from dataclasses import dataclass
from typing import ClassVar, Final, assert_never

from scheduler.models import SessionMode, TaskDefinition

_PREFIX: Final = "scheduler:"
_TASK_PREFIX: Final = "scheduler-task:"


@dataclass(frozen=True, slots=True)
class ThreadId:
    """The thread of a session that runs share, or of one run alone (`run_id`); `str()` is LangGraph's `thread_id`."""

    session: str
    run_id: str | None = None

    @classmethod
    def of(cls, task: TaskDefinition, run_id: str) -> "ThreadId | TaskThread | OwnThread":
        """Return the thread of a run of a task: the program's, its task's, its session's, or one of its own."""
        if task.thread_id is not None:
            return OwnThread(task.thread_id)
        match task.session_mode:
            case SessionMode.TASK:
                return TaskThread(task.id)
            case SessionMode.SHARED:
                return cls(task.session_id)
            case SessionMode.PER_RUN:
                return cls(task.session_id, run_id)
            case _:
                assert_never(task.session_mode)

    @classmethod
    def parse(cls, text: str, run_id: str) -> "ThreadId | TaskThread | OwnThread":
        """Return the thread that a run has stored."""
        if text.startswith(_TASK_PREFIX):
            return TaskThread(text.removeprefix(_TASK_PREFIX))
        if not text.startswith(_PREFIX):
            return OwnThread(text)
        session = text.removeprefix(_PREFIX)
        is_own = session.endswith(f":{run_id}")
        return cls(session.removesuffix(f":{run_id}"), run_id if is_own else None)

    def __str__(self) -> str:
        """Return `scheduler:<session>`, followed by `:<run id>` for a thread of one run."""
        return f"{_PREFIX}{self.session}{'' if self.run_id is None else f':{self.run_id}'}"


@dataclass(frozen=True, slots=True)
class TaskThread:
    """The thread that the runs of one task share; `str()` is LangGraph's `thread_id`."""

    task_id: str
    run_id: ClassVar[None] = None

    def __str__(self) -> str:
        """Return `scheduler-task:<task id>`."""
        return f"{_TASK_PREFIX}{self.task_id}"


@dataclass(frozen=True, slots=True)
class OwnThread:
    """A thread of the program's own, which a task joins; `str()` is LangGraph's `thread_id`."""

    thread_id: str
    run_id: ClassVar[None] = None

    def __str__(self) -> str:
        """Return the thread's id as the program gave it."""
        return self.thread_id


def shared_thread(task: TaskDefinition) -> str | None:
    """Return the thread that the runs of a task share, LangGraph's `thread_id`; None if each has its own."""
    is_per_run = task.thread_id is None and task.session_mode is SessionMode.PER_RUN
    return None if is_per_run else str(ThreadId.of(task, ""))


def names_no_thread_of_servers(thread_id: str) -> bool:
    """Tell whether a thread of the program's own cannot be one of a server: its id is no UUID."""
    return isinstance(ThreadId.parse(thread_id, ""), OwnThread) and server_thread(thread_id) != thread_id


def server_thread(thread_id: str) -> str:
    """Return a thread's id on servers, which take UUIDs alone.

    A session that is itself a UUID, as `str(uuid)` writes it, names a thread of the server. Any other thread
    becomes `uuid5(NAMESPACE_URL, "scheduler:<session>")`.
    """
    session = thread_id.removeprefix(_PREFIX)
    try:
        is_uuid = str(uuid.UUID(session)) == session
    except ValueError:
        is_uuid = False
    return session if is_uuid else str(uuid.uuid5(uuid.NAMESPACE_URL, thread_id))
