"""What is installed: the package alone, and an import of it that leaves LangGraph out."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    (path,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("dist")), versions=["standard"])
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_the_wheel_holds_the_package_alone(wheel):
    """`graph` and `main` are names of the user's own project."""
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"scheduler"}


def test_the_wheel_holds_the_whole_package(wheel):
    """Each module of the package, and the mark that it is typed."""
    files = [*(ROOT / "scheduler").rglob("*.py"), *(ROOT / "scheduler" / "web").glob("[ts]*/*.*")]
    assert {".html", ".css", ".js"} <= {path.suffix for path in files}  # the web view's
    sources = {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}
    assert sources | {"scheduler/py.typed"} <= set(wheel.namelist())


def test_the_wheel_brings_no_test_tools(wheel):
    """What is only for tests and linters is behind an extra."""
    metadata = next(name for name in wheel.namelist() if name.endswith("/METADATA"))
    required = re.findall(r"^Requires-Dist: (\w+)[^;\n]*$", wheel.read(metadata).decode(), flags=re.MULTILINE)
    assert {name.lower() for name in required} == {
        "apscheduler",
        "cronsim",
        "httpx",
        "jsonschema",
        "langgraph",
        "pydantic",
        "python",  # python-dateutil
        "rich",
        "sqlalchemy",
        "typer",
        "tzdata",
        "watchfiles",
    }


def test_importing_the_scheduler_leaves_langgraph_out():
    """LangGraph takes seconds to import; nothing before start() needs it, nor what the web view is made of."""
    left_out = ("langgraph", "langchain", "starlette", "jinja2", "uvicorn")
    code = (
        f"import scheduler, sys; scheduler.TaskScheduler; print([m for m in sys.modules if m.startswith({left_out})])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_the_changelog_knows_the_version():
    """A version is released with its notes, or is still unreleased."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert f"## [{version}]" in changelog or "## [Unreleased]" in changelog
