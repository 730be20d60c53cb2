"""Addresses of graphs on LangGraph servers: what is one, and what is refused before anything is opened."""

import pytest

from scheduler import TaskDefinition
from scheduler.server_url import ServerUrl, is_server_url, parse_server_url

FORM = "write langgraph+http://host:port/assistant"


@pytest.mark.parametrize(
    ("text", "base", "assistant"),
    [
        ("langgraph+http://localhost:2024/agent", "http://localhost:2024", "agent"),
        ("langgraph+https://my-app.eu.example.com/agent", "https://my-app.eu.example.com", "agent"),
        ("langgraph+https://example.com/base/v2/agent", "https://example.com/base/v2", "agent"),
        ("langgraph+http://[::1]:2024/agent", "http://[::1]:2024", "agent"),
        (
            "langgraph+http://h/01d10e59-d4b4-51ec-8e94-9b2716b34de8",
            "http://h",
            "01d10e59-d4b4-51ec-8e94-9b2716b34de8",
        ),
    ],
)
def test_an_address_is_a_server_and_an_assistant(text, base, assistant):
    """The last part of the path is the assistant, by name or id."""
    assert is_server_url(text)
    assert parse_server_url(text) == ServerUrl(base, assistant)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("langgraph+ftp://host/agent", f"it is not of a LangGraph server; {FORM}"),
        ("langgraph+", f"it is not of a LangGraph server; {FORM}"),
        ("langgraph+http://host:99999/agent", f"it is no URL; {FORM}"),
        ("langgraph+http://[::1/agent", f"it is no URL; {FORM}"),
        ("langgraph+http:///agent", f"it names no host; {FORM}"),
        ("langgraph+http://-host/agent", f"it names no host; {FORM}"),
        ("langgraph+http://host:0/agent", f"it names no host; {FORM}"),
        ("langgraph+http://host", "it does not end with the name of a graph"),
        ("langgraph+http://host/", "it does not end with the name of a graph"),
        ("langgraph+http://host/../agent", "it does not end with the name of a graph"),
        ("langgraph+http://host/agent%2f..", "it does not end with the name of a graph"),
        ("langgraph+http://host/agent?x=1", "it has more than a host and an assistant"),
        ("langgraph+http://host/agent#x", "it has more than a host and an assistant"),
        ("langgraph+http://host/my agent", "it has more than a host and an assistant"),
        ("langgraph+http://host/agent\n", "it has more than a host and an assistant"),
        ("langgraph+http://me:word@host/agent", "the API key is read from LANGGRAPH_API_KEY"),
        ("langgraph+http://word@host/agent", "the API key is read from LANGGRAPH_API_KEY"),
    ],
)
def test_what_is_no_address_is_refused_by_the_definition(text, problem):
    """The error names task, field and value, and says how to fix it; it does not show what may be a password."""
    with pytest.raises(ValueError, match="Task t: graph=") as caught:
        TaskDefinition(id="t", name="T", task_type="interval", interval_seconds=60, prompt="Go.", graph=text)
    assert problem in str(caught.value)
    assert "word" not in str(caught.value)
