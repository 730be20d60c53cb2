"""Secrets in every position of a URL, and what a text that repeats them may still show."""

import json
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scheduler import TaskDefinition
from scheduler._texts import shown
from scheduler.errors import GraphError
from scheduler.redaction import beginning, redact, secrets_in, shown_url

SECRET = "s3cr/e?t#@p%41:w"
POSITIONS = [
    "postgresql+psycopg://user:{}@db.example:5432/tasks",
    "postgresql://{}@db.example/tasks",
    "POSTGRESQL://user:{}@db.example/tasks",
    "postgresql:/user:{}@db.example/tasks",
    "postgresql:user:{}@db.example/tasks",
    "postgresql://db.example/tasks?password={}",
    "postgresql://db.example/tasks?sslmode=require&password={}&x=1",
    "postgresql://db.example/tasks?user=me&sslpassword={}",
    "postgresql://db.example/tasks#{}",
    "langgraph+http://user:{}@host:2024/agent",
    "LangGraph+HTTPS://{}@host/agent",
    "langgraph+https://host/agent?api_key={}",
    "langgraph+https://host/agent?{}",
    "langgraph+https://host/agent#{}",
    "langgraph+https:/host/agent?x-api-key={}#{}",
    "user:{}@db.example/tasks",
]
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=8, max_size=30)


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("write", [str, lambda secret: quote(secret, safe="")], ids=["plain", "quoted"])
def test_a_url_shows_no_secret(position, write):
    """Wherever it stands, well formed or not; neither the secret nor what it means."""
    shown = shown_url(position.replace("{}", write(SECRET)))
    assert SECRET not in shown
    assert quote(SECRET, safe="") not in shown
    assert "s3cr" not in shown


@given(st.sampled_from(POSITIONS), TEXTS)
@settings(max_examples=400)
@example("langgraph+http://user:{}@host:2024/agent", "/@/@/@/@")
def test_a_url_shows_nothing_of_any_secret(position, secret):
    """Also where the secret holds the signs that URLs are made of."""
    secret = f"begin{secret}end"
    shown = shown_url(position.replace("{}", secret))
    assert "begin" not in shown
    assert "end" not in shown


@given(st.sampled_from(POSITIONS), TEXTS, st.sampled_from([str, repr, json.dumps, lambda text: quote(text, safe="")]))
@settings(max_examples=400)
def test_a_text_that_repeats_a_secret_shows_it_no_more(position, secret, write):
    """Such as the error of a driver or the answer of a server, as it is or quoted."""
    secret = f"tok{secret}en"
    url = position.replace("{}", quote(secret, safe=""))
    answer = redact(f"401: the key {write(secret)} is wrong, said {url} twice", secrets_in(url))
    assert secret not in answer
    assert quote(secret, safe="") not in answer
    assert answer.startswith("401: the key ")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+psycopg://user:pw@db.example:5432/tasks", "postgresql+psycopg://…@db.example:5432/tasks"),
        ("postgresql://db.example/tasks?sslmode=require", "postgresql://db.example/tasks?…"),
        ("langgraph+http://localhost:2024/agent", "langgraph+http://localhost:2024/agent"),
        ("sqlite:////folder/file.db", "sqlite:////folder/file.db"),
        ("http://[::1]:80/a", "http://[::1]:80/a"),
        ("tasks.db", "tasks.db"),
        ("folder/tasks.db", "folder/tasks.db"),
    ],
)
def test_a_url_shows_its_place(url, shown):
    """Scheme, host, port and path are what an error has to name."""
    assert shown_url(url) == shown


def test_texts_without_secrets_stay_as_they_are():
    """Times, Windows paths and sentences with colons are no URLs."""
    for text in ("at 12:30: it failed; see https://docs.example/page", r"C:\folder\file: not found", "a:b", "::", ":/"):
        assert redact(text) == text


def test_plain_parameters_are_no_secrets():
    """A text that says `require` stays readable."""
    assert secrets_in("postgresql://me:pw@db/x?sslmode=require&application_name=app") == {"pw"}


@given(st.text("ab :/@\n", max_size=200), st.text("ab :/@\n", max_size=200), st.integers(1, 250), st.booleans())
@settings(max_examples=600)
def test_a_cut_leaves_no_part_of_a_secret(before, after, most, as_url):
    """Wherever a text is cut: neither the beginning of a key, nor that of a URL whose end is cut off, stays."""
    secret = "XYZWVUTSRQ" * 3
    text = f"{before} http://user:{secret}@host/p {after}" if as_url else f"{before} {secret} {after}{secret}"
    left = beginning(text, most, [] if as_url else [secret])
    assert len(left) <= most
    assert "XYZ" not in left


@given(st.integers(0, 400), st.integers(1, 300))
def test_a_long_url_is_cut_without_its_password(padding, length):
    """Errors show values cut; a URL that is longer than what is shown shows no more than a short one."""
    url = f"{'x' * padding} langgraph+http://user:TOPSECRET{'y' * length}@host:1/agent"
    for text in (shown(url), str(GraphError(url, "it is wrong", "write another one")), beginning(url, 60 + padding)):
        assert "TOP" not in text


FIELDS = ["graph", "result_callback", "input_builder", "timezone", "cron_expression", "id"]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("length", [0, 300])
def test_a_definition_that_is_refused_shows_no_password(field, length):
    """Whatever field the URL was written into."""
    url = f"langgraph+http://user:TOPSECRET{'y' * length}@host:1/agent /"
    kind = {"task_type": "cron"} if field == "cron_expression" else {"task_type": "interval", "interval_seconds": 5}
    with pytest.raises(ValueError, match="Task") as raised:
        TaskDefinition(**{"id": "a", "name": "a", "prompt": "p", **kind, field: url, "max_runs": 0})
    assert "TOP" not in str(raised.value)
