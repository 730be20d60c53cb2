"""docs/architecture.md says how runs change their status; a trigger in the database notes how they do."""

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from helpers import wait_until
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt

from scheduler import RunStatus, TaskDefinition, TaskScheduler, TaskType

PAGE = (Path(__file__).parent.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
BEGINS = "(new)"
TABLE = PAGE.split("\n| from | to | cause |\n")[1].split("\n\n")[0]
EDGES = {
    tuple(cell.strip(" `") for cell in row.strip("|").split("|")[:2]) for row in TABLE.splitlines() if "---" not in row
}
NOTE_CHANGES = f"""
CREATE TABLE changes (old TEXT, new TEXT);
CREATE TRIGGER inserted AFTER INSERT ON scheduler_runs
BEGIN INSERT INTO changes VALUES ('{BEGINS}', NEW.status); END;
CREATE TRIGGER updated AFTER UPDATE OF status ON scheduler_runs WHEN OLD.status <> NEW.status
BEGIN INSERT INTO changes VALUES (OLD.status, NEW.status); END;
"""


async def answer(state: MessagesState):
    prompt = state["messages"][-1].text
    if prompt == "Fail.":
        raise ValueError(prompt)
    if prompt == "Ask.":
        return {"messages": [("assistant", interrupt("Well?"))]}
    if prompt == "Wait.":
        await asyncio.Event().wait()
    return {"messages": [("assistant", "Done.")]}


GRAPH = StateGraph(MessagesState).add_node("answer", answer).add_edge(START, "answer").compile()


def task(name, prompt, **fields):
    often = {} if "run_at" in fields else {"task_type": TaskType.INTERVAL, "interval_seconds": 1}
    own = {"session_id": name, "retry_delay_seconds": 0}
    return TaskDefinition(id=name, name=name, prompt=prompt, **{**own, **often, **fields})


def once(seconds):
    return {"task_type": TaskType.ONE_TIME, "run_at": datetime.now(UTC) + timedelta(seconds=seconds)}


@pytest.fixture
def scheduler(tmp_path):
    scheduler = TaskScheduler(
        db_path=tmp_path / "scheduler.db",
        graph=GRAPH,
        checkpointer=InMemorySaver(),
        poll_interval=0.05,
        shutdown_grace_seconds=0,
    )
    with closing(sqlite3.connect(tmp_path / "scheduler.db")) as store:
        store.executescript(NOTE_CHANGES)
    return scheduler


def add_what_happens_by_schedule(scheduler):
    """Add tasks whose due times start, fail, are retried, skipped, missed, cancelled, and ask."""
    scheduler.add_tasks(
        [
            task("missed", "Go.", **once(0.01), misfire_grace_seconds=0),
            task("started", "Go.", **once(0.3)),
            task("retried", "Fail.", **once(0.3), max_attempts=2),
            task("timed_out", "Wait.", **once(0.3), timeout_seconds=0.05),
            task("expired", "Ask.", **once(0.3), expire_waiting_after_seconds=0.05),
            task("skipped", "Wait."),
            task("replaced", "Wait.", overlap="cancel_other"),
        ]
    )


def add_what_happens_by_hand(scheduler):
    """Trigger runs: one asks and is answered, one is removed before it starts."""
    never = {"task_type": TaskType.CRON, "cron_expression": "@yearly", "interval_seconds": None}
    scheduler.add_tasks([task("asking", "Ask.", **never), task("removed", "Go.", **never)])
    scheduler.trigger_task("removed")
    scheduler.remove_task("removed")
    return scheduler.trigger_task("asking")


async def test_each_change_of_status_is_on_the_page_and_each_on_the_page_happens(scheduler, tmp_path):
    """From every status to every other: what is observed is exactly what the table lists."""
    add_what_happens_by_schedule(scheduler)
    asking = add_what_happens_by_hand(scheduler)
    await asyncio.sleep(0.02)  # so that the first due time has been missed
    scheduler.start()
    await wait_until(lambda: scheduler.get_run(asking).status is RunStatus.WAITING, scheduler)
    scheduler.answer_run(asking, "Yes.")
    await wait_until(lambda: scheduler.get_run(asking).status is RunStatus.SUCCEEDED, scheduler)
    for status in ("missed", "succeeded", "failed", "timed_out", "skipped"):
        await wait_until(lambda status=status: scheduler.list_runs(status=status), scheduler)
    for name in ("expired", "replaced"):
        await wait_until(lambda name=name: scheduler.list_runs(name, status="cancelled"), scheduler)
    scheduler.remove_task("skipped")  # whose run is running still, and is interrupted by the stop
    await scheduler.stop()
    with closing(sqlite3.connect(tmp_path / "scheduler.db")) as store:
        observed = set(store.execute("SELECT old, new FROM changes"))
    assert observed == EDGES


def test_the_page_names_every_status():
    """So that a new one is explained."""
    named = {status for edge in EDGES for status in edge} - {BEGINS}
    assert named == {str(status) for status in RunStatus}
