"""The state of a thread on a LangGraph server, as its API tells it, as a `Position`."""

from collections.abc import Iterator, Mapping
from typing import Any

from scheduler.graphs.position import ATTEMPT_KEY, Position
from scheduler.graphs.questions import questions_of

State = Mapping[str, Any]


def position_of_state(state: State) -> Position:
    """Return where a thread stands, given its state with those of the graphs inside its nodes."""
    levels = list(_levels(state))
    return Position(
        run_id=_metadata(state).get("scheduler_run_id"),
        values=state.get("values"),
        next=tuple(dict.fromkeys(_next_nodes(state))),
        questions=questions_of(asked_in(state)),
        missing=tuple(dict.fromkeys(_lost_questions(state))),
        attempt=max(int(_metadata(level).get(ATTEMPT_KEY) or 1) for level in levels),
        checkpoint_ids=tuple(str((level.get("checkpoint") or {}).get("checkpoint_id")) for level in levels),
    )


def asked_in(state: State) -> list[Any]:
    """Return the interrupts of a thread's tasks, each with its id."""
    return [_with_id(each) for task in _tasks(state) for each in task.get("interrupts") or ()]


def _with_id(interrupt: Any) -> Any:  # noqa: ANN401 (whatever the server sends)
    """Return an interrupt with the id that LangGraph before 0.6 derives from where it was raised, and does not send."""
    if not isinstance(interrupt, Mapping) or interrupt.get("id") or not isinstance(interrupt.get("ns"), list):
        return interrupt
    known = interrupt.get("interrupt_id") or _hashed("|".join(map(str, interrupt["ns"])))
    return {**interrupt, "id": known}


def _hashed(text: str) -> str:
    import xxhash  # noqa: PLC0415 (it comes with LangGraph; only for old servers)

    return str(xxhash.xxh3_128_hexdigest(text.encode()))


def _tasks(state: State) -> list[dict[str, Any]]:
    return state.get("tasks") or []


def _metadata(state: State) -> Mapping[str, Any]:
    return state.get("metadata") or {}


def _levels(state: State) -> Iterator[State]:
    yield state
    for task in _tasks(state):
        if task.get("state"):
            yield from _levels(task["state"])


def _next_nodes(state: State) -> Iterator[str]:
    inner = {task["name"]: task["state"] for task in _tasks(state) if (task.get("state") or {}).get("next")}
    for name in state.get("next") or ():
        if name in inner:
            yield from (f"{name}.{each}" for each in _next_nodes(inner[name]))
        else:
            yield name


def _lost_questions(state: State) -> Iterator[str]:
    """Yield the nodes that asked inside a node, and that the graph there no longer has."""
    for task in _tasks(state):
        inner = task.get("state")
        if inner:
            if task.get("interrupts") and not inner.get("next"):
                yield f"the node that asked (in {task['name']})"
            yield from _lost_questions(inner)
