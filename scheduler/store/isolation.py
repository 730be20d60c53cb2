"""Writes what a pass brings: steps and outcomes. One that cannot be written does not hold up the others."""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from scheduler.models import RunStatus
from scheduler.store import outcomes
from scheduler.store.claims import Claim
from scheduler.store.database.statements import Connection
from scheduler.store.outcomes import Chance, Finished, Outcome

_REASON_LIMIT: Final = 300
"""The longest description of why an outcome was refused, in characters."""


@dataclass(slots=True)
class Written:
    """What became of the outcomes of a pass."""

    outcomes: list[Outcome] = field(default_factory=list)
    """Those that were given, each as it was written."""
    lost: list[Outcome] = field(default_factory=list)
    """Those that came too late: the run belongs to another attempt by now."""
    paused: list[tuple[str, str]] = field(default_factory=list)
    """Tasks that were paused by their failures, each with the reason."""
    replaced: list[tuple[Outcome, str]] = field(default_factory=list)
    """Those that the database refused, each with the reason; their runs are stored as `failed`."""
    unwritten: list[tuple[Outcome, str]] = field(default_factory=list)
    """Those that it refused even as `failed`; their runs are stored as `running`."""


Steps: TypeAlias = Iterable[tuple[Claim, str]]
Write: TypeAlias = Callable[[Connection, str, Steps, Sequence[Outcome], int, Chance], Written]


class RefusedError(Exception):
    """Some step or outcome was refused for a reason of its own; the transaction has to be undone."""


def write_together(  # noqa: PLR0913, PLR0917 (see `Write`)
    connection: Connection, owner: str, steps: Steps, results: Sequence[Outcome], now: int, chance: Chance
) -> Written:
    """Write steps and outcomes with few statements, all or none. Raises `RefusedError`."""
    try:
        # The steps first: a run that has ended takes none any more.
        outcomes.note_steps(connection, owner, steps)
        finished = outcomes.finish(connection, owner, results, now, chance)
    except Exception as error:
        if connection.is_refusal(error):
            raise RefusedError from error
        raise
    return Written(list(results), finished.lost, finished.paused)


def write_one_by_one(  # noqa: PLR0913, PLR0917 (see `Write`)
    connection: Connection, owner: str, steps: Steps, results: Sequence[Outcome], now: int, chance: Chance
) -> Written:
    """Write each step and each outcome by itself; leave out the steps that are refused, and replace the outcomes."""
    for step in steps:
        _attempted(connection, functools.partial(outcomes.note_steps, connection, owner, [step]))
    written = Written()
    finish_one = functools.partial(outcomes.finish, connection, owner, now=now, chance=chance)
    for outcome in results:
        _write_alone(connection, outcome, finish_one, written)
    return written


def _write_alone(
    connection: Connection, outcome: Outcome, finish_one: Callable[[Sequence[Outcome]], Finished], written: Written
) -> None:
    """Write an outcome as it is, else in ASCII, else as a failure."""

    def finish(change: Callable[[Outcome], Outcome]) -> Exception | None:
        def write() -> None:
            version = change(outcome)
            finished = finish_one([version])
            written.lost += finished.lost
            written.paused += finished.paused
            written.outcomes.append(version)

        return _attempted(connection, write)

    error = finish(lambda unchanged: unchanged)
    if error is None or finish(_in_ascii) is None:
        return
    reason = _described(error)
    # A run that was not launched has not failed.
    if outcome.status is not RunStatus.PENDING and finish(functools.partial(_as_failure, reason=reason)) is None:
        written.replaced.append((outcome, reason))
    else:
        written.unwritten.append((outcome, reason))


def _attempted(connection: Connection, call: Callable[[], object]) -> Exception | None:
    """Call something; undo what it did, and return the error, if it is refused. Raises what the database itself has."""
    try:
        with connection.savepoint():
            call()
    except Exception as error:
        if not connection.is_refusal(error):
            raise
        return error
    return None


def _in_ascii(outcome: Outcome) -> Outcome:
    """Return an outcome with the texts that a database stores whose encoding is not Unicode."""

    def escaped(text: str | None) -> str | None:
        return None if text is None else _ascii(text)

    return replace(outcome, response=escaped(outcome.response), error=escaped(outcome.error))


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()


def _as_failure(outcome: Outcome, reason: str) -> Outcome:
    """Return the end of a run whose own outcome is refused; nothing of what was refused is in it."""
    return replace(
        outcome,
        status=RunStatus.FAILED,
        response=None,
        error=f"the run ended as {outcome.status}, which could not be stored: {reason}",
        questions=(),
        is_last=True,
        usage=None,
    )


def _described(error: Exception) -> str:
    """Return type and message of an error, in ASCII."""
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 (whatever the error of a class of the user's raises)
        text = type(error).__name__
    return " ".join(_ascii(text).split())[:_REASON_LIMIT]
