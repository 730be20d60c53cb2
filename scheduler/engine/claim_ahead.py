"""How far ahead the passes claim: some time before due times come, and some runs beyond the free slots."""

from typing import Final

from scheduler.timing.clock import SECOND

GAP: Final = 0.001
"""How long after one run the next one starts while the store's thread works, in seconds.

A loop that is never idle takes the GIL again, in each turn, before the thread has woken up for it; the thread
then gets nothing done until all runs have ended.
"""

_EARLY, _MOST_EARLY = 0.03, 0.2
_PASSES_EARLY: Final = 3
_MEMORY: Final = 0.8
"""How much of the mean duration of a pass is of the passes before the last one."""
_AHEAD_SECONDS: Final = 0.1
"""Runs that will begin within so many seconds, at the rate at which runs end, are claimed ahead."""
_MOST_AHEAD: Final = 128
"""The most runs that are claimed ahead: 256 and 400 were no faster, and a crash interrupts all of them."""
_SHORTEST: Final = 0.01
"""Rates are computed over at least this many seconds."""


class ClaimAhead:
    """What the last passes and runs say about the next pass; times in seconds, on the event loop's clock."""

    def __init__(self, now: float) -> None:
        """Know nothing yet."""
        self.ahead: int = 0
        """How many runs to claim beyond the free slots: as many as end in a moment, so none while runs are long.

        Without it a storm of short runs would wait for the database between any two batches.
        """
        self._since = now
        self._pass_seconds = 0.0

    def note_ended(self, number: int, now: float) -> None:
        """Note that so many runs have ended since the last call."""
        rate = number / max(now - self._since, _SHORTEST)
        self._since = now
        self.ahead = min(_MOST_AHEAD, int(rate * _AHEAD_SECONDS))

    def note_pass(self, seconds: float) -> None:
        """Note how long a pass has taken in the store."""
        self._pass_seconds = _MEMORY * self._pass_seconds + (1 - _MEMORY) * seconds

    @property
    def low(self) -> int:
        """With so few runs waiting to start, the next ones are fetched: as many as start during the pass."""
        return min(self.ahead, int(self._pass_seconds / GAP))

    @property
    def early(self) -> int:
        """How long before they come due times are claimed, in microseconds, by a pass that is made half as long before.

        Their runs start by the loop's own timer, so they need not wait for the commit, and tasks that are due shortly
        one after the other share a pass: 300 tasks of one second each, spread evenly, then make 60 passes a second
        instead of 300. It grows with the time that passes take. A crash in between leaves a run that is `interrupted`,
        as one between claim and launch does.
        """
        return round(min(max(_EARLY, _PASSES_EARLY * self._pass_seconds), _MOST_EARLY) * SECOND)
