"""Forms for what graphs ask: each kind of question has its own, and the graph gets the types that it wants."""

import json
from html import unescape

import pytest
from helpers import hourly
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from web_kit import ASKED, MAIL, Elements, between, link_to, shown_in, text_of, until_run

from scheduler.models import RunStatus
from scheduler.web import Access


async def waiting(scheduler, prompt):
    """Return a run that asks."""
    scheduler.add_task(hourly(prompt=prompt))
    scheduler.start()
    return await until_run(scheduler, scheduler.trigger_task("hourly"), RunStatus.WAITING)


def typed(page):
    """Return the names of a page's fields with what is in them, as a browser would send them without a change."""
    fields = {}
    for name, text in zip(Elements(page.text).all("textarea", "name"), page.text.split("<textarea")[1:], strict=True):
        fields[name] = unescape(text.partition(">")[2].partition("</textarea>")[0]).lstrip("\n")
    for tag, given in Elements(page.text).elements:
        if tag == "input" and given.get("type") not in {"radio", "checkbox", "hidden"} and "name" in given:
            fields[given["name"]] = given.get("value", "")
    for text in page.text.split("<select")[1:]:
        options = text.partition("</select>")[0].split("<option")
        chosen = next((each for each in options if " selected" in each), options[1])
        fields[between(options[0], 'name="')] = between(chosen, 'value="')
    return {name: value for name, value in fields.items() if name.startswith("q")}


async def answered(scheduler, browser, run, **fields):
    """Send the form of a run as it is but for some fields; return what the graph has heard."""
    page = await browser.get(f"run?id={run.id}")
    sent = {**typed(page), **{name.replace("_", "-"): value for name, value in fields.items()}}
    response = await browser.post(f"answer-run?id={run.id}", **sent)
    assert response.status_code == 303, shown_in(response)
    done = await until_run(scheduler, run.id, RunStatus.SUCCEEDED)
    return done.response.removeprefix("You said ")


@pytest.mark.parametrize(
    ("fields", "decision"),
    [
        ({"q0_p0": "approve"}, {"type": "approve"}),
        ({"q0_p0": "reject"}, {"type": "reject"}),
        ({"q0_p0": "reject", "q0_p0_reason": "Not now."}, {"type": "reject", "message": "Not now."}),
        ({"q0_p0": "respond", "q0_p0_text": "I did it."}, {"type": "respond", "message": "I did it."}),
        ({"q0_p0": "edit"}, {"type": "edit", "edited_action": {"name": "send", "args": MAIL}}),
        (
            {"q0_p0": "edit", "q0_p0_arg_0": "true", "q0_p0_arg_1": "4.5", "q0_p0_arg_2": "true", "q0_p0_arg_3": "[]"},
            {
                "type": "edit",
                "edited_action": {"name": "send", "args": {"to": "true", "count": 4.5, "urgent": True, "parts": []}},
            },
        ),
    ],
)
async def test_a_proposal_is_decided(scheduler, browse, fields, decision):
    """As LangChain's middleware takes it; values that are edited keep their types."""
    run = await waiting(scheduler, "Ask to send.")
    assert await answered(scheduler, browse(), run, **fields) == repr({"decisions": [decision]})


async def test_each_of_several_proposals_has_its_own_decision(scheduler, browse):
    """In their order; only what is allowed is offered."""
    run = await waiting(scheduler, "Ask about two.")
    browser = browse()
    page = await browser.get(f"run?id={run.id}")
    radios = [
        (each["name"], each["value"]) for tag, each in Elements(page.text).elements if each.get("type") == "radio"
    ]
    assert radios[-2:] == [("q0-p1", "approve"), ("q0-p1", "reject")]
    said = await answered(scheduler, browser, run, q0_p0="reject", q0_p1="approve")
    assert said == repr({"decisions": [{"type": "reject"}, {"type": "approve"}]})


@pytest.mark.parametrize(
    ("fields", "response"),
    [
        ({"q0_p0": "approve"}, {"type": "accept", "args": None}),
        ({"q0_p0": "respond", "q0_p0_text": "Later."}, {"type": "response", "args": "Later."}),
        ({"q0_p0": "edit"}, {"type": "edit", "args": {"action": "send", "args": MAIL}}),
    ],
)
async def test_a_question_of_agent_inbox_is_answered_in_its_shape(scheduler, browse, fields, response):
    """With the decisions that its config allows: here nothing can be rejected."""
    run = await waiting(scheduler, "Ask the inbox.")
    browser = browse()
    text = text_of(await browser.get(f"run?id={run.id}"))
    assert "A mail to Ann." in text
    assert "Reject" not in text
    assert await answered(scheduler, browser, run, **fields) == repr([response])


@pytest.mark.parametrize(
    ("fields", "order"),
    [
        (
            {"q0_field_0": "12", "q0_field_1": "2", "q0_field_2": '"large"'},
            {"item": "12", "number": 2, "size": "large", "gift": False},
        ),
        (
            {
                "q0_field_0": "tea",
                "q0_field_1": "1",
                "q0_field_2": "3",
                "q0_field_3": "true",
                "q0_field_4": "soon",
                "q0_field_5": "[1]",
            },
            {"item": "tea", "number": 1, "size": 3, "gift": True, "note": "soon", "options": [1]},
        ),
    ],
)
async def test_a_question_with_a_schema_has_a_field_for_each_member(scheduler, browse, fields, order):
    """With the type of each; what may be left out is left out."""
    run = await waiting(scheduler, "Ask for an order.")
    assert await answered(scheduler, browse(), run, **fields) == repr(order)


