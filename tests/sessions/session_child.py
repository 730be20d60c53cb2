"""A program that runs a scheduler over three steps, a, b and c, with a saver; it is killed, or stopped with SIGTERM.

Its prompts are words: `hold-b` waits in step b for a line from the input, `ask-b` asks there, `die-before` kills the
process before the graph is called, `die-after` once it has returned; both only where no file `dead` is there yet.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from langchain_core.messages import AIMessage
from langgraph.graph import MessagesState
from langgraph.types import interrupt

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from session_kit import chain, saver_at, store_at  # noqa: E402 (found by the path above)

from scheduler import TaskScheduler  # noqa: E402
from scheduler.graphs import graph_input  # noqa: E402


def tell(*words):
    """Write a line to the one who watches."""
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


def die_once():
    """Kill this process, unless one died before."""
    if not Path("dead").exists():
        Path("dead").touch()
        os.kill(os.getpid(), signal.SIGKILL)


def build(task):
    """Return the graph's usual input, or die."""
    if task.prompt == "die-before":
        die_once()
    return graph_input(task)


async def callback(task, _result):
    """Take the result, or die."""
    tell("callback")
    if task.prompt == "die-after":
        die_once()


def step(name, lines):
    async def run(state):
        prompt = state["messages"][0].text
        answer = interrupt(f"{name}?") if prompt in {f"ask-{name}", f"ask-hold-{name}"} else None
        tell("step", name, answer or "")
        if prompt in {f"hold-{name}", f"ask-hold-{name}"}:
            await lines.get()
        return {"messages": [AIMessage(name if answer is None else f"{name}: {answer}")]}

    return run


async def main():
    place = sys.argv[1], sys.argv[2]
    loop, stopping, lines = asyncio.get_running_loop(), asyncio.Event(), asyncio.Queue()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    loop.add_reader(0, lambda: lines.put_nowait(os.read(0, 100)))
    graph = chain(MessagesState, **{name: step(name, lines) for name in "abc"}).compile()
    async with saver_at(place) as saver:
        scheduler = TaskScheduler(
            **store_at(place), graph=graph, checkpointer=saver, input_builder=build, poll_interval=0.05
        )
        scheduler.start()
        tell("started")
        await stopping.wait()
        done = scheduler.stop()
        tell("stopping")
        await done
    tell("stopped")


if __name__ == "__main__":
    asyncio.run(main())
