"""The example graph answers offline by itself, through a model if one is named, and never half."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from langchain_core.language_models import FakeListChatModel

SOURCE = Path(__file__).parent.parent / "graph.py"
INPUT = {
    "messages": [{"role": "user", "content": "Are you there?"}],
    "session_id": "scheduler:tests",
    "metadata": {"channel": "scheduler", "task_id": "t", "task_name": "T"},
}


def load_example() -> ModuleType:
    """Import graph.py again: its content depends on the environment at that moment."""
    spec = importlib.util.spec_from_file_location("example_graph", SOURCE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[spec.name]
    return module


def stand_in_for_langchain(monkeypatch, init_chat_model):
    package, chat_models = ModuleType("langchain"), ModuleType("langchain.chat_models")
    chat_models.init_chat_model = init_chat_model
    monkeypatch.setitem(sys.modules, "langchain", package)
    monkeypatch.setitem(sys.modules, "langchain.chat_models", chat_models)


async def test_it_echoes_without_a_model_and_says_so(monkeypatch, caplog):
    """Without SCHEDULER_MODEL the answer is an echo, and the log says that it is one."""
    monkeypatch.delenv("SCHEDULER_MODEL", raising=False)
    caplog.set_level("INFO")
    result = await load_example().graph.ainvoke(INPUT)
    assert result["messages"][-1].text == "Echo: Are you there?"
    assert "offline, with an echo" in caplog.text


async def test_it_keeps_the_session_and_the_metadata(monkeypatch):
    """LangGraph drops keys that a schema does not name; this one names all that the scheduler sends."""
    monkeypatch.delenv("SCHEDULER_MODEL", raising=False)
    result = await load_example().graph.ainvoke(INPUT)
    assert (result["session_id"], result["metadata"]) == (INPUT["session_id"], INPUT["metadata"])


async def test_a_named_model_answers(monkeypatch, caplog):
    """SCHEDULER_MODEL is handed to init_chat_model as it is, and that model answers."""
    asked_for = []

    def init_chat_model(name):
        asked_for.append(name)
        return FakeListChatModel(responses=["Yes, I am."])

    stand_in_for_langchain(monkeypatch, init_chat_model)
    monkeypatch.setenv("SCHEDULER_MODEL", "openai:gpt-5-mini")
    caplog.set_level("INFO")
    result = await load_example().graph.ainvoke(INPUT)
    assert asked_for == ["openai:gpt-5-mini"]
    assert result["messages"][-1].text == "Yes, I am."
    assert "openai:gpt-5-mini" in caplog.text


def test_a_model_without_langchain_is_an_error_that_says_what_to_install(monkeypatch):
    """A model that cannot be loaded ends the import: it must not become an echo in silence."""
    monkeypatch.setitem(sys.modules, "langchain", None)
    monkeypatch.setenv("SCHEDULER_MODEL", "google_genai:gemini")
    with pytest.raises(ImportError, match=r"SCHEDULER_MODEL=google_genai:gemini.*langchain langchain-google-genai"):
        load_example()


def test_a_model_that_cannot_be_built_is_an_error_that_names_it(monkeypatch):
    """A missing key or an unknown name is reported at import, too."""

    def init_chat_model(name):
        raise ValueError("Missing credentials")

    stand_in_for_langchain(monkeypatch, init_chat_model)
    monkeypatch.setenv("SCHEDULER_MODEL", "openai:gpt-5-mini")
    with pytest.raises(RuntimeError, match="SCHEDULER_MODEL=openai:gpt-5-mini cannot be used: Missing credentials"):
        load_example()
