"""The commands for people who work on the code: `nox -s test`, `nox -s lint`, and so on; `nox --list` shows them all.

Nox is in PyPI, as everything else that the project uses, and gives each command an environment with the extras that it
needs; a justfile would need another installer, and would leave the environments to you. `.ci/run` does not use it,
because it runs the commands of the README exactly as a user would type them.
"""

import re
import sys
import tomllib
from pathlib import Path

import nox

nox.options.sessions = ["lint", "test"]
nox.options.reuse_venv = "yes"

ROOT = Path(__file__).parent
PYTHONS = ["3.11", "3.12", "3.13"]


@nox.session(python=PYTHONS)
def test(session: nox.Session) -> None:
    """Run the tests, or those that you name: nox -s test-3.11 -- tests/store -k claim."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", "-n", "2", *session.posargs)


@nox.session
def recipes(session: nox.Session) -> None:
    """Run the tests of the pages under docs/recipes."""
    session.install("-e", ".[recipes]")
    session.run("python", "-m", "pytest", "tests/recipes", *session.posargs)


@nox.session
def remote(session: nox.Session) -> None:
    """Run the tests against a real LangGraph server (`langgraph dev`)."""
    session.install("-e", ".[remote-test]")
    session.run("python", "-m", "pytest", "tests/remote", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format, types, and the order of the layers."""
    session.install("-e", ".[test,lint]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    """Report which public names are not fully typed, as a user's type checker sees the installed package."""
    session.install(".[types,otel]")
    session.chdir(session.create_tmp())  # beside the checkout, pyright would find its folder instead of the package
    session.run("pyright", "--verifytypes", "scheduler", "--ignoreexternal")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site into site/, and check its links: nox -s docs. To read it while you write: nox -s docs -- serve."""
    session.install("-e", ".[test,docs]")
    if "serve" in session.posargs:
        session.run("zensical", "serve")
        return
    session.run("zensical", "build", "--clean", "--strict")
    session.run("python", "-m", "pytest", "tests/test_site.py", "tests/test_docs.py", "tests/test_readme.py")


@nox.session
def coverage(session: nox.Session) -> None:
    """Measure the branch coverage of scheduler/, also in the processes that the tests start. It is slow."""
    session.install("-e", ".[test]", "coverage>=7.10")  # 7.10 measures the processes that the tests start
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *session.posargs, success_codes=[0, 1])
    session.run("coverage", "combine")
    session.run("coverage", "html")
    session.run("coverage", "report")


@nox.session
def bench(session: nox.Session) -> None:
    """Measure: nox -s bench -- storm add --rounds 5. Without names it takes about half an hour."""
    session.install("-e", ".[bench]")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def release(session: nox.Session) -> None:
    """Build the wheel and the sdist of the version in pyproject.toml, and check them. Uploading is left to you."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", _changelog(), flags=re.MULTILINE):
        session.error(f"CHANGELOG.md has no section '## [{version}] - YYYY-MM-DD'; rename [Unreleased] first")
    session.install("build", "twine")
    session.run(sys.executable, "-c", "import shutil; shutil.rmtree('dist', ignore_errors=True)", external=True)
    session.run("python", "-m", "build")
    session.run("twine", "check", "--strict", *[str(path) for path in sorted((ROOT / "dist").iterdir())])
    session.log(f"dist/ holds {version}. Tag it (git tag v{version}), push the tag, and upload dist/ to PyPI.")


def _changelog() -> str:
    return (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
