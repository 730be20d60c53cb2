"""Whether what a task names can be imported."""

from functools import partial
from typing import TYPE_CHECKING

from scheduler.errors import GraphError, InvalidTaskError
from scheduler.graphs.callbacks import load_builder, load_callback
from scheduler.graphs.loading import load_graph
from scheduler.models import TaskDefinition
from scheduler.server_url import is_server_url

if TYPE_CHECKING:
    from collections.abc import Callable


def check_task(task: TaskDefinition) -> None:
    """Import the callback, the graph and the input builder that a task names. Raises `InvalidTaskError`."""
    loads: dict[str, Callable[[str], object]] = {
        "result_callback": load_callback,
        "input_builder": load_builder,
        "graph": partial(_load_local_graph, needs_messages=task.input_builder is None and task.input is None),
    }
    for field, load in loads.items():
        path = getattr(task, field)
        try:
            if path is not None:
                load(path)
        except (ValueError, GraphError) as error:
            raise InvalidTaskError(task.id, str(error), field=field, value=path) from error


def _load_local_graph(path: str, *, needs_messages: bool) -> None:
    if not is_server_url(path):
        load_graph(path, needs_messages=needs_messages)
