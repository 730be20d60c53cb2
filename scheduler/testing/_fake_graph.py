"""A graph for tests: it answers, fails, takes its time or asks, as the test says."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from scheduler._texts import shown
from scheduler.testing._moments import Duration, seconds_in

_DONE: Final = "Done."


class FakeGraphError(Exception):
    """What a `FakeGraph` raises if the test names nothing else, like a model provider that is out of order."""


class FakeGraph:
    """Stands for a graph of LangGraph.

    Its calls are counted from 1; what is given as a list says what each call does, and its last member what all
    further calls do.
    """

    def __init__(
        self,
        answers: str | Sequence[str] | Callable[[str], str] = _DONE,
        *,
        fails: int | BaseException | Sequence[BaseException | None] = 0,
        takes: Duration | Sequence[Duration] = 0,
        asks: str | None = None,
    ) -> None:
        """Say how it behaves.

        Args:
            answers: what it answers: a text, a list of them, or a function of the prompt.
            fails: how many of the first calls raise a `FakeGraphError`; or what every call raises; or a list of what
                each call raises, with None for one that succeeds.
            takes: how much virtual time a call takes, such as `"3m"` or seconds; or a list.
            asks: what it asks before it works, as LangGraph's `interrupt` does; the run then waits for `answer_run`.
                Such a graph is built with LangGraph, which must be installed.

        Raises:
            ValueError: a duration cannot be read.
        """
        self.prompts: list[str] = []
        """The prompts of all calls, those that failed too."""
        self.replies: list[object] = []
        """What the questions were answered with."""
        self.asks = asks
        self._answers = answers
        self._fails = fails
        listed = takes if isinstance(takes, Sequence) and not isinstance(takes, str) else [takes]
        self._takes = [seconds_in(each, "takes") for each in listed]
        if not self._takes:
            raise ValueError("takes=[] is empty; give a duration for each call, or one for all")

    @property
    def calls(self) -> int:
        """How often it was called."""
        return len(self.prompts)

    async def ainvoke(self, input: Any, config: Any = None, **_options: Any) -> dict[str, Any]:  # noqa: A002, ANN401, ARG002 (LangGraph's own)
        """Answer, as a compiled graph does."""
        return {"messages": [{"role": "assistant", "content": await self._work(_prompt_of(input))}]}

    async def _work(self, prompt: str) -> str:
        self.prompts.append(prompt)
        number = self.calls
        await asyncio.sleep(_nth(self._takes, number))
        error = self._error(number)
        if error is not None:
            raise error
        if callable(self._answers):
            return self._answers(prompt)
        return self._answers if isinstance(self._answers, str) else _nth(self._answers, number)

    def _error(self, number: int) -> BaseException | None:
        if isinstance(self._fails, int):
            return FakeGraphError(f"call {number} of a fake graph fails") if number <= self._fails else None
        if isinstance(self._fails, BaseException):
            return self._fails
        return _nth(self._fails, number) if self._fails else None

    def compiled(self) -> Any:  # noqa: ANN401 (LangGraph's own graph)
        """Return a graph of LangGraph that does the same, and keeps its threads in memory."""
        from langgraph.checkpoint.memory import InMemorySaver  # noqa: PLC0415 (only who needs it pays for the import)
        from langgraph.graph import START, MessagesState, StateGraph  # noqa: PLC0415
        from langgraph.types import interrupt  # noqa: PLC0415

        async def ask(_state: Any) -> dict[str, Any]:  # noqa: ANN401
            self.replies.append(interrupt(self.asks))
            return {}

        async def work(state: Any) -> dict[str, Any]:  # noqa: ANN401
            return {"messages": [("assistant", await self._work(_prompt_of(state)))]}

        builder: Any = StateGraph(MessagesState)
        builder.add_node("work", work)
        if self.asks is None:
            builder.add_edge(START, "work")
        else:
            builder.add_node("ask", ask).add_edge(START, "ask").add_edge("ask", "work")
        return builder.compile(checkpointer=InMemorySaver())


def graph_for(graph: object) -> object:
    """Return the graph that a scheduler is given: a fake one that asks needs LangGraph to wait."""
    return graph.compiled() if isinstance(graph, FakeGraph) and graph.asks is not None else graph


def _nth(listed: Sequence[Any], number: int) -> Any:  # noqa: ANN401
    if not listed:
        raise ValueError(f"{shown(listed)} is empty; give what each call does")
    return listed[min(number, len(listed)) - 1]


def _prompt_of(given: Any) -> str:  # noqa: ANN401
    """Return the text of the last message of an input that has messages; of another input, its text."""
    messages = given.get("messages") if isinstance(given, dict) else None
    if not messages:
        return str(given)
    last = messages[-1]
    return str(last.get("content") if isinstance(last, dict) else getattr(last, "content", last))
