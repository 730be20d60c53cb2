"""What keeps a tasks file applied while a program runs: whatever an edit raises, the next one is applied."""

import asyncio
import threading

import pytest
from helpers import PATIENCE

from scheduler import StoreError, programs
from scheduler.errors import TasksFileError

LOCKED = StoreError("scheduler.db", "it is locked", "try again")


@pytest.fixture
async def applied(tmp_path, monkeypatch):
    """Return what makes each application of the file end as asked, and counts them."""
    ends, done, edits = [], threading.Semaphore(0), asyncio.Queue()

    def apply():
        done.release()
        if ends and (error := ends.pop(0)) is not None:
            raise error

    async def watch(_):
        while True:
            yield await edits.get()

    monkeypatch.setattr(programs, "watch_tasks", watch)
    monkeypatch.setattr(programs, "_RETRY_SECONDS", 0.001)

    async def until(number, *errors):
        ends[:] = [None, *errors]
        async with programs.kept_applied(tmp_path / "tasks.toml", apply), asyncio.timeout(2 * PATIENCE):
            for _ in range(number - sum(error is LOCKED for error in errors) - 1):
                edits.put_nowait(None)
            for _ in range(number):
                assert await asyncio.to_thread(done.acquire, timeout=PATIENCE)

    return until


@pytest.mark.parametrize(
    "error", [TasksFileError("tasks.toml", 1, "it is wrong"), ValueError("wrong"), KeyError("wrong")]
)
async def test_the_next_edit_is_applied(applied, caplog, error):
    """Whatever the one before raised; a line of the log says so once."""
    await applied(3, error)
    (record,) = [each for each in caplog.records if each.name == "scheduler"]
    assert record.getMessage().startswith("The tasks stay as they were")
    assert "wrong" in caplog.text


async def test_an_edit_waits_for_the_store(applied, caplog):
    """No further edit may come: it is applied when the store can be used again, and one line says that it waits."""
    await applied(4, LOCKED, LOCKED)
    (line,) = caplog.messages
    assert line.startswith("The tasks stay as they were until the store can be used: Store scheduler.db: it is locked")
