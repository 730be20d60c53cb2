"""What `check` says of files that other users of the machine can read or change."""

import os

import pytest

from scheduler.cli.permissions import ProjectFiles, open_to_others

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")


LEFT = "scheduler.db.outcomes-6f1c.json"


@pytest.fixture
def project(tmp_path):
    """A folder with files that are the owner's alone."""
    folder = tmp_path / "project"
    folder.mkdir(mode=0o755)
    for name in ("scheduler.db", "scheduler.db-wal", LEFT, "scheduler.checkpoints.db", "scheduler.checkpoints.db-wal"):
        (folder / name).touch(mode=0o600)
    (folder / "tasks.toml").touch(mode=0o644)
    return folder


def found(project, tasks=None):
    store = project / "scheduler.db"
    files = ProjectFiles(store, project / "scheduler.checkpoints.db", (tasks or project) / "tasks.toml")
    return list(open_to_others(files))


def test_nothing_is_said_of_files_of_the_owner_alone(project):
    """A tasks file may be read by everybody."""
    assert found(project) == []


@pytest.mark.parametrize(
    ("name", "mode", "can_change", "what"),
    [
        ("scheduler.db", 0o644, False, "read"),
        ("scheduler.db", 0o660, True, "change"),
        ("scheduler.db-wal", 0o604, False, "read"),
        (LEFT, 0o644, False, "read"),
        ("scheduler.checkpoints.db", 0o602, True, "change"),
        ("scheduler.checkpoints.db-wal", 0o640, False, "read"),
        ("tasks.toml", 0o664, True, "change"),
        (".", 0o775, True, "change"),
        (".", 0o757, True, "change"),
    ],
)
def test_a_file_that_is_open_to_others_is_named(project, name, mode, can_change, what):
    """With what others can do, and the command that ends it."""
    (project / name).chmod(mode)
    [(answer, sentence)] = found(project)
    assert answer is can_change
    assert f"can {what} {project / name}" in sentence
    assert "chmod" in sentence


def test_the_folder_of_the_store_is_looked_at(project, tmp_path):
    """Also where the tasks file lies elsewhere."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    (elsewhere / "tasks.toml").touch(mode=0o644)
    assert found(project, elsewhere) == []
    project.chmod(0o777)
    [(can_change, sentence)] = found(project, elsewhere)
    assert can_change
    assert f"can change {project};" in sentence


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("name", ["scheduler.db", "tasks.toml", "scheduler.checkpoints.db", "."])
def test_a_file_of_another_user_is_named(project, name):
    """Its owner can change it whatever its mode."""
    os.chown(project / name, 65534, -1)
    [(can_change, sentence)] = found(project)
    assert can_change
    assert f"{project / name} belongs to another user" in sentence


def test_a_shared_folder_in_which_only_owners_replace_files_is_fine(project):
    """As /tmp is."""
    project.chmod(0o1777)
    assert found(project) == []


@pytest.mark.parametrize("by_url", [False, True])
def test_check_says_it(place, by_url):
    """As a finding that is not ok where others can change what is run."""
    place.quick("add", "--id", "a", "--prompt", "Go.", "--every", "1h")
    (place.folder / "scheduler.db").chmod(0o666)
    url = f"sqlite:///{place.folder}/scheduler.db"
    checks = place.json("check", *(("--db-url", url) if by_url else ()), code=1)["checks"]
    [files] = [each for each in checks if each["name"] == "files"]
    assert not files["ok"]
    assert "can change" in files["detail"]


def test_check_looks_at_files_elsewhere(place, tmp_path):
    """Those that `serve` would be given."""
    place.quick("add", "--id", "a", "--prompt", "Go.", "--every", "1h")
    saved, tasks = tmp_path / "saved.db", tmp_path / "other.toml"
    for file in (saved, tasks):
        file.touch()
        file.chmod(0o666)
    result = place.json("check", "--checkpoints", str(saved), "--tasks", str(tasks), code=1)
    details = [each["detail"] for each in result["checks"] if each["name"] == "files"]
    assert any(str(saved) in detail for detail in details)
    assert any(str(tasks) in detail for detail in details)


@pytest.mark.parametrize("name", ["tasks.toml", "main.py"])
def test_init_writes_through_no_link(place, tmp_path, name):
    """Whoever can put a link into a folder does not choose where a file is created."""
    victim = tmp_path / "elsewhere"
    (place.folder / name).symlink_to(victim)
    shown = place.quick("init", "--yes", "--task", "every day at 9am=Go.", code=1)
    assert f"{name} is a link that leads to no file" in shown.stderr
    assert not victim.exists()
