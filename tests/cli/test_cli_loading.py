"""Tasks that some process cannot load: what the commands say about them, and what becomes of them."""

import os

import pytest
from cli_kit import GRAPH, Place, end, wait_for
from helpers import hourly, rows

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="the signals are POSIX ones"),
    pytest.mark.timeout(120),
]

DIGEST = """
[[task]]
id = "digest"
name = "Digest"
prompt = "Go on."
schedule = "every second"
graph = "digest:graph"
"""


@pytest.fixture
def releases(tmp_path):
    """Return two releases of a project; a task of the new one names a module that the old one lacks."""
    places = {}
    for release in ("old", "new"):
        (tmp_path / release).mkdir()
        places[release] = Place(tmp_path / release)
    (tmp_path / "new/digest.py").write_text(GRAPH)
    (tmp_path / "new/tasks.toml").write_text(DIGEST)
    return places["old"], places["new"]


def serve(place, database, *options):
    arguments = ("-m", "scheduler", "serve", "--db", str(database), "--no-checkpoints", "--poll-interval", "0.1")
    return place.start(*arguments, *options)


def test_a_rolling_deployment(releases, tmp_path):
    """The old release leaves the new task to the new one, says so, and disables it for nobody."""
    old_release, new_release = releases
    store = tmp_path / "shared.db"
    with serve(old_release, store) as old, serve(new_release, store, "--tasks", "tasks.toml") as new:
        line = wait_for(old, "cannot be loaded here")
        assert "Task digest cannot be loaded here: graph='digest:graph': there is no module digest" in line
        wait_for(new, "Task Digest completed")
        [task] = new_release.json("list", "--db", str(store))
        assert task["state"] in {"scheduled", "running"}
        assert task["problem"].startswith("cannot be loaded here: graph='digest:graph': there is no module digest")
        assert task["problem"].endswith("(in 1 of 2 schedulers)")
        warning = f"warning: task digest {task['problem']}\n"
        assert warning in old_release.run("list", "--db", str(store)).stderr
        code, rest = end(old)
        assert code == 0, rest
        assert "cannot be loaded here" not in rest, "once for each problem"
        wait_for(new, "Task Digest completed")
        [task] = new_release.json("list", "--db", str(store))
        assert (task["state"] in {"scheduled", "running"}, task["problem"]) == (True, None)
        code, rest = end(new)
        assert code == 0, rest
    statuses = {run["status"] for run in new_release.json("runs", "--db", str(store))}
    assert statuses <= {"succeeded", "skipped", "pending"}, "the last one may wait for the next start"


def test_check_looks_again(place):
    """It imports what tasks name, instead of repeating what was stored before."""
    module = place.folder / "late.py"
    module.write_text(GRAPH)
    place.run("add", "--id", "t", "--prompt", "Go on.", "--every", "1h", "--graph", "late:graph")
    module.unlink()
    found = place.json("check", code=1)
    [finding] = [each for each in found["checks"] if each["name"] == "task t"]
    assert "there is no module late" in finding["detail"]
    module.write_text(GRAPH)
    with rows(place.folder / "scheduler.db") as store:
        store.execute("UPDATE scheduler_tasks SET problem = 'graph=''late:graph'': there is no module late'")
    assert place.quick_json("list")[0]["state"] == "unusable"
    found = place.json("check")
    assert found["ok"]
    assert "1 of 1 can be used, and their code imported" in [each["detail"] for each in found["checks"]]
    assert place.quick_json("list")[0]["state"] == "scheduled"


@pytest.mark.parametrize("command", ["resume", "trigger"])
@pytest.mark.parametrize(
    ("definition", "state", "words"),
    [
        ("{", "unusable", "its stored definition cannot be used (Invalid JSON"),
        ('{"id": "t"}', "unusable", "name is required"),
    ],
)
def test_a_damaged_task(place, command, definition, state, words):
    """`resume` and `trigger` say why they do nothing; so does `check`."""
    with place.face() as face:
        face.add_task(hourly("t"))
    with rows(place.folder / "scheduler.db") as store:
        store.execute("UPDATE scheduler_tasks SET definition = ?", [definition])
    assert words in place.quick(command, "t", code=1).stderr
    assert place.quick_json("list")[0]["state"] == state
    assert words.removeprefix("its stored definition cannot be used (") in place.quick("check", code=1).stdout


def test_a_task_of_a_later_release(place):
    """`list` says what this release does not know; `pause` and `remove` work; `resume` says why it does not."""
    with place.face() as face:
        face.add_task(hourly("t"))
    with rows(place.folder / "scheduler.db") as store:
        store.execute("UPDATE scheduler_tasks SET definition = replace(definition, '{', '{\"colour\": \"red\",')")
    [task] = place.quick_json("list")
    assert task["state"] == "unusable"
    assert task["problem"] == "cannot be loaded here: this release does not know the field colour"
    assert place.quick("pause", "t").stdout == "Paused t.\n"
    said = place.quick("resume", "t", code=1).stderr
    assert "Task t: its stored definition cannot be used here (this release does not know the field colour)" in said
    assert place.quick("remove", "t", "--yes").stdout == "Removed t.\n"
