"""docs/recipes/jupyter.md: its cells in a real kernel, through nbclient."""

import subprocess
import sys

from recipe_kit import Project, files_of, needs

needs("nbclient", "ipykernel")

EXECUTE = """
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

cells = [nbformat.v4.new_code_cell(path.read_text()) for path in sorted(Path().glob("cell-*"))]
notebook = nbformat.v4.new_notebook(cells=cells)
NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
(answer,) = [output for output in cells[2]["outputs"] if output["output_type"] == "execute_result"]
print(answer["data"]["text/plain"])
print([output for cell in cells for output in cell["outputs"] if output["output_type"] == "error"])
"""


def test_the_cells(tmp_path):
    """One after the other: `start()` finds the notebook's loop, a run comes, `stop()` ends it."""
    project = Project(tmp_path)
    for number, cell in files_of("jupyter.md").items():
        (tmp_path / f"cell-{number}").write_text(cell)
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE],
        cwd=tmp_path,
        env=project.environment(IPYTHONDIR=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stdout.splitlines() == ["'Echo: Say hello.'", "[]"], done.stderr
