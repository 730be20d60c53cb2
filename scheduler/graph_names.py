"""How a graph is named: `module:attribute`, `path/to/file.py:attribute`, or a name of langgraph.json."""

import re
from typing import Final, NamedTuple, TypeAlias

DEFAULT_GRAPH: Final = "graph:graph"
"""The graph of a scheduler that is given none."""

FORMS: Final = "give it as in graph='graph:graph' or './src/agent/graph.py:graph', or a name of langgraph.json"
"""The hint for a name that is none."""

_IDENTIFIER: Final = r"[^\W\d]\w*"
_ATTRIBUTE: Final = re.compile(rf"{_IDENTIFIER}(\.{_IDENTIFIER})*")
_MODULE: Final = re.compile(r"[^\s/\\@?#:.][^\s/\\@?#:]*")
_NAME: Final = re.compile(r"\w([\w. -]*[\w.-])?")


class ModuleGraph(NamedTuple):
    """A graph in a module that Python finds by its dotted name."""

    module: str
    attribute: str


class FileGraph(NamedTuple):
    """A graph in a file."""

    path: str
    attribute: str


class NamedGraph(NamedTuple):
    """A graph that langgraph.json names."""

    name: str


GraphName: TypeAlias = ModuleGraph | FileGraph | NamedGraph


def parse_graph_name(text: str) -> GraphName | None:
    """Return what a name means, or None if it has none of the forms."""
    place, colon, attribute = text.rpartition(":")
    if not colon:
        return NamedGraph(text) if _NAME.fullmatch(text) else None
    if not is_attribute(attribute) or not place.isprintable() or "://" in place:
        return None
    if is_path(place):
        return FileGraph(place, attribute)
    return ModuleGraph(place, attribute) if _MODULE.fullmatch(place) else None


def is_attribute(text: str) -> bool:
    """Tell whether a text can name something in a module: `graph`, `Graphs.research`."""
    return _ATTRIBUTE.fullmatch(text) is not None


def is_path(place: str) -> bool:
    """Tell whether what stands before the attribute is the path of a file; else it is a module."""
    return place.endswith(".py") or "/" in place or "\\" in place
