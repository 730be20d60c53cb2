"""web: the pages of a store, for a browser."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any, Final

import typer

from scheduler import TaskScheduler
from scheduler.cli.errors import CommandError, ExitCode
from scheduler.cli.options import Db, DbUrl, opened
from scheduler.cli.ui.output import say

HOST: Final = "127.0.0.1"
PORT: Final = 8745


def web(
    host: Annotated[
        str, typer.Option("--host", metavar="HOST", help="Set the address; default: one of this machine alone.")
    ] = HOST,
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=0, max=65_535, help="Set the port; 0: a free one.")
    ] = PORT,
    allowed_hosts: Annotated[
        list[str] | None,
        typer.Option("--allowed-host", metavar="NAME", help="Answer under this host name, too; can be repeated."),
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Allow no changes.")] = False,
    title: Annotated[str, typer.Option("--title", metavar="TEXT", help="Show this at the top of each page.")] = "",
    zone: Annotated[
        str | None,
        typer.Option("--zone", metavar="ZONE", help="Show times in this IANA zone where a browser says no other one."),
    ] = None,
    db: Db = None,
    db_url: DbUrl = None,
) -> None:
    """Show the store in a browser, and act on it, until Ctrl+C. It prints the address, which has a secret token."""
    options = {"allowed_hosts": allowed_hosts or (), "read_only": read_only, "title": title, "zone": zone}
    with opened(db, db_url) as scheduler, suppress(KeyboardInterrupt):  # where loops take no signal handlers
        asyncio.run(_serve(scheduler, host, port, options))


async def _serve(scheduler: TaskScheduler, host: str, port: int, options: dict[str, Any]) -> None:
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    with suppress(NotImplementedError):
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopping.set)
    async with pages_at(scheduler, host, port, **options):
        await stopping.wait()


@asynccontextmanager
async def pages_at(scheduler: TaskScheduler, host: str, port: int, **options: Any) -> AsyncIterator[None]:  # noqa: ANN401 (those of `web.app`)
    """Serve the web view during the block, and print its address. Raises `CommandError` without the extra `web`."""
    try:
        from scheduler.web import served  # noqa: PLC0415 (its packages may not be there)
    except ImportError as error:
        raise CommandError(str(error)) from None
    async with served(scheduler, host=host, port=port, **options) as view:
        say(f"Web view: {view.sign_in_url}")
        yield


def place_of(text: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`, `[::1]:PORT` or `PORT`. Raises `CommandError`."""
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65_535):  # noqa: PLR2004 (ports)
        hint = f"give HOST:PORT or PORT, such as {HOST}:{PORT}"
        raise CommandError(f"--web={text!r} is no address; {hint}", ExitCode.USAGE)
    return host.strip("[]") or HOST, int(port)
