"""Runs one case in this process and prints its figures as one line of JSON; called by `rounds.py`."""

import importlib
import json
import logging
import os
import sys
from pathlib import Path

from benchmarks.model import CaseFunction, Setting

POSTGRES_VARIABLE = "BENCHMARKS_POSTGRES_URL"
"""The environment variable with the URL of the case's database."""


def find(entry: str) -> CaseFunction:
    """Return the function that `module:function` names."""
    module, _, function = entry.partition(":")
    found: CaseFunction = getattr(importlib.import_module(f"benchmarks.cases.{module}"), function)
    return found


def main(entry: str, request: str) -> None:
    """Run a case; `request` holds its setting and arguments as JSON."""
    logging.basicConfig(level=logging.WARNING)
    asked = json.loads(request)
    setting = Setting(Path(asked["folder"]), asked["scale"], os.environ.get(POSTGRES_VARIABLE))
    figures = find(entry)(setting, **asked["arguments"])
    print(json.dumps(dict(figures)), flush=True)
    sys.stderr.flush()
    # What a peer leaves running must not keep the process.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
