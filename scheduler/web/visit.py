"""One request, as the pages see it, and what a page gives back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from scheduler.errors import TaskNotFoundError
from scheduler.web.access import Access, Action


class Refused(Exception):  # noqa: N818 (it is an answer, not a fault)
    """A request that a page does not do: the status, and the sentence that the person reads."""

    def __init__(self, status: int, sentence: str) -> None:
        """Take both."""
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Visit:
    """One request: who asks, for what, and on which clock."""

    page: str
    """The name of the page, as it is in the address; empty: the first one."""
    access: Access
    zone: ZoneInfo
    """The zone of the viewer's clock."""
    is_zone_chosen: bool
    """Whether the viewer, or the viewer's browser, has said which zone it is."""
    now: datetime
    read_only: bool
    query: Mapping[str, str]
    form: Mapping[str, str] = field(default_factory=dict)
    base: str = ""
    """What leads to the folder of the pages."""

    def may(self, action: Action | str) -> bool:
        """Tell whether the person may do something."""
        return not self.read_only and action in self.access.actions

    def require(self, action: Action) -> None:
        """Raise `Refused` if the person may not do something."""
        if self.read_only:
            raise Refused(403, "These pages are read-only.")
        if not self.may(action):
            raise Refused(403, f"You may not do this: your access does not include {action!s}.")

    def sees(self, task_id: str) -> bool:
        """Tell whether the person sees a task."""
        return self.access.sees is None or bool(self.access.sees(task_id))

    def require_task(self, task_id: str) -> str:
        """Return the id of a task that the person sees. Raises `TaskNotFoundError`, as if there were none."""
        if not self.sees(task_id):
            raise TaskNotFoundError(task_id)
        return task_id

    def given(self, name: str) -> str | None:
        """Return a value of the query, without blanks at its ends; None: there is none."""
        return self.query.get(name, "").strip() or None

    def required(self, name: str) -> str:
        """Return a value that the query must have. Raises `Refused`."""
        value = self.query.get(name)
        if not value:
            raise Refused(400, f"The address lacks ?{name}=….")
        return value


@dataclass(frozen=True, slots=True)
class Page:
    """What a page shows: a template and its values, and the same as JSON."""

    template: str
    title: str
    values: dict[str, Any]
    shape: Callable[[], Any] | None = None
    """Returns what its `.json` twin has; None: it has none."""
    status: int = 200


@dataclass(frozen=True, slots=True)
class Redirect:
    """Where the browser goes next: a relative link."""

    to: str
    cookie: tuple[str, str] | None = None
    """A cookie to set, for a year."""


Answer = Page | Redirect
