"""docs/recipes/containers.md: the image's command is started, the manifests are held against Kubernetes' schema."""

import json
import os
import re
import sys

import pytest
from recipe_kit import Project, end, files_of, needs, until, wait_for

needs("yaml", "kubernetes_validate", "langgraph.checkpoint.postgres")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="the containers are Linux ones")

import kubernetes_validate  # noqa: E402
import psycopg  # noqa: E402
import yaml  # noqa: E402

from scheduler import TaskScheduler  # noqa: E402

FILES = files_of("containers.md")
DOCUMENTS = [
    (title, document) for title in FILES if title.endswith(".yaml") for document in yaml.safe_load_all(FILES[title])
]


def instructions(name):
    return re.findall(rf"^{name} (.+)$", FILES["Dockerfile"], flags=re.MULTILINE)


def grace(command):
    return int(command[command.index("--shutdown-grace") + 1])


COMMAND = json.loads(instructions("CMD")[0])


@pytest.mark.parametrize(("title", "document"), DOCUMENTS, ids=[f"{t}-{d['kind']}" for t, d in DOCUMENTS])
def test_kubernetes_knows_the_manifests(title, document):
    """Each field, in its place and of its type."""
    kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("title", ["one-replica.yaml", "many-replicas.yaml"])
def test_kubernetes_waits_longer_than_the_scheduler(title):
    """Whatever starts it: the image's own command, or that of the manifest."""
    (pod,) = [
        document["spec"]["template"]["spec"]
        for of, document in DOCUMENTS
        if of == title and document["kind"] == "Deployment"
    ]
    command = pod["containers"][0].get("args", COMMAND)
    assert pod["terminationGracePeriodSeconds"] > grace(command)


def test_the_image(tmp_path):
    """What is copied is there, its command runs with its variables, and ends well at SIGTERM, as PID 1 does too."""
    project = Project(tmp_path)
    (tmp_path / "requirements.txt").write_text("langgraph-task-scheduler\n")
    copied = " ".join(instructions("COPY")).split()
    assert all((tmp_path / name).exists() for name in copied if name not in {".", "./"})
    variables = dict(pair.split("=") for pair in instructions("ENV")[0].split())
    assert variables.pop("SCHEDULER_DB") == "/data/scheduler.db"
    (tmp_path / "data").mkdir()
    with project.start(*COMMAND, SCHEDULER_DB=str(tmp_path / "data/scheduler.db"), **variables) as process:
        wait_for(process, "tasks.toml applied: 2 added")
        wait_for(process, "Scheduler running")
        code, rest = end(process)
    assert code == 0, rest
    assert {file.name for file in (tmp_path / "data").iterdir()} == {"scheduler.db", "scheduler.checkpoints.db"}


def test_a_config_map_that_is_edited(tmp_path):
    """Kubernetes puts another folder in place of the one that the file's link leads to; the new tasks are applied."""
    project = Project(tmp_path)
    for name, task_id in (("..first", "one"), ("..second", "two")):
        (tmp_path / name).mkdir()
        task = f'[[task]]\nid = "{task_id}"\nname = "T"\nprompt = "Go."\nschedule = "every day at noon"\n'
        (tmp_path / name / "tasks.toml").write_text(task)
    (tmp_path / "..data").symlink_to("..first")
    (tmp_path / "tasks.toml").unlink()
    (tmp_path / "tasks.toml").symlink_to("..data/tasks.toml")
    with project.start("task-scheduler", "serve", "--tasks", "tasks.toml") as process:
        wait_for(process, "Scheduler running")
        (tmp_path / "..next").symlink_to("..second")
        (tmp_path / "..next").rename(tmp_path / "..data")
        wait_for(process, "tasks.toml applied: 1 added, 0 changed, 0 kept, 1 removed")
        end(process)


@pytest.mark.skipif(sys.platform != "linux", reason="the server of the tests is for Linux")
def test_many_replicas(tmp_path, postgres_url):
    """Three of them, with what the manifest gives them: each run starts once, conversations are kept."""
    (arguments,) = [
        document["spec"]["template"]["spec"]["containers"][0]["args"]
        for title, document in DOCUMENTS
        if title == "many-replicas.yaml" and document["kind"] == "Deployment"
    ]
    project = Project(tmp_path)
    (config,) = [document for _, document in DOCUMENTS if document["kind"] == "ConfigMap"]
    (tmp_path / "tasks.toml").write_text(config["data"]["tasks.toml"])
    arguments = ["tasks.toml" if word == "/etc/agents/tasks.toml" else word for word in arguments]
    variables = {"SCHEDULER_DB": postgres_url, "SCHEDULER_CHECKPOINTS": postgres_url.replace("+psycopg", "")}
    with (
        project.start(*arguments, **variables) as first,
        project.start(*arguments, **variables) as second,
        project.start(*arguments, **variables) as third,
    ):
        for process in (first, second, third):
            wait_for(process, "Scheduler running")
        face = TaskScheduler(db_url=postgres_url)
        until(lambda: face.running_schedulers() == 3)
        ids = [face.trigger_task("stand-up") for _ in range(9)]
        until(lambda: len(face.list_runs(status="succeeded")) == len(ids))
        face.stop()
        for process in (first, second, third):
            code, rest = end(process)
            assert code == 0, rest
    assert sorted(run_id for run_id, _ in project.calls()) == ids
    with psycopg.connect(variables["SCHEDULER_CHECKPOINTS"]) as connection:
        ((threads,),) = connection.execute("SELECT count(DISTINCT thread_id) FROM checkpoints").fetchall()
    assert threads == 1
