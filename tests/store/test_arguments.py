"""What public calls refuse: in a sentence of their own, the same on each database, and before it is asked."""

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo

import pytest
from helpers import hourly

from scheduler import RunNotFoundError, TaskNotFoundError, TaskScheduler, describe, next_due_times
from scheduler.apscheduler_adapter.jobstore import TaskJobStore

NO_TEXTS = [None, 5, True, 1.5, b"a", ["a"], {"a": 1}, 10**5000, object()]
NO_IDS = ["", "a\ud800", "\udfff", "a\0b", "\0", "a\nb", "a\x85", "x" * 256, "x" * 1_000_000, "x\ud800" * 1_000_000]
UNKNOWN = ["unknown", "ü", "a\u2028b", "x" * 255, "%", "'; DROP TABLE scheduler_runs; --", "\ufffd"]
BY_TASK = ["get_task", "pause_task", "resume_task", "remove_task", "trigger_task"]
BY_RUN = [lambda face, run_id: face.get_run(run_id), lambda face, run_id: face.answer_run(run_id, 1)]


class StrangeZone(tzinfo):
    def utcoffset(self, _):
        return timedelta(hours=23, minutes=59)


def said(caught):
    """Return what an error says, which is one short line."""
    text = str(caught.value)
    assert len(text) < 500
    assert not re.search(r"[\x00-\x1f\ud800-\udfff]", text)
    return text


@pytest.fixture
def face(face):
    """Return a scheduler whose store holds a task with an id like one that was made storable."""
    face.add_tasks([hourly("a"), hourly("a\ufffd"), hourly("5"), hourly("1")])
    return face


def test_ids(face):
    """What is no text is a ValueError; a text that is no id names nothing, and neither does an unknown one."""
    for method in BY_TASK:
        for value in NO_TEXTS:
            with pytest.raises(ValueError, match=r"^task_id=.* give a text, as list_tasks\(\) shows it$") as caught:
                getattr(face, method)(value)
            said(caught)
        for value in NO_IDS + UNKNOWN:
            with pytest.raises(TaskNotFoundError) as caught:
                getattr(face, method)(value)
            assert "does not exist; list_tasks() shows the ids that do" in said(caught)
    assert len(face.list_tasks()) == 4


def test_ids_of_runs(face):
    """The same for runs."""
    for call in BY_RUN:
        for value in NO_TEXTS:
            with pytest.raises(ValueError, match=r"^run_id=.* give a text, as list_runs\(\) shows it$") as caught:
                call(face, value)
            said(caught)
        for value in NO_IDS + UNKNOWN:
            with pytest.raises(RunNotFoundError) as caught:
                call(face, value)
            assert "does not exist" in said(caught)


def test_what_runs_are_listed(face):
    """Each argument is refused by its name; an id that no task has is no mistake."""
    run_id = face.trigger_task("a")
    for value in [*NO_TEXTS[1:], *NO_IDS]:
        with pytest.raises(ValueError, match=r"^task_id=") as caught:
            face.list_runs(value)
        said(caught)
    for value in [0, -1, -(2**70), 2**63, 2**70, 10**5000, True, 1.0, "5", None, []]:
        with pytest.raises(ValueError, match=r"^limit=.*; give a whole number, 1 or more") as caught:
            face.list_runs(limit=value)
        said(caught)
    for value in ["2026-01-01", 5, date(2026, 1, 1), True, datetime(2026, 1, 1)]:  # noqa: DTZ001 (what is refused)
        with pytest.raises(ValueError, match=r"^since=.*; give an aware datetime") as caught:
            face.list_runs(since=value)
        said(caught)
    for value in ["done", "", 5, True, [], b"failed", "\ud800", "x" * 1_000_000]:
        with pytest.raises(ValueError, match=r"^status=.*; give one of 'pending', ") as caught:
            face.list_runs(status=value)
        said(caught)
    assert all(face.list_runs(value) == [] for value in UNKNOWN)
    for limit in (1, 2**31, 2**63 - 1):
        assert [run.id for run in face.list_runs(limit=limit)] == [run_id]
    for zone in (UTC, timezone(timedelta(hours=14)), timezone(-timedelta(hours=12)), StrangeZone()):
        assert [run.id for run in face.list_runs(since=datetime.min.replace(tzinfo=zone))] == [run_id]
        assert face.list_runs(since=datetime.max.replace(tzinfo=zone)) == []


