"""A scheduler that runs in a process of its own, and the command line, run as a process or inside the test."""

import sys

import pytest
from cli_kit import PROGRAM, Place, end, wait_for
from typer.testing import CliRunner

from scheduler.cli import app


@pytest.fixture
def place(tmp_path):
    """Return a project without a store."""
    return Place(tmp_path)


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """Return a project whose scheduler runs in a process of its own while the tests of a module use its store."""
    place = Place(tmp_path_factory.mktemp("live"))
    (place.folder / "program.py").write_text(PROGRAM)
    with place.start("program.py") as process:
        wait_for(process, "running")
        yield place
        code, rest = end(process)
        assert code == 0, rest


@pytest.fixture
def here(place, monkeypatch):
    """Return what runs a command inside the test, in a folder of its own: quick, for what one process shows already."""
    monkeypatch.chdir(place.folder)
    monkeypatch.syspath_prepend(str(place.folder))
    for name in ("SCHEDULER_DB", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments, code=0, given=None):
        result = CliRunner().invoke(app, list(arguments), input=given, prog_name="task-scheduler")
        assert result.exit_code == code, (result.output, result.exception)
        return result

    yield run
    sys.modules.pop("graph", None)
