"""The form for what a graph asks: one field for each question, as text or as JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scheduler.models import BREAKPOINT_PREFIX, Question, Run


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and what was typed as its answer."""

    id: str
    value: Any
    """What the graph asks, as JSON."""
    is_breakpoint: bool
    """Whether it asks only if the graph may continue."""
    given: str = ""
    is_json: bool = False
    problem: str | None = None
    """What is wrong with the answer."""


def asked_of(run: Run) -> list[Asked]:
    """Return the questions of a run, with empty answers."""
    return [_asked(question) for question in run.questions]


def _asked(question: Question, **answer: Any) -> Asked:  # noqa: ANN401 (of any field)
    return Asked(question.id, question.value, question.id.startswith(BREAKPOINT_PREFIX), **answer)


def answers_from(run: Run, form: Mapping[str, str]) -> tuple[dict[str, Any], list[Asked]]:
    """Return the answers of a form by the ids of their questions, and the form with what is wrong in it."""
    answers: dict[str, Any] = {}
    filled: list[Asked] = []
    for place, question in enumerate(run.questions):
        given = form.get(f"answer-{place}", "").replace("\r\n", "\n")  # browsers send lines with both
        is_json = form.get(f"kind-{place}") == "json"
        problem = None
        try:
            answers[question.id] = json.loads(given, parse_constant=_refuse_constant) if is_json else given
        except (ValueError, RecursionError) as error:
            problem = f"This is no JSON: {error}. Correct it, or send it as text."
        if not given.strip():
            problem = "Give an answer."
        filled.append(_asked(question, given=given, is_json=is_json, problem=problem))
    return answers, filled


def _refuse_constant(name: str) -> None:
    message = f"{name} is no value of JSON"
    raise ValueError(message)
