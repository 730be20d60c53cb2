"""Three steps, a, b and c, on a LangGraph server; each asks the test whether to continue, fail or wait.

The prompt `ask-b` asks a human in step b, before that step asks the test. The graph `stopping` has a breakpoint before
step b. The graph `released` is built for each request, and a file beside this one can rename its second step: so a test
plays a new release, without a restart.
"""

import asyncio
import os
from pathlib import Path

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


def three_steps(second="b", **breakpoints):
    builder = StateGraph(MessagesState)
    names = ["a", second, "c"]
    for before, name, action in zip([START, *names], names, "abc", strict=False):
        builder.add_node(name, step(action))
        builder.add_edge(before, name)
    builder.add_edge("c", END)
    return builder.compile(**breakpoints)


def second_step():
    file = Path("second_step")
    return file.read_text() if file.exists() else "b"


async def released():
    return three_steps(await asyncio.to_thread(second_step))


steps = three_steps()
stopping = three_steps(interrupt_before=["b"])
