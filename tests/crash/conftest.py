"""Stores for the crash tests, each on SQLite and on PostgreSQL, with what starts processes on them."""

import os
from contextlib import contextmanager

import pytest
from arena import Arena, Nursery
from postgres import postgres_server, postgres_url  # noqa: F401 (fixtures)

if not hasattr(os, "fork"):
    collect_ignore_glob = ["test_*"]


@pytest.fixture(scope="session")
def nursery():
    """Return what forks children."""
    nursery = Nursery()
    yield nursery
    nursery.end()


@contextmanager
def _arena(nursery, folder, where):
    arena = Arena(nursery, folder, where)
    try:
        yield arena
    finally:
        arena.end()


@pytest.fixture
def on_sqlite(nursery, tmp_path):
    """Return an arena whose store is a SQLite file."""
    with _arena(nursery, tmp_path, {"db_path": tmp_path / "scheduler.db"}) as arena:
        yield arena


@pytest.fixture
def on_postgres(nursery, tmp_path, request):
    """Return an arena whose store is a PostgreSQL database."""
    with _arena(nursery, tmp_path, {"db_url": request.getfixturevalue("postgres_url")}) as arena:
        yield arena


@pytest.fixture(params=["sqlite", "postgres"])
def arena(request):
    """Return an arena on each of the two databases."""
    return request.getfixturevalue(f"on_{request.param}")
