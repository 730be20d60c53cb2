"""Questions to a person. They stand on standard error: standard output is for what a program may read."""

import sys
from collections.abc import Sequence

import typer

from scheduler.cli.ui.output import note, one_line

_YES, _NO = frozenset({"y", "yes"}), frozenset({"n", "no"})


def is_person() -> bool:
    """Tell whether there is somebody who can be asked."""
    return sys.stdin.isatty()


def ask(question: str, default: str | None = None) -> str:
    """Return an answer that is not blank. Raises `typer.Abort` where the input ends."""
    shown = question if default is None else f"{question} [{default}]"
    while True:
        answer = _read(f"{shown}: ") or default
        if answer:
            return answer


def choose(question: str, choices: Sequence[str]) -> str:
    """Return one of some choices, the first of them by default. Raises `typer.Abort` where the input ends."""
    while True:
        answer = ask(question, choices[0])
        if answer in choices:
            return answer
        note(f"Answer one of: {', '.join(choices)}.")


def agrees(question: str, *, default: bool) -> bool:
    """Return whether a person says yes. Raises `typer.Abort` where the input ends."""
    while True:
        answer = _read(f"{question} [{'Y/n' if default else 'y/N'}]: ").lower()
        if not answer or answer in _YES | _NO:
            return answer in _YES if answer else default
        note("Answer y or n.")


def _read(question: str) -> str:
    print(one_line(question), end="", file=sys.stderr, flush=True)
    try:
        return input().strip()
    except EOFError:
        print(file=sys.stderr)
        raise typer.Abort from None
