"""Who may see and do what: what the `auth` function of a program returns, and the token where there is none."""

import hashlib
import hmac
import os
import secrets
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from starlette.requests import Request

TOKEN_VARIABLE: Final = "SCHEDULER_WEB_TOKEN"  # noqa: S105 (the name of a variable)
TOKEN_USER: Final = "token"  # noqa: S105 (who has the token)
_SHORTEST_TOKEN: Final = 16


class Action(StrEnum):
    """What a person may do on the pages."""

    #: Run a task now.
    RUN = "run"
    #: Pause a task.
    PAUSE = "pause"
    #: Resume a task.
    RESUME = "resume"
    #: Add a task, and change one.
    EDIT = "edit"
    #: Remove a task.
    REMOVE = "remove"
    #: Stop a run.
    CANCEL = "cancel"
    #: Run a run again.
    RETRY = "retry"
    #: Answer a run that waits.
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Access:
    """Who asks, and what this person may do and see. Raises `ValueError` for an action that there is not."""

    user: str
    """The name that the log has beside each action."""
    actions: Collection[str] = frozenset(Action)
    """What the person may do; default: everything."""
    sees: Callable[[str], bool] | None = None
    """Tells of the id of a task whether the person sees the task and its runs; None: all of them."""

    def __post_init__(self) -> None:
        """Refuse actions that there are not: a wrong name would take a right away in silence."""
        if unknown := sorted({*self.actions} - {*Action}):
            message = f"Access.actions={unknown}: there is no such action; give some of {', '.join(Action)}"
            raise ValueError(message)


Auth = Callable[[Request], Awaitable[Access | None]]
"""What a program gives as `auth`: an async function that says who asks; None: nobody who may see the pages."""


async def anyone(request: Request) -> Access:  # noqa: ARG001 (an `Auth`)
    """Let anyone see and do everything: for `auth=`, where something else keeps others away from the pages."""
    return Access("anyone")


class TokenAuth:
    """Knows one secret token: as the cookie that the address with the token has set, or as a bearer token."""

    def __init__(self, token: str) -> None:
        """Take the token."""
        self.token = token
        # Not the token itself, so that it is in no browser's list of cookies.
        self.cookie = hmac.new(token.encode(), b"scheduler.web cookie", hashlib.sha256).hexdigest()

    async def __call__(self, request: Request) -> Access | None:
        """Say who asks, by cookie or bearer token."""
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return Access(TOKEN_USER) if self.is_token(given.strip()) else None
        # All of that name: a view under a shorter path of the same host may have set one, too.
        name = self.cookie_name(request)
        pairs = (each.strip().partition("=") for each in request.headers.get("cookie", "").split(";"))
        is_known = any(_equal(value, self.cookie) for key, _, value in pairs if key == name)
        return Access(TOKEN_USER) if is_known else None

    def is_token(self, given: str) -> bool:
        """Tell whether a text is the token."""
        return _equal(given, self.token)

    def cookie_name(self, request: Request) -> str:
        """Return the name of the cookie: browsers do not keep cookies of two ports apart, so it names the port."""
        return f"scheduler_web_{request.url.port or request.url.scheme}"


def _equal(given: str, expected: str) -> bool:
    return secrets.compare_digest(given.encode(errors="replace"), expected.encode())


def token_from_environment() -> str | None:
    """Return the token that the environment gives, if it does. Raises `ValueError` for one that can be guessed."""
    token = os.environ.get(TOKEN_VARIABLE)
    if not token:
        return None
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        hint = f"give at least {_SHORTEST_TOKEN} letters and digits, such as those of `openssl rand -hex 32`"
        message = f"{TOKEN_VARIABLE} has {len(token)} characters, or some that no address can have; {hint}"
        raise ValueError(message)
    return token


def new_token() -> str:
    """Return a token that nobody can guess."""
    return secrets.token_urlsafe(32)
