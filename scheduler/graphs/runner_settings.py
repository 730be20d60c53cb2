"""What holds for the runs of all tasks that do not say otherwise."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scheduler.graph_names import DEFAULT_GRAPH
from scheduler.graphs.callbacks import InputBuilder
from scheduler.graphs.inputs import DEFAULT_PREFIX


@dataclass(frozen=True, slots=True)
class RunnerSettings:
    """What holds for the runs of all tasks that do not say otherwise."""

    graph: object = DEFAULT_GRAPH
    checkpointer: object | None = None
    store: object | None = None
    input_builder: InputBuilder | str | None = None
    context: Any = None
    configurable: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    durability: str | None = None
    recursion_limit: int | None = None
    callback_timeout_seconds: float = 60.0
    response_limit: int = 65_536
    session_prefix: str = DEFAULT_PREFIX
    thin_checkpoints: bool = True
