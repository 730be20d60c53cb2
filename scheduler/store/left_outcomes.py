"""Outcomes that a stop could not write, kept in files beside the SQLite store until another scheduler writes them."""

import contextlib
import os
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path

from scheduler import logbook
from scheduler.store import history, outcomes
from scheduler.store.database.statements import Connection
from scheduler.store.isolation import Written, write_one_by_one
from scheduler.store.outcome_file import LeftOutcome, OutcomeFile, read_file, write_file
from scheduler.store.outcomes import Chance, Outcome

_INFIX, _SUFFIX = "-outcomes-", ".json"


class LeftOutcomes:
    """The files of the owners that could not write their last outcomes.

    A file is *left* by its owner, as the last thing that it does. It is *taken in* by a pass of any scheduler: the
    first one after a start looks for all files, later ones for those of owners that have running runs. It is *deleted*
    when that pass is committed. A file that cannot be read is *ignored*: it is logged once, and stays where it is.
    """

    def __init__(self, database: Path | None, chance: Chance) -> None:
        """Take the file of the store, and what varies the waits between attempts.

        The file is None if the store is not a file, so that nothing can be left beside it.
        """
        self._chance = chance
        self._database = None if database is None else Path(os.path.realpath(database))
        self._taken_in: list[tuple[Path, int, int]] = []
        self._ignored: set[Path] = set()
        self.looks_for_all: bool = False
        """Whether the next pass looks for the files of all owners."""

    def leave(self, owner_id: str, results: Sequence[Outcome]) -> Path | None:
        """Write outcomes into a file; return None if there is no place for one. Raises `OSError`."""
        if self._database is None:
            return None
        path = _path_of(self._database, owner_id)
        write_file(path, owner_id, results)
        return path

    def take_in(self, connection: Connection, owner_ids: Iterable[str], now: int) -> Written:
        """Write what was left: by these owners, and at the first pass by anybody.

        What belongs to another owner or attempt by now is left out.
        """
        self._taken_in = []
        written = Written()
        for path in self._paths(owner_ids):
            if (left := self._read(path)) is not None:
                found = [each for each in left.outcomes if self._write(connection, left.owner, each, now, written)]
                self._taken_in.append((path, len(found), len(left.outcomes)))
        return written

    def _write(self, connection: Connection, owner_id: str, left: LeftOutcome, now: int, written: Written) -> bool:
        """Write one outcome; return False if it is not the owner's any more."""
        claim = outcomes.claim_of(connection, owner_id, left.run_id, left.attempt)
        if claim is None:
            return False
        outcome = Outcome(
            claim,
            left.status,
            min(left.finished_at, now),
            left.response,
            left.error,
            questions=history.questions(left),
            resumed=left.resumed,
            is_last=left.is_last,
            usage=left.usage,
        )
        found = write_one_by_one(connection, owner_id, (), [outcome], now, self._chance)
        written.outcomes += found.outcomes
        written.lost += found.lost
        written.replaced += found.replaced
        written.unwritten += found.unwritten
        return not found.lost

    def committed(self) -> None:
        """Delete what the last `take_in` has read, now that it is stored."""
        self.looks_for_all = False
        for path, written, number in self._taken_in:
            logbook.left_outcomes_written(str(path), written, number)
            # Another scheduler may have deleted it. One that stays is taken in again, to no effect.
            with contextlib.suppress(OSError):
                path.unlink()
        self._taken_in = []

    def _paths(self, owner_ids: Iterable[str]) -> list[Path]:
        database = self._database
        if database is None:
            return []
        paths = _all_paths(database) if self.looks_for_all else []
        paths += [_path_of(database, each) for each in owner_ids if _is_owner_id(each)]
        return [path for path in dict.fromkeys(paths) if path not in self._ignored]

    def _read(self, path: Path) -> OutcomeFile | None:
        try:
            left = read_file(path, self._trusted_users())
            if path.name.endswith(f"{_INFIX}{left.owner}{_SUFFIX}"):
                return left
            reason = "its name and its content name different owners"
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            reason = str(error)
        self._ignored.add(path)
        logbook.left_outcomes_ignored(str(path), reason)
        return None

    def _trusted_users(self) -> set[int]:
        """Return who may have left outcomes: this user, and the one whose the store is."""
        here = {os.geteuid()} if hasattr(os, "geteuid") else {0}
        return here if self._database is None else {*here, self._database.stat().st_uid}


def _path_of(database: Path, owner_id: str) -> Path:
    return database.with_name(f"{database.name}{_INFIX}{owner_id}{_SUFFIX}")


def _all_paths(database: Path) -> list[Path]:
    beginning = f"{database.name}{_INFIX}"
    try:
        names = sorted(path.name for path in database.parent.iterdir())
    except OSError:
        return []
    return [
        database.with_name(name)
        for name in names
        if name.startswith(beginning) and name.endswith(_SUFFIX) and _is_owner_id(name[len(beginning) : -len(_SUFFIX)])
    ]


def _is_owner_id(text: str) -> bool:
    """Tell whether a text is an owner's id, and so may be part of a file's name."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