async def test_a_question_for_one_value_has_one_field(scheduler, browse):
    """Whose text becomes the type of the schema."""
    run = await waiting(scheduler, "Ask for a number.")
    assert await answered(scheduler, browse(), run, q0_field="7") == "7"


@pytest.mark.parametrize(
    ("prompt", "fields", "problem"),
    [
        ("Ask for a number.", {"q0-field": "seven"}, "Give a number."),
        ("Ask for a number.", {"q0-field": "11"}, "maximum of 10"),
        ("Ask for a number.", {}, "Give a value."),
        ("Ask for an order.", {"q0-field-0": "tea", "q0-field-1": "true"}, "Give a number."),
        ("Ask for an order.", {"q0-field-5": "[1"}, "This is no JSON"),
        ("Ask to send.", {}, "Choose what shall be done."),
        ("Ask to send.", {"q0-p0": "accept"}, "Choose what shall be done."),
        ("Ask to send.", {"q0-p0": "respond", "q0-p0-text": " "}, "Write what the graph shall hear"),
        ("Ask to send.", {"q0-p0": "edit", "q0-p0-arg-1": "many"}, "Give a number."),
        ("Ask about two.", {"q0-p0": "approve"}, "Choose what shall be done."),
    ],
)
async def test_what_does_not_fit_is_said_beside_its_field(scheduler, browse, prompt, fields, problem):
    """What was typed stays, and the run still waits."""
    run = await waiting(scheduler, prompt)
    response = await browse().post(f"answer-run?id={run.id}", **fields)
    assert response.status_code == 400
    assert problem in shown_in(response)
    for name, value in fields.items():
        if "-p" not in name or "arg" in name or "text" in name:
            assert typed(response)[name] == value
    assert scheduler.get_run(run.id).status is RunStatus.WAITING


async def test_the_inbox_lists_what_is_asked_and_decides_with_a_button(scheduler, browse):
    """Approve and reject where every question is a proposal; the others are answered on their page."""
    scheduler.add_tasks([hourly("sends", prompt="Ask to send."), hourly("asks", prompt="Ask.")])
    scheduler.add_task(hourly("expires", prompt="Ask.", expire_waiting_after_seconds=86_400 * 300))
    scheduler.start()
    runs = {name: scheduler.trigger_task(name) for name in ("sends", "asks", "expires")}
    for run_id in runs.values():
        await until_run(scheduler, run_id, RunStatus.WAITING)
    browser = browse()
    page = await browser.get("inbox")
    assert "Inbox 3" in text_of(page)
    assert ASKED["Ask."] in text_of(page)
    assert text_of(page).count("if nobody answers") == 1
    assert page.text.count('value="approve"') == 1
    assert len((await browser.get("inbox.json")).json()) == 3
    page = await browser.do(f"answer-run?id={runs['sends']}", quick="approve")
    assert "Answered." in text_of(page)
    done = await until_run(scheduler, runs["sends"], RunStatus.SUCCEEDED)
    assert done.response == "You said {'decisions': [{'type': 'approve'}]}"
    assert (await browser.post(f"answer-run?id={runs['asks']}", quick="approve")).status_code == 409
    assert (await browser.post(f"answer-run?id={runs['asks']}", quick="edit")).status_code == 409
    assert link_to(await browser.get("inbox"), "Answer") == f"run?id={runs['expires']}"


async def test_who_may_not_answer_sees_the_question_without_a_form(scheduler, browse):
    """In the inbox and on the run's page."""

    async def auth(request):
        return Access("ann", actions=[])

    run = await waiting(scheduler, "Ask to send.")
    for path in ("inbox", f"run?id={run.id}"):
        page = await browse(auth=auth).get(path)
        assert "send" in text_of(page)
        assert 'method="post"' not in page.text


async def test_a_breakpoint_is_answered_with_a_button(new_scheduler):
    """Yes continues the graph, no ends the run."""
    from web_kit import Browser

    from scheduler import web

    async def work(state: MessagesState):
        return {"messages": [("assistant", "Worked.")]}

    builder = StateGraph(MessagesState).add_node("work", work).add_edge(START, "work")
    scheduler = new_scheduler(builder.compile(checkpointer=InMemorySaver(), interrupt_before=["work"]))
    scheduler.add_task(hourly())
    scheduler.start()
    browser = Browser(web.app(scheduler, auth=web.anyone))
    for answer, status in (("yes", RunStatus.SUCCEEDED), ("no", RunStatus.CANCELLED)):
        run = await until_run(scheduler, scheduler.trigger_task("hourly"), RunStatus.WAITING)
        page = await browser.get(f"run?id={run.id}")
        assert "May the graph continue?" in text_of(page)
        await browser.do(f"answer-run?id={run.id}", q0=answer)
        await until_run(scheduler, run.id, status)
    run = await until_run(scheduler, scheduler.trigger_task("hourly"), RunStatus.WAITING)
    assert (await browser.post(f"answer-run?id={run.id}")).status_code == 400
    await browser.do(f"answer-run?id={run.id}", quick="reject")
    await until_run(scheduler, run.id, RunStatus.CANCELLED)


async def test_a_question_of_any_size_is_shown(scheduler, browse):
    """A million characters as the question, and as the answer."""
    long = "x" * 1_000_000
    ASKED["Ask long."] = {"text": long}
    run = await waiting(scheduler, "Ask long.")
    browser = browse()
    page = await browser.get(f"run?id={run.id}")
    assert page.text.count(long) == 1
    assert int(page.headers["content-length"]) < 50_000
    assert len((await browser.get("inbox")).text) < 20_000
    said = await answered(scheduler, browser, run, q0=json.dumps([long]), q0_kind="json")
    assert said.startswith("['xxx")
