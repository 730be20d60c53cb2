"""The example graph that the scheduler invokes. Replace it with yours; the scheduler looks for the name `graph`.

It answers with an echo, offline, unless `SCHEDULER_MODEL` names a chat model, such as `openai:gpt-5-mini`.
"""

import logging
import os
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langgraph.graph import END, START, MessagesState, StateGraph

log = logging.getLogger(__name__)


class State(MessagesState):
    """The input from the scheduler: `messages` with the task's prompt, the session, and the task's metadata."""

    session_id: str
    metadata: dict[str, Any]


def load_model(name: str) -> BaseChatModel:
    """Return the chat model with this name. An error here ends the program at its start."""
    provider = name.partition(":")[0] if ":" in name else "<provider>"
    try:
        from langchain.chat_models import init_chat_model  # noqa: PLC0415 (only needed for a real model)

        model: BaseChatModel = init_chat_model(name)
    except ImportError as error:
        packages = f"langchain langchain-{provider.replace('_', '-')}"
        raise ImportError(f"SCHEDULER_MODEL={name}: {error}; try: pip install {packages}") from error
    except Exception as error:
        raise RuntimeError(f"SCHEDULER_MODEL={name} cannot be used: {error}") from error
    return model


async def answer(state: State) -> dict[str, Any]:
    """Answer with the model."""
    return {"messages": [await model.ainvoke(state["messages"])]}


async def echo(state: State) -> dict[str, Any]:
    """Answer without a model."""
    return {"messages": [AIMessage(f"Echo: {state['messages'][-1].text}")]}


builder = StateGraph(State)
if model_name := os.environ.get("SCHEDULER_MODEL"):
    model = load_model(model_name)
    log.info("The example graph answers with %s", model_name)
    builder.add_node("answer", answer)
else:
    log.info("The example graph answers offline, with an echo; set SCHEDULER_MODEL for a real model")
    builder.add_node("answer", echo)
builder.add_edge(START, "answer")
builder.add_edge("answer", END)
graph = builder.compile()
