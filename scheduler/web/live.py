"""Pages that follow what happens: browsers ask again and again, and one look at the store serves all who ask.

A page that somebody has just asked for in this way is kept for a moment, compressed. So fifty open tabs cost little
more than one, and do not keep the program's own calls from the store.
"""

import gzip
import hashlib
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from scheduler import TaskScheduler
from scheduler.models import RunStatus
from scheduler.web.responses import HTML
from scheduler.web.visit import Visit

LIVE_PAGES: Final = frozenset({"", "tasks", "task", "runs", "run", "inbox"})
"""The addresses of pages that follow what happens. Forms do not, so that nothing changes under what is typed, nor does
Health, which looks at every task."""
LIVE_HEADER: Final = "x-live"
"""What the script sends when it looks again."""
NEXT_HEADER: Final = "X-Next-Look"
"""In how many seconds it looks again."""
KEPT_SHARE: Final = 0.4
"""A page is kept for this share of the time after which a browser looks again."""
_MOST_KEPT: Final = 256
_SOONEST, _LATEST = 2, 10
_OPEN: Final = (RunStatus.PENDING, RunStatus.RUNNING)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A page as it was at a moment."""

    made_at: float
    etag: str
    content: bytes
    """Compressed."""
    next_look: int
    owner: object
    """What the key was made of: as long as it is here, nothing else has its identity."""

    def response(self, request: Request) -> Response:
        """Return the page, or that it is the one that the browser has."""
        headers = {"ETag": self.etag, NEXT_HEADER: str(self.next_look), "Vary": "Accept-Encoding, Cookie"}
        if request.headers.get("if-none-match") == self.etag:
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(self.content, headers={**headers, "Content-Encoding": "gzip"}, media_type=HTML)
        return Response(gzip.decompress(self.content), headers=headers, media_type=HTML)


class Snapshots:
    """The pages that were made a moment ago."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Take a clock that is never set back."""
        self._clock = clock
        self._kept: dict[Hashable, Snapshot] = {}

    def fresh(self, key: Hashable) -> Snapshot | None:
        """Return a page that was made a moment ago; from any thread."""
        found = self._kept.get(key)
        is_fresh = found is not None and self._clock() - found.made_at < KEPT_SHARE * found.next_look
        return found if is_fresh else None

    def keep(self, key: Hashable, text: str, next_look: int, owner: object) -> Snapshot:
        """Keep a page for those who ask next."""
        content = text.encode(errors="replace")
        etag = f'"{hashlib.sha256(content).hexdigest()[:24]}"'
        made = Snapshot(self._clock(), etag, gzip.compress(content, 5), next_look, owner)
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        self._kept[key] = made
        return made

    def forget(self) -> None:
        """Forget all pages: something was changed here, and whoever did it wants to see it."""
        self._kept.clear()


def next_look(scheduler: TaskScheduler, visit: Visit) -> int:
    """Return in how many seconds a page is looked at again: soon while something runs, else when something is due."""
    if scheduler.list_runs(statuses=_OPEN, limit=1):
        return _SOONEST
    due = next((task.next_due for task in scheduler.task_views(limit=1)), None)
    wait = _LATEST if due is None else (due - visit.now + timedelta(seconds=1)).total_seconds()
    return int(min(_LATEST, max(_SOONEST, wait)))
