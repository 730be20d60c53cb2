"""What the commands share that change one task, or all tasks that have a tag."""

from typing import Annotated, Any, Final

import typer

from scheduler import TaskScheduler
from scheduler.cli.errors import CommandError, ExitCode
from scheduler.cli.options import complete_task
from scheduler.cli.ui.asking import agrees, is_person
from scheduler.cli.ui.output import note
from scheduler.views import TaskState, TaskView

_PAGE: Final = 1_000

MaybeTask = Annotated[
    str | None, typer.Argument(metavar="[ID]", help="Name the task by its id.", autocompletion=complete_task)
]
Tag = Annotated[
    str | None, typer.Option("--tag", metavar="TAG", help="Use all tasks that have this tag, after a question.")
]
OnlyTag = Annotated[str | None, typer.Option("--tag", metavar="TAG", help="Use only tasks that have this tag.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


def check_one(task_id: str | None, tag: str | None) -> None:
    """Raise `CommandError` unless a command was given a task, or a tag."""
    if (task_id is None) == (tag is None):
        raise CommandError("give a task's id, or --tag for all tasks that have it", ExitCode.USAGE)


def found_tasks(scheduler: TaskScheduler, **wanted: Any) -> list[TaskView]:  # noqa: ANN401 (of `find_tasks`)
    """Return all tasks that `find_tasks` finds, page by page."""
    found: list[TaskView] = []
    while True:
        page = scheduler.find_tasks(**wanted, after=found[-1].id if found else None, limit=_PAGE)
        found += page
        if len(page) < _PAGE:
            return found


def agree_on(scheduler: TaskScheduler, verb: str, tag: str, *, yes: bool, states: tuple[TaskState, ...] = ()) -> None:
    """Say how many tasks a change is for, and ask; only those in some states, or all that are not finished.

    Raises `CommandError` if no task has the tag, or nobody can be asked, and ends the command if the answer is no.
    """
    wanted = states or (None,)
    number = sum(len(found_tasks(scheduler, tag=tag, state=state)) for state in wanted)
    if not number:
        raise CommandError(f"no task that could be changed has the tag {tag!r}")
    question = f"{verb} {number} task{'' if number == 1 else 's'} with the tag {tag!r}?"
    if not yes and not agreed(question):
        note("Nothing was changed.")
        raise typer.Exit(ExitCode.FAILED)


def agreed(question: str) -> bool:
    """Ask a person. Raises `CommandError` if there is none."""
    if not is_person():
        raise CommandError(f"nobody can be asked here ({question}); give --yes to do it", ExitCode.USAGE)
    return agrees(question, default=False)
