"""The benchmarks can be run; how fast anything is, no test asks."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="the benchmarks are not in this copy")
TINY = {
    "storm": ("storm:ours", {}),
    "processes": ("storm_processes:sqlite", {"processes": 1}),
    "steady": ("steady:ours", {}),
    "add": ("add:many", {}),
    "restart": ("restart:ours", {}),
    "idle": ("idle:ours", {}),
    "change": ("change:in_turn", {}),
    "cancel": ("cancel:across_processes", {}),
    "import": ("importing:ours", {}),
    "recovery": ("recovery:backlog", {}),
    "growth": ("growth:storm", {"tasks": 1_000, "history": 1_000}),
}
SCALE = 0.002
GROUPS = 3
"""So many processes share the workloads, most of whose time is waiting."""
PROGRAM = """
import json, pathlib, sys
from benchmarks.case import find
from benchmarks.model import Setting

for name, (entry, arguments) in json.loads(sys.argv[2]).items():
    folder = pathlib.Path(sys.argv[1], name)
    folder.mkdir()
    print(json.dumps([name, find(entry)(Setting(folder, float(sys.argv[3])), **arguments)]))
"""


def python(*arguments):
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_says_what_it_can_do():
    """It names every workload."""
    text = python("-m", "benchmarks", "--help")
    assert all(name in text for name in TINY)


def test_a_case_of_each_workload_proves_its_work_in_a_tiny_size(tmp_path):
    """It ends well only if the graph and the store agree that everything was done."""
    groups = [dict(list(TINY.items())[first::GROUPS]) for first in range(GROUPS)]
    with ThreadPoolExecutor(GROUPS) as threads:
        printed = threads.map(lambda group: python("-c", PROGRAM, str(tmp_path), json.dumps(group), str(SCALE)), groups)
        figures = dict(json.loads(line) for lines in printed for line in lines.splitlines())
    assert figures.keys() == TINY.keys()
    assert all(value >= 0 for case in figures.values() for value in case.values())


def test_the_command_writes_tables_and_figures(tmp_path):
    """The marks stand beside what was measured; the page keeps what surrounds its results."""
    page, figures = tmp_path / "page.md", tmp_path / "figures.json"
    page.write_text("Before.\n<!-- results: begin -->\n<!-- results: end -->\nAfter.\n")
    files = ["--markdown", str(page), "--json", str(figures), "--folder", str(tmp_path)]
    text = python("-m", "benchmarks", "change", "--scale", str(SCALE), "--rounds", "1", "--no-peers", *files)
    assert "1.75" in text
    assert "1.75" in page.read_text()
    assert page.read_text().startswith("Before.")
    assert page.read_text().endswith("After.\n")
    assert json.loads(figures.read_text())["change"]["rounds"]
