"""Projects in folders of their own, of which nothing is left in this process when a test is over."""

import os
import sys
from pathlib import Path

import pytest

import scheduler

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def started(monkeypatch):
    """Return the runs of tasks in schedulers that `serve` or a program would have run until a signal."""
    runs = []

    async def run_each(own, tasks_file=None, *, apply=None):
        if apply is None:
            own.add_tasks(scheduler.load_tasks(tasks_file))
        else:
            apply()
        async with own:
            runs.extend([await own.run_task(task["id"], timeout=30) for task in own.list_tasks()])

    monkeypatch.setattr(scheduler, "run_until_signal", run_each)
    monkeypatch.setattr("scheduler.cli.commands.serve.run_until_signal", run_each)
    return runs


def is_in(module, folder):
    """Tell whether a module, or a package without a file, is in a folder."""
    places = [getattr(module, "__file__", None) or "", *getattr(module, "__path__", ())]
    return any(str(place).startswith(str(folder)) for place in places)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return an empty folder, which is the working directory; what is imported from it is forgotten afterwards.

    The modules of this checkout, which has a `graph.py` of its own, are not found meanwhile.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place and Path(place).resolve() != ROOT])
    for name in ("graph", "main"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    before, variables = set(sys.modules), dict(os.environ)
    yield tmp_path
    new = set(sys.modules) - before
    for name in [name for name in new if is_in(sys.modules[name], tmp_path)]:
        del sys.modules[name]
    for name in set(os.environ) - set(variables):
        del os.environ[name]
