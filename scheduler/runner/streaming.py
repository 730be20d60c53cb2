"""One call of a graph, with each of its steps told as it ends."""

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, Final

_INTERRUPT: Final = "__interrupt__"
_MOST_NAMES: Final = 100
"""So many nodes that ended together are named."""


async def stream_graph(
    graph: Any,  # noqa: ANN401 (any graph that streams)
    given: object,
    config: dict[str, Any],
    options: Mapping[str, Any],
    step_finished: Callable[[str], None],
) -> object:
    """Call a graph, and return what its `ainvoke` would.

    LangGraph's own `ainvoke` does the same: it streams values and updates, and returns the last values, and beside them
    the interrupts, which stand among the updates. An update is that of a node, or of a task of an entrypoint, whose
    name is the step.
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
            if names := [name for name in islice(content, _MOST_NAMES) if not name.startswith("__")]:
                step_finished(", ".join(names))
    if interrupts:
        return {**(latest if isinstance(latest, dict) else {}), _INTERRUPT: interrupts}
    return latest
