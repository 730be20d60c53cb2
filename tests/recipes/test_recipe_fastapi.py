"""docs/recipes/fastapi.md: uvicorn as a process, asked over HTTP."""

import os
from urllib.error import URLError

import pytest
from recipe_kit import Project, end, http, needs, until, wait_for

needs("fastapi", "uvicorn")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="the signals are POSIX ones")

LISTENS = r"Uvicorn running on (http://127\.0\.0\.1:\d+)"
UVICORN = ("uvicorn", "app:app", "--port", "0")


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path, "fastapi.md")


def test_requests_and_a_drain(project):
    """Tasks are listed and triggered, a run is shown; at SIGTERM the graph that is running may end."""
    with project.start(*UVICORN) as server:
        url = wait_for(server, LISTENS)[1]
        status, tasks = http(f"{url}/tasks")
        assert (status, {task["id"] for task in tasks}) == (200, {"hello", "slow"})
        status, triggered = http(f"{url}/tasks/hello/runs", method="POST")
        assert status == 202
        run_url = f"{url}/runs/{triggered['run_id']}"
        run = until(lambda: (run := http(run_url)[1])["status"] == "succeeded" and run)
        assert run["response"] == "Echo: Say hello."
        status, refused = http(f"{url}/tasks/nobody/runs", method="POST")
        assert (status, refused["detail"]) == (404, "Task 'nobody' does not exist; list_tasks() shows the ids that do")
        assert http(f"{url}/runs/nothing")[0] == 404

        slow = http(f"{url}/tasks/slow/runs", method="POST")[1]["run_id"]
        until(lambda: http(f"{url}/runs/{slow}")[1]["status"] == "running")
        server.terminate()
        wait_for(server, "Waiting for application shutdown")
        (project.folder / "go").touch()
        wait_for(server, "Application shutdown complete")
    face = project.face()
    assert face.get_run(slow).status == "succeeded"
    face.stop()


def test_several_workers(project):
    """Each has a scheduler on the one store, and no due time is started twice."""
    with project.start(*UVICORN, "--workers", "2") as server:
        wait_for(server, "Application startup complete")
        wait_for(server, "Application startup complete")
        face = project.face()
        until(lambda: face.running_schedulers() == 2)
        ids = [face.trigger_task("hello") for _ in range(20)]
        until(lambda: len(face.list_runs(status="succeeded")) == len(ids))
        face.stop()
        end(server)
    assert sorted(run_id for run_id, _ in project.calls()) == ids


def first_answer(url):
    """Return the JSON of a request; uvicorn listens a moment after the application is ready."""

    def ask():
        try:
            return http(url)[1]
        except URLError:
            return None

    return until(ask)


def test_reloading(project):
    """A file that is saved restarts the process, and the tasks with it."""
    with project.start(*UVICORN, "--reload") as server:
        url = wait_for(server, LISTENS)[1]
        wait_for(server, "Application startup complete")
        due = first_answer(f"{url}/tasks")
        app = project.folder / "app.py"
        app.write_text(app.read_text() + "\n# edited\n")
        wait_for(server, "Application shutdown complete")
        wait_for(server, "Application startup complete")
        assert first_answer(f"{url}/tasks") == due
        end(server)
