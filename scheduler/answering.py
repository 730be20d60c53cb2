"""Answers to questions: which shape each kind of question takes, and decisions of a person in that shape.

A graph hears an answer once: LangGraph gives a node that failed on an answer the same one again. So an answer is
checked before the graph gets it. Three kinds of questions say what they take: those with a `response_schema`, those of
LangChain's human-in-the-loop middleware, and those of Agent Inbox. Any other question takes any answer.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeAlias, get_args

from scheduler.models import BREAKPOINT_PREFIX, Question
from scheduler.redaction import beginning

DecisionKind: TypeAlias = Literal["approve", "reject", "edit", "respond"]
_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decides about what a graph asks; `answer_run` gives it to the graph in the shape that it takes."""

    kind: DecisionKind
    """`approve`: do as proposed; `reject`: do not; `edit`: do it with other arguments; `respond`: a text instead."""
    content: Any = None
    """The reason of a rejection, a text; the arguments of an edit, a dict; the text of a response."""

    def __post_init__(self) -> None:
        """Check the content. Raises `ValueError`."""
        if self.kind not in get_args(DecisionKind):
            message = f"Decision(kind={self.kind!r}): give one of {', '.join(get_args(DecisionKind))}"
            raise ValueError(message)
        if (problem := _content_problem(self.kind, self.content)) is not None:
            raise ValueError(f"Decision({self.kind!r}, {beginning(repr(self.content), _SHOWN)}): {problem}")


def _content_problem(kind: DecisionKind, content: object) -> str | None:
    if kind == "approve":
        return None if content is None else "an approval has no content; give Decision('edit', …) to change something"
    if kind == "reject":
        return None if content is None or isinstance(content, str) else "give the reason as a text, or nothing"
    if kind == "respond":
        return None if isinstance(content, str) and content else "give a text"
    return None if isinstance(content, dict) else "give the arguments as a dict"


def answer_to(question: Question, value: object) -> object:
    """Return an answer as the question's graph takes it. Raises `ValueError`, which says what would be right."""
    shape = _shape_of(question)
    if isinstance(value, Decision):
        return shape.decided(value)
    return shape.checked(value)


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a graph proposes to do, and what a person may decide about it."""

    name: str
    """The name of the action, such as that of a tool."""
    args: Any
    """Its arguments, mostly a dict."""
    description: str
    """What the graph says about it, perhaps ""."""
    allowed: tuple[DecisionKind, ...]
    """The decisions that the graph takes."""


def proposals_of(question: Question) -> list[Proposal]:
    """Return what a question proposes; nothing if it is no question of LangChain's middleware or Agent Inbox."""
    shape = _shape_of(question)
    return shape.proposals() if isinstance(shape, _Decisions | _ToolApproval | _HumanResponses) else []


def answer_of(question: Question, decisions: Sequence[Decision]) -> object:
    """Return decisions, one for each proposal in their order, as the question takes them. Raises `ValueError`."""
    shape = _shape_of(question)
    if not isinstance(shape, _Decisions | _ToolApproval | _HumanResponses):
        raise ValueError("it proposes nothing; give an answer in words, or as JSON")  # noqa: TRY004 (like every other refusal)
    return shape.all_decided(decisions)


class _Shape(Protocol):
    """What a question takes."""

    def decided(self, decision: Decision) -> object:
        """Return a decision as an answer. Raises `ValueError`."""
        ...

    def checked(self, value: object) -> object:
        """Return an answer. Raises `ValueError` if the graph would not take it."""
        ...


def _shape_of(question: Question) -> _Shape:
    value = question.value
    if question.id.startswith(BREAKPOINT_PREFIX):
        return _Breakpoint()
    if (requests := _action_requests(value)) is not None:
        return _Decisions(requests, _allowed_decisions(value, requests))
    if isinstance(value, dict) and value.get("type") == "tool_approval" and isinstance(value.get("name"), str):
        return _ToolApproval(value, question.response_schema)
    if (inbox := _human_interrupts(value)) is not None:
        return _HumanResponses(inbox, is_list=isinstance(value, list))
    return _Free(question.response_schema)


# --- Breakpoints ---

_YES: Final = frozenset(
    {"true", "yes", "y", "ok", "okay", "approve", "approved", "accept", "continue", "go", "go on", "proceed", "resume"}
)
_NO: Final = frozenset(
    {"false", "no", "n", "reject", "rejected", "deny", "denied", "decline", "cancel", "stop", "abort"}
)


