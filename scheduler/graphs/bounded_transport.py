"""Reads answers of a LangGraph server up to a limit, in bytes and in time; so a server cannot use up this process."""

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Final

import httpx

BODY_LIMIT: Final = 64 * 1024 * 1024
"""The most bytes of an answer; of a stream of events, the most bytes of one event."""
BODY_SECONDS: Final = 120.0
"""How long an answer may take from its first byte on, in seconds, not counting the blanks that keep it open."""
_EVENTS: Final = "text/event-stream"
_ENDS_OF_EVENTS: Final = (b"\n\n", b"\r\r", b"\r\n\r\n")
_LONGEST_END: Final = 4
_PLAIN: Final = frozenset({"", "identity"})


class AnswerTooLargeError(httpx.RemoteProtocolError):
    """The server's answer goes beyond a limit; the connection is closed."""


class BoundedTransport(httpx.AsyncBaseTransport):
    """Another transport, whose answers are bounded. Closing it closes the other one."""

    def __init__(self, inner: httpx.AsyncBaseTransport, most: int = BODY_LIMIT, seconds: float = BODY_SECONDS) -> None:
        """Take the transport that does the work, and the limits (bytes, seconds)."""
        self._inner = inner
        self._most = most
        self._seconds = seconds

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request. Compressed answers are not asked for and not read: their size is known too late."""
        request.headers["accept-encoding"] = "identity"
        response = await self._inner.handle_async_request(request)
        if response.headers.get("content-encoding", "").strip().lower() not in _PLAIN:
            await response.aclose()
            raise AnswerTooLargeError("the server compresses its answer, which it was asked not to do")
        is_events = _is_read_by_event(request, response)
        assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 (what asynchronous transports give)
        response.stream = _BoundedStream(response.stream, self._most, self._seconds, is_events=is_events)
        return response

    async def aclose(self) -> None:
        """Close the transport that does the work."""
        await self._inner.aclose()


def _is_read_by_event(request: httpx.Request, response: httpx.Response) -> bool:
    """Tell whether the client reads a stream of events. Any other answer, whatever its type, it reads as a whole."""
    types = request.headers.get("accept", ""), response.headers.get("content-type", "")
    return response.is_success and all(each.startswith(_EVENTS) for each in types)


class _BoundedStream(httpx.AsyncByteStream):
    """A body that is read up to the limits."""

    def __init__(self, inner: httpx.AsyncByteStream, most: int, seconds: float, *, is_events: bool) -> None:
        self._inner = inner
        self._most = most
        self._seconds = seconds
        self._is_events = is_events

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size: float = 0
        deadline, tail = None, b""
        loop = asyncio.get_running_loop()
        async for chunk in self._inner:
            size += len(chunk)
            if self._is_events:
                recent = tail + chunk  # the end of an event may come in two chunks
                size = min(size, *(_bytes_behind(recent, end) for end in _ENDS_OF_EVENTS))
                tail = recent[1 - _LONGEST_END :]
            if size > self._most:
                raise AnswerTooLargeError(f"the server's answer is larger than {self._most:,} bytes")
            if deadline is None and not self._is_events and chunk.strip():
                deadline = loop.time() + self._seconds
            if deadline is not None and loop.time() > deadline:
                raise AnswerTooLargeError(f"the server's answer takes longer than {self._seconds:g} s to arrive")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


def _bytes_behind(data: bytes, end: bytes) -> float:
    """Return how many bytes follow the last end of an event, infinity if there is none."""
    place = data.rfind(end)
    return len(data) - place - len(end) if place >= 0 else math.inf
