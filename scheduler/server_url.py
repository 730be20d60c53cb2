"""`langgraph+http://host:port/assistant`: the address of a graph on a LangGraph server; read strictly, not opened."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

SERVER_PREFIX: Final = "langgraph+"
"""What a graph's name begins with if the graph is on a server."""

_FORM: Final = "write langgraph+http://host:port/assistant, or langgraph+https://…"
_SCHEMES: Final = ("langgraph+http", "langgraph+https")
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.~-]*")


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """A server, and a graph on it."""

    base: str
    """The URL of the server's API."""
    assistant: str
    """The name of a graph there, or the id of an assistant."""


class ServerUrlError(ValueError):
    """What is wrong with an address, and how to correct it; it never shows a password."""

    def __init__(self, problem: str, hint: str = _FORM) -> None:
        """Take both parts of the sentence."""
        super().__init__(f"{problem}; {hint}")
        self.problem = problem
        self.hint = hint


def is_server_url(graph: str) -> bool:
    """Tell whether a graph's name is meant as the address of one on a server."""
    return graph.lower().startswith(SERVER_PREFIX)


def parse_server_url(text: str) -> ServerUrl:
    """Return what an address means. Raises `ServerUrlError`."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ServerUrlError("it is no URL") from None
    if parts.scheme not in _SCHEMES:
        raise ServerUrlError("it is not of a LangGraph server")
    _check_harmless(text, parts)
    if not _HOST.fullmatch(host or "") or port == 0:
        raise ServerUrlError("it names no host")
    *prefix, assistant = parts.path.split("/")[1:] or [""]
    if not all(_SEGMENT.fullmatch(each) for each in (*prefix, assistant)):
        raise ServerUrlError("it does not end with the name of a graph, or an assistant's id, after a slash")
    path = "".join(f"/{each}" for each in prefix)
    return ServerUrl(f"{parts.scheme.removeprefix(SERVER_PREFIX)}://{parts.netloc}{path}", assistant)


def _check_harmless(text: str, parts: SplitResult) -> None:
    if "@" in parts.netloc:
        raise ServerUrlError("it has credentials", "leave them out: the API key is read from LANGGRAPH_API_KEY")
    if "?" in text or "#" in text or not text.isprintable() or " " in text:
        raise ServerUrlError("it has more than a host and an assistant")
