"""Checkpoints that nobody needs any more are deleted, when a new run begins on their thread.

Each step of a graph leaves a checkpoint with the whole state, so that what is kept of a conversation grows with the
square of its length. A run begins at the last checkpoint, which is not that of an unsuccessful run; those before it are
needed no more. Only LangGraph's savers for SQLite and PostgreSQL are known well enough.
"""

import sys
from typing import Any, Final

_DELTA: Final = "counters_since_delta_snapshot"
"""In the metadata of checkpoints that say only what has changed: each needs those before it."""
_IS_DELTA: Final = "SELECT 1 FROM checkpoints WHERE thread_id = ? AND instr(CAST(metadata AS TEXT), ?) > 0 LIMIT 1"
# So many at once that a run does not wait long for it; those of a thread that has grown for years go run by run.
# A namespace with a colon is that of a graph inside a node, in one run; one without is a graph's that remembers.
_OLD_CHECKPOINTS: Final = """
    DELETE FROM checkpoints WHERE rowid IN (
        SELECT old.rowid FROM checkpoints old WHERE old.thread_id = ?
        AND (instr(old.checkpoint_ns, ':') > 0 OR old.checkpoint_id < (
            SELECT max(newest.checkpoint_id) FROM checkpoints newest
            WHERE newest.thread_id = old.thread_id AND newest.checkpoint_ns = old.checkpoint_ns))
        LIMIT 1000)
"""
_OLD_WRITES: Final = """
    DELETE FROM writes WHERE thread_id = ? AND NOT EXISTS (
        SELECT 1 FROM checkpoints kept WHERE kept.thread_id = writes.thread_id
        AND kept.checkpoint_ns = writes.checkpoint_ns AND kept.checkpoint_id = writes.checkpoint_id)
"""


async def thin_out(saver: object, thread_id: str) -> None:
    """Delete the checkpoints of a thread but the last ones; leave other savers, and threads that need them all, alone.

    All of it, or nothing: a process that is killed meanwhile leaves the thread as it was. Raises what the saver raises.
    """
    if _is(saver, "langgraph.checkpoint.sqlite.aio", "AsyncSqliteSaver"):
        await _thin_out_sqlite(saver, thread_id)
    elif _is(saver, "langgraph.checkpoint.postgres.aio", "AsyncPostgresSaver") and hasattr(saver, "aprune"):
        try:
            await saver.aprune([thread_id], strategy="keep_latest")
        except NotImplementedError:  # it says so of threads whose checkpoints need each other
            return


def _is(saver: object, module: str, name: str) -> bool:
    found = getattr(sys.modules.get(module), name, None)
    return found is not None and isinstance(saver, found)


async def _thin_out_sqlite(saver: Any, thread_id: str) -> None:  # noqa: ANN401 (AsyncSqliteSaver)
    async with saver.lock, saver.conn.cursor() as cursor:
        await cursor.execute(_IS_DELTA, (thread_id, _DELTA))
        if await cursor.fetchone() is not None:
            return
        try:
            await cursor.execute(_OLD_CHECKPOINTS, (thread_id,))
            await cursor.execute(_OLD_WRITES, (thread_id,))
            await saver.conn.commit()
        except BaseException:
            await saver.conn.rollback()
            raise
