"""A browser without a window: it follows links, sends forms, and keeps what it is told of pages."""

import asyncio
import re
from html import unescape
from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx
from helpers import wait_until
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt

HERE = "http://127.0.0.1:8745/"
MAIL = {"to": "ann", "count": 3, "urgent": False, "parts": [1, {"a": None}]}
ASKED = {
    "Ask.": "Send this mail to 240 customers?",
    "Ask about a record.": {"city": "Bern", "days": 3},
    "Ask hostile.": "<script>alert(1)</script> \u202eevil",
    "Ask to send.": {
        "action_requests": [{"name": "send", "args": MAIL, "description": "Send it?"}],
        "review_configs": [{"action_name": "send", "allowed_decisions": ["approve", "edit", "reject", "respond"]}],
    },
    "Ask about two.": {
        "action_requests": [{"name": "send", "args": MAIL}, {"name": "drop", "args": {}}],
        "review_configs": [{"action_name": "drop", "allowed_decisions": ["approve", "reject"]}],
    },
    "Ask the inbox.": [
        {
            "action_request": {"action": "send", "args": MAIL},
            "config": {"allow_accept": True, "allow_edit": True, "allow_respond": True, "allow_ignore": False},
            "description": "A mail to Ann.",
        }
    ],
    "Ask for an order.": "What shall I order?",
    "Ask for a number.": "How many?",
}
"""What the graph asks, by the prompt of its task."""
SCHEMAS = {
    "Ask for an order.": {
        "$defs": {"Size": {"enum": ["small", "large", 3]}},
        "type": "object",
        "properties": {
            "item": {"type": "string", "description": "What it is"},
            "number": {"type": "integer", "minimum": 1},
            "size": {"$ref": "#/$defs/Size"},
            "gift": {"type": "boolean", "default": False},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
            "options": {"type": "array"},
        },
        "required": ["item", "number", "size", "gift"],
    },
    "Ask for a number.": {"type": "integer", "maximum": 10},
}
"""The schemas of the questions that have one."""
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>'\"javascript:alert(3) \u202egpj.exe\u2066 \x1b[31m\x00"
"""A text that would do something if it were no text."""
OWN = {"sec-fetch-site": "same-origin"}
"""What a browser says when a page of the same address sends a form."""


async def answer(state: MessagesState):
    prompt = state["messages"][-1].text
    if prompt.startswith("Ask"):
        return {
            "messages": [("assistant", f"You said {interrupt(ASKED[prompt], response_schema=SCHEMAS.get(prompt))!r}")]
        }
    if prompt.startswith("Fail"):
        raise ValueError(prompt)
    if prompt == "Wait.":
        await asyncio.Event().wait()
    return {"messages": [("assistant", f"Echo: {prompt}")]}


GRAPH = StateGraph(MessagesState).add_node("answer", answer).add_edge(START, "answer").compile()


class Elements(HTMLParser):
    """The elements of a page: tags with their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag, attribute):
        return [found[attribute] for name, found in self.elements if name == tag and attribute in found]


def text_of(response):
    """Return what a person reads on a page, with one blank wherever there are several."""
    assert response.status_code == 200, (response.status_code, response.text)
    return shown_in(response)


def shown_in(response):
    """Return what a person reads on a page of any status."""
    return re.sub(r"\s+", " ", " ".join(Elements(response.text).texts)).strip()


def link_to(response, text):
    """Return where the link with a text leads."""
    found = re.search(rf'<a [^>]*href="([^"]*)"[^>]*>\s*(?:<bdi>)?{re.escape(text)}', response.text)
    assert found, f"no link says {text!r}"
    return unescape(found[1])


def between(text, start):
    """Return the value of an attribute."""
    return unescape(text.partition(start)[2].partition('"')[0])


class Browser:
    """Asks an application; cookies are kept."""

    def __init__(self, app, root="", base=HERE):
        transport = httpx.ASGITransport(app, root_path=root)
        self.client = httpx.AsyncClient(transport=transport, base_url=base)

    async def get(self, path="", **options):
        return await self.client.get(path, **options)

    async def post(self, path, headers=OWN, **fields):
        return await self.client.post(path, data=fields, headers=headers)

    async def do(self, path, **fields):
        """Send a form, and return the page that follows."""
        response = await self.post(path, **fields)
        assert response.status_code == 303, (response.status_code, response.text)
        return await self.client.get(urljoin(str(response.url), response.headers["location"]))


async def until_run(scheduler, run_id, status):
    """Return a run once it has a status."""
    await wait_until(lambda: scheduler.get_run(run_id).status == status, scheduler)
    return scheduler.get_run(run_id)


async def ran(scheduler, task_id, number=1):
    """Run a task so many times, and return its runs when they are over, newest first."""
    run_ids = [scheduler.trigger_task(task_id) for _ in range(number)]
    await wait_until(lambda: all(scheduler.get_run(each).finished_at for each in run_ids), scheduler)
    return [scheduler.get_run(each) for each in reversed(run_ids)]
