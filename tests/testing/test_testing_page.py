"""The examples of docs/testing.md are tests, and pass fast."""

import re
import time
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")


def examples():
    names = {}
    for code in re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL):
        exec(compile(code, "docs/testing.md", "exec"), names)
    return [each for name, each in names.items() if name.startswith("test_")]


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.__name__)
def test_an_example(example):
    """It passes, in less than a second of processor time: no test waits."""
    began = time.process_time()
    example()
    assert time.process_time() - began < 1


def test_there_are_examples():
    """Each test of the page is found."""
    assert len(examples()) == PAGE.count("\ndef test_") == 2
