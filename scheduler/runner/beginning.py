"""What an attempt begins with: the task's input, a checkpoint of the same run, or answers to what the graph asked."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

from scheduler.models import Question, RunStatus
from scheduler.runner.langgraph_seam import (
    as_server_graph,
    heard_answers,
    keeps_threads,
    resume_command,
)
from scheduler.runner.progress import is_stuck
from scheduler.runner.questions import questions_of
from scheduler.store import RESTART_LIMIT, Claim

_FAILURES: Final = frozenset({RunStatus.FAILED, RunStatus.TIMED_OUT})
_MOVED_ON: Final = "the thread has moved on since the question was asked, so that nobody is left to hear the answer"

_NOTHING_SAVED: Final = "its process died or was stopped, and there is no checkpoint of the run to continue from"
_STUCK: Final = (
    f"it was restarted {RESTART_LIMIT} times without progress: each time its process died or was stopped before"
    " the next checkpoint"
)


class Begin(Enum):
    """How an attempt begins."""

    #: With the task's input.
    ANEW = auto()
    #: Where the run's last checkpoint was written, or with answers.
    CONTINUE = auto()
    #: Not at all: the graph had returned before the process died; `result` is what it had come to.
    DONE = auto()
    #: Not at all: the graph had asked before the process died.
    ASKED = auto()
    #: Not at all: the attempt before was interrupted, and nothing speaks for another one; `reason` says why.
    GIVEN_UP = auto()


@dataclass(frozen=True, slots=True)
class Beginning:
    """How an attempt begins, and with what."""

    how: Begin
    input: Any = None
    result: Any = None
    questions: tuple[Question, ...] = ()
    reason: str | None = None


async def beginning(
    graph: Any,  # noqa: ANN401 (any graph)
    claim: Claim,
    config: dict[str, Any],
    new_input: Callable[[], object],
) -> Beginning:
    """Look what a run has to continue.

    A further attempt continues a checkpoint only if it is this run's own (its metadata carries the run's id): on
    another run's thread LangGraph would return that one's old state. Raises what the saver raises, and `ValueError`
    if the answers come too late.
    """
    if claim.attempt == 1 and claim.answers is None:
        return Beginning(Begin.ANEW, new_input())
    state = await graph.aget_state(config) if keeps_threads(graph) else None
    if state is not None and (state.metadata or {}).get("scheduler_run_id") == claim.run_id:
        return await _of_own_state(graph, claim, config, state, new_input)
    if claim.answers is not None:
        raise ValueError(_MOVED_ON)
    return await _without_state(graph, claim, config, new_input)


async def _of_own_state(
    graph: Any,  # noqa: ANN401
    claim: Claim,
    config: dict[str, Any],
    state: Any,  # noqa: ANN401
    new_input: Callable[[], object],
) -> Beginning:
    asked = questions_of(state.interrupts)
    if not asked and not state.next:
        return Beginning(Begin.DONE, result=state.values)
    if claim.task.retry_from_start and claim.last_status in _FAILURES:
        return Beginning(Begin.ANEW, new_input())
    if await is_stuck(graph, claim, config, has_checkpoint=True):
        return Beginning(Begin.GIVEN_UP, reason=_STUCK)
    if asked:
        return await _of_questions(graph, claim, config, state, asked)
    return Beginning(Begin.CONTINUE)


async def _of_questions(
    graph: Any,  # noqa: ANN401
    claim: Claim,
    config: dict[str, Any],
    state: Any,  # noqa: ANN401
    asked: tuple[Question, ...],
) -> Beginning:
    """Answer what the graph asks, as far as there are answers; none is given twice.

    An attempt that failed, or whose process died, may have heard an answer; the question then stands there still, and
    LangGraph would take the answer, given again, for that to the node's next question.
    """
    ids = {question.id for question in asked}
    answers = {key: value for key, value in (claim.answers or {}).items() if key in ids}
    if not answers:
        return Beginning(Begin.ASKED, questions=asked)
    if claim.last_status is not RunStatus.WAITING:
        server = as_server_graph(graph)
        heard = await (server.heard_answers(config, answers) if server else heard_answers(graph, state, answers))
        answers = {key: value for key, value in answers.items() if key not in heard}
    return Beginning(Begin.CONTINUE, resume_command(graph, answers) if answers else None)


async def _without_state(
    graph: Any,  # noqa: ANN401
    claim: Claim,
    config: dict[str, Any],
    new_input: Callable[[], object],
) -> Beginning:
    if claim.last_status is RunStatus.INTERRUPTED and not claim.task.rerun_after_crash:
        return Beginning(Begin.GIVEN_UP, reason=_NOTHING_SAVED)
    if await is_stuck(graph, claim, config, has_checkpoint=False):
        return Beginning(Begin.GIVEN_UP, reason=_STUCK)
    return Beginning(Begin.ANEW, new_input())
