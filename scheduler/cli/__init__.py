"""The command line over the face of the package: `task-scheduler`, or `python -m scheduler`."""

import sys
from contextlib import suppress
from pathlib import Path

from scheduler.cli.app import app

__all__ = ["app", "main"]

PROGRAM = "task-scheduler"


def main() -> int:
    """Run the command that the arguments name, and return its exit code."""
    _find_modules_here()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter is no reason to fail
    app(prog_name=PROGRAM)
    return 0


def _find_modules_here() -> None:
    """Put the working directory on the path as `python -m` does, so that graphs and callbacks are found there."""
    with suppress(OSError):  # the directory may have been removed
        here = str(Path.cwd())
        if not sys.flags.safe_path and here not in sys.path and "" not in sys.path:
            sys.path.insert(0, here)
