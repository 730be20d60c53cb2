"""What an attempt begins with: the task's input, a checkpoint of the same run, or answers to what the graph asked."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

from scheduler.answering import rejection
from scheduler.graphs.bounded_talk import with_removals
from scheduler.graphs.breakpoints import breakpoint_id, breakpoint_question, next_nodes
from scheduler.graphs.clean_start import IsUnsuccessful, start_clean
from scheduler.graphs.local_langgraph import as_server_graph, keeps_threads
from scheduler.graphs.position import Position, heard_answers, position_of, resume_command
from scheduler.graphs.progress import is_stuck
from scheduler.graphs.wrapped import WrappedGraph, graph_to_continue
from scheduler.models import Question, RunStatus
from scheduler.store import RESTART_LIMIT, Claim
from scheduler.thread_ids import ThreadId

_FAILURES: Final = frozenset({RunStatus.FAILED, RunStatus.TIMED_OUT})
_MOVED_ON: Final = "the thread has moved on since the question was asked, so that nobody is left to hear the answer"

_START_OVER: Final = " (it was changed since then); trigger the task to start over"
_NOTHING_SAVED: Final = "its process died or was stopped, and there is no checkpoint of the run to continue from"
_STUCK: Final = (
    f"it was restarted {RESTART_LIMIT} times without progress: each time its process died or was stopped before"
    " the next checkpoint"
)


class AnswerLostError(ValueError):
    """The question that was answered is asked no more; a further attempt would find a graph that seems to be done."""

    def __init__(self) -> None:
        """Say what that means, and what to do."""
        super().__init__(
            f"the graph no longer asks the question that was answered, so the answer has no effect{_START_OVER}"
        )


class Begin(Enum):
    """How an attempt begins."""

    #: With the task's input.
    FROM_START = auto()
    #: Where the run's last checkpoint was written, or with answers.
    CONTINUE = auto()
    #: Not at all: the graph had returned before the process died; `result` is what it had come to.
    DONE = auto()
    #: Not at all: the graph had asked before the process died.
    ASKED = auto()
    #: Not at all: a human did not let the graph continue from a breakpoint.
    REJECTED = auto()
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
    position: Position | None = None
    answers: Collection[str] = ()
    """The questions whose answers the input has, by id."""


async def beginning(
    graph: Any,  # noqa: ANN401 (any graph)
    claim: Claim,
    config: dict[str, Any],
    new_input: Callable[[], Awaitable[object]],
    is_unsuccessful: IsUnsuccessful,
) -> Beginning:
    """Look what a run has to continue; a new one begins behind what unsuccessful runs have left on its thread.

    A further attempt continues a checkpoint only if it is this run's own (its metadata carries the run's id), and the
    first one only that of the run which it repeats: on another run's thread LangGraph would return that one's old
    state. Raises what the saver raises, and `ValueError` if the answers come too late.
    """
    if claim.attempt == 1 and claim.answers is None and not claim.continues:
        return await _anew(graph, claim, config, new_input, is_unsuccessful)
    inside = graph_to_continue(graph)
    position = await position_of(inside, config) if keeps_threads(inside) else None
    if position is not None and _may_continue(claim, position):
        return await _of_own_position(inside, claim, config, position, new_input)
    problem = f": {graph.problem}" if isinstance(graph, WrappedGraph) and inside is None else ""
    if claim.answers is not None:
        raise ValueError(f"the graph could not be given the answer{problem}" if problem else _MOVED_ON)
    if claim.last_status is RunStatus.INTERRUPTED and not claim.task.rerun_after_crash:
        return Beginning(Begin.GIVEN_UP, reason=_NOTHING_SAVED + problem)
    if await is_stuck(inside, claim, config, None):
        return Beginning(Begin.GIVEN_UP, reason=_STUCK)
    return await _anew(graph, claim, config, new_input, is_unsuccessful)


async def _anew(
    graph: Any,  # noqa: ANN401
    claim: Claim,
    config: dict[str, Any],
    new_input: Callable[[], Awaitable[object]],
    is_unsuccessful: IsUnsuccessful,
) -> Beginning:
    given = await new_input()
    if ThreadId.parse(claim.thread_id, claim.run_id).run_id is None:  # else the thread is new
        await start_clean(graph_to_continue(graph), claim.thread_id, is_unsuccessful)
    if (keep := claim.task.session_keep_runs) is not None:
        given = await with_removals(graph_to_continue(graph), config, given, keep)
    return Beginning(Begin.FROM_START, given)


def _may_continue(claim: Claim, position: Position) -> bool:
    """Tell whether a run continues at a checkpoint: its own, or an unfinished one of the run that it repeats."""
    return position.run_id == claim.run_id or (claim.has_written(position.run_id) and not position.is_finished)


async def _of_own_position(
    graph: Any,  # noqa: ANN401
    claim: Claim,
    config: dict[str, Any],
    position: Position,
    new_input: Callable[[], Awaitable[object]],
) -> Beginning:
    may_continue = (claim.answers or {}).get(breakpoint_id(position))
    if (why := rejection(may_continue)) is not None:
        reason = f"a human did not let the graph continue with {next_nodes(position)}{f': {why}' if why else ''}"
        return Beginning(Begin.REJECTED, reason=reason, position=position)
    if position.is_finished and not _is_answered(claim):
        return Beginning(Begin.DONE, result=position.values)
    if claim.task.retry_from_start and claim.last_status in _FAILURES:
        return Beginning(Begin.FROM_START, await new_input())
    if position.missing:
        raise ValueError(_missing_text(position.missing))
    answers = _fitting_answers(claim, position)
    open_questions = _open_questions(position, answers, may_continue=bool(may_continue))
    if open_questions:
        return Beginning(Begin.ASKED, result=position.values, questions=open_questions)
    if await is_stuck(graph, claim, config, position):
        return Beginning(Begin.GIVEN_UP, reason=_STUCK)
    if claim.last_status is not RunStatus.WAITING and answers:
        answers = await _unheard(graph, config, position, answers)
    command = resume_command(graph, answers) if answers else None
    return Beginning(Begin.CONTINUE, command, position=position, answers=tuple(answers))


def _open_questions(position: Position, answers: Mapping[str, Any], *, may_continue: bool) -> tuple[Question, ...]:
    """Return what the graph waits for, if no answer lets it continue.

    A run that was cut off right at a breakpoint has not asked yet, and LangGraph would pass the breakpoint when it
    continues the run.
    """
    asked = () if answers else position.questions
    if position.is_at_breakpoint and not may_continue:
        return (*position.questions, breakpoint_question(position))
    return asked


def _is_answered(claim: Claim) -> bool:
    """Tell whether this attempt is to bring the graph an answer that nobody has tried to bring before."""
    return claim.answers is not None and claim.last_status is RunStatus.WAITING


def _fitting_answers(claim: Claim, position: Position) -> dict[str, Any]:
    """Return the answers to what the graph asks. Raises `ValueError` if it asks nothing that was answered."""
    ids = {question.id for question in position.questions}
    answers = {key: value for key, value in (claim.answers or {}).items() if key in ids}
    if _is_answered(claim) and not answers and breakpoint_id(position) not in (claim.answers or {}):
        raise AnswerLostError
    return answers


async def _unheard(
    graph: Any,  # noqa: ANN401
    config: dict[str, Any],
    position: Position,
    answers: dict[str, Any],
) -> dict[str, Any]:
    """Leave out answers that the graph was given before: none is given twice.

    An attempt that failed, or whose process died, may have heard an answer; the question then stands there still, and
    LangGraph would take the answer, given again, for that to the node's next question.
    """
    server = as_server_graph(graph)
    heard = heard_answers(position, answers) if server is None else await server.heard_answers(config, answers)
    return {key: value for key, value in answers.items() if key not in heard}


def _missing_text(missing: tuple[str, ...]) -> str:
    return f"the graph no longer has {' and '.join(missing)} where this run would continue{_START_OVER}"
