"""What a search looks at, and what it looks for: texts without upper case, as both sides of a comparison."""

import json
from typing import Final

from scheduler._texts import is_unicode

_SEARCHED_PROMPT: Final = 2_000
"""So many characters of a prompt are searched: each search reads them for every task."""


def words_of(task_id: str, name: str, prompt: str | None) -> str:
    """Return what a search of a task looks at: its id, its name, and the beginning of its prompt."""
    return f"{task_id}\n{name}\n{(prompt or '')[:_SEARCHED_PROMPT]}".casefold()


def words_of_stored(definition: str) -> str | None:
    """Return the same of a stored definition; None if it cannot be read."""
    try:
        fields = json.loads(definition)
        found = words_of(str(fields["id"]), str(fields["name"]), fields.get("prompt"))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return found if is_unicode(found) and "\0" not in found else None


def pattern(search: str) -> str:
    """Return what `LIKE` takes, with a backslash as its escape, for texts that contain another one."""
    escaped = search.casefold().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
