"""The web view on an address of its own, in the event loop of the program: uvicorn, which takes no signals here."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette

from scheduler import TaskScheduler
from scheduler.web.application import app, token_of

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8745
_BACKLOG: Final = 128
_GRACE_SECONDS: Final = 2
"""So long requests have to end at the stop; no page takes as long."""


@dataclass(frozen=True, slots=True)
class Served:
    """Where the web view is."""

    url: str
    """Its address, without the token."""
    token: str | None
    """The token that it asks for; None: `auth` decides."""

    @property
    def sign_in_url(self) -> str:
        """The address to open first: with the token, which the browser then keeps as a cookie."""
        return self.url if self.token is None else f"{self.url}?token={self.token}"


class _Server(uvicorn.Server):
    """A server inside a program that has signal handlers of its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the program."""
        yield


@contextlib.asynccontextmanager
async def served(
    task_scheduler: TaskScheduler,
    *,
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    **options: Any,  # noqa: ANN401 (those of `app`)
) -> AsyncIterator[Served]:
    """Serve the web view of a scheduler while the block runs: `async with web.served(scheduler) as view:`.

    `port=0` takes a free one; `options` are those of `app`. At the end of the block, open pages do not hold it up.
    Raises what `app` raises, and `OSError` if the address cannot be listened on.
    """
    # The host is checked here, also where none is given: addresses and localhost are what people type.
    hosts = options.pop("allowed_hosts", ()) or ("localhost",)
    made = await asyncio.to_thread(
        partial(app, task_scheduler, allowed_hosts=hosts, **options)
    )  # it reads its templates
    with await asyncio.to_thread(listening, host, port) as listener:
        place = Served(_url(host, listener), token_of(made))
        async with _running(made, listener):
            yield place


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises `OSError`, with the address and what to do."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        message = f"the web view cannot listen on {host}, port {port}: {error}; give another address"
        raise OSError(message) from None


def _url(host: str, listener: socket.socket) -> str:
    port = listener.getsockname()[1]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{shown}:{port}/"


@contextlib.asynccontextmanager
async def _running(made: Starlette, listener: socket.socket) -> AsyncIterator[None]:
    config = uvicorn.Config(
        made,
        lifespan="off",
        log_config=None,
        access_log=False,  # the token is in the first address
        timeout_graceful_shutdown=_GRACE_SECONDS,
        proxy_headers=True,
        server_header=False,
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="scheduler: web view")
    try:
        yield
    finally:
        server.should_exit = True
        await serving
