"""The commands in one list, with an example each; and what becomes of an error."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import typer
from typer.core import TyperGroup

from scheduler.cli import add, answers, changes, check, files, history, init, look, serve, watch
from scheduler.cli.errors import exit_code, sentence
from scheduler.cli.output import fail
from scheduler.errors import SchedulerError


class _OneLineErrors(TyperGroup):
    """Shows an error of the user's, or of the store's, as one line instead of a traceback."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # noqa: ANN401 (typer's own signature)
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (SchedulerError, ValueError, OSError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            fail(sentence(error))
            raise typer.Exit(exit_code(error)) from None


@dataclass(frozen=True, slots=True)
class Command:
    """A command as the help lists it."""

    name: str
    function: Callable[..., None]
    example: str


COMMANDS: Final = {
    "Tasks": [
        Command("add", add.add, 'add --id stand-up --schedule "every weekday at 9am" --prompt "What is on today?"'),
        Command("list", look.list_tasks, "list --json"),
        Command("show", look.show, "show stand-up"),
        Command("pause", changes.pause, "pause stand-up"),
        Command("resume", changes.resume, "resume stand-up"),
        Command("remove", changes.remove, "remove stand-up --yes"),
        Command("next", look.next_, 'next "0 9 * * 1" --timezone Europe/Berlin'),
    ],
    "Runs": [
        Command("trigger", history.trigger, "trigger stand-up --wait --timeout 2m"),
        Command("runs", history.runs, "runs stand-up --status failed --since 2h"),
        Command("run", history.run, "run 019ab3f2-7c11-7a40-8000-5d1f0c9e2b77"),
        Command("watch", watch.watch, "watch"),
        Command("waiting", answers.waiting, "waiting"),
        Command("answer", answers.answer, 'answer 019ab3f2-7c11-7a40-8000-5d1f0c9e2b77 "Yes, go on."'),
    ],
    "Files and projects": [
        Command("apply", files.apply, "apply tasks.toml --prune --dry-run"),
        Command("export", files.export, "export --output tasks.toml"),
        Command("init", init.init, 'init --yes --task "every day at 9am=Summarise the news."'),
    ],
    "Operation": [
        Command("serve", serve.serve, "serve --graph my_package.graphs:research"),
        Command("check", check.check, "check --graph graph:graph"),
    ],
}


def _build() -> typer.Typer:
    built = typer.Typer(
        cls=_OneLineErrors,
        help="See and change the tasks of a scheduler, and run one.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for panel, commands in COMMANDS.items():
        for each in commands:
            epilog = f"Example: task-scheduler {each.example}"
            built.command(each.name, epilog=epilog, rich_help_panel=panel)(each.function)
    return built


app: Final = _build()
