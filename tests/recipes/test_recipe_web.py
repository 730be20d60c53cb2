"""docs/recipes/django-flask.md: gunicorn and the scheduler as two processes, asked over HTTP."""

import os
import subprocess
import sys

import pytest
from recipe_kit import Project, end, http, needs, until, wait_for

needs("flask", "django", "gunicorn")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="gunicorn is for POSIX")

LISTENS = r"Listening at: (http://127\.0\.0\.1:\d+)"
RUNNING = "Scheduler running"


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path, "django-flask.md")


def test_flask(project):
    """Two workers, forked, add and trigger; the scheduler beside them runs."""
    gunicorn = ("gunicorn", "--workers", "2", "--bind", "127.0.0.1:0", "web:app")
    serve = ("task-scheduler", "serve", "--graph", "graph:graph", "--no-checkpoints")
    with project.start(*gunicorn) as web, project.start(*serve) as scheduler:
        url = wait_for(web, LISTENS)[1]
        wait_for(scheduler, RUNNING)
        task = {"id": "noon", "prompt": "Say hello.", "schedule": "every day at noon"}
        assert http(f"{url}/tasks", task) == (201, {"id": "noon"})
        assert http(f"{url}/tasks", {**task, "schedule": "every Moonday"})[0] == 400
        assert [task["id"] for task in http(f"{url}/tasks")[1]] == ["noon"]
        ids = [http(f"{url}/tasks/noon/runs", method="POST")[1]["run_id"] for _ in range(6)]
        assert http(f"{url}/tasks/nobody/runs", method="POST")[0] == 404
        face = project.face()
        until(lambda: len(face.list_runs(status="succeeded")) == len(ids))
        face.stop()
        assert end(web)[0] == 0
        assert end(scheduler)[0] == 0
    assert {pid for _, pid in project.calls()} == {str(scheduler.pid)}


def test_django(project):
    """The command sets Django up for the graph, which reads the site's database; a view shows what it answered."""
    manage = (sys.executable, "manage.py")
    django = (sys.executable, "-m", "django")
    subprocess.run([*django, "startproject", "mysite", "."], cwd=project.folder, check=True)
    for folder in ("reports", "reports/management", "reports/management/commands"):
        (project.folder / folder / "__init__.py").touch()
    with (project.folder / "mysite/settings.py").open("a") as settings:
        settings.write('INSTALLED_APPS += ["reports"]\nSCHEDULER_DB = BASE_DIR / "scheduler.db"\n')
    (project.folder / "mysite/urls.py").write_text(
        "from django.urls import path\nfrom reports import views\n\n"
        'urlpatterns = [path("latest/<task_id>", views.latest)]\n'
    )
    environment = project.environment(DJANGO_SUPERUSER_PASSWORD="secret")
    create = ("createsuperuser", "--noinput", "--username", "ada", "--email", "ada@example.com")
    for command in (("migrate", "--verbosity", "0"), create):
        subprocess.run([*manage, *command], cwd=project.folder, env=environment, check=True)

    gunicorn = ("gunicorn", "--bind", "127.0.0.1:0", "mysite.wsgi")
    with project.start(*gunicorn) as web, project.start(*manage, "runscheduler") as scheduler:
        url = wait_for(web, LISTENS)[1]
        wait_for(scheduler, RUNNING)
        assert http(f"{url}/latest/hello") == (200, {"response": None})
        face = project.face()
        face.trigger_task("hello")
        face.stop()
        until(lambda: http(f"{url}/latest/hello")[1]["response"] == "There are 1 users.")
        assert end(scheduler)[0] == 0
        end(web)
