"""Statements of SQLAlchemy Core, compiled once for each kind of database, and handed to the driver itself.

Core's own execution costs 30 to 100 µs a statement, several times what SQLite takes for it; a pass makes a dozen.
Every value is text, an integer or None, so of what it does beyond this, one thing is needed: text is made storable.
"""

import contextlib
import json
import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeAlias, TypeVar, overload

from sqlalchemy import (
    JSON,
    ClauseElement,
    ColumnElement,
    Dialect,
    FromClause,
    Table,
    Text,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy import Connection as CoreConnection
from sqlalchemy.types import TypeEngine

from scheduler.store.database.storable import storable, storable_values

if TYPE_CHECKING:
    from sqlalchemy.sql.compiler import SQLCompiler

Row: TypeAlias = Any
"""A named tuple of the columns of a statement that is no `Query`."""
RowT = TypeVar("RowT", bound=tuple[Any, ...])
RowT_co = TypeVar("RowT_co", bound=tuple[Any, ...], covariant=True)
Values: TypeAlias = Mapping[str, Any]
"""What the parameters of a statement are, by their names; a list for one that takes any number."""
Call: TypeAlias = tuple[str, Values | Sequence[Any]]
"""The text of a statement, and its parameters, by their names or in their order."""
Kinds: TypeAlias = Mapping[str, type[TypeEngine[Any]]]
"""What each row of a `Bulk` gives, by its name."""
Build: TypeAlias = Callable[["Given"], ClauseElement]
_NONE: Final[Values] = {}


class Statement:
    """A statement that is built and compiled when it is first used, which keeps imports cheap."""

    def __init__(self, build: Callable[[], ClauseElement], row: type[tuple[Any, ...]] | None = None) -> None:
        """Take what builds it, which is called once, and the type of its rows; None: they are made from the columns."""
        self._build = build
        self._row = row
        self._compiled: dict[str, Compiled] = {}

    def compiled(self, dialect: Dialect) -> "Compiled":
        """Return its text for a kind of database."""
        found = self._compiled.get(dialect.name)
        if found is None:
            found = self._compiled[dialect.name] = Compiled(self._build(), dialect, self._row)
        return found


class Query(Statement, Generic[RowT]):
    """A statement with rows of a type: a `NamedTuple` whose fields are the columns, by name and in their order."""

    def __init__(self, row: type[RowT], build: Callable[[], ClauseElement]) -> None:
        """Take the type of the rows, and what builds the statement."""
        super().__init__(build, row)


def parameter(name: str, kind: type[TypeEngine[Any]] = Text) -> ColumnElement[Any]:
    """Return a parameter of a statement; `kind` is the type that PostgreSQL needs to know."""
    return bindparam(name, type_=kind())


class Given(Protocol):
    """What each row of a `Bulk` gives."""

    def __call__(self, name: str, kind: type[TypeEngine[Any]] = Text) -> ColumnElement[Any]:
        """Return the value that stands under a name."""
        ...

    def insert(self, table: Table, columns: Sequence[str]) -> Any:  # noqa: ANN401 (the dialect's own Insert)
        """Return what inserts a row with these columns."""
        ...


class Bulk:
    """A statement that changes something for each of many rows.

    A few go one by one. Many go together, which spares giving Python's lock back and taking it again for each: to
    SQLite as a table of values, to PostgreSQL as one text of JSON, for it takes no more than 65,535 parameters.
    """

    def __init__(self, build: Build) -> None:
        """Take what builds it from what each row gives; it is called once for each form."""
        self._build = build
        self._single: dict[str, Compiled] = {}
        self._together: dict[str, _TableOfValues | _TextOfJson] = {}

    def compiled(self, dialect: Dialect) -> "Compiled":
        """Return its text for one row."""
        if dialect.name not in self._single:
            self._single[dialect.name] = Compiled(self._build(_Parameters(dialect)), dialect)
        return self._single[dialect.name]

    def together(self, dialect: Dialect, rows: Sequence[Values]) -> Iterator[Call]:
        """Return texts with their parameters, each for some of the rows."""
        if dialect.name not in self._together:
            asked = _Parameters(dialect)
            self._build(asked)
            form = _TableOfValues if dialect.name == "sqlite" else _TextOfJson
            self._together[dialect.name] = form(self._build, dialect, asked.kinds)
        return self._together[dialect.name].calls(rows)


_ROWS, _PLACE = "given_rows", "{rows}"
_FEW: Final = 4
"""So many rows, and fewer, go one by one."""
_MOST: Final = 256
"""So many rows go together at most; a pass has fewer, and adding 10,000 tasks takes as long with 512."""


class _Parameters:
    """Gives parameters, and notes which."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self.kinds: dict[str, type[TypeEngine[Any]]] = {}

    def __call__(self, name: str, kind: type[TypeEngine[Any]] = Text) -> ColumnElement[Any]:
        self.kinds[name] = kind
        return parameter(name, kind)

    def insert(self, table: Table, columns: Sequence[str]) -> Any:  # noqa: ANN401
        values = {name: self(name, type(table.c[name].type)) for name in columns}
        return _insert_into(table, self._dialect).values(values)


class _Rows:
    """Gives the columns of a table that holds the rows."""

    def __init__(self, dialect: Dialect, rows: FromClause) -> None:
        self._dialect = dialect
        self._rows = rows

    def __call__(self, name: str, kind: type[TypeEngine[Any]] = Text) -> ColumnElement[Any]:  # noqa: ARG002 (its column has it)
        return self._rows.c[name]

    def insert(self, table: Table, columns: Sequence[str]) -> Any:  # noqa: ANN401
        # A row without its first value only fills the number up. (And SQLite wants a WHERE before ON CONFLICT.)
        rows = select(*(self._rows.c[name] for name in columns)).where(self._rows.c[columns[0]].is_not(None))
        return _insert_into(table, self._dialect).from_select(columns, rows, include_defaults=False)


class _TableOfValues:
    """A statement for many rows on SQLite: costs half as much as one text of JSON."""

    def __init__(self, build: Build, dialect: Dialect, kinds: Kinds) -> None:
        # Not WITH before all: Python counts the rows that were changed only where INSERT or UPDATE comes first.
        items: list[ColumnElement[Any]] = [
            literal_column(f"column{number}").label(name) for number, name in enumerate(kinds, 1)
        ]
        rows = select(*items).select_from(text(f"(VALUES {_PLACE})")).subquery(_ROWS)
        statement = build(_Rows(dialect, rows))
        whole = str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
        self._before, _, self._after = whole.partition(_PLACE)
        self._width = len(kinds)
        self._row = f"({', '.join('?' * self._width)})"
        self._values = itemgetter(*kinds)
        self._texts: dict[int, str] = {}

    def calls(self, rows: Sequence[Values]) -> Iterator[Call]:
        """Yield texts with their parameters; rows of NULL, which nothing comes of, fill up to one of few numbers."""
        for start in range(0, len(rows), _MOST):
            some = rows[start : start + _MOST]
            number = _rounded(len(some))
            values = [storable(value) for row in some for value in self._values(row)]
            yield self._text(number), values + [None] * (self._width * (number - len(some)))

    def _text(self, number: int) -> str:
        if number not in self._texts:
            self._texts[number] = self._before + ", ".join([self._row] * number) + self._after
        return self._texts[number]


def _rounded(number: int) -> int:
    """Round up to a multiple of eight, or of an eighth of the next power of two: sixteen numbers up to 256."""
    step = max(8, (1 << (number - 1).bit_length()) >> 3)
    return -(-number // step) * step


class _TextOfJson:
    """A statement for many rows on PostgreSQL: they go as an array of arrays, in the order of `kinds`."""

    def __init__(self, build: Build, dialect: Dialect, kinds: Kinds) -> None:
        each = func.json_array_elements(cast(bindparam(_ROWS), JSON)).table_valued("value", name="each_row")
        items = [
            cast(each.c.value.op("->>")(literal_column(str(place))), kind()).label(name)
            for place, (name, kind) in enumerate(kinds.items())
        ]
        self._compiled = Compiled(build(_Rows(dialect, select(*items).subquery(_ROWS))), dialect)
        self._values = itemgetter(*kinds)

    def calls(self, rows: Sequence[Values]) -> Iterator[Call]:
        """Yield the text with its parameters, for some rows at a time."""
        for start in range(0, len(rows), _MOST):
            in_order = [list(map(storable, self._values(row))) for row in rows[start : start + _MOST]]
            yield self._compiled.call({_ROWS: json.dumps(in_order)})


def _insert_into(table: Table, dialect: Dialect) -> Any:  # noqa: ANN401
    """Return an INSERT that knows the dialect's ON CONFLICT; the other dialect is not imported."""
    return import_module(f"sqlalchemy.dialects.{dialect.name}").insert(table)


class Compiled:
    """The text of a statement for one kind of database, the values that it brings itself, and the form of its rows."""

    def __init__(self, statement: ClauseElement, dialect: Dialect, row: type[tuple[Any, ...]] | None = None) -> None:
        """Compile it; `row` is the type of its rows. Raises `TypeError` if its fields are not the columns."""
        self._sql: SQLCompiler = statement.compile(dialect=dialect)  # type: ignore[assignment]  # it says: Compiled
        self._text = str(self._sql)
        self._lists = [str(name) for name, bind in self._sql.binds.items() if bind.expanding]
        required = {name for name, bind in self._sql.binds.items() if bind.required}
        own = {name: value for name, value in self._sql.params.items() if name not in required}
        self._own = storable_values(own)
        self._texts: dict[tuple[int, ...], str] = {}
        columns = getattr(statement, "selected_columns", None)
        names = None if columns is None else tuple(columns.keys())
        self.row: Callable[[Sequence[Any]], Row] | None = _row_maker(row, names)

    def call(self, values: Values) -> tuple[str, Values]:
        """Return text and parameters for one execution."""
        if self._lists:
            return self._expanded(values)
        return self._text, self._given(values)

    def calls(self, rows: Sequence[Values]) -> tuple[str, Sequence[Values]]:
        """Return text and parameters for as many executions as there are rows."""
        return self._text, list(map(self._given, rows))

    def _given(self, values: Values) -> dict[str, Any]:
        return {**self._own, **storable_values(values)}

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
        return text, storable_values(given)


def _row_maker(row: Any, columns: tuple[str, ...] | None) -> Callable[[Sequence[Any]], Row] | None:  # noqa: ANN401 (a NamedTuple)
    if row is None:
        return None if columns is None else _row_of(columns)
    if columns is not None and row._fields != columns:
        message = f"{row.__name__} has the fields {row._fields}, its query has the columns {columns}"
        raise TypeError(message)
    make: Callable[[Sequence[Any]], Row] = row._make
    return make


def _row_of(columns: Sequence[str]) -> Callable[[Sequence[Any]], Row]:
    made: Any = namedtuple("Row", columns, rename=True)  # type: ignore[misc]  # noqa: PYI024 (its columns are known at run time only)
    make: Callable[[Sequence[Any]], Row] = made._make
    return make


def _filled(items: Sequence[Any]) -> Sequence[Any]:
    missing = (1 << (len(items) - 1).bit_length()) - len(items) if items else 0
    return [*items, *[items[-1]] * missing] if missing else items


_REFUSALS_OF_POSTGRES: Final = frozenset({"21", "22", "23", "44", "54", "P0"})
"""Classes of SQLSTATE: cardinality, data, constraints, views with a check, size, and what triggers raise."""
_REFUSALS_OF_SQLITE: Final = frozenset({sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG})


class Result(Generic[RowT_co]):
    """What a statement has given: its rows, as named tuples, and how many rows it has changed."""

    def __init__(self, rows: list[RowT_co], rowcount: int) -> None:
        """Take both."""
        self._rows = rows
        self.rowcount = rowcount

    def __iter__(self) -> Iterator[RowT_co]:
        """Go through the rows."""
        return iter(self._rows)

    def all(self) -> list[RowT_co]:
        """Return the rows."""
        return self._rows

    def first(self) -> RowT_co | None:
        """Return the first row, or None."""
        return self._rows[0] if self._rows else None

    def scalars(self) -> list[Any]:
        """Return the first value of each row."""
        return [row[0] for row in self._rows]


class Connection:
    """A transaction in progress, or a view for reading."""

    def __init__(self, core: CoreConnection) -> None:
        """Take SQLAlchemy's connection; what it is used for here is done on the driver's own."""
        self.core = core
        self.dialect: Dialect = core.dialect
        self.driver: Any = core.connection.driver_connection
        self.is_undone: bool = False
        """Whether it was asked to be rolled back instead of being committed."""

    def undo(self) -> None:
        """Let the transaction end without a trace."""
        self.is_undone = True

    @contextlib.contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what is done inside, and only that, if it raises."""
        with contextlib.closing(self.driver.cursor()) as cursor:
            cursor.execute("SAVEPOINT one_of_many")
            try:
                yield
            except BaseException:
                cursor.execute("ROLLBACK TO SAVEPOINT one_of_many")
                raise
            finally:
                cursor.execute("RELEASE SAVEPOINT one_of_many")

    def is_refusal(self, error: Exception) -> bool:
        """Tell whether an error is about what was to be stored, so that something else may well be stored.

        It is not if the database is locked, gone, full or without its tables. Errors that are not the database's come
        from the values.
        """
        database = self.dialect.loaded_dbapi
        if not isinstance(error, database.Error):
            return True
        if (state := getattr(error, "sqlstate", None)) is not None:
            return state[:2] in _REFUSALS_OF_POSTGRES
        if (code := getattr(error, "sqlite_errorcode", None)) is not None:
            return code & 0xFF in _REFUSALS_OF_SQLITE
        # The driver itself has refused a value, before it was sent.
        return isinstance(error, (database.DataError, database.ProgrammingError))

    @overload
    def execute(self, statement: Query[RowT], values: Values = _NONE) -> Result[RowT]: ...

    @overload
    def execute(self, statement: Statement | ClauseElement, values: Values = _NONE) -> Result[Row]: ...

    def execute(self, statement: Statement | ClauseElement, values: Values = _NONE) -> Result[Row]:
        """Execute a statement once. One that is no `Statement` is compiled for this one time."""
        compiled = self._compiled(statement)
        with contextlib.closing(self.driver.cursor()) as cursor:
            cursor.execute(*compiled.call(values))
            if not cursor.description:
                return Result([], cursor.rowcount)
            make = compiled.row or _row_of([column[0] for column in cursor.description])
            return Result(list(map(make, cursor)), cursor.rowcount)

    def execute_many(self, statement: Statement | Bulk, rows: Sequence[Values]) -> int:
        """Execute a statement for each row; return how many rows were changed."""
        changed = 0
        with contextlib.closing(self.driver.cursor()) as cursor:
            if isinstance(statement, Statement) or len(rows) <= _FEW:
                cursor.executemany(*statement.compiled(self.dialect).calls(rows))
                return int(cursor.rowcount)
            for text, values in statement.together(self.dialect, rows):
                cursor.execute(text, values)
                changed += cursor.rowcount
        return changed

    def _compiled(self, statement: Statement | ClauseElement) -> Compiled:
        if isinstance(statement, Statement):
            return statement.compiled(self.dialect)
        return Compiled(statement, self.dialect)
