"""update_task: fields of a stored task are changed in one transaction, by the rules of adding it again."""

import threading
from datetime import UTC, datetime

import pytest
from helpers import hourly
from store_kit import cron, every, instant, moment, once

from scheduler import TaskChangedError, TaskNotFoundError


def test_a_change_keeps_what_is_not_named(face):
    """The definition comes back as it is stored, and other fields stay."""
    face.add_task(hourly("t", metadata={"a": 1}, max_attempts=3))
    task = face.update_task("t", prompt="Other words.")
    assert task == face.get_task("t") == hourly("t", metadata={"a": 1}, max_attempts=3, prompt="Other words.")


def test_an_unchanged_schedule_keeps_its_due_time_and_pause(process):
    """As if the task were added again."""
    process.add(every(60))
    process.pause(30)
    process.store.update_task("t", {"prompt": "Other words."}, instant(50))
    assert process.listed().paused
    process.resume(55)
    assert process.due() == 60


def test_a_changed_schedule_is_counted_from_now(process):
    """The old due time is gone."""
    process.add(every(60))
    process.store.update_task("t", {"interval_seconds": 100}, instant(50))
    assert process.due() == 150


def test_a_schedule_of_another_kind_needs_all_its_fields(process):
    """The combination is checked as a whole."""
    process.add(every(60))
    with pytest.raises(ValueError, match="interval_seconds=60 does not belong to cron tasks"):
        process.store.update_task("t", {"task_type": "cron", "cron_expression": "0 * * * *"}, instant(1))
    changes = {"task_type": "cron", "cron_expression": "0 * * * *", "interval_seconds": None}
    assert process.store.update_task("t", changes, instant(1)) == cron("0 * * * *")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"promt": "Oh."}, "promt is no field of a task"),
        ({"prompt": " "}, "prompt=' '"),
        ({"id": "other"}, "the id of a task is permanent"),
        ({"result_callback": "no.such.function"}, "result_callback='no.such.function'"),
        ({"interval_seconds": 0}, "interval_seconds=0"),
    ],
)
def test_a_wrong_change_is_refused_and_nothing_is_stored(face, changes, problem):
    """With the task, the field, the value and the hint."""
    face.add_task(hourly("t"))
    with pytest.raises(ValueError, match=problem) as raised:
        face.update_task("t", **changes)
    assert "Task t: " in str(raised.value)
    assert face.get_task("t") == hourly("t")


def test_a_change_that_leaves_no_due_time_is_refused(process):
    """Of a task that is finished, and of one that is not."""
    process.add(every(60), once(60, "once"))
    with pytest.raises(ValueError, match="end_at"):
        process.store.update_task("t", {"end_at": moment(1)}, instant(10))
    process.run_pass(60)
    process.complete(61)
    with pytest.raises(ValueError, match="run_at"):
        process.store.update_task("once", {"run_at": moment(70)}, instant(80))
    process.store.update_task("once", {"run_at": moment(90)}, instant(80))
    assert process.due("once") == 90


def test_there_must_be_such_a_task(face):
    """Removed ones are none."""
    face.add_task(hourly("t"))
    face.remove_task("t")
    with pytest.raises(TaskNotFoundError):
        face.update_task("t", prompt="Oh.")


def test_a_change_that_expects_another_task_fails(face):
    """Whoever has read the task before somebody else changed it must read it again."""
    face.add_task(hourly("t"))
    read = face.get_task("t")
    face.update_task("t", prompt="First.", expected=read)
    with pytest.raises(TaskChangedError, match="changed meanwhile"):
        face.update_task("t", prompt="Second.", expected=read)
    assert face.get_task("t").prompt == "First."


def test_changes_at_once_lose_none(face):
    """Two threads that change different fields of one task: it has both changes in the end."""
    face.add_task(hourly("t"))
    changes = [{"prompt": "New."}, {"max_attempts": 7}, {"name": "New name"}, {"stream": True}]
    threads = [threading.Thread(target=face.update_task, args=["t"], kwargs=change) for change in changes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    task = face.get_task("t")
    assert (task.prompt, task.max_attempts, task.name, task.stream) == ("New.", 7, "New name", True)


def test_a_task_of_a_source_stays_with_it(process):
    """Applying the source again brings its own values, and pruning still removes it."""
    process.store.apply_tasks([every(60)], "tasks.toml", instant(0), prune=True, dry_run=False)
    process.store.update_task("t", {"prompt": "Other words."}, instant(1))
    changes = process.store.apply_tasks([every(60)], "tasks.toml", instant(2), prune=True, dry_run=False)
    assert changes.changed == ("t",)
    assert process.store.apply_tasks([], "tasks.toml", instant(3), prune=True, dry_run=False).removed == ("t",)


def test_a_task_with_a_naive_time_zone_keeps_its_instants(face):
    """What was local when it was added is the same instant after a change of something else."""
    task = hourly("t", timezone="Europe/Berlin", end_at=datetime(2900, 1, 1))  # noqa: DTZ001 (local to the task)
    face.add_task(task)
    assert face.update_task("t", prompt="New.").end_at == datetime(2899, 12, 31, 23, tzinfo=UTC)
