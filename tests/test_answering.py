"""Answers are checked against what a question says that it takes, and decisions are put into that shape."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler import Decision
from scheduler.answering import answer_to
from scheduler.models import Question

SEND = {"name": "send", "args": {"to": "ann"}, "description": "Send it?"}
DROP = {"name": "drop", "args": {}}
ALL = ["approve", "edit", "reject", "respond"]


def langchain(*requests, **allowed):
    configs = [{"action_name": each["name"], "allowed_decisions": allowed.get(each["name"], ALL)} for each in requests]
    return Question(id="q", value={"action_requests": list(requests), "review_configs": configs})


def inbox(*, listed=True, actions=("send",), **config):
    config = {"allow_accept": True, "allow_edit": True, "allow_respond": True, "allow_ignore": True, **config}
    requests = [{"action_request": {"action": name, "args": {"to": "ann"}}, "config": config} for name in actions]
    return Question(id="q", value=requests if listed else requests[0])


def plain(schema=None, value="May I?"):
    return Question(id="q", value=value, response_schema=schema)


BREAKPOINT = Question(id="breakpoint:1", value={"question": "Continue?", "next": ["pay"]})
CALL = plain(value={"type": "tool_approval", "name": "send", "args": {"to": "ann"}, "tool_call_id": "1"})
NUMBER = plain({"type": "integer", "minimum": 1})
CHOICE = plain({"enum": ["approve", "reject"]})
YES_OR_NO = plain({"type": "boolean"})
REVIEW = plain(
    {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"enum": ["approve", "reject"]}, "message": {"type": "string"}},
    }
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@pytest.mark.parametrize(
    ("question", "decision", "answer"),
    [
        (langchain(SEND), Decision("approve"), {"decisions": [{"type": "approve"}]}),
        (langchain(SEND, DROP), Decision("approve"), {"decisions": [{"type": "approve"}] * 2}),
        (langchain(SEND), Decision("reject"), {"decisions": [{"type": "reject"}]}),
        (langchain(SEND), Decision("reject", "no"), {"decisions": [{"type": "reject", "message": "no"}]}),
        (langchain(SEND), Decision("respond", "hi"), {"decisions": [{"type": "respond", "message": "hi"}]}),
        (
            langchain(SEND),
            Decision("edit", {"to": "bob"}),
            {"decisions": [{"type": "edit", "edited_action": {"name": "send", "args": {"to": "bob"}}}]},
        ),
        (
            langchain(SEND),
            Decision("edit", {"name": "drop", "args": {}}),
            {"decisions": [{"type": "edit", "edited_action": {"name": "drop", "args": {}}}]},
        ),
        (CALL, Decision("approve"), {"type": "approve"}),
        (CALL, Decision("edit", {"x": 1}), {"type": "edit", "edited_action": {"name": "send", "args": {"x": 1}}}),
        (inbox(), Decision("approve"), [{"type": "accept", "args": None}]),
        (inbox(listed=False), Decision("approve"), [{"type": "accept", "args": None}]),
        (inbox(actions=["a", "b"]), Decision("reject"), [{"type": "ignore", "args": None}] * 2),
        (inbox(), Decision("respond", "later"), [{"type": "response", "args": "later"}]),
        (inbox(), Decision("edit", {"x": 1}), [{"type": "edit", "args": {"action": "send", "args": {"x": 1}}}]),
        (BREAKPOINT, Decision("approve"), True),
        (BREAKPOINT, Decision("reject"), False),
        (BREAKPOINT, Decision("reject", "too dear"), "too dear"),
        (plain(), Decision("respond", "Yes, do."), "Yes, do."),
        (YES_OR_NO, Decision("approve"), True),
        (YES_OR_NO, Decision("reject"), False),
        (CHOICE, Decision("approve"), "approve"),
        (CHOICE, Decision("reject"), "reject"),
        (REVIEW, Decision("reject", "why"), {"type": "reject", "message": "why"}),
        (plain({"type": "object"}), Decision("edit", {"to": "bob"}), {"to": "bob"}),
    ],
)
def test_a_decision_in_the_shape_of_its_question(question, decision, answer):
    """Whatever the graph was made with; what comes out is an answer that is taken as it is."""
    found = answer_to(question, decision)
    assert found == answer
    if question is not BREAKPOINT:
        assert answer_to(question, found) == answer


@pytest.mark.parametrize(
    ("question", "decision", "refusal"),
    [
        (langchain(SEND, send=["approve"]), Decision("reject", "no"), "'reject' is not among what is allowed: approve"),
        (langchain(SEND, DROP), Decision("edit", {}), 'it proposes 2 actions; give {"decisions": [{"type": "appr'),
        (inbox(allow_accept=False), Decision("approve"), "not among what is allowed: ignore, edit, response"),
        (inbox(actions=["a", "b"]), Decision("edit", {}), "it has 2 requests; give"),
        (inbox(), Decision("reject", "no"), "ignored, without a reason; leave it out, or respond with it"),
        (BREAKPOINT, Decision("edit", {}), "it waits at a breakpoint, where there is nothing to edit"),
        (BREAKPOINT, Decision("respond", "hm"), "nothing to respond"),
        (plain(), Decision("approve"), "it does not say how to approve; give an answer in words, or as JSON"),
        (NUMBER, Decision("approve"), "its schema has no such answer as to approve (True is not of type 'integer')"),
        (YES_OR_NO, Decision("reject", "because"), "its schema has no such answer as to reject"),
    ],
)
def test_a_decision_that_does_not_fit(question, decision, refusal):
    """It is refused with what would be right, and nothing of it is dropped in silence."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (its text is compared)
        answer_to(question, decision)
    assert refusal in str(caught.value)


