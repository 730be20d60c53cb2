"""The exceptions a caller can catch; each builds its own message from typed arguments."""

import os
import re
from typing import Final

from scheduler._texts import shown
from scheduler.redaction import redact

_RUN_ID: Final = re.compile(r"[0-9a-f][0-9a-f-]{5,35}", re.ASCII)
"""The id of a run, or the beginning of one."""


class SchedulerError(Exception):
    """The base of every error that this package raises on its own account."""


class TaskNotFoundError(SchedulerError, KeyError):
    """No task has this id.

    It is a `KeyError` too, so that code written for a mapping of tasks continues to work.
    """

    def __init__(self, task_id: str) -> None:
        """Name the id that was asked for."""
        super().__init__(task_id)
        self.task_id = task_id

    def __str__(self) -> str:
        """Return the sentence itself: `KeyError` would show the repr of its argument."""
        return f"Task {shown(self.task_id)} does not exist; list_tasks() shows the ids that do"


class RunNotFoundError(SchedulerError, KeyError):
    """No run has this id: there never was one, or the history has let go of it."""

    def __init__(self, run_id: str, *, was_there: bool | None = None) -> None:
        """Name the id that was asked for. `was_there`: whether there was such a run; None: nobody knows any more."""
        super().__init__(run_id)
        self.run_id = run_id
        self.was_there = False if was_there is None and not _is_id_of_a_run(run_id) else was_there

    @property
    def problem(self) -> str:
        """Whether there is no such run, or no more: `does not exist`, `is too old to be kept`, or one of them."""
        missing, old = "does not exist", "is too old to be kept"
        return f"{missing}, or {old}" if self.was_there is None else old if self.was_there else missing

    def __str__(self) -> str:
        """Return the sentence itself: `KeyError` would show the repr of its argument."""
        return f"Run {shown(self.run_id)} {self.problem}; list_runs() shows those that there are"


def _is_id_of_a_run(text: str) -> bool:
    """Tell whether a text has the form of a run's id, or of the beginning of one."""
    return _RUN_ID.fullmatch(text) is not None


class AmbiguousRunError(SchedulerError, ValueError):
    """Several runs have ids that begin with what was given; `run_ids` are the newest of them."""

    def __init__(self, reference: str, run_ids: list[str], *, has_more: bool) -> None:
        """Name the beginning, and the ids that have it."""
        others = f"{', '.join(run_ids)}{' and others' if has_more else ''}"
        super().__init__(f"{shown(reference)} is the beginning of several runs: {others}; give more of the id")
        self.reference = reference
        self.run_ids = run_ids


class InvalidTaskError(SchedulerError, ValueError):
    """A definition that cannot be stored: the sentence names the task, the field, the value and the hint.

    `problem` and `hint` are its parts; `field` and `value` are what is wrong, if it is one field.
    """

    def __init__(
        self, task_id: str, problem: str, hint: str | None = None, *, field: str | None = None, value: object = None
    ) -> None:
        """Build the sentence. `problem` names field and value, and may end with the hint."""
        super().__init__(f"Task {task_id}: {problem}{'' if hint is None else f'; {hint}'}")
        self.task_id = task_id
        self.problem = problem
        self.hint = hint
        self.field = field
        self.value = value


class TaskChangedError(SchedulerError, ValueError):
    """The task is not the expected one any more: somebody has changed it meanwhile, and nothing was stored."""

    def __init__(self, task_id: str) -> None:
        """Name the task, and say what to do."""
        super().__init__(f"Task {shown(task_id)}: it was changed meanwhile; read it again and repeat the change")
        self.task_id = task_id


class TasksFileError(SchedulerError, ValueError):
    """A file of tasks cannot be used: the sentence names the file, the line, the task and the hint."""

    def __init__(
        self, file: str, line: int | None, problem: str, further: int = 0, *, task_id: str | None = None
    ) -> None:
        """Name the file, the line and the task; `further` is how many more problems there are."""
        place = file if line is None else f"{file}, line {line}"
        more = f" (and {further} more)" if further else ""
        super().__init__(f"{place}: {problem}{more}")
        self.file = file
        self.line = line
        self.problem = problem
        self.task_id = task_id


class StoreError(SchedulerError):
    """The store cannot be opened, read or written; nothing of the call that raised it was stored."""

    def __init__(self, store: str, problem: str, hint: str) -> None:
        """Say which store, what is wrong with it, and what to do."""
        super().__init__(redact(f"Store {store}: {problem}; {hint}"))
        self.store = store
        self.problem = redact(problem)
        self.hint = redact(hint)


class StoreNotFoundError(StoreError):
    """There is no store where `create=False` looked for one; nothing was created there."""

    def __init__(self, store: str) -> None:
        """Say where."""
        super().__init__(store, "there is none", "name another one, or create it with create=True")


class GraphError(SchedulerError):
    """The graph cannot be imported or cannot be invoked by the scheduler."""

    def __init__(self, graph: str, problem: str, hint: str) -> None:
        """Say which graph, what is wrong with it, and what to do."""
        super().__init__(redact(f"graph={shown(graph)}: {problem}; {hint}"))
        self.graph = redact(graph)
        self.problem = redact(problem)
        self.hint = redact(hint)


class ProjectFileError(SchedulerError):
    """A langgraph.json cannot be used: the sentence names the file, the key and the hint."""

    def __init__(self, file: str | os.PathLike[str], key: str | None, problem: str, hint: str) -> None:
        """Say which file, which key in it, what is wrong with it, and what to do."""
        place = str(file) if key is None else f"{file}, key {shown(key)}"
        super().__init__(redact(f"{place}: {problem}; {hint}"))
        self.file = os.fspath(file)
        self.key = key
        self.problem = redact(problem)
        self.hint = redact(hint)


class TelemetryError(SchedulerError):
    """Telemetry was asked for, and OpenTelemetry's API is not installed."""

    def __init__(self) -> None:
        """Say what is missing and how to get it."""
        hint = "pip install 'langgraph-task-scheduler[otel]', or leave telemetry out"
        super().__init__(f"telemetry=True needs the package opentelemetry-api; {hint}")


class NoEventLoopError(SchedulerError, RuntimeError):
    """`start()` was called where no asyncio loop is running."""

    def __init__(self) -> None:
        """Say what is missing and how to give it."""
        super().__init__(
            "start() needs a running asyncio loop: call it in a coroutine, such as the main() of asyncio.run(main())"
        )


class StillStoppingError(SchedulerError, RuntimeError):
    """`start()` was called while an earlier `stop()` was still draining."""

    def __init__(self) -> None:
        """Say what to wait for."""
        super().__init__("the scheduler is still stopping: `await scheduler.stop()` before start()")


class ReachThroughError(SchedulerError):
    """A change to one of our tasks was tried through the APScheduler object."""

    def __init__(self, task_id: str | None, method: str) -> None:
        """Name the task, if it is one task, and the method of `TaskScheduler` that does this."""
        what = "All tasks" if task_id is None else f"Task {shown(task_id)}"
        super().__init__(f"{what}: tasks are changed through TaskScheduler, not through APScheduler; use {method}")


class ServerError(SchedulerError):
    """A LangGraph server cannot be reached, refuses a run, or ended one without a result.

    It stands in a run's `error`. `status` is the `RunStatus` in which the attempt ends.
    """

    def __init__(self, server: str, problem: str, status: str = "failed") -> None:
        """Name the graph on its server, and say what happened there."""
        super().__init__(redact(f"{server}: {problem}"))
        self.server = redact(server)
        self.problem = redact(problem)
        self.status = status
