"""Which database a path or a URL names."""

import os
import re
import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from scheduler.errors import StoreError
from scheduler.redaction import shown_url
from scheduler.store.database.interface import Database
from scheduler.store.database.postgres import PostgresDatabase
from scheduler.store.database.sqlite import SqliteDatabase
from scheduler.store.database.sqlite_files import identity, shown
from scheduler.store.database.storable import odd_character

_FORMS: Final = "postgresql+psycopg://user:password@host/database or sqlite:////folder/file.db"
_POSTGRES: Final = re.compile(r"postgres(?:ql)?(?:\+\w*)?://", re.IGNORECASE)
"""How URLs of PostgreSQL begin, for libpq, for SQLAlchemy with any driver, and as some providers write them."""
_KEYWORDS: Final = re.compile(
    r"\s*(host|hostaddr|port|dbname|user|password|passfile|service|sslmode)\s*=", re.IGNORECASE
)
"""How a text with the keywords of libpq begins."""
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/|(?://|(?![/.]|[A-Za-z]:[\\/]))(?=.*:)(?=.*[@?#])", re.DOTALL)
"""`scheme:/` (a Path has one slash of two), or a colon with `@`, `?` or `#`; a drive of Windows has one letter."""
_UNCLEAR: Final = re.compile(r"[^:]+://[^/@]*:[^@]*/[^@]*[?#][^@]*@", re.DOTALL)
"""`host:1/database?password=a@b`, which SQLAlchemy takes for a user, a password and the host `b`."""
_UNCLEAR_END: Final = "nobody can say where its password ends; write @ / # ? in a password as %40 %2F %23 %3F"
_LAST_PORT: Final = 65_535
_SHOWN_LENGTH: Final = 200


class _WrongUrlError(ValueError):
    """What is wrong with a URL, and how to fix it; without the URL, which may hold a password."""


def is_url(path: str) -> bool:
    """Tell whether a text that is given as a path is meant as a URL or keywords of libpq; it may hold a password."""
    is_meant = _URL.match(path) is not None or _KEYWORDS.match(path) is not None
    return is_meant and not os.path.lexists(path)


def absolute_path(db_path: object) -> Path:
    """Return the path of a file, counted from the working directory.

    Raises `ValueError` for what is no path, `StoreError` if there is no working directory.
    """
    path = os.fspath(db_path) if isinstance(db_path, os.PathLike) else db_path
    if not isinstance(path, str):
        message = f"db_path={reprlib.repr(db_path)}: it is no path; give a text or a Path, such as 'scheduler.db'"
        raise ValueError(message)  # noqa: TRY004 (as for every argument)
    if is_url(path):
        raise ValueError("db_path is a URL, or keywords of libpq; give a URL as db_url, such as postgresql://…")
    try:
        return Path(path).absolute()
    except FileNotFoundError:
        hint = "start the program in another one, or give an absolute path as db_path"
        raise StoreError(shown(Path(path)), "the working directory was deleted", hint) from None


def database_at(path: Path | None, url: str | None, trusted_owner: str | None = None) -> Database:
    """Return the database at a file's path, at an SQLAlchemy URL, or, where both are None, in memory.

    `trusted_owner` is a role of PostgreSQL whose tables are used although this program has another one.

    Raises `ValueError` for a URL that names no database of PostgreSQL or SQLite, `StoreError` if a driver is missing or
    no file can have this path.
    """
    if url is None:
        return _file(path)
    try:
        return _database(_parsed(url), trusted_owner)
    except _WrongUrlError as error:
        raise ValueError(f"db_url={_shown(url)}: {error}") from None


def is_postgres(url: str) -> bool:
    """Tell whether a text is a URL of PostgreSQL."""
    return _POSTGRES.match(url) is not None


def libpq_url(url: str) -> str:
    """Return a URL of PostgreSQL as libpq takes it. Raises `ValueError`."""
    try:
        _check_postgres(_parsed(url))
    except _WrongUrlError as error:
        raise ValueError(f"{_shown(url)}: {error}") from None
    return _POSTGRES.sub("postgresql://", url, count=1)


def _parsed(url: object) -> URL:
    if isinstance(url, str) and _UNCLEAR.match(url):
        raise _WrongUrlError(_UNCLEAR_END)
    try:
        return make_url(url)  # type: ignore[arg-type]  # it says what is wrong with an object that is no text
    except ArgumentError:
        raise _WrongUrlError(f"it is no SQLAlchemy URL; give {_FORMS}") from None
    except ValueError:
        raise _WrongUrlError("the port is no number, or the host has a colon; give host:5432, or [::1]:5432") from None


def _shown(url: object) -> str:
    """Return a URL for messages, without its secrets, also if it is wrong in any way."""
    return repr(shown_url(url if isinstance(url, str) else repr(url))[:_SHOWN_LENGTH])


def _database(url: URL, trusted_owner: str | None) -> Database:
    kind = url.get_backend_name().lower()
    if kind in {"postgresql", "postgres"}:
        _check_postgres(url)
        try:
            return PostgresDatabase(url.set(drivername="postgresql+psycopg"), trusted_owner)
        except ArgumentError as error:
            raise _WrongUrlError(f"{error}; give several hosts as host=first:5432&host=second:5432") from None
    if kind != "sqlite":
        raise _WrongUrlError(f"this kind of database is not supported; give {_FORMS}")
    if url.host:
        hint = f"give three slashes, sqlite:///{url.host}, or four before a path from the root"
        raise _WrongUrlError(f"{url.host!r} stands where other databases have their host; {hint}")
    in_memory = url.database in {None, "", ":memory:"}
    return _file(None if in_memory else absolute_path(url.database))


def _file(path: Path | None) -> SqliteDatabase:
    if path is not None:
        identity(path)  # which refuses what cannot be a path, before anybody uses it as one
    return SqliteDatabase(path)


def _check_postgres(url: URL) -> None:
    """Refuse what the driver would refuse in other words, take for something else, or cut off."""
    for part, text in _texts(url):
        letter = odd_character(text)
        if letter is not None:
            raise _WrongUrlError(f"its {part} has the character {letter!a}; leave it out, such as the end of a line")
    if "@" in (url.host or "") or any(mark in (url.database or "") for mark in "@#"):
        raise _WrongUrlError(f"{_UNCLEAR_END}; give a database with such a name as ?dbname=…")
    if url.port is not None and not 1 <= url.port <= _LAST_PORT:
        raise _WrongUrlError(f"the port is {url.port}; give one from 1 to {_LAST_PORT}, such as 5432")
    for host in _hosts(url):
        try:
            host.encode("idna")
        except UnicodeError:
            raise _WrongUrlError(f"{host[:80]!r} is no name of a host; give its name or its address") from None


def _texts(url: URL) -> Iterator[tuple[str, str]]:
    parts = {"user": url.username, "password": url.password, "host": url.host, "database": url.database}
    yield from ((part, str(text)) for part, text in parts.items() if text is not None)
    for key, value in url.query.items():
        yield from ((key, text) for text in ([value] if isinstance(value, str) else value))


def _hosts(url: URL) -> Iterator[str]:
    """Yield the names of hosts; a host may also be the folder of a socket."""
    given = url.query.get("host", ())
    for text in [url.host or "", *([given] if isinstance(given, str) else given)]:
        names = text.split(",")
        yield from (name.partition(":")[0] for name in names if not name.startswith(("/", "@")) and "::" not in name)
