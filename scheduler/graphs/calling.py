"""Calls of graphs: with the scheduler's options, through runnables around them, and what comes back."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from scheduler import logbook
from scheduler.errors import ServerError
from scheduler.graphs.beginning import AnswerLostError, Begin, Beginning, beginning
from scheduler.graphs.breakpoints import answer_tool_calls, questions_at, where_it_stopped
from scheduler.graphs.inputs import graph_context, with_context
from scheduler.graphs.levels import nobody_heard
from scheduler.graphs.local_langgraph import (
    as_server_graph,
    create_node_tasks_through_the_loop,
    is_drained,
    is_langgraph,
    keeps_threads,
    new_control,
)
from scheduler.graphs.messages import member
from scheduler.graphs.questions import questions_of
from scheduler.graphs.streaming import GraphCall, can_stream
from scheduler.graphs.wrapped import WrappedGraph, graph_to_continue, graphs_of
from scheduler.models import Durability, Question, RunStatus, is_reserved
from scheduler.store import STOPPED, Claim

_NOT_FAILED: Final = frozenset({RunStatus.CANCELLED, RunStatus.INTERRUPTED})


@dataclass(frozen=True, slots=True)
class Reply:
    """What a graph returned, and what it waits for."""

    result: object
    questions: tuple[Question, ...] = ()
    is_stopped: bool = False
    """Whether the graph stopped at a breakpoint and keeps no thread to continue on."""
    rejected: Exception | None = None
    """What the graph raised on the answer that it was given, so that it asks again."""

    @property
    def waits(self) -> bool:
        """Whether the graph has not run to its end."""
        return bool(self.questions) or self.is_stopped


class _Left(BaseException):
    """A graph inside runnables stops in a way that is none of their business.

    It is no `Exception`, so that they neither retry nor fall back, and no later step gets the unfinished result.
    """

    def __init__(self, outcome: Reply | BaseException) -> None:
        super().__init__("the graph waits, or was stopped")
        self.outcome = outcome


@dataclass(slots=True)
class _Attempt:
    """One call of a graph, be it inside runnables that call it again."""

    graph: Any
    """The graph, or the runnables around it."""
    claim: Claim
    opening: Beginning
    config: dict[str, Any]
    calls: int = 0
    """How often the graph that the attempt continues, or may be continued, was called."""


@dataclass(slots=True)
class GraphCaller:
    """Calls graphs for attempts, and can ask those that are running to stop at the end of their step."""

    context: object
    durability: str | None
    step_finished: Callable[[Claim, str], None]
    _without_steps: set[str] = field(default_factory=set)
    _controls: set[Any] = field(default_factory=set)
    _is_draining: bool = False

    def reset(self) -> None:
        """Let graphs run to their end, after an earlier `drain`."""
        self._is_draining = False

    def drain(self) -> None:
        """Ask the graphs that can continue later to stop at the end of their step."""
        self._is_draining = True
        for control in self._controls:
            control.request_drain(STOPPED)

    async def call(self, graph: Any, claim: Claim, opening: Beginning, config: dict[str, Any]) -> Reply:  # noqa: ANN401
        """Call a graph, if the attempt begins at all. Raises what it raises, and `ValueError` if it cannot wait."""
        if opening.how is Begin.REJECTED and opening.position is not None:
            await answer_tool_calls(graph_to_continue(graph), config, opening.position)
        may_have_steps_left = isinstance(graph, WrappedGraph) and opening.how is Begin.DONE
        if opening.how not in {Begin.FROM_START, Begin.CONTINUE} and not may_have_steps_left:
            return Reply(opening.result, opening.questions)
        if opening.how is Begin.CONTINUE:
            logbook.run_resumed(claim.task.name, claim.task.id, claim.run_id)
        create_node_tasks_through_the_loop()
        self._warn_of_missing_steps(graph, claim)
        attempt = _Attempt(graph, claim, opening, config)
        if isinstance(graph, WrappedGraph):
            return _checked(graph, await self._call_through(graph, attempt))
        return _checked(graph, await self._call_once(attempt, graph, opening.input, config, {}))

    async def _call_through(self, graph: WrappedGraph, attempt: _Attempt) -> Reply:
        """Call the runnables around a graph."""
        is_new = attempt.opening.how is Begin.FROM_START
        given, start = (attempt.opening.input, None) if is_new else ({}, graph.graph)
        try:
            result = await graph.call(given, attempt.config, partial(self._call_inside, attempt), start)
        except _Left as left:
            if isinstance(left.outcome, BaseException):
                raise left.outcome from None
            return left.outcome
        return Reply(result, questions_of(member(result, "__interrupt__")))

    async def _call_inside(
        self,
        attempt: _Attempt,
        graph: Any,  # noqa: ANN401
        given: object,
        config: dict[str, Any],
        options: Mapping[str, Any],
    ) -> object:
        """Call a graph for the runnables around it, and leave them if it waits or was stopped."""
        try:
            with _without_default_limit(config, attempt) as inside:
                reply = await self._call_next(attempt, graph, given, inside, options)
        except Exception as error:
            is_cut_off = type(error) is ServerError and error.status in _NOT_FAILED
            if is_cut_off or is_drained(error) or type(error) is AnswerLostError:
                raise _Left(error) from None
            raise
        if reply.waits:
            raise _Left(reply)
        return reply.result

    async def _call_next(
        self,
        attempt: _Attempt,
        graph: Any,  # noqa: ANN401
        given: object,
        config: dict[str, Any],
        options: Mapping[str, Any],
    ) -> Reply:
        """Call a graph for the first time, or once more, as `with_retry` does: then it continues where it failed."""
        if graph is not graph_to_continue(attempt.graph):
            return await self._call_once(attempt, graph, given, config, options)
        attempt.calls += 1
        opening = attempt.opening if attempt.calls == 1 else await self._begin_again(attempt, graph, given)
        if opening.how is Begin.FROM_START:
            return await self._call_once(attempt, graph, given, config, options)
        if opening.how is Begin.CONTINUE:
            return await self._call_once(attempt, graph, opening.input, config, options)
        return Reply(opening.result, opening.questions)

    async def _begin_again(self, attempt: _Attempt, graph: Any, given: object) -> Beginning:  # noqa: ANN401
        async def same_input() -> object:
            return given

        claim = replace(attempt.claim, attempt=max(2, attempt.claim.attempt), last_status=RunStatus.FAILED)
        return await beginning(graph, claim, attempt.config, same_input, _no_run)

    async def _call_once(
        self,
        attempt: _Attempt,
        graph: Any,  # noqa: ANN401
        given: object,
        config: dict[str, Any],
        options: Mapping[str, Any],
    ) -> Reply:
        """Call a graph so that a stop can ask it to end at its next step."""
        claim = attempt.claim
        listener = partial(self.step_finished, claim) if claim.task.stream else None
        options = self._options(graph, claim, options, config)
        call = GraphCall(graph, options, listener)
        if as_server_graph(graph) is None:  # a server does it itself
            config = with_context(config, options.get("context"))
        control = new_control(graph)
        if control is None:
            result = await call(given, config)
        else:
            call.options = {**call.options, "control": control}
            result = await self._call_with_control(call, control, given, config)
        return await self._reply(attempt, call, result)

    async def _call_with_control(
        self,
        call: GraphCall,
        control: Any,  # noqa: ANN401
        given: object,
        config: dict[str, Any],
    ) -> object:
        if self._is_draining:
            control.request_drain(STOPPED)
        self._controls.add(control)
        try:
            return await call(given, config)
        finally:
            self._controls.discard(control)

    def _options(
        self, graph: object, claim: Claim, bound: Mapping[str, Any], config: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return what is passed to a graph beside input and config, where it is given.

        Where there is a checkpointer, a step is on disk before the next one begins, unless said otherwise: with
        LangGraph's own default, a process that is killed in one step may lose the step before.
        """
        context = self.context if claim.task.context is None else claim.task.context
        if context is not None or "context" not in bound:
            own = {name: value for name, value in config["configurable"].items() if not is_reserved(name)}
            context = graph_context(graph, context, own)
        durability = claim.task.durability or self.durability
        if durability is None and keeps_threads(graph) and "durability" not in bound:
            durability = Durability.SYNC
        options = {"context": context, "durability": None if durability is None else str(durability)}
        return {**bound, **{name: value for name, value in options.items() if value is not None}}

    async def _reply(self, attempt: _Attempt, call: GraphCall, result: object) -> Reply:
        """Return what a graph returned, and the questions that it waits with."""
        graph, questions = call.graph, questions_of(member(result, "__interrupt__"))
        if not keeps_threads(graph):
            return Reply(result, questions, is_stopped=bool(call.stopped))
        if call.stopped is not False or questions:
            position = await where_it_stopped(graph, attempt.config)
            if position is not None and attempt.claim.has_written(position.run_id):
                questions = questions_at(position, questions)
        if not questions and await _is_unheard(attempt, call):
            raise AnswerLostError
        return Reply(result, questions)

    def _warn_of_missing_steps(self, graph: object, claim: Claim) -> None:
        """Say once if a task asks for the steps of a graph that cannot stream."""
        task = claim.task
        if task.stream and task.id not in self._without_steps and not any(map(can_stream, graphs_of(graph))):
            self._without_steps.add(task.id)
            logbook.no_steps(task.name, task.id, type(graph).__name__)


