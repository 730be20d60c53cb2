"""The command line over the public API: `task-scheduler`, or `python -m scheduler`."""

import sys

from scheduler.cli.app import app

__all__ = ["app", "main"]

PROGRAM = "task-scheduler"


def main() -> int:
    """Run the command that the arguments name, and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter is no reason to fail
    app(prog_name=PROGRAM)
    return 0
