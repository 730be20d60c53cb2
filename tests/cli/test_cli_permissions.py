"""What `check` says of files that other users of the machine can read or change."""

import os

import pytest

from scheduler.cli.permissions import open_to_others

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")


@pytest.fixture
def project(tmp_path):
    """A folder with files that are the owner's alone."""
    folder = tmp_path / "project"
    folder.mkdir(mode=0o755)
    for name in ("scheduler.db", "scheduler.db-wal", "scheduler.checkpoints.db"):
        (folder / name).touch(mode=0o600)
    (folder / "tasks.toml").touch(mode=0o644)
    return folder


def found(project):
    return list(open_to_others(project / "scheduler.db", project / "tasks.toml"))


def test_nothing_is_said_of_files_of_the_owner_alone(project):
    """A tasks file may be read by everybody."""
    assert found(project) == []


@pytest.mark.parametrize(
    ("name", "mode", "can_change", "what"),
    [
        ("scheduler.db", 0o644, False, "read"),
        ("scheduler.db", 0o660, True, "change"),
        ("scheduler.db-wal", 0o604, False, "read"),
        ("scheduler.checkpoints.db", 0o602, True, "change"),
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