class _Breakpoint:
    """Takes whether the graph may continue: a word that is no clear yes is no yes."""

    def decided(self, decision: Decision) -> object:
        if decision.kind == "approve":
            return True
        if decision.kind == "reject":
            return decision.content or False
        raise ValueError(f"it waits at a breakpoint, where there is nothing to {decision.kind}; approve or reject it")

    def checked(self, value: object) -> object:
        if isinstance(value, bool):
            return value
        word = value.strip().rstrip(".!").casefold() if isinstance(value, str) else ""
        if word in _YES or word in _NO:
            return word in _YES
        message = "it waits at a breakpoint; give True ('yes', 'approve') to continue the run"
        raise ValueError(f"{message}, or False ('no', 'reject') to end it")


def rejection(answer: object) -> str | None:
    """Return why a person did not let a graph continue from a breakpoint, perhaps ""; None if it may continue."""
    return answer if isinstance(answer, str) else "" if answer is False else None


# --- LangChain's human-in-the-loop middleware ---

_LANGCHAIN_KINDS: Final = get_args(DecisionKind)


def _action_requests(value: object) -> list[dict[str, Any]] | None:
    """Return the actions of LangChain's `HITLRequest`; None if a question is of another kind."""
    if not isinstance(value, dict) or not isinstance(value.get("review_configs"), list):
        return None
    requests = value.get("action_requests")
    is_one = isinstance(requests, list) and requests and all(map(_is_action, requests))
    return requests if is_one else None


def _is_action(request: object) -> bool:
    return isinstance(request, dict) and isinstance(request.get("name"), str)


def _allowed_decisions(value: dict[str, Any], requests: Sequence[Mapping[str, Any]]) -> list[Sequence[str]]:
    """Return for each action the decisions that are allowed; all where a request does not say."""
    configs = {
        each["action_name"]: each["allowed_decisions"]
        for each in value["review_configs"]
        if isinstance(each, dict) and isinstance(each.get("allowed_decisions"), list) and "action_name" in each
    }
    return [configs.get(request["name"], _LANGCHAIN_KINDS) for request in requests]


@dataclass(frozen=True, slots=True)
class _Decisions:
    """Takes `{"decisions": […]}`, one for each action, in their order."""

    requests: list[dict[str, Any]]
    allowed: list[Sequence[str]]

    def decided(self, decision: Decision) -> object:
        if decision.kind == "edit" and len(self.requests) > 1:
            raise ValueError(f"it proposes {len(self.requests)} actions; give {self._shown()}")
        return self.checked({"decisions": [_langchain_decision(each["name"], decision) for each in self.requests]})

    def checked(self, value: object) -> object:
        decisions = value.get("decisions") if isinstance(value, dict) else None
        if not isinstance(decisions, list) or len(decisions) != len(self.requests):
            raise ValueError(f"the answer has another shape than this question takes; give {self._shown()}")
        for decision, request, allowed in zip(decisions, self.requests, self.allowed, strict=True):
            if (problem := _langchain_problem(decision, allowed)) is not None:
                raise ValueError(f"the decision on {request['name']!r}: {problem}")
        return value

    def proposals(self) -> list[Proposal]:
        pairs = zip(self.requests, self.allowed, strict=True)
        return [_proposal(each["name"], each, _allowed_kinds(allowed)) for each, allowed in pairs]

    def all_decided(self, decisions: Sequence[Decision]) -> object:
        pairs = zip(self.requests, decisions, strict=True)
        return self.checked({"decisions": [_langchain_decision(each["name"], decision) for each, decision in pairs]})

    def _shown(self) -> str:
        names = ", ".join(each["name"] for each in self.requests)
        number = "a decision" if len(self.requests) == 1 else f"{len(self.requests)} decisions in this order"
        return f'{{"decisions": [{{"type": "approve"}}, …]}}, {number}: {beginning(names, _SHOWN)}'


def _proposal(name: str, request: Mapping[str, Any], allowed: Sequence[DecisionKind], about: object = None) -> Proposal:
    description = request.get("description") if about is None else about
    return Proposal(name, request.get("args"), description if isinstance(description, str) else "", tuple(allowed))


def _allowed_kinds(allowed: Sequence[str]) -> list[DecisionKind]:
    return [kind for kind in _LANGCHAIN_KINDS if kind in allowed]


def _langchain_decision(name: str, decision: Decision) -> dict[str, Any]:
    if decision.kind == "edit":
        return {"type": "edit", "edited_action": _edited(name, decision.content, "name")}
    text = {} if decision.content is None else {"message": decision.content}
    return {"type": decision.kind, **text}


