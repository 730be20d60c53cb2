"""What an attempt uses, counted while it is made: whatever becomes of the attempt, it was spent."""

import threading

from scheduler.models import TokenUsage


class Meter:
    """Counts tokens for one attempt of a run, on top of what the run used before. Any thread may add to it."""

    __slots__ = ("_before", "_lock", "_read", "_total", "_written")

    def __init__(self, before: TokenUsage | None = None) -> None:
        """Take what the earlier attempts of the run used, as far as is known."""
        self._before = before
        self._lock = threading.Lock()
        self._read = self._written = self._total = 0

    def add(self, read: int, written: int, total: int) -> None:
        """Add what one call of a model used: what it read and wrote, and both as its provider counts it."""
        with self._lock:
            self._read, self._written, self._total = self._read + read, self._written + written, self._total + total

    @property
    def usage(self) -> TokenUsage | None:
        """What the run has used up to now; None if nothing is known."""
        with self._lock:
            if not self._total:
                return self._before
            read, written, total = self._read, self._written, self._total
        if self._before is not None:
            read, written = read + self._before.input_tokens, written + self._before.output_tokens
            total += self._before.total_tokens
        return TokenUsage(input_tokens=read, output_tokens=written, total_tokens=total)
