"""What is not understood or cannot be done: a reason, and phrases that may work instead."""

from collections.abc import Iterable


class Refusal(Exception):  # noqa: N818 - it never leaves the package: a caller sees a ValueError
    """A phrase is not taken: the reason, and candidates for what to write instead, nearest first.

    A candidate may turn out to be refused as well; `parsing` shows those only that work.
    """

    def __init__(self, reason: str, candidates: Iterable[str] = ()) -> None:
        """Keep the reason and the candidates."""
        super().__init__(reason)
        self.reason = reason
        self.candidates: tuple[str, ...] = tuple(candidates)


class Unreadable(Refusal):
    """A phrase that does not fit the grammar at some word; a hint may know better why."""
