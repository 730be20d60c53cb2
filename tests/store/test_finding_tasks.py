"""Tags, pages of tasks, and what is changed for all tasks of a tag."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from store_kit import Process, every, instant, once

from scheduler import RunStatus, TaskDefinition
from scheduler.store import TaskFilter, TaskState, database_at


def found(process, now=0, **wanted):
    return [each.id for each in process.store.find_tasks(TaskFilter(**{"limit": 1000, **wanted}), instant(now))]


@pytest.fixture
def mixed(process):
    """Tasks in each state but `unusable`."""
    process.add(
        every(60, "scheduled", tags=["red", "blue"], name="Weekly_report"),
        every(60, "paused", tags=["red"], enabled=False),
        once(10, "running", tags=["red"]),
        once(20, "waiting"),
        once(5, "finished", tags=["red"], prompt="Über alles"),
        every(60, "removed", tags=["red"]),
    )
    for now in (5, 10, 20):
        process.run_pass(now)
        if now == 5:
            process.end(6)
    process.end(21, RunStatus.WAITING, task_id="waiting")
    process.run_pass(22, slots=0)
    process.store.remove_task("removed", instant(22))
    return process


def test_tasks_are_found_by_state(mixed):
    """Each state has its tasks; finished ones are found where they are asked for."""
    states = {state: found(mixed, 22, state=state) for state in TaskState}
    assert states == {state: ([] if state is TaskState.UNUSABLE else [str(state)]) for state in TaskState}
    assert found(mixed, 22) == ["paused", "running", "scheduled", "waiting"]


def test_a_task_that_cannot_be_used_is_found_by_its_state(mixed):
    """Its definition is damaged: it is not scheduled."""
    mixed.sql("UPDATE scheduler_tasks SET definition = '{}' WHERE id = 'scheduled'")
    assert found(mixed, 22, state=TaskState.UNUSABLE) == ["scheduled"]
    assert found(mixed, 22, state=TaskState.SCHEDULED) == []


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        ({"tag": "red"}, ["paused", "running", "scheduled"]),
        ({"tag": "blue"}, ["scheduled"]),
        ({"tag": "RED"}, []),
        ({"tag": "red", "state": TaskState.FINISHED}, ["finished"]),
        ({"search": "weekly_REPORT"}, ["scheduled"]),
        ({"search": "weeklyXreport"}, []),
        ({"search": "%"}, []),
        ({"search": "ÜBER", "state": TaskState.FINISHED}, ["finished"]),
        ({"source": "tasks.toml"}, []),
        ({"limit": 2}, ["paused", "running"]),
        ({"limit": 2, "after": "running"}, ["scheduled", "waiting"]),
    ],
    ids=str,
)
def test_tasks_are_found(mixed, wanted, ids):
    """By tag, text, source and page."""
    assert found(mixed, 22, **wanted) == ids


def test_what_is_found_follows_the_task(mixed):
    """A task that is added again has its new tags and words, and no longer those of before."""
    mixed.add(every(60, "scheduled", name="Renamed", tags=["green"]), now=23)
    assert found(mixed, 23, tag="red") == ["paused", "running"]
    assert found(mixed, 23, tag="green") == found(mixed, 23, search="renamed") == ["scheduled"]
    assert found(mixed, 23, search="weekly") == []


def test_purged_tasks_leave_no_tags(mixed):
    """Of tasks that are deleted, nothing is kept but that they were there."""
    mixed.run_pass(10**9)
    mixed.run_pass(10**9 + 1)
    left = {row[0] for row in mixed.sql("SELECT task_id FROM scheduler_tags")}
    assert left == {row[0] for row in mixed.sql("SELECT id FROM scheduler_tasks")} & left


@given(
    ids=st.sets(st.text("abAB-_", min_size=1, max_size=4), max_size=12),
    limit=st.integers(1, 5),
    paused=st.sets(st.integers(0, 11)),
)
@settings(max_examples=60, deadline=None)
def test_pages_together_are_all_tasks(ids, limit, paused):
    """In one order, each once, whatever the size of a page, also where most rows of a page do not fit."""
    database = database_at(None, None)
    process = Process(database).begin(0)
    process.add(*(every(60, each, enabled=place not in paused) for place, each in enumerate(sorted(ids))))
    expected = [each for place, each in enumerate(sorted(ids)) if place in paused]
    pages, after = [], None
    while page := found(process, state=TaskState.PAUSED, limit=limit, after=after):
        pages += page
        after = page[-1]
    assert pages == expected
    database.close()


# --- All tasks of a tag ---


def test_all_tasks_of_a_tag_are_paused(mixed):
    """Not finished ones; what was due is accounted for, and a pause keeps its reason."""
    mixed.store.pause_task("paused", instant(30), "by hand")
    assert mixed.store.pause_tasks("red", instant(130), until=instant(500)) == ["paused", "running", "scheduled"]
    assert found(mixed, 131, state=TaskState.PAUSED) == ["paused", "running", "scheduled"]
    assert [mixed.listed(each).pause_reason for each in ("paused", "scheduled")] == ["by hand", None]
    assert mixed.listed("scheduled").paused_at == instant(130)
    assert mixed.listed("paused").paused_at == instant(0)
    assert mixed.history("scheduled") == [("skipped", 120, 1)]
    mixed.store.pause_tasks("red", instant(140), "for all", instant(600))
    assert {mixed.listed(each).pause_reason for each in ("paused", "scheduled")} == {"for all"}
    assert mixed.run_pass(600).claims != []
    assert found(mixed, 600, state=TaskState.PAUSED) == []


def test_all_tasks_of_a_tag_are_paused_as_each_alone(process):
    """The rows are the same as if each had been paused by itself."""
    process.add(*(every(60 + number, f"a{number}", tags=["a"], enabled=number != 2) for number in range(4)))
    process.add(*(every(60 + number, f"b{number}", tags=["b"], enabled=number != 2) for number in range(4)))
    process.store.pause_tasks("a", instant(61), "why")
    for number in range(4):
        process.store.pause_task(f"b{number}", instant(61), "why")
    columns = "next_due, paused, pause_reason, paused_at, pause_until, finished_at, last_seq"
    rows = {
        letter: [tuple(row) for row in process.sql(f"SELECT {columns} FROM scheduler_tasks WHERE id LIKE '{letter}%'")]
        for letter in "ab"
    }
    assert sorted(rows["a"], key=str) == sorted(rows["b"], key=str)


def test_all_tasks_of_a_tag_are_resumed_triggered_and_removed(mixed):
    """Each returns what it has changed, and leaves the others alone."""
    assert mixed.store.resume_tasks("red", instant(30)) == ["paused"]
    runs = mixed.store.trigger_tasks("red", instant(30), "Other words.")
    assert [mixed.store.get_run(run).task_id for run in runs] == ["paused", "running", "scheduled"]
    assert {mixed.store.get_run(run).prompt for run in runs} == {"Other words."}
    assert mixed.store.remove_tasks("red", instant(31)) == ["finished", "paused", "running", "scheduled"]
    assert found(mixed, 32) == ["waiting"]
    assert mixed.store.remove_tasks("red", instant(33)) == []


def test_all_or_none(mixed):
    """A task whose definition cannot be used stops the others from being triggered."""
    mixed.sql("UPDATE scheduler_tasks SET definition = '{}' WHERE id = 'scheduled'")
    with pytest.raises(ValueError, match="scheduled"):
        mixed.store.trigger_tasks("red", instant(30))
    assert mixed.statuses("paused") == []


# --- Tags of a definition ---


def tagged(tags):
    return TaskDefinition(id="t", name="T", prompt="P", task_type="interval", interval_seconds=60, tags=tags).tags


def test_tags_are_kept_once_each_in_order():
    """As they were given."""
    assert tagged(["b", "a", "b", "team:sales", "Ä/2.1@x+y-z"]) == ("b", "a", "team:sales", "Ä/2.1@x+y-z")


@pytest.mark.parametrize(
    "tags", [["a b"], [""], ["-a"], ["a,b"], ["x" * 65], ["a\n"], "red", [1], ["a"] * 33], ids=repr
)
def test_what_is_no_tag_is_refused(tags):
    """With the field and what to write."""
    with pytest.raises(ValidationError, match=r"Task t: tags.*give a list of at most 32 texts"):
        tagged(tags)


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_the_tasks_that_are_due_first(process, limit):
    """By their next due time, at most so many; those without one come last."""
    process.add(every(60, "third"), every(30, "second"), every(5, "first"))
    process.store.pause_task("first", instant(0))
    listed = [each.id for each in process.store.list_tasks(instant(0))]
    assert [each.id for each in process.store.list_tasks(instant(0), limit)] == listed[:limit]
    assert sorted(listed) == ["first", "second", "third"]
