"""Modules that the tests of the runner write."""

import importlib
import sys
import textwrap

import pytest


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return what writes a module where Python finds it, and returns its name."""
    monkeypatch.syspath_prepend(tmp_path)
    written = []

    def write(name, source=""):
        file = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(source), encoding="utf-8")
        importlib.invalidate_caches()
        written.append(name.partition(".")[0])
        return name

    yield write
    for name in list(sys.modules):
        if name.partition(".")[0] in written:
            del sys.modules[name]
