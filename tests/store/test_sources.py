"""Whose a task is: sources that are files, files that are moved, and names that stay."""

import shutil
from pathlib import Path

import pytest
from helpers import EchoGraph
from hypothesis import given, settings
from hypothesis import strategies as st
from store_kit import HOUR, every

from scheduler import TaskScheduler, load_tasks
from scheduler.errors import TasksFileError
from scheduler.tasks_file import dump_tasks, source_of


def write(file, *ids, name=None):
    """Write a tasks file; return its path."""
    file.parent.mkdir(parents=True, exist_ok=True)
    head = "" if name is None else f"source = {name!r}\n\n"
    tasks = [every(HOUR, task_id) for task_id in ids]
    file.write_text(head + (dump_tasks(tasks) if tasks else "task = []\n"))
    return file


def apply(face, file, *, prune=True, **options):
    return face.apply_tasks(load_tasks(file), source=source_of(file), prune=prune, **options)


def listed(face):
    return sorted(task["id"] for task in face.list_tasks())


@pytest.fixture
def is_shared(face):
    """Whether another machine may have the files that this one does not find."""
    return face._store.database.is_shared and face._store.database.file is None


def test_a_release_in_a_new_folder(face, tmp_path, is_shared, caplog):
    """Its file adopts the tasks of the file that is gone, and removes what it no longer holds; or it warns of that."""
    old = write(tmp_path / "1" / "tasks.toml", "keep", "dropped")
    apply(face, old)
    shutil.rmtree(old.parent)
    changes = apply(face, write(tmp_path / "2" / "tasks.toml", "keep", "new"))
    if is_shared:
        assert (changes.adopted, changes.removed) == ((), ())
        assert changes.orphaned == (("dropped", str(old)),)
        assert f"Task dropped: its file {old} does not exist here" in caplog.text
    else:
        assert (changes.adopted, changes.removed, changes.orphaned) == ((str(old),), ("dropped",), ())
        assert f"the tasks of {old} belong to it now" in caplog.text
    assert listed(face) == (["dropped", "keep", "new"] if is_shared else ["keep", "new"])


def test_adopting_without_pruning(face, tmp_path, is_shared):
    """The tasks stay, and a later prune removes them."""
    old = write(tmp_path / "1" / "tasks.toml", "keep", "dropped")
    apply(face, old)
    old.unlink()
    new = write(tmp_path / "2" / "tasks.toml", "keep")
    apply(face, new, prune=False)
    assert listed(face) == ["dropped", "keep"]
    assert apply(face, new).removed == (() if is_shared else ("dropped",))


def test_a_dry_run_adopts_nothing(face, tmp_path, is_shared, caplog):
    """It only returns what would be done."""
    old = write(tmp_path / "1" / "tasks.toml", "keep", "dropped")
    apply(face, old)
    old.unlink()
    new = write(tmp_path / "2" / "tasks.toml", "keep")
    assert apply(face, new, dry_run=True) == apply(face, new, dry_run=True)
    assert not caplog.records
    assert apply(face, new).adopted == (() if is_shared else (str(old),))


def test_another_project_is_not_adopted(face, tmp_path, caplog):
    """A file that is gone and has no task in common: its tasks stay, and a warning names them."""
    other = write(tmp_path / "other" / "tasks.toml", "theirs")
    apply(face, other)
    other.unlink()
    changes = apply(face, write(tmp_path / "mine" / "tasks.toml", "mine"))
    assert (changes.adopted, changes.removed, changes.orphaned) == ((), (), (("theirs", str(other)),))
    assert "Task theirs: its file" in caplog.text
    assert listed(face) == ["mine", "theirs"]


def test_a_file_that_is_there_keeps_its_tasks(face, tmp_path):
    """Also one that shares a task with the other one."""
    one, two = write(tmp_path / "1.toml", "both", "one"), write(tmp_path / "2.toml", "both", "two")
    apply(face, one)
    changes = apply(face, two)
    assert (changes.adopted, changes.removed, changes.orphaned) == ((), (), ())
    assert listed(face) == ["both", "one", "two"]