def _edited(name: str, content: dict[str, Any], key: str) -> dict[str, Any]:
    """Return an edited action from its arguments alone, or from the whole of it."""
    is_whole = content.keys() == {key, "args"} and isinstance(content["args"], dict)
    return content if is_whole else {key: name, "args": content}


def _langchain_problem(decision: object, allowed: Sequence[str]) -> str | None:
    """Return why LangChain would refuse a decision, as its middleware checks it; None if it takes it."""
    kind = decision.get("type") if isinstance(decision, dict) else None
    if not isinstance(decision, dict) or kind not in allowed:
        shown = beginning(repr(kind if isinstance(decision, dict) else decision), _SHOWN)
        return f"{shown} is not among what is allowed: {', '.join(map(str, allowed))}"
    if kind == "edit":
        action = decision.get("edited_action")
        is_whole = _is_action(action) and isinstance(action.get("args"), dict)  # type: ignore[union-attr]
        return None if is_whole else 'an edit needs "edited_action": {"name": …, "args": {…}}'
    message = decision.get("message")
    if kind == "respond":
        return None if isinstance(message, str) else 'a response needs its text as "message"'
    return None if kind == "approve" or message is None or isinstance(message, str) else '"message" is to be a text'


@dataclass(frozen=True, slots=True)
class _ToolApproval:
    """Takes one decision about one tool call; the question's schema says which are allowed."""

    call: Mapping[str, Any]
    schema: Mapping[str, Any] | None

    @property
    def name(self) -> str:
        return str(self.call["name"])

    def proposals(self) -> list[Proposal]:
        samples = [Decision("approve"), Decision("reject"), Decision("respond", "-")]
        if isinstance(self.call.get("args"), dict):
            samples.append(Decision("edit", {"name": self.name, "args": self.call["args"]}))
        allowed = [each.kind for each in samples if self._problem(_langchain_decision(self.name, each)) is None]
        return [_proposal(self.name, self.call, _allowed_kinds(allowed))]

    def all_decided(self, decisions: Sequence[Decision]) -> object:
        (decision,) = decisions
        return self.decided(decision)

    def decided(self, decision: Decision) -> object:
        return self.checked(_langchain_decision(self.name, decision))

    def checked(self, value: object) -> object:
        if (problem := self._problem(value)) is not None:
            raise ValueError(f"the decision on {self.name!r}: {problem}")
        return value

    def _problem(self, value: object) -> str | None:
        return _schema_problem(self.schema, value) or _langchain_problem(value, _LANGCHAIN_KINDS)


# --- Agent Inbox ---

_INBOX_TYPES: Final = {"approve": "accept", "reject": "ignore", "edit": "edit", "respond": "response"}
_INBOX_CONFIG: Final = {
    "accept": "allow_accept", "ignore": "allow_ignore", "edit": "allow_edit", "response": "allow_respond"
}  # fmt: skip


def _human_interrupts(value: object) -> list[dict[str, Any]] | None:
    """Return the requests of Agent Inbox's schema, `HumanInterrupt`; None if a question is of another kind."""
    requests: list[Any] = value if isinstance(value, list) else [value]
    is_one = requests and all(
        isinstance(each, dict)
        and isinstance(each.get("config"), dict)
        and isinstance(each.get("action_request"), dict)
        and isinstance(each["action_request"].get("action"), str)
        for each in requests
    )
    return requests if is_one else None


@dataclass(frozen=True, slots=True)
class _HumanResponses:
    """Takes `[{"type": …, "args": …}]`, one for each request, in their order; for one alone also without the list."""

    requests: list[dict[str, Any]]
    is_list: bool

    def decided(self, decision: Decision) -> object:
        if decision.kind == "edit" and len(self.requests) > 1:
            raise ValueError(f"it has {len(self.requests)} requests; give {self._shown()}")
        if decision.kind == "reject" and decision.content:
            raise ValueError("what is rejected here is ignored, without a reason; leave it out, or respond with it")
        return self.checked([_human_response(each["action_request"]["action"], decision) for each in self.requests])

    def checked(self, value: object) -> object:
        responses = value if isinstance(value, list) else [value]
        if len(responses) != len(self.requests) or (self.is_list and not isinstance(value, list)):
            raise ValueError(f"the answer has another shape than this question takes; give {self._shown()}")
        for response, request in zip(responses, self.requests, strict=True):
            if (problem := _inbox_problem(response, request["config"])) is not None:
                raise ValueError(f"the response to {request['action_request']['action']!r}: {problem}")
        return value

    def proposals(self) -> list[Proposal]:
        return [
            _proposal(each["action_request"]["action"], each["action_request"], kinds, each.get("description") or "")
            for each, kinds in ((each, _inbox_kinds(each["config"])) for each in self.requests)
        ]

    def all_decided(self, decisions: Sequence[Decision]) -> object:
        pairs = zip(self.requests, decisions, strict=True)
        return self.checked([_human_response(each["action_request"]["action"], decision) for each, decision in pairs])

    def _shown(self) -> str:
        names = ", ".join(each["action_request"]["action"] for each in self.requests)
        return f'[{{"type": "accept", "args": null}}, …], a response each to: {beginning(names, _SHOWN)}'


