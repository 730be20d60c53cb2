"""What the README says is done: its commands stand there to be copied, its code runs, its links lead somewhere."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scheduler import TaskScheduler

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
RUN_COMMAND = "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/python main.py"
TEST_COMMAND = "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/python -m pytest -n 3"


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("command", [RUN_COMMAND, TEST_COMMAND])
def test_each_command_stands_alone_on_a_line_of_a_fenced_block(command):
    """They are copied, and executed exactly so."""
    assert command in [line for block in blocks(README, "sh") for line in block.splitlines()]


def test_the_check_script_runs_the_same_test_command():
    """What is checked before a change lands is what the README tells people to run."""
    assert TEST_COMMAND in (ROOT / ".ci" / "run").read_text()


def test_the_first_screen_holds_the_code_and_both_commands():
    """Someone who looks for half a minute has seen what it is and how to try it."""
    screen = "\n".join(README.splitlines()[:45])
    assert blocks(screen, "python")
    assert RUN_COMMAND in screen
    assert TEST_COMMAND in screen


def test_the_first_example_runs(tmp_path):
    """The first block, as it stands, beside the example graph: the task is stored when Ctrl+C has ended it."""
    (tmp_path / "program.py").write_text(blocks(README, "python")[0])
    (tmp_path / "graph.py").write_text((ROOT / "graph.py").read_text())
    program = subprocess.Popen(
        [sys.executable, "-u", "program.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with program:
        printed = program.stdout.readline()
        program.send_signal(signal.SIGINT)
        errors = program.stderr.read()
    face = TaskScheduler(db_path=str(tmp_path / "scheduler.db"))
    (task,) = face.list_tasks()
    face.stop()
    assert task["next_run"] in printed, errors
    assert task["definition"].cron_expression == "0 9 * * 1-5"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_the_pages_lead_somewhere(page):
    """A relative link names a file that exists, and a heading that is in it."""
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")):
        file, _, heading = target.partition("#")
        aim = (page.parent / file).resolve() if file else page
        assert aim.exists(), f"{page.name} links to {target}"
        if heading:
            assert heading in headings(aim), f"{page.name} links to {target}"


def headings(page):
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
