"""What humans answer to waiting runs, checked and as the table holds it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from scheduler.models import BREAKPOINT_PREFIX

_DEPTH: Final = 100
"""Answers that are nested more deeply are refused: a claim could fail to read them."""
_YES: Final = frozenset(
    {"true", "yes", "y", "ok", "okay", "approve", "approved", "accept", "continue", "go", "go on", "proceed", "resume"}
)
_NO: Final = frozenset(
    {"false", "no", "n", "reject", "rejected", "deny", "denied", "decline", "cancel", "stop", "abort"}
)


def read(text: str | None) -> dict[str, Any] | None:
    """Return stored answers; None if there are none, or if they cannot be read, so that the graph asks again."""
    try:
        answers = None if text is None else json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return None
    return answers if isinstance(answers, dict) else None


def answers_json(run_id: str, ids: Sequence[str], value: object) -> str:
    """Return answers by the ids of their questions, as JSON. Raises `ValueError`, with what would be right."""
    answers = {key: _answer_to(run_id, key, each) for key, each in _by_id(run_id, ids, value).items()}
    try:
        return _json(answers)
    except (TypeError, ValueError, RecursionError) as error:
        message = f"Run {run_id}: the answer is no JSON ({error}); give text, numbers, True, False, None, lists, dicts"
        raise ValueError(message) from None


def _by_id(run_id: str, ids: Sequence[str], value: object) -> Mapping[str, Any]:
    if not ids:
        message = f"Run {run_id}: its stored questions cannot be read; remove the task to cancel the run"
        raise ValueError(message)
    by_id = value if isinstance(value, dict) and value and set(value) <= set(ids) else None
    if by_id is None and len(ids) > 1:
        message = f"Run {run_id}: it asks {len(ids)} questions; give a dict of answers by their ids: {', '.join(ids)}"
        raise ValueError(message)
    if by_id is not None and len(by_id) < len(ids):
        left = ", ".join(sorted(set(ids) - set(by_id)))
        message = f"Run {run_id}: answers are missing; give one for each id, also for {left}"
        raise ValueError(message)
    return {ids[0]: value} if by_id is None else by_id


def _answer_to(run_id: str, question: str, value: object) -> object:
    """Return an answer; to a breakpoint, whether the graph may continue: a word that is no clear yes is no yes."""
    if not question.startswith(BREAKPOINT_PREFIX) or isinstance(value, bool):
        return value
    word = value.strip().rstrip(".!").casefold() if isinstance(value, str) else ""
    if word in _YES or word in _NO:
        return word in _YES
    message = f"Run {run_id}: it waits at a breakpoint; give True ('yes', 'approve') to continue the run"
    raise ValueError(f"{message}, or False ('no', 'reject') to end it")


def _json(value: object) -> str:
    """Return a value as JSON that every process can read again. Raises `TypeError`, `ValueError`, `RecursionError`."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    text.encode()  # half of a surrogate pair is a character to Python, and to no saver
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > _DEPTH:
            message = f"it is nested more than {_DEPTH} levels deep"
            raise ValueError(message)
        level = [member for each in level for member in _members(each)]
    return text


def _members(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple) else ()