@pytest.mark.parametrize(
    ("question", "value", "refusal"),
    [
        (langchain(SEND), "yes", 'the answer has another shape than this question takes; give {"decisions"'),
        (langchain(SEND), True, "another shape"),
        (langchain(SEND, DROP), {"decisions": [{"type": "approve"}]}, "2 decisions in this order: send, drop"),
        (langchain(SEND), {"decisions": ["approve"]}, "the decision on 'send': 'approve' is not among what is allowed"),
        (langchain(SEND), {"decisions": [{"type": "ok"}]}, "'ok' is not among what is allowed: approve, edit"),
        (langchain(SEND), {"decisions": [{"type": "edit", "args": {}}]}, 'an edit needs "edited_action"'),
        (langchain(SEND), {"decisions": [{"type": "respond"}]}, 'a response needs its text as "message"'),
        (langchain(SEND), {"decisions": [{"type": "reject", "message": 5}]}, '"message" is to be a text'),
        (CALL, "approve", "the decision on 'send'"),
        (inbox(), {"type": "accept", "args": None}, "another shape"),
        (inbox(), [{"type": "accept"}] * 2, "another shape"),
        (inbox(), ["yes"], "the response to 'send': 'yes' is not among what is allowed: accept, ignore"),
        (inbox(), [{"type": "edit", "args": {"to": "bob"}}], 'an edit needs "args": {"action"'),
        (inbox(), [{"type": "response"}], 'a response needs its text as "args"'),
        (NUMBER, "three", "the answer does not fit the question's schema: 'three' is not of type 'integer'"),
        (NUMBER, 0, "0 is less than the minimum of 1"),
        (REVIEW, {"type": "maybe"}, "[\"type\"]: 'maybe' is not one of"),
        (BREAKPOINT, "perhaps", "it waits at a breakpoint; give True"),
    ],
)
def test_an_answer_that_does_not_fit(question, value, refusal):
    """It is refused before the graph hears it."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        answer_to(question, value)
    assert refusal in str(caught.value)


@pytest.mark.parametrize(
    "question",
    [
        plain(value={"action_requests": [{"name": "send"}]}),
        plain(value={"action_requests": [], "review_configs": []}),
        plain(value={"action_requests": "all", "review_configs": []}),
        plain(value={"action_request": {"action": "send"}}),
        plain(value=[{"action_request": "send", "config": {}}]),
        plain(value={"type": "tool_approval"}),
        plain(value=[]),
        plain({"type": "no such type"}),
        plain({"$ref": "http://127.0.0.1:9/schema.json"}),
        plain({"$ref": "#/$defs/missing"}),
    ],
)
@given(value=JSON)
def test_a_question_that_says_nothing_definite(question, value):
    """It takes any answer: what is only like a known shape, and a schema that cannot be used. Nothing is fetched."""
    assert answer_to(question, value) == value


@given(JSON)
def test_no_question_breaks_the_check(value):
    """A model may have written the question, and a person anything as an answer."""
    for question in (plain(value=value), langchain(SEND), inbox(), CALL, NUMBER):
        for answer in (value, Decision("approve"), Decision("reject", "no")):
            with suppress(ValueError):
                json.dumps(answer_to(question, answer))


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        (("ok",), "give one of approve, reject, edit, respond"),
        (("approve", "yes"), "an approval has no content"),
        (("reject", 5), "give the reason as a text"),
        (("edit", "to bob"), "give the arguments as a dict"),
        (("respond",), "give a text"),
    ],
)
def test_a_decision_that_is_none(arguments, refusal):
    """It is refused when it is made."""
    with pytest.raises(ValueError, match=refusal):
        Decision(*arguments)
