"""The form for what a graph asks, as each kind of question takes it.

A breakpoint is answered with yes or no; what LangChain's middleware or Agent Inbox propose, with a decision on each
proposal; a question with a schema, with the fields of the schema; any other, with a text or JSON.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from scheduler.answering import Decision, DecisionKind, Proposal, answer_of, answer_to, proposals_of
from scheduler.models import BREAKPOINT_PREFIX, Question, Run
from scheduler.web.fields import LEFT_OUT, Field, fields_of_args, fields_of_schema, json_value, shown_json, typed_in

QUICK: Final = ("approve", "reject")
"""What can be decided with one button, of all questions of a run."""


@dataclass(frozen=True, slots=True)
class ProposalForm:
    """A proposal, and what was decided about it."""

    name: str
    """What the names of its fields begin with."""
    proposal: Proposal
    fields: list[Field]
    """Its arguments, to be edited."""
    decision: str = ""
    reason: str = ""
    text: str = ""
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and what was typed as its answer."""

    name: str
    """What the names of its fields begin with."""
    id: str
    value: Any
    """What the graph asks, as JSON."""
    kind: Literal["breakpoint", "proposals", "schema", "free"]
    fields: list[Field]
    """Of a question with a schema: its members, or the one value."""
    is_object: bool = False
    """Whether the fields are the members of an object."""
    proposals: tuple[ProposalForm, ...] = ()
    given: str = ""
    is_json: bool = False
    problem: str | None = None
    """What is wrong with the answer as a whole."""

    @property
    def has_problem(self) -> bool:
        """Whether anything is wrong."""
        fields = [*self.fields, *(field for each in self.proposals for field in each.fields)]
        problems = [self.problem, *(each.problem for each in fields), *(each.problem for each in self.proposals)]
        return any(problems)


def asked_of(run: Run) -> list[Asked]:
    """Return the questions of a run, with nothing answered yet."""
    return [_asked(question, place) for place, question in enumerate(run.questions)]


def quick_decisions(run: Run) -> list[str]:
    """Return which decisions can be made on all questions of a run at once, with a button."""
    if not run.questions:
        return []
    return [kind for kind in QUICK if all(_takes(question, kind) for question in run.questions)]


def summary_of(question: Question) -> str:
    """Return what a question asks, short, for a list: the actions that it proposes, or its own words."""
    if proposals := proposals_of(question):
        return "; ".join(f"{each.name}: {_arguments(each.args)}" for each in proposals)
    value = question.value
    if isinstance(value, dict) and isinstance(value.get("question"), str):
        value = value["question"]
    return value if isinstance(value, str) else shown_json(value)


def _arguments(args: object) -> str:
    if not isinstance(args, dict):
        return shown_json(args)
    return ", ".join(f"{key} {value if isinstance(value, str) else shown_json(value)}" for key, value in args.items())


def _takes(question: Question, kind: str) -> bool:
    if question.id.startswith(BREAKPOINT_PREFIX):
        return True
    proposals = proposals_of(question)
    return bool(proposals) and all(kind in each.allowed for each in proposals)


def answers_from(run: Run, form: Mapping[str, str]) -> tuple[dict[str, Any], list[Asked]]:
    """Return the answers of a form by the ids of their questions, and the form with what is wrong in it."""
    answers: dict[str, Any] = {}
    filled: list[Asked] = []
    for place, question in enumerate(run.questions):
        asked = _filled(_asked(question, place), form)
        if not asked.has_problem:
            try:
                answers[question.id] = answer_to(question, _answer(question, asked))
            except ValueError as error:
                asked = replace(asked, problem=str(error))
        filled.append(asked)
    return answers, filled


def _asked(question: Question, place: int) -> Asked:
    name = f"q{place}"
    common: Any = {"name": name, "id": question.id, "value": question.value, "fields": []}
    if question.id.startswith(BREAKPOINT_PREFIX):
        return Asked(**common, kind="breakpoint")
    if proposals := proposals_of(question):
        forms = (
            ProposalForm(f"{name}-p{number}", each, fields_of_args(f"{name}-p{number}-arg", each.args))
            for number, each in enumerate(proposals)
        )
        return Asked(**common, kind="proposals", proposals=tuple(forms))
    if question.response_schema is not None:
        fields, is_object = fields_of_schema(f"{name}-field", question.response_schema)
        return Asked(**{**common, "fields": fields}, kind="schema", is_object=is_object)
    return Asked(**common, kind="free")


def _filled(asked: Asked, form: Mapping[str, str]) -> Asked:
    """Return the form with what was typed, and what is wrong with it."""
    if asked.kind == "schema":
        return replace(asked, fields=_filled_fields(asked.fields, form))
    if asked.kind == "proposals":
        return replace(asked, proposals=tuple(_filled_proposal(each, form) for each in asked.proposals))
    given, is_json = typed_in(form, asked.name), form.get(f"{asked.name}-kind") == "json"
    problem = None
    if not given.strip():
        problem = "Give an answer."
    elif is_json:
        try:
            json_value(given)
        except ValueError as error:
            problem = f"{error} Correct it, or send it as text."
    return replace(asked, given=given, is_json=is_json, problem=problem)


def _filled_fields(fields: list[Field], form: Mapping[str, str]) -> list[Field]:
    return [_checked(replace(each, given=typed_in(form, each.name))) for each in fields]


def _checked(field: Field) -> Field:
    try:
        field.value()
    except ValueError as error:
        return replace(field, problem=str(error))
    return field


def _filled_proposal(asked: ProposalForm, form: Mapping[str, str]) -> ProposalForm:
    decision = form.get(asked.name, "")
    filled = replace(
        asked,
        decision=decision,
        reason=typed_in(form, f"{asked.name}-reason"),
        text=typed_in(form, f"{asked.name}-text"),
    )
    if decision not in asked.proposal.allowed:
        return replace(filled, problem="Choose what shall be done.")
    if decision == "edit":
        return replace(filled, fields=_filled_fields(asked.fields, form))
    if decision == "respond" and not filled.text.strip():
        return replace(filled, problem="Write what the graph shall hear instead.")
    return filled


def _answer(question: Question, asked: Asked) -> object:
    """Return the answer of a form in which nothing is wrong. Raises `ValueError`."""
    match asked.kind:
        case "breakpoint":
            return asked.given == "yes"
        case "proposals":
            return answer_of(question, [_decision(each) for each in asked.proposals])
        case "schema" if asked.is_object:
            pairs = ((each.label, each.value()) for each in asked.fields)
            return {key: value for key, value in pairs if value is not LEFT_OUT}
        case "schema":
            return asked.fields[0].value()
        case _:
            return json_value(asked.given) if asked.is_json else asked.given


def _decision(asked: ProposalForm) -> Decision:
    kind: DecisionKind
    for kind in asked.proposal.allowed:
        if kind == asked.decision:
            return Decision(kind, _content(kind, asked))
    raise ValueError("Choose what shall be done.")


def _content(kind: DecisionKind, asked: ProposalForm) -> Any:  # noqa: ANN401 (a decision's)
    if kind == "reject":
        return asked.reason.strip() or None
    if kind == "respond":
        return asked.text
    if kind == "approve":
        return None
    if not isinstance(asked.proposal.args, dict) or len(asked.fields) != len(asked.proposal.args):
        return asked.fields[0].value()
    return {field.label: field.value() for field in asked.fields}