def test_a_name_stays_wherever_the_file_lies(face, tmp_path):
    """On each database; another name is another source, whatever became of its file."""
    write(tmp_path / "1" / "tasks.toml", "keep", "dropped", name="crm")
    apply(face, tmp_path / "1" / "tasks.toml")
    apply(face, write(tmp_path / "shop" / "tasks.toml", "shop", name="shop"))
    shutil.rmtree(tmp_path / "1")
    shutil.rmtree(tmp_path / "shop")
    changes = apply(face, write(tmp_path / "2" / "tasks.toml", "keep", name="crm"))
    assert (changes.removed, changes.adopted, changes.orphaned) == (("dropped",), (), ())
    assert listed(face) == ["keep", "shop"]


def test_a_file_that_gets_a_name(face, tmp_path):
    """It adopts what it brought under its path, which the program names."""
    file = write(tmp_path / "tasks.toml", "keep", "dropped")
    apply(face, file)
    write(file, "keep", name="crm")
    changes = apply(face, file, adopt=[str(file)])
    assert (changes.adopted, changes.removed) == ((str(file),), ("dropped",))


def test_a_source_that_this_user_may_not_see_is_not_gone(face, tmp_path, monkeypatch):
    """Whether a file is there must be known."""
    old = write(tmp_path / "1" / "tasks.toml", "keep", "dropped")
    apply(face, old)
    see = Path.stat

    def stat(self, **options):
        if self == old:
            raise PermissionError(13, "Permission denied")
        return see(self, **options)

    monkeypatch.setattr(Path, "stat", stat)
    changes = apply(face, write(tmp_path / "2" / "tasks.toml", "keep"))
    assert (changes.adopted, changes.orphaned, changes.removed) == ((), (), ())


@pytest.mark.parametrize("name", ["", "  ", 3, ["a"]])
def test_a_name_that_is_none(tmp_path, name):
    """The file, the line and what to write."""
    file = tmp_path / "tasks.toml"
    file.write_text(f"# tasks\nsource = {name!r}\ntask = []\n")
    for read in (source_of, load_tasks):
        with pytest.raises(TasksFileError, match=r"tasks.toml, line 2: source=.*give a text"):
            read(file)


IDS = ("a", "b", "c", "d")
MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("apply"), st.integers(0, 2), st.sets(st.sampled_from(IDS)), st.booleans()),
        st.tuples(st.just("delete"), st.integers(0, 2)),
        st.tuples(st.just("move"), st.integers(0, 2)),
    ),
    max_size=12,
)


@given(named=st.sets(st.integers(0, 2)), moves=MOVES)
@settings(max_examples=60, deadline=None)
def test_no_living_file_loses_a_task_to_another(tmp_path_factory, named, moves):
    """Whatever is applied, deleted and moved: what a file has brought and still holds stays; what is left is named."""
    folder = tmp_path_factory.mktemp("sources")
    face = TaskScheduler(persistent=False, graph=EchoGraph())
    files = {number: folder / f"{number}-0" / "tasks.toml" for number in range(3)}
    held = {}  # what each file that is there has brought
    for step, (what, number, *more) in enumerate(moves):
        file = files[number]
        if what == "delete":
            file.unlink(missing_ok=True)
            held.pop(number, None)
        elif what == "move" and file.exists():
            files[number] = folder / f"{number}-{step + 1}" / "tasks.toml"
            files[number].parent.mkdir()
            file.rename(files[number])
            if number not in named:
                held.pop(number, None)  # until it is applied again, it is a file that is gone
        elif what == "apply":
            ids, prune = more
            write(file, *ids, name=f"name-{number}" if number in named else None)
            changes = apply(face, file, prune=prune)
            held = {other: brought - ids for other, brought in held.items() if other != number}
            assert not {task for brought in held.values() for task in brought} & set(changes.removed)
            held[number] = ids
            gone = {task for task, _ in changes.orphaned}
            assert gone <= set(listed(face))
        assert {task for brought in held.values() for task in brought} <= set(listed(face))
    face.stop()
