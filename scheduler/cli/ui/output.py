"""What people and programs read: tables, lines and JSON. Nothing that is stored is taken for markup or control."""

import io
import json
import sys
from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from scheduler._texts import escaped, escaped_lines
from scheduler.models import RunStatus

WIDE: Final = 10_000
"""The width of a table that no terminal shows: nothing is cut."""

_LONGEST_ERROR: Final = 2_000

STYLES: Final = {
    RunStatus.PENDING: "yellow",
    RunStatus.RUNNING: "cyan",
    RunStatus.WAITING: "magenta",
    RunStatus.SUCCEEDED: "green",
    RunStatus.FAILED: "red",
    RunStatus.TIMED_OUT: "red",
    RunStatus.INTERRUPTED: "red",
    RunStatus.CANCELLED: "yellow",
    RunStatus.SKIPPED: "yellow",
    RunStatus.MISSED: "yellow",
}


def one_line(text: str | None) -> str:
    """Return a text as one line, as a cell of a table shows it: line breaks and control characters are escaped."""
    return escaped(text or "")


def console(*, stderr: bool = False) -> Console:
    """Return where people read: in colours on a terminal (`NO_COLOR` forbids them), and uncut elsewhere."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDE
    return Console(file=stream, width=width, markup=False, emoji=False, highlight=False)


def cell(text: str | None, style: str = "") -> Text:
    """Return a stored text as one cell of a table."""
    return Text(one_line(text), style=style)


def status_cell(status: RunStatus | None) -> Text:
    """Return the status of a run in its colour."""
    return Text("-", "dim") if status is None else Text(str(status), STYLES[status])


def table(columns: Sequence[str], rows: Sequence[Sequence[str | Text]], *, keep: Sequence[str] = ()) -> Table:
    """Return a table; the columns of `keep` are never cut, so that what they hold can be copied."""
    built = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        built.add_column(column, no_wrap=True, overflow="fold" if column in keep else "ellipsis")
    for row in rows:
        built.add_row(*[value if isinstance(value, Text) else cell(value) for value in row])
    return built


def show(*parts: RenderableType) -> None:
    """Print tables and texts, one below the other; where no terminal shows them, without the blanks at the ends."""
    people = console()
    if people.is_terminal:
        people.print(*parts, sep="\n")
        return
    with people.capture() as captured:
        people.print(*parts, sep="\n")
    for line in captured.get().rstrip("\n").split("\n"):
        print(line.rstrip())


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str | Text]], *, keep: Sequence[str] = ()) -> None:
    """Print a table."""
    show(table(columns, rows, keep=keep))


def show_pairs(pairs: Sequence[tuple[str, str | Text]]) -> None:
    """Print names and values, one below the other; a value may have several lines."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs:
        grid.add_row(Text(name), value if isinstance(value, Text) else Text(escaped_lines(value)))
    show(grid)


def say(text: str) -> None:
    """Print a text; it may have several lines."""
    print(escaped_lines(text), flush=True)


def say_as_utf8(text: str) -> None:
    """Print the text of a tasks file; where no terminal shows it, in UTF-8, as such a file must be, in every locale."""
    if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    print(text, end="", flush=True)


def note(text: str) -> None:
    """Tell the person something that is not the command's output."""
    print(one_line(text), file=sys.stderr, flush=True)


def fail(text: str) -> None:
    """Tell why the command did not do what was asked, in one line that has an end, whatever was typed."""
    note(f"error: {text if len(text) <= _LONGEST_ERROR else f'{text[:_LONGEST_ERROR]}…'}")


def show_json(value: Any, *, line: bool = False) -> None:  # noqa: ANN401 (JSON)
    """Print JSON, in ASCII, so that no terminal obeys what is in it; as one line if several are to follow."""
    print(json.dumps(value, indent=None if line else 2), flush=True)
