"""A file with the outcomes that a scheduler could not write when it stopped.

It has a line with a checksum of the rest, then JSON. It is written whole or not at all, and only its owner can read it.
What is read may have been written by anybody, and only in part.
"""

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from pydantic import BaseModel, Field, ValidationError, field_validator

from scheduler.models import RunStatus, TokenUsage
from scheduler.store import history
from scheduler.store.database.storable import storable
from scheduler.store.outcomes import Outcome

SIZE_LIMIT: Final = 64 << 20
"""The largest content that is written or read, in bytes."""
_TEXT_LIMIT: Final = 100_000
_HEADER: Final = b"langgraph-task-scheduler outcomes 1 sha256 "
_MOST_BYTES: Final = SIZE_LIMIT + len(_HEADER) + 2 * hashlib.sha256().digest_size + 1
_ENDS: Final = frozenset(RunStatus) - {RunStatus.RUNNING, RunStatus.SKIPPED, RunStatus.MISSED}
_TO_READ: Final = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""No link is followed, and no pipe is waited for."""


class LeftOutcome(BaseModel, strict=True):
    """What the database needs of an `Outcome`, but for the claim, which is in the database."""

    run_id: str = Field(max_length=255)
    attempt: int = Field(ge=1, le=2**31 - 1)
    status: RunStatus
    finished_at: int = Field(ge=0, le=2**62)
    response: str | None = Field(default=None, max_length=_TEXT_LIMIT)
    error: str | None = Field(default=None, max_length=_TEXT_LIMIT)
    questions: str = "[]"
    """JSON, as in the table of runs."""
    resumed: bool = False
    is_last: bool = False
    usage: TokenUsage | None = None

    @field_validator("status")
    @classmethod
    def _check_status(cls, status: RunStatus) -> RunStatus:
        if status not in _ENDS:
            message = f"no attempt ends as {status}"
            raise ValueError(message)
        return status


class OutcomeFile(BaseModel, strict=True):
    """The content of a file."""

    owner: str = Field(max_length=255)
    outcomes: list[LeftOutcome]


def left_outcome(outcome: Outcome) -> LeftOutcome:
    """Return what is kept of an outcome."""
    return LeftOutcome.model_construct(
        run_id=outcome.claim.run_id,
        attempt=outcome.claim.attempt,
        status=outcome.status,
        finished_at=outcome.finished_at,
        response=_bounded(outcome.response),
        error=_bounded(outcome.error),
        questions=storable(history.questions_json(outcome.questions)),
        resumed=outcome.resumed,
        is_last=outcome.is_last,
        usage=outcome.known_usage,
    )


def _bounded(text: str | None) -> str | None:
    return None if text is None else storable(text)[:_TEXT_LIMIT]


def write_file(path: Path, owner_id: str, outcomes: Sequence[Outcome]) -> None:
    """Write outcomes into a file, so that it is there as a whole or not at all. Raises `OSError`."""
    content = OutcomeFile.model_construct(owner=owner_id, outcomes=[left_outcome(each) for each in outcomes])
    text = content.model_dump_json().encode()
    if len(text) > SIZE_LIMIT:
        message = f"the outcomes have {len(text)} bytes, and {SIZE_LIMIT} are allowed"
        raise OSError(message)
    # Its mode is 0600, whatever the umask.
    descriptor, partial = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(_HEADER + hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
            file.flush()
            os.fsync(file.fileno())
        Path(partial).replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            Path(partial).unlink()
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a new name last, on systems where a folder can be opened."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_file(path: Path, trusted_users: Collection[int]) -> OutcomeFile:
    """Return the content of a file that belongs to one of these users.

    Raises `OSError` and `ValueError`, with what is wrong with it.
    """
    header, _, text = _bytes_of(path, trusted_users).partition(b"\n")
    if header != _HEADER + hashlib.sha256(text).hexdigest().encode():
        message = "its content does not fit its checksum"
        raise ValueError(message)
    try:
        return OutcomeFile.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "its content"
        message = f"{place}: {first['msg']}"
        raise ValueError(message) from None


def _bytes_of(path: Path, trusted_users: Collection[int]) -> bytes:
    with os.fdopen(os.open(path, _TO_READ), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            message = "it is no regular file"
            raise ValueError(message)
        if found.st_uid not in trusted_users:
            message = "it belongs to another user"
            raise ValueError(message)
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        message = f"it has more than {SIZE_LIMIT} bytes"
        raise ValueError(message)
    return content
