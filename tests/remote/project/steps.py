"""Three steps, a, b and c, on a LangGraph server; each asks the test whether to continue, fail or wait.

The prompt `ask-b` asks a human in step b, before that step asks the test.
"""

import asyncio
import os

from langchain_core.messages import AIMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import interrupt


async def ask_the_test(step, prompt):
    """Tell the test what is done here, and return what it says; if this is cancelled, the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(os.environ["GATE_PORT"]))
    try:
        writer.write(f"{step} {prompt}\n".encode())
        return (await reader.readline()).decode().strip()
    finally:
        writer.close()


def step(name):
    async def run(state):
        prompt = next(message.text for message in reversed(state["messages"]) if message.type == "human")
        answer = interrupt({"ask": f"{name}?"}) if prompt == f"ask-{name}" else None
        if await ask_the_test(name, prompt) == "fail":
            message = f"{name} fails"
            raise ValueError(message)
        text = f"{name} {len(state['messages'])}" if answer is None else f"{name} heard {answer}"
        return {"messages": [AIMessage(text)]}

    return run


builder = StateGraph(MessagesState)
for before, node in zip([START, "a", "b"], "abc", strict=True):
    builder.add_node(node, step(node))
    builder.add_edge(before, node)
builder.add_edge("c", END)
steps = builder.compile()
