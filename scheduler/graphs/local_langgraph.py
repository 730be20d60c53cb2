"""What LangGraph alone has: checkpointers, commands, cooperative stops. It is looked up, never imported at our import.

A graph of LangGraph can only be here if the program has imported LangGraph, so its modules are in `sys.modules`.
"""

import inspect
import sys
from collections.abc import Mapping
from typing import Any


def is_langgraph(graph: object) -> bool:
    """Tell whether a graph is a local LangGraph: compiled, or a functional entrypoint."""
    pregel = sys.modules.get("langgraph.pregel")
    return pregel is not None and isinstance(graph, pregel.Pregel)


def has_checkpointer(graph: object) -> bool:
    """Tell whether a graph keeps its threads."""
    base = sys.modules.get("langgraph.checkpoint.base")
    return (
        base is not None
        and is_langgraph(graph)
        and isinstance(getattr(graph, "checkpointer", None), base.BaseCheckpointSaver)
    )


def as_server_graph(graph: object) -> Any | None:  # noqa: ANN401 (ServerGraph, whose module is imported with the first)
    """Return a graph if it is one on a LangGraph server."""
    server = sys.modules.get("scheduler.graphs.server")
    return graph if server is not None and isinstance(graph, server.ServerGraph) else None


def as_remote_graph(graph: object) -> Any | None:  # noqa: ANN401 (LangGraph's RemoteGraph)
    """Return a graph if it is LangGraph's client of a server."""
    remote = sys.modules.get("langgraph.pregel.remote")
    return graph if remote is not None and isinstance(graph, remote.RemoteGraph) else None


def keeps_threads(graph: object) -> bool:
    """Tell whether a graph remembers its threads: with a checkpointer here, or on a server, which always does."""
    return has_checkpointer(graph) or as_server_graph(graph) is not None


async def delete_thread(graph: Any, thread_id: str) -> None:  # noqa: ANN401 (any graph)
    """Delete what a graph keeps of a thread, if it keeps any. Raises what its saver or its server raises."""
    if as_server_graph(graph) is not None:
        await graph.adelete_thread(thread_id)
    elif has_checkpointer(graph):
        await graph.checkpointer.adelete_thread(thread_id)


def takes_checkpointer(graph: object) -> bool:
    """Tell whether a graph could keep its threads, and does not say itself where, or that it does not."""
    return is_langgraph(graph) and getattr(graph, "checkpointer", None) is None


def with_checkpointer(graph: Any, checkpointer: object) -> Any:  # noqa: ANN401 (LangGraph's own graphs)
    """Return a copy of a local LangGraph that keeps its threads in a saver."""
    return _copy(graph, checkpointer=checkpointer)


def takes_store(graph: object) -> bool:
    """Tell whether a graph could be given a store of LangGraph's, and has none."""
    return is_langgraph(graph) and getattr(graph, "store", None) is None


def with_store(graph: Any, store: object) -> Any:  # noqa: ANN401
    """Return a copy of a local LangGraph whose nodes are given a store."""
    return _copy(graph, store=store)


def nodes_that_ask_for_store(graph: Any) -> list[str]:  # noqa: ANN401
    """Return the nodes that cannot run without a store, by their parameters, of a graph that has none."""
    if not takes_store(graph):
        return []
    asked = {name: getattr(node.bound, "func_accepts", {}).get("store") for name, node in graph.nodes.items()}
    return [name for name, asks in asked.items() if asks is not None and asks[-1] is inspect.Parameter.empty]


def with_breakpoints(graph: Any, given: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """Return a copy of a local LangGraph that has breakpoints of its own which it would be given at each call."""
    changes = {f"{name}_nodes": nodes for name, nodes in given.items()}
    return _copy(graph, **changes) if changes and is_langgraph(graph) else graph


def _copy(graph: Any, **changes: object) -> Any:  # noqa: ANN401
    """Return a copy of a local LangGraph.

    With `LANGGRAPH_STRICT_MSGPACK` LangGraph lets a checkpoint bring back only types that the graph's state names. It
    keeps this list when the graph is compiled, and a copy does not have it.
    """
    copied = graph.copy(update=changes)
    if (allowed := getattr(graph, "_serde_allowlist", None)) is not None:
        copied._serde_allowlist = allowed  # noqa: SLF001 (there is no public way)
    return copied


def create_node_tasks_through_the_loop() -> None:
    """Have LangGraph create the tasks of parallel nodes with `loop.create_task`, as it does on Python 3.11.

    From Python 3.12 on it calls `asyncio.eager_task_factory` itself, past the loop's own factory, which keeps a
    `sys.exit()` in a node from ending the program. There is no public switch for it.
    """
    module: Any = sys.modules.get("langgraph._internal._future")
    if getattr(module, "EAGER_NOT_SUPPORTED", True) is False:
        module.EAGER_NOT_SUPPORTED = True


def new_control(graph: object) -> Any | None:  # noqa: ANN401 (LangGraph's own class)
    """Return a control through which a run of this graph can be asked to stop at a step boundary, where it can be."""
    control = getattr(sys.modules.get("langgraph.runtime"), "RunControl", None)
    if control is None or not has_checkpointer(graph):
        return None
    takes_it = "control" in inspect.signature(graph.ainvoke).parameters  # type: ignore[attr-defined]
    return control() if takes_it else None


def is_drained(error: BaseException) -> bool:
    """Tell whether an error says that a run stopped at a step boundary because it was asked to."""
    drained = getattr(sys.modules.get("langgraph.errors"), "GraphDrained", None)
    return drained is not None and issubclass(type(error), drained)
