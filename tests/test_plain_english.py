"""Texts that people read are free of words which have made them hard to read.

The list holds the most frequent ones. It is a reminder, not the goal: the goal is text that nobody has to read twice.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PATHS = [
    "*.md",
    ".github/**/*.md",
    ".github/**/*.yml",
    ".pre-commit-config.yaml",
    "benchmarks/**/*.py",
    "docs/**/*.md",
    "examples/*.py",
    "graph.py",
    "main.py",
    "noxfile.py",
    "pyproject.toml",
    "scheduler/**/*.py",
    "tasks.toml",
    "zensical.toml",
]
"""Patterns of the files that are searched, whole: of Python files also names, comments and docstrings."""

INSTEAD = {
    r"mends?|mended": "fix, hint",
    r"told": "notified, receives, says",
    r"reckon\w*": "compute, count",
    r"anew": "again",
    r"(?:is|are|was|were|be|been|still|it|that|runs?|graphs?) going(?! to\b)": "running, in progress",
    r"goes on|(?<!\")go on|going on": "continues, runs",
    r"dear|dearer|dearest": "expensive, costs more",
    r"bites?": "breaks, fails",
    r"for ever": "permanently, no limit",
    r"in earnest": "in production",
    r"(?:put|puts|putting) off": "delay",
    r"up to so (?:much|many)": "up to this many",
    r"stands? in the (?:run|history|store|log|row|file)": "is in, is recorded in",
    r"underway|under way": "running, in progress",
    r"left alone": "quarantined, unchanged",
    r"begun": "started",
    r"of yours": "your",
}
"""What is refused, as a regular expression of whole words, and what to write instead."""


def found_in(text):
    for number, line in enumerate(text.splitlines(), start=1):
        for pattern, instead in INSTEAD.items():
            for match in re.finditer(rf"\b(?:{pattern})\b", line, flags=re.IGNORECASE):
                yield f"line {number}: {match[0]!r}; write: {instead}"


FILES = sorted({path for pattern in PATHS for path in ROOT.glob(pattern)})


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_file_is_written_in_plain_english(path):
    """None of the words is in it."""
    found = list(found_in(path.read_text(encoding="utf-8")))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("pattern", PATHS)
def test_each_pattern_names_a_file(pattern):
    """A pattern that names none would guard nothing."""
    assert list(ROOT.glob(pattern))
