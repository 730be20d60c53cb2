"""The last outcomes of a scheduler that stops: into the store, or else into a file beside it."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from scheduler import logbook
from scheduler.store import Claim, Outcome, PassResult, SchedulerSession
from scheduler.timing.clock import Clock

TRIES: Final = 5
"""How often the last outcomes are tried to be written; each try waits a second for a lock."""
_PAUSE: Final = 0.1
"""Seconds between two tries."""


def write_last(  # noqa: PLR0913 (what is written, where, and how)
    session: SchedulerSession,
    outcomes: Sequence[Outcome],
    steps: Sequence[tuple[Claim, str]],
    clock: Clock,
    *,
    tries: int = TRIES,
    sleep: Callable[[float], None] = time.sleep,
) -> PassResult | None:
    """Write the last outcomes and give the lease back; return None, and leave the outcomes in a file, if that fails.

    It blocks for some seconds if the database is locked, so call it in the store's thread.
    """
    for attempt in range(1, tries + 1):
        try:
            return session.end(outcomes, clock.now(), steps)
        except Exception as error:  # noqa: BLE001 (whatever it is, the outcomes are kept)
            if attempt == tries:
                _leave(session, outcomes, error)
            else:
                sleep(_PAUSE)
    return None


def _leave(session: SchedulerSession, outcomes: Sequence[Outcome], error: Exception) -> None:
    if not outcomes:
        return
    file = None
    try:
        file = session.leave(outcomes)
    except (OSError, ValueError) as reason:
        logbook.outcomes_not_left(reason)
    if file is None:
        logbook.outcomes_unwritten(len(outcomes), error)
    else:
        logbook.outcomes_left(len(outcomes), str(file), error)
