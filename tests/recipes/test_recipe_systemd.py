"""docs/recipes/systemd.md: systemd reads the unit, and what it would start is started."""

import configparser
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from recipe_kit import Project, end, files_of, wait_for

pytestmark = pytest.mark.skipif(os.name == "nt", reason="systemd is for Linux")

UNIT = files_of("systemd.md")["agents.service"]


@pytest.fixture
def service():
    """The section of the unit."""
    parser = configparser.RawConfigParser(delimiters="=", comment_prefixes="#")
    parser.optionxform = str
    parser.read_string(UNIT)
    return parser["Service"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_reads_the_unit(tmp_path):
    """Without a word of warning, once its program exists."""
    unit = tmp_path / "agents.service"
    unit.write_text(UNIT.replace("/srv/agents/.venv/bin/", f"{Path(sys.executable).parent}/"))
    command = ["systemd-analyze", "verify", "--man=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert [line for line in done.stderr.splitlines() if "agents.service" in line] == []


def test_it_waits_longer_than_the_scheduler(service):
    """The grace of running graphs is over before systemd kills."""
    words = shlex.split(service["ExecStart"])
    assert int(service["TimeoutStopSec"]) > int(words[words.index("--shutdown-grace") + 1])


def test_what_it_starts(service, tmp_path):
    """The command, in the project's folder: it applies the tasks, runs, and ends well at SIGTERM."""
    project = Project(tmp_path)
    program, *arguments = shlex.split(service["ExecStart"])
    variable, _, path = service["Environment"].partition("=")
    store = tmp_path / Path(path).name
    with project.start(Path(program).name, *arguments, **{variable: str(store)}) as process:
        wait_for(process, "tasks.toml applied: 2 added")
        wait_for(process, "Scheduler running")
        code, rest = end(process)
    assert code == 0, rest
    assert store.exists()
