"""Metadata, and other JSON objects, as they are given on the command line."""

import json
from typing import Any

from scheduler.cli.errors import CommandError, ExitCode


def parse_metadata(given: list[str]) -> dict[str, Any]:
    """Return metadata from `KEY=VALUE` and JSON objects. Raises `CommandError`."""
    found: dict[str, Any] = {}
    for text in given:
        if text.lstrip().startswith("{"):
            found |= json_object("--metadata", text)
            continue
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise CommandError(f"--metadata {text!r}: give KEY=VALUE or a JSON object", ExitCode.USAGE)
        found[key] = value
    return found


def json_object(option: str, text: str) -> dict[str, Any]:
    """Return the JSON object of an option. Raises `CommandError`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{option}: this is no JSON ({error})", ExitCode.USAGE) from None
    if not isinstance(value, dict):
        raise CommandError(f'{option}: give a JSON object, such as {{"team": "ops"}}', ExitCode.USAGE)
    return value