def _inbox_kinds(config: Mapping[str, Any]) -> list[DecisionKind]:
    return [kind for kind in _LANGCHAIN_KINDS if config.get(_INBOX_CONFIG[_INBOX_TYPES[kind]])]


def _human_response(action: str, decision: Decision) -> dict[str, Any]:
    args = _edited(action, decision.content, "action") if decision.kind == "edit" else decision.content
    return {"type": _INBOX_TYPES[decision.kind], "args": None if decision.kind in {"approve", "reject"} else args}


def _inbox_problem(response: object, config: Mapping[str, Any]) -> str | None:
    allowed = [kind for kind, name in _INBOX_CONFIG.items() if config.get(name)]
    kind = response.get("type") if isinstance(response, dict) else None
    if not isinstance(response, dict) or kind not in allowed:
        shown = beginning(repr(kind if isinstance(response, dict) else response), _SHOWN)
        return f"{shown} is not among what is allowed: {', '.join(allowed)}"
    args = response.get("args")
    if kind == "edit":
        is_whole = isinstance(args, dict) and isinstance(args.get("args"), dict) and isinstance(args.get("action"), str)
        return None if is_whole else 'an edit needs "args": {"action": …, "args": {…}}'
    return None if kind != "response" or isinstance(args, str) else 'a response needs its text as "args"'


# --- All others ---


@dataclass(frozen=True, slots=True)
class _Free:
    """Takes any answer, or what a JSON schema says."""

    schema: Mapping[str, Any] | None

    def decided(self, decision: Decision) -> object:
        if self.schema is None:
            if decision.kind == "respond":
                return decision.content
            raise ValueError(f"it does not say how to {decision.kind}; give an answer in words, or as JSON")
        problems = []
        for candidate in _CANDIDATES[decision.kind](decision.content):
            problem = _schema_problem(self.schema, candidate)
            if problem is None:
                return candidate
            problems.append(problem)
        raise ValueError(f"its schema has no such answer as to {decision.kind} ({problems[0]}); give an answer as JSON")

    def checked(self, value: object) -> object:
        problem = _schema_problem(self.schema, value)
        if problem is not None:
            raise ValueError(f"the answer does not fit the question's schema: {problem}")
        return value


def _rejections(reason: str | None) -> list[object]:
    if reason:
        return [{"type": "reject", "message": reason}, {"approved": False, "reason": reason}]
    return [False, "reject", "rejected", "no", {"type": "reject"}, {"approved": False}]


_CANDIDATES: Final[Mapping[str, Callable[[Any], list[object]]]] = {
    "approve": lambda _: [True, "approve", "approved", "yes", {"type": "approve"}, {"approved": True}],
    "reject": _rejections,
    "edit": lambda args: [args, {"type": "edit", "args": args}],
    "respond": lambda text: [text, {"type": "respond", "message": text}, {"type": "response", "args": text}],
}
"""The answers by which graphs usually mean a decision; the first one that fits a question's schema is taken."""


def _schema_problem(schema: Mapping[str, Any] | None, value: object) -> str | None:
    """Return how a value differs from a JSON schema; None if it fits, or if nobody can tell by this schema."""
    if schema is None:
        return None
    import jsonschema  # noqa: PLC0415 (a tenth of a second, for the few graphs that publish a schema)
    from referencing import Registry  # noqa: PLC0415
    from referencing.exceptions import Unresolvable  # noqa: PLC0415

    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
        # With a registry of its own nothing is fetched: a schema may name any address.
        error = jsonschema.exceptions.best_match(kind(schema, registry=Registry()).iter_errors(value))
    except (jsonschema.SchemaError, Unresolvable, RecursionError):
        return None
    if error is None:
        return None
    where = "".join(f"[{json.dumps(each)}]" for each in error.absolute_path)
    return beginning(f"{where}: {error.message}" if where else error.message, _SHOWN)
