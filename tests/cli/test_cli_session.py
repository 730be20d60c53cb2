"""The session that docs/command-line.md shows is what happens when its commands are typed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cli_kit import ROOT, end, environment, wait_for, without_changes

pytestmark = pytest.mark.skipif(os.name == "nt", reason="its commands are typed into a POSIX shell")

PAGE = (ROOT / "docs/command-line.md").read_text(encoding="utf-8")
BEFORE, WITH_A_SCHEDULER = re.findall(r"^```console\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


def steady(text):
    """Return the lines of a text without what changes; sorted: the order of tasks depends on the time of day."""
    return sorted(without_changes(text).splitlines())


def typed(folder, block):
    """Type the commands of a block into a shell; return what the screen then shows."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    screen = ""
    for command in re.findall(r"^\$ (.*)$", block, flags=re.MULTILINE):
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "timeout": 60}
        done = subprocess.run(command, shell=True, cwd=folder, env=environment(PATH=path), check=False, **options)
        screen += f"$ {command}\n{done.stdout}"
    return screen


def test_the_session(place):
    """Command by command, but for ids and times."""
    shutil.copy(ROOT / "graph.py", place.folder)
    assert steady(typed(place.folder, BEFORE)) == steady(BEFORE)
    with place.start("-m", "scheduler", "serve") as process:
        wait_for(process, "Scheduler running")
        assert steady(typed(place.folder, WITH_A_SCHEDULER)) == steady(WITH_A_SCHEDULER)
        end(process)
