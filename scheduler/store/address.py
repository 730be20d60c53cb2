"""Which database a path or a URL names."""

from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from scheduler.store.engine import Database
from scheduler.store.postgres import PostgresDatabase
from scheduler.store.sqlite import SqliteDatabase


def database_at(path: Path | None, url: str | None) -> Database:
    """Return the database at a file's path, at an SQLAlchemy URL, or, where both are None, in memory.

    Raises `ValueError` for a URL that is neither PostgreSQL's nor SQLite's, `StoreError` if a driver is missing.
    """
    if url is None:
        return SqliteDatabase(path)
    known = "postgresql+psycopg://user:password@host/database or sqlite:////folder/file.db"
    try:
        parsed = make_url(url)
    except ArgumentError:
        message = f"db_url={url!r} is no SQLAlchemy URL; give {known}"
        raise ValueError(message) from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        in_memory = parsed.database in {None, "", ":memory:"}
        return SqliteDatabase(None if in_memory else Path(str(parsed.database)).absolute())
    if backend != "postgresql":
        message = f"db_url={parsed.render_as_string()!r} is of a database that is not supported; give {known}"
        raise ValueError(message)
    return PostgresDatabase(parsed.set(drivername="postgresql+psycopg"))
