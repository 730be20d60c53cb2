"""What humans answer to waiting runs, checked and as the table holds it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from scheduler.answering import Decision, answer_to
from scheduler.models import Question

_DEPTH: Final = 100
"""Answers that are nested more deeply are refused: a claim could fail to read them."""


def read(text: str | None) -> dict[str, Any] | None:
    """Return stored answers; None if there are none, or if they cannot be read, so that the graph asks again."""
    try:
        answers = None if text is None else json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return None
    return answers if isinstance(answers, dict) else None


def answers_json(run_id: str, questions: Sequence[Question], value: object) -> str:
    """Return answers by the ids of their questions, as JSON. Raises `ValueError`, with what would be right."""
    by_id = {question.id: question for question in questions}
    answers = {key: _answer_to(run_id, by_id[key], each) for key, each in _by_id(run_id, by_id, value).items()}
    try:
        return _json(answers)
    except (TypeError, ValueError, RecursionError) as error:
        message = f"Run {run_id}: the answer is no JSON ({error}); give text, numbers, True, False, None, lists, dicts"
        raise ValueError(message) from None


def _by_id(run_id: str, questions: Mapping[str, Question], value: object) -> Mapping[str, Any]:
    ids = list(questions)
    if not ids:
        message = f"Run {run_id}: its stored questions cannot be read; remove the task to cancel the run"
        raise ValueError(message)
    if isinstance(value, Decision):
        return dict.fromkeys(ids, value)
    by_id = value if isinstance(value, dict) and value and set(value) <= set(ids) else None
    if by_id is None and len(ids) > 1:
        message = f"Run {run_id}: it asks {len(ids)} questions; give a dict of answers by their ids: {', '.join(ids)}"
        raise ValueError(message)
    if by_id is not None and len(by_id) < len(ids):
        left = ", ".join(sorted(set(ids) - set(by_id)))
        message = f"Run {run_id}: answers are missing; give one for each id, also for {left}"
        raise ValueError(message)
    return {ids[0]: value} if by_id is None else by_id


def _answer_to(run_id: str, question: Question, value: object) -> object:
    try:
        return answer_to(question, value)
    except ValueError as error:
        raise ValueError(f"Run {run_id}: {error}") from None


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
