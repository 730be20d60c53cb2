"""Pages of the history, against a list that is filtered and cut in Python."""

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_kit import Process, every, instant, once

from scheduler import RunStatus
from scheduler.store import RunFilter, database_at, run_pages

OPEN = ("pending", "running")
ENDS = [RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.TIMED_OUT, RunStatus.WAITING]
IDS = ("a", "b", "c")
TAGS = {"a": ["red"], "b": ["red", "blue"], "c": []}


@pytest.fixture(scope="module")
def lived():
    """A store with runs of all kinds, of tagged tasks and others, one of them removed."""
    database = database_at(None, None)
    process = Process(database).begin(0)
    process.add(*(every(10, task_id, overlap="skip", tags=TAGS[task_id]) for task_id in IDS))
    ends = count()
    for now in range(10, 400, 7):
        if now % 3 == 0:
            process.trigger(now, "b")
        for claim in list(process.run_pass(now, slots=2).claims)[:1]:
            process.end(now + 1, ENDS[next(ends) % len(ENDS)], task_id=claim.task.id)
    process.run_pass(400, slots=0)
    process.store.remove_task("b", instant(400))
    yield process
    database.close()


def wanted_by(run, given):
    return (
        (given["task_id"] is None or run.task_id == given["task_id"])
        and (given["tag"] is None or given["tag"] in TAGS[run.task_id])
        and (not given["statuses"] or run.status in given["statuses"])
        and (given["since"] is None or run.scheduled_at.timestamp() * 1e6 >= given["since"])
        and (given["until"] is None or run.scheduled_at.timestamp() * 1e6 < given["until"])
    )


FILTERS = st.fixed_dictionaries(
    {
        "task_id": st.sampled_from([None, *IDS, "nobody"]),
        "tag": st.sampled_from([None, "red", "blue", "green"]),
        "statuses": st.lists(st.sampled_from(list(RunStatus)), unique=True, max_size=3).map(tuple),
        "since": st.none() | st.integers(0, 400).map(instant),
        "until": st.none() | st.integers(0, 400).map(instant),
    }
)


@given(given=FILTERS, limit=st.integers(1, 30))
@settings(max_examples=200, deadline=None)
def test_pages_together_are_the_runs_that_fit(lived, given, limit):
    """None twice, none left out, newest first, whatever the filter and the size of a page."""
    everything = lived.store.list_runs(RunFilter(10_000))
    assert {run.status for run in everything} >= {"succeeded", "failed", "skipped", "cancelled", "running"}
    expected = [run.id for run in everything if wanted_by(run, given)]
    found, before = [], None
    while page := lived.store.list_runs(RunFilter(limit, before=before, **given)):
        assert len(page) <= limit
        found += [run.id for run in page]
        before = found[-1]
    if given["task_id"] is None:
        assert found == expected
    else:
        assert sorted(found) == sorted(expected)


def test_many_tasks_with_a_tag(process):
    """The newest runs of a tag, where there are too many tasks to look at each."""
    process.add(*(once(10**6, f"t{number:03}", tags=["many"]) for number in range(80)), once(10**6, "other"))
    for number in range(80):
        process.trigger(10 + number, f"t{number:03}")
    process.trigger(100, "other")
    page = process.store.list_runs(RunFilter(3, tag="many"))
    assert [run.task_id for run in page] == ["t079", "t078", "t077"]
    further = process.store.list_runs(RunFilter(2, tag="many", before=page[-1].id))
    assert [run.task_id for run in further] == ["t076", "t075"]


def test_a_page_goes_on_when_its_last_run_is_gone(process):
    """The history may have been trimmed between two pages."""
    process.add(once(10**6, "t"))
    ids = [process.trigger(number, "t") for number in range(5)]
    process.sql("DELETE FROM scheduler_runs WHERE id = :gone", gone=ids[2])
    assert [run.id for run in process.store.list_runs(RunFilter(2, task_id="t", before=ids[2]))] == [ids[1], ids[0]]


def test_each_status_has_an_index(process):
    """So that a page of a status that few runs have does not look through the history."""
    with process.store.database.read() as connection:
        if connection.dialect.name != "sqlite":
            pytest.skip("PostgreSQL plans by what it has counted")
        for status in RunStatus:
            query = run_pages._query_of_all(status, frozenset({"before", "limit"}))
            text, values = query.compiled(connection.dialect).call({"before": "z", "limit": 5})
            plan = " / ".join(row[3] for row in connection.driver.execute(f"EXPLAIN QUERY PLAN {text}", values))
            index = "over" if status not in {"pending", "running", "waiting"} else str(status)
            assert f"USING INDEX scheduler_runs_{index}" in plan, (status, plan)
