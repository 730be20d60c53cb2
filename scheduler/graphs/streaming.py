"""One call of a graph, which says when a step has ended and whether the graph stopped at a breakpoint."""

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from scheduler.graphs.local_langgraph import as_server_graph

_INTERRUPT: Final = "__interrupt__"
_MOST_NAMES: Final = 100
"""So many nodes that ended together are named."""


def _ignore(*_: object) -> None:
    """Do nothing."""


def can_stream(graph: object) -> bool:
    """Tell whether a graph has LangGraph's `astream`, with `stream_mode`, as local and remote graphs have."""
    stream = getattr(graph, "astream", None)
    return callable(stream) and "stream_mode" in inspect.signature(stream).parameters


@dataclass(slots=True)
class GraphCall:
    """A call of a graph."""

    graph: Any
    options: Mapping[str, Any]
    """Arguments beside input and config."""
    step_finished: Callable[[str], None] | None = None
    """Is called with the name of each step that has ended, if the graph can stream."""
    stopped: bool | None = None
    """Whether the graph stopped at a breakpoint; None: that cannot be seen from the call."""

    async def __call__(self, given: object, config: dict[str, Any]) -> object:
        """Call the graph. Raises what it raises."""
        is_asked_to = self.step_finished is not None and can_stream(self.graph)
        if is_asked_to or _streams_anyway(self.graph):
            self.stopped = False
            step_finished = self.step_finished or _ignore
            result = await stream_graph(self.graph, given, config, self.options, step_finished, self._note_breakpoint)
        else:
            result = await self.graph.ainvoke(given, config, **self.options)
        return result if as_server_graph(self.graph) is None else self._without_mark(result)

    def _without_mark(self, result: object) -> object:
        """Return what a graph on a server returned; no interrupts among it are the mark of a breakpoint."""
        self.stopped = isinstance(result, dict) and _INTERRUPT in result and not result[_INTERRUPT]
        if isinstance(result, dict) and self.stopped:
            return {name: value for name, value in result.items() if name != _INTERRUPT}
        return result

    def _note_breakpoint(self) -> None:
        self.stopped = True


def _streams_anyway(graph: Any) -> bool:  # noqa: ANN401
    """Tell whether a graph's `ainvoke` is LangGraph's own, which streams; that of a subclass or of a mock is called."""
    pregel = getattr(sys.modules.get("langgraph.pregel"), "Pregel", None)
    if pregel is None or getattr(type(graph), "ainvoke", None) is not pregel.ainvoke:
        return False
    return "ainvoke" not in vars(graph)


async def stream_graph(  # noqa: PLR0913, PLR0917
    graph: Any,  # noqa: ANN401 (any graph that streams)
    given: object,
    config: dict[str, Any],
    options: Mapping[str, Any],
    step_finished: Callable[[str], None],
    stopped_at_breakpoint: Callable[[], None] = _ignore,
) -> object:
    """Call a graph, and return what its `ainvoke` would.

    LangGraph's own `ainvoke` does the same: it streams values and updates, and returns the last values, and beside them
    the interrupts, which stand among the updates. An update is that of a node, or of a task of an entrypoint, whose
    name is the step. At a breakpoint LangGraph tells an update with no interrupts, which its `ainvoke` keeps to itself.
    """
    outputs = {} if (channels := getattr(graph, "output_channels", None)) is None else {"output_keys": channels}
    latest: object = None
    interrupts: list[object] = []
    # A server's parts have their id behind mode and content.
    async for mode, content, *_ in graph.astream(
        given, config, stream_mode=["updates", "values"], **outputs, **options
    ):
        if mode == "values":
            latest = content
        elif isinstance(content, Mapping):
            interrupts += content.get(_INTERRUPT) or ()
            if _INTERRUPT in content and not content[_INTERRUPT]:
                stopped_at_breakpoint()
            if names := [name for name in islice(content, _MOST_NAMES) if not name.startswith("__")]:
                step_finished(", ".join(names))
    if interrupts:
        return {**(latest if isinstance(latest, dict) else {}), _INTERRUPT: interrupts}
    return latest
