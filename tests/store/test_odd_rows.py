"""Rows that no release writes, and definitions that an earlier one took: they break no listing, and run like others."""

import asyncio
from datetime import UTC, datetime

import pytest
from helpers import hourly, wait_until
from sqlalchemy import text

from scheduler import TaskDefinition, describe
from scheduler.timing.clock import to_micros

FAR = 10**18
"""Microseconds: no calendar has such a year."""


def change(face, statement, **values):
    """Change a row as another program would."""
    with face._store.database.write() as connection:
        connection.execute(text(statement), values)


def store_with(face, task, **fields):
    """Put fields into a stored definition that this release would not take."""
    changed = task.model_copy(update=fields)
    change(
        face,
        "UPDATE scheduler_tasks SET definition = :definition, zone = :zone WHERE id = :id",
        definition=changed.model_dump_json(exclude_defaults=True),
        zone=changed.timezone or "UTC",
        id=task.id,
    )
    return changed


NEVER, ALWAYS = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)


def test_times_beyond_the_calendar(face):
    """Each row is listed, with what can be said of it, beside the others."""
    tasks = [hourly(task_id) for task_id in ("ahead", "behind", "end", "other", "start")]
    face.add_tasks(tasks)
    run_id = face.trigger_task("other")
    change(face, "UPDATE scheduler_tasks SET next_due = :due WHERE id = 'ahead'", due=FAR)
    change(face, "UPDATE scheduler_tasks SET next_due = :due WHERE id = 'behind'", due=-FAR)
    store_with(face, tasks[2], end_at=NEVER, timezone="Asia/Tokyo")
    store_with(face, tasks[4], start_at=ALWAYS, timezone="America/New_York")
    change(face, "UPDATE scheduler_runs SET scheduled_at = :far, started_at = :past", far=FAR, past=-FAR)
    listed = {task["id"]: task for task in face.list_tasks()}
    assert sorted(listed) == [task.id for task in tasks]
    assert listed["ahead"]["next_run"].startswith("9999-12-31 ")
    assert listed["behind"]["next_run"].startswith("0001-01-01 ")
    assert all(describe(task["definition"]) for task in listed.values())
    assert face.get_task("end").end_at == NEVER
    (run,) = face.list_runs()
    assert (run, run.scheduled_at, run.started_at) == (face.get_run(run_id), NEVER, ALWAYS)


@pytest.mark.parametrize(
    "fields",
    [
        {"end_at": NEVER, "timezone": "Asia/Tokyo"},
        {"start_at": ALWAYS, "timezone": "America/New_York"},
        {"name": "x" * 3_000, "metadata": {"a": "x" * 1_000_001}, "prompt": "x" * 1_000_001},
    ],
    ids=["end", "start", "texts"],
)
async def test_what_an_earlier_release_took_runs(face, fields):
    """A stored definition beyond the limits of this release is no reason to stop its task."""
    task = hourly("t", interval_seconds=1)
    face.add_task(task)
    stored = await asyncio.to_thread(store_with, face, task, **fields)
    assert face.get_task("t") == stored
    now = to_micros(datetime.now(UTC))
    await asyncio.to_thread(change, face, "UPDATE scheduler_tasks SET next_due = :now", now=now)
    async with face:
        await wait_until(lambda: face.list_runs(status="succeeded"), face)
    assert all(not listed["next_run"].startswith("error") for listed in face.list_tasks())
    with pytest.raises(ValueError, match="Task t: "):
        TaskDefinition(**stored.model_dump())
