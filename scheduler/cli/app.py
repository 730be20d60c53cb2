"""The commands in one list, with an example each; and what becomes of an error.

A command's module is imported when the command is asked for: `list` does not pay for what `serve` needs.
"""

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from scheduler.cli.errors import exit_code, sentence
from scheduler.cli.ui.output import fail, say
from scheduler.errors import SchedulerError


def _without_types_of_flags(params: list[Any]) -> list[Any]:
    """Let the help show no type for options that take no value: some releases of Typer show `<bool>`."""
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""
    return params


class _Command(TyperCommand):
    """A command whose help shows types only of options that take a value."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 (typer's own signature)
        """Return its arguments and options."""
        return _without_types_of_flags(super().get_params(ctx))


class _Commands(TyperGroup):
    """Builds a command when it is asked for, and shows an error of the user's, or of the store's, as one line."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 (typer's own signature)
        """Return its options."""
        return _without_types_of_flags(super().get_params(ctx))

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # noqa: ARG002 (typer's own)
        """Return the names, in the order of the help."""
        return list(_BY_NAME)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]  # noqa: ANN401
        """Return a command; for a name that there is not, build all, so that a similar one can be proposed."""
        if cmd_name not in self.commands:
            for name in [cmd_name] if cmd_name in _BY_NAME else _BY_NAME:
                self.add_command(_built(*_BY_NAME[name]), name)
        return super().get_command(ctx, cmd_name)

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
    path: str
    """Module and function, in `scheduler.cli.commands`."""
    example: str


COMMANDS: Final = {
    "Tasks": [
        Command("add", "add:add", 'add --id stand-up --schedule "every weekday at 9am" --prompt "What is on today?"'),
        Command("list", "look:list_tasks", "list --json"),
        Command("show", "look:show", "show stand-up"),
        Command("edit", "edit:edit", 'edit stand-up --prompt "What is on today, and who is away?"'),
        Command("pause", "changes:pause", 'pause stand-up --until 2h --note "the provider is down"'),
        Command("resume", "changes:resume", "resume stand-up"),
        Command("remove", "changes:remove", "remove stand-up --yes"),
        Command("next", "look:next_", 'next "0 9 * * 1" --timezone Europe/Berlin'),
    ],
    "Runs": [
        Command("trigger", "history:trigger", "trigger stand-up --wait --timeout 2m"),
        Command("runs", "history:runs", "runs stand-up --status failed --since 2h"),
        Command("run", "history:run", "run 019ab3f2-7c11-7a40-8000-5d1f0c9e2b77"),
        Command("cancel", "control:cancel", 'cancel 019ab3f2-7c11-7a40-8000-5d1f0c9e2b77 --reason "wrong prompt"'),
        Command("retry", "control:retry", "retry --status failed --since 2h"),
        Command("backfill", "backfill:backfill", "backfill stand-up --from 7d --dry-run"),
        Command("watch", "watch:watch", "watch"),
        Command("waiting", "answers:waiting", "waiting"),
        Command("answer", "answers:answer", 'answer 019ab3f2-7c11-7a40-8000-5d1f0c9e2b77 "Yes, continue."'),
        Command("forget", "forget:forget", "forget --task stand-up"),
    ],
    "Files and projects": [
        Command("apply", "files:apply", "apply tasks.toml --prune --dry-run"),
        Command("export", "files:export", "export --output tasks.toml"),
        Command("init", "init:init", 'init --yes --task "every day at 9am=Summarise the news."'),
    ],
    "Operation": [
        Command("serve", "serve:serve", "serve --graph my_package.graphs:research"),
        Command("web", "web:web", "web --port 8745"),
        Command("check", "check:check", "check --graph graph:graph"),
    ],
}


_BY_NAME: Final = {each.name: (panel, each) for panel, commands in COMMANDS.items() for each in commands}


def _built(panel: str, command: Command) -> Any:  # noqa: ANN401 (typer's own type)
    module, _, function = command.path.partition(":")
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    epilog = f"Example: task-scheduler {command.example}"
    decorate = alone.command(command.name, cls=_Command, epilog=epilog, rich_help_panel=panel)
    decorate(getattr(import_module(f"scheduler.cli.commands.{module}"), function))
    return typer.main.get_command(alone)


app: Final = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 (typer calls it so)
    if wanted:
        say(f"task-scheduler {version('langgraph-task-scheduler')}")
        raise typer.Exit


@app.callback()
def _all(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Show and change the tasks of a scheduler, and run a scheduler."""
