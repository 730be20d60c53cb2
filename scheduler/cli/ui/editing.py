"""A person edits a text in the editor that the environment names."""

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from scheduler.cli.errors import CommandError, ExitCode


def edit_text(text: str) -> str:
    """Let a person edit a text; return it without the blanks at its end. Raises `CommandError`."""
    with tempfile.TemporaryDirectory(prefix="task-scheduler-") as folder:
        file = Path(folder) / "prompt.txt"
        file.write_text(text, encoding="utf-8")
        edit_file(file)
        return file.read_text(encoding="utf-8").rstrip()


def edit_file(file: Path) -> None:
    """Open a file in the editor that the environment names, and wait for it. Raises `CommandError`."""
    named = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not named:
        raise CommandError("no editor is named; set the variable EDITOR, such as EDITOR=nano", ExitCode.USAGE)
    try:
        code = subprocess.run([*shlex.split(named), str(file)], check=False).returncode  # noqa: S603 (the person's own)
    except (OSError, ValueError) as error:
        raise CommandError(f"the editor {named!r} cannot be started ({error}); set EDITOR to another one") from None
    if code:
        raise CommandError(f"the editor {named!r} ended with exit code {code}; nothing was changed")