async def _no_run(_run_id: str) -> bool:
    """Leave a thread as it is: the call before was of the same run."""
    return False


async def _is_unheard(attempt: _Attempt, call: GraphCall) -> bool:
    """Tell whether answers that were given to a local graph that has returned have reached nobody."""
    opening = attempt.opening
    if not opening.answers or opening.position is None or call.options.get("durability") == Durability.EXIT:
        return False
    saver = getattr(call.graph, "checkpointer", None)
    return saver is not None and await nobody_heard(saver, opening.position.levels, opening.answers)


def _checked(graph: object, reply: Reply) -> Reply:
    """Return a reply. Raises `ValueError` if the graph waits for a human and could not be continued."""
    if not reply.waits:
        return reply
    waiting = graph_to_continue(graph)
    if waiting is not None and keeps_threads(waiting):
        return reply
    waits = "stops at a breakpoint" if reply.is_stopped else "asks a question"
    if isinstance(graph, WrappedGraph) and waiting is None:
        problem = f"could not be continued: {graph.problem}; give the scheduler a runnable with one graph"
    elif is_langgraph(waiting):
        problem = "has no checkpointer to wait with; give it one, or checkpointer="
    else:
        problem = f"could not be continued, since it is a {type(waiting).__name__}; give the compiled graph itself"
    raise ValueError(f"the graph {waits} and {problem}")


@contextmanager
def _without_default_limit(config: dict[str, Any], attempt: _Attempt) -> Iterator[dict[str, Any]]:
    """Take LangChain's default recursion limit out of what runnables pass on: LangGraph's own is another one.

    LangChain itself takes this number for a limit that nobody has set. Besides the config it has a context variable.
    """
    module: Any = sys.modules.get("langchain_core.runnables.config")
    default = getattr(module, "DEFAULT_RECURSION_LIMIT", None)
    is_set = "recursion_limit" in attempt.config or config.get("recursion_limit", default) != default
    if is_set or module is None:
        yield config
        return
    inside = {name: value for name, value in config.items() if name != "recursion_limit"}
    token = module.var_child_runnable_config.set(inside)
    try:
        yield inside
    finally:
        module.var_child_runnable_config.reset(token)
