"""Statements of SQLAlchemy Core, compiled once for each kind of database, and handed to the driver itself.

Core's own execution costs 30 to 100 µs a statement, several times what SQLite takes for it; a pass makes a dozen.
What it would do beyond this is not needed here: every value is text, an integer or None, on both sides.
"""

import contextlib
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from sqlalchemy import ClauseElement, Dialect
from sqlalchemy import Connection as CoreConnection

if TYPE_CHECKING:
    from sqlalchemy.sql.compiler import SQLCompiler

Row: TypeAlias = Any
"""A named tuple of the columns that a statement asks for."""
Values: TypeAlias = Mapping[str, Any]
"""What the parameters of a statement are, by their names; a list for one that takes any number."""
_NONE: Final[Values] = {}


class Statement:
    """A statement that is built and compiled when it is first used, which keeps imports cheap."""

    def __init__(self, build: Callable[[], ClauseElement]) -> None:
        """Take what builds it; it is called once."""
        self._build = build
        self._compiled: dict[str, Compiled] = {}

    def compiled(self, dialect: Dialect) -> "Compiled":
        """Return its text for a kind of database."""
        found = self._compiled.get(dialect.name)
        if found is None:
            found = self._compiled[dialect.name] = Compiled(self._build(), dialect)
        return found


class Compiled:
    """The text of a statement for one kind of database, the values that it brings itself, and the form of its rows."""

    def __init__(self, statement: ClauseElement, dialect: Dialect) -> None:
        """Compile it."""
        self._sql = cast("SQLCompiler", statement.compile(dialect=dialect))
        self._text = str(self._sql)
        self._lists = [str(name) for name, bind in self._sql.binds.items() if bind.expanding]
        required = {name for name, bind in self._sql.binds.items() if bind.required}
        self._own = {name: value for name, value in self._sql.params.items() if name not in required}
        self._texts: dict[tuple[int, ...], str] = {}
        columns = getattr(statement, "selected_columns", None)
        self.row: Callable[[Sequence[Any]], Row] | None = None if columns is None else _row_of(columns.keys())

    def call(self, values: Values) -> tuple[str, Values]:
        """Return text and parameters for one execution."""
        if self._lists:
            return self._expanded(values)
        return self._text, {**self._own, **values} if self._own else values

    def calls(self, rows: Sequence[Values]) -> tuple[str, Sequence[Values]]:
        """Return text and parameters for as many executions as there are rows."""
        return self._text, [{**self._own, **row} for row in rows] if self._own else rows

    def _expanded(self, values: Values) -> tuple[str, Values]:
        """Spread lists over parameters of their own.

        A list is filled up to a power of two with its last item, so that there are few texts. An empty one has no
        item: SQLAlchemy then writes a condition that nothing meets.
        """
        given = {**self._own, **values}
        lists = {name: _filled(given.pop(name)) for name in self._lists}
        sizes = tuple(map(len, lists.values()))
        text = self._texts.get(sizes)
        if text is None:
            text = self._texts[sizes] = self._sql.construct_expanded_state({**given, **lists}).statement
        for name, items in lists.items():
            given.update((f"{name}_{number}", item) for number, item in enumerate(items, 1))
        return text, given


def _row_of(columns: Sequence[str]) -> Callable[[Sequence[Any]], Row]:
    made: Any = namedtuple("Row", columns, rename=True)  # type: ignore[misc]  # noqa: PYI024 (its columns are known at run time only)
    make: Callable[[Sequence[Any]], Row] = made._make
    return make


def _filled(items: Sequence[Any]) -> Sequence[Any]:
    missing = (1 << (len(items) - 1).bit_length()) - len(items) if items else 0
    return [*items, *[items[-1]] * missing] if missing else items


class Result:
    """What a statement has given: its rows, as named tuples, and how many rows it has changed."""

    def __init__(self, rows: list[Row], rowcount: int) -> None:
        """Take both."""
        self._rows = rows
        self.rowcount = rowcount

    def __iter__(self) -> Iterator[Row]:
        """Go through the rows."""
        return iter(self._rows)

    def all(self) -> list[Row]:
        """Return the rows."""
        return self._rows

    def first(self) -> Row | None:
        """Return the first row, or None."""
        return self._rows[0] if self._rows else None

    def scalars(self) -> list[Any]:
        """Return the first value of each row."""
        return [row[0] for row in self._rows]


class Connection:
    """A transaction that is under way, or a view for reading."""

    def __init__(self, core: CoreConnection) -> None:
        """Take SQLAlchemy's connection; what it is used for here is done on the driver's own."""
        self.core = core
        self.dialect = core.dialect
        self.driver: Any = core.connection.driver_connection
        self.is_undone = False
        """Whether it was asked to be rolled back instead of being committed."""

    def undo(self) -> None:
        """Let the transaction end without a trace."""
        self.is_undone = True

    def execute(self, statement: Statement | ClauseElement, values: Values = _NONE) -> Result:
        """Execute a statement once. One that is no `Statement` is compiled for this one time."""
        compiled = self._compiled(statement)
        with contextlib.closing(self.driver.cursor()) as cursor:
            cursor.execute(*compiled.call(values))
            if not cursor.description:
                return Result([], cursor.rowcount)
            make = compiled.row or _row_of([column[0] for column in cursor.description])
            return Result(list(map(make, cursor)), cursor.rowcount)

    def execute_many(self, statement: Statement, rows: Sequence[Values]) -> int:
        """Execute a statement for each row; return how many rows were changed."""
        with contextlib.closing(self.driver.cursor()) as cursor:
            cursor.executemany(*self._compiled(statement).calls(rows))
            changed: int = cursor.rowcount
        return changed

    def _compiled(self, statement: Statement | ClauseElement) -> Compiled:
        if isinstance(statement, Statement):
            return statement.compiled(self.dialect)
        return Compiled(statement, self.dialect)
