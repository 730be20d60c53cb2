"""What a command says when it cannot do what was asked: one line, and an exit code."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

from pydantic import ValidationError

from scheduler._texts import shown
from scheduler.errors import InvalidTaskError, RunNotFoundError, SchedulerError, StoreNotFoundError, TaskNotFoundError
from scheduler.redaction import redact


class ExitCode(IntEnum):
    """What a command's end means."""

    #: It was refused, the database failed, or the run that was waited for did not succeed.
    FAILED = 1
    #: An argument is wrong.
    USAGE = 2
    #: There is no such task, run or store.
    NOT_FOUND = 3
    #: It was ended with Ctrl+C.
    INTERRUPTED = 130


class CommandError(SchedulerError):
    """A command that cannot be done, with the exit code that says so."""

    def __init__(self, sentence: str, code: ExitCode = ExitCode.FAILED) -> None:
        """Take the sentence to show."""
        super().__init__(sentence)
        self.code = code


@contextmanager
def unusable_tasks_fail() -> Iterator[None]:
    """Let a stored task that cannot be used be a failure, not a wrong argument. Raises `CommandError`."""
    try:
        yield
    except InvalidTaskError as error:
        raise CommandError(sentence(error)) from error


def exit_code(error: Exception) -> ExitCode:
    """Return the exit code of an error that reached the top."""
    if isinstance(error, CommandError):
        return error.code
    if isinstance(error, (TaskNotFoundError, RunNotFoundError, StoreNotFoundError)):
        return ExitCode.NOT_FOUND
    return ExitCode.USAGE if isinstance(error, ValueError) else ExitCode.FAILED


def _missing_run(error: RunNotFoundError) -> str:
    run = f"run {shown(error.run_id)}"
    if error.was_there:
        return f"{run} is too old to be kept"
    return f"there is no {run}" if error.was_there is False else f"there is no {run}, or it is too old to be kept"


def sentence(error: Exception) -> str:
    """Return an error as one line."""
    if isinstance(error, ValidationError):
        return "; ".join(line["msg"] for line in error.errors(include_url=False))
    if isinstance(error, TaskNotFoundError):
        return f"there is no task {shown(error.task_id)}; task-scheduler list shows those that there are"
    if isinstance(error, RunNotFoundError):
        return f"{_missing_run(error)}; task-scheduler runs shows the latest"
    if isinstance(error, StoreNotFoundError):
        hint = "name another one with --db or --db-url, or add a task to create it"
        return redact(f"there is no store at {error.store}; {hint}")
    return redact(" ".join(str(error).split()))