def test_names_of_sources(face):
    """A source is named by a text that is not blank, and no longer than the path of a file can be."""
    for value in [*NO_TEXTS, "", " \n", "x" * 5000, "x" * 1_000_000]:
        with pytest.raises(ValueError, match=r"^source=.*; give a text that names what brings the tasks") as caught:
            face.apply_tasks([], source=value)
        said(caught)
    for number, value in enumerate(["a\0b", "caf\udce9.toml", "x" * 4096, "a\nb", "日本"]):
        assert face.apply_tasks([hourly(f"of {number}")], source=value).added == (f"of {number}",)
        assert face.apply_tasks([], source=value, prune=True).removed == (f"of {number}",)


def test_what_is_no_task(face):
    """It is a TypeError that stays short."""
    for value in [None, "x" * 1_000_000, 10**5000, {"id": "a"}, hourly]:
        with pytest.raises(TypeError, match="not a TaskDefinition") as caught:
            face.add_task(value)
        said(caught)


def test_texts_with_nul_are_kept(face):
    """Where a text may hold anything, it comes back as it was."""
    task = hourly("nul", name="a\0b", prompt="\0Go.\0", metadata={"k\0": "\0"}, context={"\0": ["\0"]})
    face.add_task(task)
    face.add_tasks([task, *(hourly(f"nul {number}", prompt="\0") for number in range(20))])
    assert face.get_task("nul") == task
    assert face.get_task("nul 7").prompt == "\0"
    face.trigger_task("nul")
    assert len(face.list_runs("nul")) == 1


def test_jobs_of_apscheduler(face):
    """Its own lookups find nothing for what can be no id."""
    store = TaskJobStore(face._store)
    for value in [*NO_TEXTS, *NO_IDS, *UNKNOWN]:
        assert store.lookup_job(value) is None
    assert store.lookup_job("a").id == "a"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("timezone", ["Mars", "", "\0", "\ud800", "x" * 1_000_000, 5, None, True, [], 10**5000]),
        ("max_concurrent_runs", [0, -1, 2**70, 10**5000, True, 1.0, "1", None]),
        ("history_limit", [0, 2**63, True, None]),
        ("sync_node_threads", [0, -1, 2**70, True, "1"]),
        ("recursion_limit", [0, -1, 2**70, True, "1"]),
        ("poll_interval", [0, -1, float("nan"), float("inf"), 10**400, 10**5000, True, "1", None, []]),
        ("lease_seconds", [0, float("nan"), 10**5000, True]),
        ("shutdown_grace_seconds", [-1, float("nan"), True, None]),
        ("finished_retention_days", [0, float("inf"), True]),
        ("durability", ["never", 5, True, [], "x" * 1_000_000]),
    ],
)
def test_arguments_of_the_scheduler(name, values):
    """Each is refused by its name, with what to give."""
    for value in values:
        with pytest.raises(ValueError, match=rf"^{name}=.*give ") as caught:
            TaskScheduler(persistent=False, **{name: value})
        said(caught)


def test_listeners_of_events(face):
    """What is no kind of event is refused in a sentence."""

    async def listen(_):
        pass

    for value in [[], ["done"], "done", 5, [5], [[]], [None], {"started": 1, "x": 2}, ["x" * 1_000_000], ["\ud800"]]:
        with pytest.raises(ValueError, match=r"^events names .*; give some of started, ") as caught:
            face.add_listener(listen, value)
        said(caught)
    for value in [None, 5, "x" * 1_000_000, print]:
        with pytest.raises(ValueError, match=r"^callback=.* is no async function") as caught:
            face.add_listener(value)
        said(caught)
    face.add_listener(listen, "started").remove()


@pytest.mark.parametrize("value", [None, "x" * 1_000_000, 5, {"id": "a"}])
def test_what_cannot_be_described(value):
    """A schedule in words and due times are those of a definition."""
    for call in (describe, next_due_times):
        with pytest.raises(TypeError, match="not a TaskDefinition") as caught:
            call(value)
        said(caught)


def test_arguments_of_next_due_times():
    """The number and the instant are refused by their names."""
    for value in [-1, True, 1.0, "1", None, 2**70, 10**5000]:
        with pytest.raises(ValueError, match=r"^n=.*; give a whole number, 0 or more") as caught:
            next_due_times(hourly("a"), value)
        said(caught)
    for value in ["2026-01-01", 5, date(2026, 1, 1)]:
        with pytest.raises(ValueError, match=r"^after=.* is no datetime; give an aware datetime"):
            next_due_times(hourly("a"), 1, value)
    assert next_due_times(hourly("a"), 0) == []
