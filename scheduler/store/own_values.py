"""What a run has of its own in place of what its task says: a prompt, and further metadata."""

import json
from typing import Any

from scheduler.models import TaskDefinition


def task_of_run(task: TaskDefinition, prompt: str | None, metadata: str | None) -> TaskDefinition:
    """Return the definition that a run is made with."""
    values: dict[str, Any] = {} if prompt is None else {"prompt": prompt}
    own = read_metadata(metadata)
    if own:
        values["metadata"] = {**task.metadata, **own}
    return task.model_copy(update=values) if values else task


def read_metadata(stored: str | None) -> dict[str, Any] | None:
    """Return the metadata of a run alone; None if it has none, or if somebody has damaged them."""
    try:
        found = None if stored is None else json.loads(stored)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
