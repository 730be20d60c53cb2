"""Loads the code that tasks name (graphs, callbacks, input builders) beside the passes: no import delays one."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from scheduler import logbook
from scheduler._safe_text import ERROR_LIMIT, error_text
from scheduler.models import TaskDefinition
from scheduler.store import Loaded, ToLoad


class CodeLoader:
    """Loads each piece of code at most once at a time, and keeps what came of it until a pass takes it."""

    def __init__(self, load: Callable[[TaskDefinition], Awaitable[str | None]], on_loaded: Callable[[], None]) -> None:
        """Take what loads the code of a task and returns why it cannot; `on_loaded` asks for a pass."""
        self._load = load
        self._on_loaded = on_loaded
        self._loading: dict[str, asyncio.Task[None]] = {}
        self._loaded: list[Loaded] = []

    def load(self, wanted: Iterable[ToLoad]) -> None:
        """Begin to load code, unless it is being loaded."""
        for each in wanted:
            if each.code not in self._loading:
                loading = asyncio.get_running_loop().create_task(self._load_one(each), name=f"load {each.code}")
                self._loading[each.code] = loading

    async def _load_one(self, wanted: ToLoad) -> None:
        try:
            problem = await self._load(wanted.task)
            self._loaded.append(Loaded(wanted.code, problem))
        except Exception as error:  # noqa: BLE001 (it must not be loaded again and again for want of a result)
            logbook.pass_failed(error)
            self._loaded.append(Loaded(wanted.code, error_text(error, ERROR_LIMIT)))
        finally:
            del self._loading[wanted.code]
        self._on_loaded()

    def take(self) -> list[Loaded]:
        """Return what came of loading; the caller stores it or gives it back."""
        loaded, self._loaded = self._loaded, []
        return loaded

    def give_back(self, loaded: list[Loaded]) -> None:
        """Keep what could not be stored."""
        self._loaded = loaded + self._loaded

    def stop(self) -> None:
        """Forget what is being loaded; a thread that imports a module cannot be stopped, and ends by itself."""
        for loading in self._loading.values():
            loading.cancel()
        self._loaded = []
