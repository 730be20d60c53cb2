"""A LangGraph server that is played: its runs take their time, and do nothing. Every run costs it little."""

import asyncio
import itertools
import json
import time
from datetime import datetime
from multiprocessing.connection import Connection
from typing import Any

_numbers = itertools.count(1)
_calls: list[tuple[float, float]] = []
"""When each run was due, and how late it came, in seconds; `GET /calls` tells them."""
_DONE = {"messages": [{"type": "ai", "content": "Done."}]}


def serve(seconds: float, ready: Connection) -> None:
    """Serve on a free port, which is sent through the connection, until the process is ended."""
    asyncio.run(_serve(seconds, ready))


async def _serve(seconds: float, ready: Connection) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _answer(seconds, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has gone
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=4096)
    ready.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def note(config: Any, calls: list[tuple[float, float]]) -> None:  # noqa: ANN401 (LangGraph's own)
    """Note when the run of a config was due, and how late it is."""
    due = datetime.fromisoformat(config["metadata"]["scheduled_at"]).timestamp()
    calls.append((due, time.time() - due))


async def _answer(seconds: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request as the server's API does: a run, how a run ended, which assistants there are."""
    method, path, _ = (await reader.readline()).decode().split()
    size = 0
    while (line := await reader.readline()) != b"\r\n":
        name, _, value = line.decode().partition(":")
        size = int(value) if name.lower() == "content-length" else size
    body = await reader.readexactly(size)
    head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n"
    answer: object = {"status": "success"} if method == "GET" else [{}]
    if path == "/calls":
        answer = _calls
    if path.endswith("/runs/wait"):
        note(json.loads(body)["config"], _calls)
        run = path.removesuffix("wait") + str(next(_numbers))
        writer.write(f"{head}content-location: {run}\r\n\r\n".encode())
        await writer.drain()
        await asyncio.sleep(seconds)
        answer = _DONE
    else:
        writer.write(f"{head}\r\n".encode())
    writer.write(json.dumps(answer).encode())
    await writer.drain()
