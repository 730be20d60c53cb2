"""GraphRunner: one attempt of a run, start to end — input, config, time-out, callback, outcome."""

import asyncio
import dataclasses
import importlib
import inspect
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from scheduler import _containment, logbook
from scheduler._safe_text import ERROR_LIMIT, error_text
from scheduler.current_run import enter_run
from scheduler.errors import GraphError, InvalidTaskError, ServerError
from scheduler.graph_names import DEFAULT_GRAPH
from scheduler.graphs.beginning import AnswerLostError, Begin, Beginning, beginning
from scheduler.graphs.bounded import TooLongError, callback_within, graph_within, too_long
from scheduler.graphs.callbacks import (
    Callback,
    InputBuilder,
    check_builder,
    load_builder,
    load_callback,
    takes_run,
)
from scheduler.graphs.calling import GraphCaller, Reply
from scheduler.graphs.checking import check_task
from scheduler.graphs.clean_start import unsuccessful_by
from scheduler.graphs.factories import GraphFactory
from scheduler.graphs.graph_table import GraphTable, Loaded
from scheduler.graphs.importing import enter_project
from scheduler.graphs.inputs import graph_input, problems_of, with_context
from scheduler.graphs.loading import Graph, check_messages, load_graph
from scheduler.graphs.local_langgraph import as_server_graph, is_drained, is_langgraph
from scheduler.graphs.messages import response_text
from scheduler.graphs.outdated import refusal_of_saved_state
from scheduler.graphs.position import ATTEMPT_KEY
from scheduler.graphs.rejected import back_to_question
from scheduler.graphs.runner_settings import RunnerSettings
from scheduler.graphs.thinning import thin_out
from scheduler.graphs.threads import in_thread
from scheduler.graphs.usage import larger, usage_of
from scheduler.graphs.usage_callback import usage_callback
from scheduler.graphs.wrapped import delete_thread, graph_to_continue, graphs_of, keeps_threads
from scheduler.models import CurrentRun, Run, RunStatus, TaskDefinition
from scheduler.redaction import redact
from scheduler.store import STOPPED, Claim, Outcome
from scheduler.timing.clock import Clock, to_datetime

__all__ = ["GraphRunner", "InputBuilder", "RunnerSettings", "check_task"]

BeforeRun: TypeAlias = Callable[[str, str], tuple[Run | None, int | None]]
"""Returns, for a task and a run, the run before it and the instant of the task's newest success."""


_Code: TypeAlias = tuple[str | None, str | None, str | None]
"""What a task names: its graph, its callback and its input builder."""
_NO_CODE: Final[_Code] = (None, None, None)
_LITERAL: Final = "literal"
"""In place of an input builder: the task has its input itself."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What a task's runs need, imported."""

    graph: Loaded
    callback: Callback | None
    build: InputBuilder | None


@dataclass(slots=True)
class _Call:
    """A call of a graph, of which is noted how it begins."""

    claim: Claim
    config: dict[str, Any]
    opening: Beginning = Beginning(Begin.FROM_START)  # noqa: RUF009 (it is frozen)


class GraphRunner:
    """Invokes the graph for claims; `load()` must have succeeded before."""

    def __init__(  # noqa: PLR0913, PLR0917 (what a runner needs of others)
        self,
        settings: RunnerSettings,
        clock: Clock,
        step_finished: Callable[[Claim, str], None] = lambda _claim, _step: None,
        before_run: BeforeRun = lambda _task, _run: (None, None),
        status_of: Callable[[str], RunStatus | None] = lambda _run: None,
        stored_tasks: Callable[[], list[TaskDefinition]] = list,
    ) -> None:
        """Take the graph of tasks that name none, what else holds for all, whom to tell of streamed steps, the history.

        `before_run` and `status_of` are called in threads; `stored_tasks` returns the tasks at the start.
        """
        self._before_run = before_run
        self._is_unsuccessful = unsuccessful_by(status_of)
        self._settings = settings
        self._clock = clock
        self._stored_tasks = stored_tasks
        self._caller = GraphCaller(settings.context, settings.durability, step_finished)
        self._graphs = GraphTable(settings.graph, settings.checkpointer, settings.store)
        self._is_left_out = False
        self._prepared: dict[_Code, _Prepared] = {}
        self._loading: dict[_Code, asyncio.Task[_Prepared]] = {}
        self._look: asyncio.Task[None] | None = None

    def load(self) -> None:
        """Import and check the scheduler's graph. Raises `GraphError`, and `ValueError` for a bad `input_builder`."""
        builder = self._settings.input_builder
        if isinstance(builder, str):
            load_builder(builder)
        elif builder is not None:
            check_builder(builder)
        self._caller.reset()
        self._prepared, self._loading = {}, {}
        self._graphs.reset()
        self._load_default()
        graph = self._graphs.known(None)
        if graph is None:
            if not self._is_left_out:
                self._look = asyncio.get_running_loop().create_task(self._begin_making(), name="make the graph")
            return
        self._check_default(graph)
        if any(as_server_graph(each) is not None for each in graphs_of(graph)):
            self._look = asyncio.get_running_loop().create_task(self._look_at_server(graph), name="look at the server")

    def _load_default(self) -> None:
        """Load the scheduler's graph, which need not be there if nobody has named it and all tasks name their own."""
        self._is_left_out = False
        try:
            self._graphs.load(None)
        except GraphError:
            graphs = [task.graph for task in self._stored_tasks()]
            if self._settings.graph != DEFAULT_GRAPH or not graphs or None in graphs:
                raise
            self._is_left_out = True

    def _check_default(self, graph: Loaded) -> None:
        """Raise `GraphError` if the graph takes no messages, unless each task for it has an input of its own."""
        if self._settings.input_builder is not None:
            return
        try:
            check_messages(self._graphs.name_of(None), graph)
        except GraphError:
            inputs = [task.input or task.input_builder for task in self._stored_tasks() if task.graph is None]
            if not inputs or None in inputs:
                raise

    async def ready(self) -> None:
        """Wait until the scheduler's graph is made, if a factory makes it in the event loop. Raises `GraphError`."""
        if self._is_left_out:
            return
        self._graphs.load(None)
        self._check_default(await self._graphs.made(None))

    async def _begin_making(self) -> None:
        """Make the graph at once; if that fails, it is tried again when a task needs it, which then says why."""
        try:
            await self._graphs.made(None)
        except GraphError as error:
            logbook.graph_not_made(error)

    async def close(self) -> None:
        """Leave what the graphs have opened."""
        await self._graphs.close()

    async def _look_at_server(self, graph: object) -> None:
        """Say if runs would fail on the graph's server as it is now; the start does not wait for it."""
        for server in filter(None, map(as_server_graph, graphs_of(graph))):
            problem = await server.problem()
            if problem is not None:
                logbook.server_not_ready(problem)

    def check(self, task: TaskDefinition) -> None:
        """Import what a task names, and see whether its graph takes its input and context. Raises `InvalidTaskError`.

        The scheduler's own graph is looked at if it is here: before `load()` it may be but a name.
        """
        enter_project(self._settings.graph)
        check_task(task)
        graph: object = self._graphs.known(task.graph)
        if graph is None:
            graph = self._settings.graph if task.graph is None else load_graph(task.graph, needs_messages=False)
        settings = self._settings
        is_built = task.input is None and (task.input_builder or settings.input_builder) is not None
        context, configurable = settings.context, settings.configurable
        for field, problem in problems_of(graph, task, context=context, configurable=configurable, is_built=is_built):
            raise InvalidTaskError(task.id, problem, field=field, value=getattr(task, field))

    def is_checkpointed(self, task: TaskDefinition) -> bool:
        """Tell whether the graph of a task keeps its threads; of one that was not imported yet, that it may."""
        graph = self._graphs.known(task.graph)
        return graph is None or isinstance(graph, GraphFactory) or keeps_threads(graph)

    def needs_loading(self, task: TaskDefinition) -> str | None:
        """Return the code of a task that is to be loaded before it can run, as a text; None: it is loaded."""
        code = _code_of(task)
        is_loaded = code in self._prepared or (code == _NO_CODE and self._graphs.known(None) is not None)
        return None if is_loaded else json.dumps(code)

    async def load_code(self, task: TaskDefinition) -> str | None:
        """Load the code of a task; return why that is not possible, or None. A later call tries again."""
        importlib.invalidate_caches()  # a module that was missing may have been installed since
        try:
            await self._prepare(task)
        except (GraphError, ValueError) as error:
            return redact(str(error))[:ERROR_LIMIT]
        return None

    def drain(self) -> None:
        """Ask the graphs that can continue later to stop at the end of their step."""
        self._caller.drain()
        if self._look is not None:
            self._look.cancel()

    async def delete_thread(self, thread_id: str, path: str | None) -> bool:
        """Delete what a graph keeps of a thread; `path` names the graph, None the scheduler's.

        Returns whether the graph keeps threads. Raises `GraphError`, and what the saver raises.
        """
        if self._graphs.known(path) is None:
            await in_thread(self._graphs.load, path)

        async def delete(graph: Graph) -> bool:
            await delete_thread(graph, thread_id)
            return keeps_threads(graph)

        config = {"configurable": {"thread_id": thread_id}}
        return await self._graphs.use(await self._graphs.made(path), delete, config)

    async def run(self, claim: Claim) -> Outcome:
        """Make one attempt and return how it ended; whatever the task's own code raises becomes an outcome.

        Cancellations and signals pass through.
        """
        try:
            return await self._attempt(claim)
        except BaseException as error:
            if _containment.must_pass(error):
                raise
            return self._failed(claim, error)

    async def _attempt(self, claim: Claim) -> Outcome:
        task = claim.task
        enter_run(claim.run_id)
        logbook.run_started(task.name, task.id, claim.run_id, claim.attempt)
        try:
            async with asyncio.timeout(task.timeout_seconds):
                prepared = await self._prepare(task)
        except TimeoutError:
            return self._timed_out(claim)
        except (GraphError, ValueError) as error:
            return self._ended(claim, RunStatus.FAILED, error=error)
        limit = task.recursion_limit or self._settings.recursion_limit
        call = _Call(claim, graph_config(claim, limit, self._settings.configurable))
        try:
            reply = await graph_within(task.timeout_seconds, self._call_graph(prepared, call))
        except TooLongError as error:
            outcome = self._timed_out(claim, has_ended=error.has_ended)
        except BaseException as error:
            if _containment.must_pass(error):
                raise
            outcome = self._raised(claim, error)
        else:
            outcome = await self._returned(prepared, claim, call.opening, reply)
        outcome.resumed = call.opening.how is Begin.CONTINUE
        return outcome

    async def _call_graph(self, prepared: _Prepared, call: _Call) -> Reply:
        async def use(graph: Graph) -> Reply:
            if isinstance(prepared.graph, GraphFactory) and prepared.build is None and call.claim.task.input is None:
                check_messages(prepared.graph.name, graph)
            if any(is_langgraph(each) for each in graphs_of(graph)):
                call.config["callbacks"] = [usage_callback(call.claim.meter)]
            call.opening = await beginning(
                graph, call.claim, call.config, lambda: self._input(prepared, call.claim), self._is_unsuccessful
            )
            await self._thin_out(graph, call)
            return await self._answered(graph, call)

        context = self._settings.context if call.claim.task.context is None else call.claim.task.context
        return await self._graphs.use(prepared.graph, use, with_context(call.config, context), context)

    async def _thin_out(self, graph: Graph, call: _Call) -> None:
        """Delete what nobody needs of a thread of ours on which a new run begins; it must not fail for that.

        Not at the end of a run: what a run came to is certain when it is stored, and before that, all may be needed.
        """
        claim = call.claim
        is_new = call.opening.how is Begin.FROM_START and claim.attempt == 1 and not claim.continues
        if is_new and self._settings.thin_checkpoints and claim.task.thread_id is None:
            try:
                await thin_out(getattr(graph_to_continue(graph), "checkpointer", None), claim.thread_id)
            except Exception as error:  # noqa: BLE001 (whatever a saver raises)
                logbook.not_thinned_out(claim.thread_id, error)

    async def _answered(self, graph: Graph, call: _Call) -> Reply:
        """Call a graph; let it ask again if it rejects the answer that it is given."""
        try:
            return await self._caller.call(graph, call.claim, call.opening, call.config)
        except Exception as error:
            again = await back_to_question(graph, call.claim, call.config, call.opening, error)
            if again is None:
                refusal = await refusal_of_saved_state(graph, call.claim, call.config, call.opening.input, error)
                if refusal is None:
                    raise
                raise ValueError(refusal) from error
            reply = await self._caller.call(graph, call.claim, again, call.config)
            return dataclasses.replace(reply, rejected=error) if reply.questions else reply

    async def _input(self, prepared: _Prepared, claim: Claim) -> object:
        """Build a graph's input: by a function that is not ours in a thread, since it may block or never return."""
        if prepared.build is None:
            return graph_input(claim.task, self._settings.session_prefix)
        return await in_thread(self._build, prepared.build, claim)

    def _build(self, build: InputBuilder, claim: Claim) -> object:
        if not takes_run(build):
            return build(claim.task)  # type: ignore[call-arg]  # it is known what it takes
        previous, last_success = self._before_run(claim.task.id, claim.run_id)
        run = CurrentRun(
            id=claim.run_id,
            scheduled_at=to_datetime(claim.scheduled_at),
            attempt=claim.attempt,
            trigger=claim.trigger,
            prompt=claim.task.prompt,
            last_success_at=None if last_success is None else to_datetime(last_success),
            previous=previous,
        )
        return build(claim.task, run)  # type: ignore[call-arg]

    def _raised(self, claim: Claim, error: BaseException) -> Outcome:
        if is_drained(error):
            return self._ended(claim, RunStatus.INTERRUPTED, text=STOPPED)
        if type(error) is ServerError:
            logbook.run_ended_by_server(claim.task.name, claim.task.id, claim.run_id, error.status, error)
            return self._ended(claim, RunStatus(error.status), error=error)
        outcome = self._failed(claim, error)
        outcome.is_last = type(error) is AnswerLostError
        return outcome

    async def _prepare(self, task: TaskDefinition) -> _Prepared:
        key = _code_of(task)
        found = self._prepared.get(key)
        if found is None and key == _NO_CODE and self._graphs.known(None) is not None:
            found = self._prepared[key] = await self._load(*key)
        if found is not None:
            return found
        return await asyncio.shield(self._loading.get(key) or self._begin_loading(key))

    def _begin_loading(self, key: _Code) -> asyncio.Task[_Prepared]:
        """Import modules in a thread, since that may take seconds; runs of the same tasks wait for the same thread."""
        loading = asyncio.get_running_loop().create_task(
            self._load(*key), name="import", context=_containment.new_context()
        )
        self._loading[key] = loading
        loading.add_done_callback(lambda done: self._has_loaded(key, done))
        return loading

    def _has_loaded(self, key: _Code, loading: asyncio.Task[_Prepared]) -> None:
        if self._loading.get(key) is loading:
            del self._loading[key]
        if not loading.cancelled() and loading.exception() is None:
            self._prepared[key] = loading.result()

    async def _load(self, path: str | None, callback: str | None, builder: str | None) -> _Prepared:
        if self._graphs.known(path) is None:
            await in_thread(self._graphs.load, path)
        graph = await self._graphs.made(path)
        is_literal = builder == _LITERAL
        given = None if is_literal else builder or self._settings.input_builder
        if given is None and not is_literal:
            check_messages(self._graphs.name_of(path), graph)
        if callback is None and not isinstance(given, str):
            return _Prepared(graph, None, given)
        return await in_thread(_prepared, graph, callback, given)

    async def _returned(self, prepared: _Prepared, claim: Claim, opening: Beginning, reply: Reply) -> Outcome:
        if opening.how is Begin.GIVEN_UP:
            return self._ended(claim, RunStatus.INTERRUPTED, text=opening.reason, is_last=True)
        if opening.how is Begin.REJECTED:
            logbook.run_cancelled(claim.task.id, claim.run_id, str(opening.reason))
            return self._ended(claim, RunStatus.CANCELLED, text=opening.reason)
        result, questions = reply.result, reply.questions
        if questions:
            logbook.run_waiting(claim.task.name, claim.task.id, claim.run_id, len(questions))
            outcome = self._ended(
                claim,
                RunStatus.WAITING,
                response=response_text(result, self._settings.response_limit),
                questions=questions,
                error=None if reply.rejected is None else _containment.original(reply.rejected),
            )
        else:
            outcome = await self._succeeded(claim, result, prepared.callback)
        outcome.usage = larger(claim.meter.usage, usage_of(result, opening.input, claim.task.subject))
        return outcome

    async def _succeeded(self, claim: Claim, result: object, callback: Callback | None) -> Outcome:
        response = response_text(result, self._settings.response_limit)
        logbook.run_succeeded(claim.task.name, claim.task.id, claim.run_id, response)
        error = None if callback is None else await self._call_back(callback, claim.task, result)
        return self._ended(claim, RunStatus.SUCCEEDED, response=response, error=error)

    async def _call_back(self, callback: Callback, task: TaskDefinition, result: object) -> BaseException | None:
        """Call a callback, for a bounded time; return what it raised, which does not undo the graph's success."""
        name, seconds = _callback_limit(task, self._settings.callback_timeout_seconds)
        try:
            await callback_within(seconds, _awaited(callback, task, result))
        except TooLongError as error:
            raised: BaseException = too_long(name, seconds, has_ended=error.has_ended)
        except BaseException as error:
            if _containment.must_pass(error):
                raise
            raised = _containment.original(error)
        else:
            return None
        logbook.callback_failed(task.name, task.id, raised)
        return raised

    def _failed(self, claim: Claim, error: BaseException) -> Outcome:
        raised = _containment.original(error)
        logbook.run_failed(claim.task.name, claim.task.id, claim.run_id, raised)
        return self._ended(claim, RunStatus.FAILED, error=raised)

    def _timed_out(self, claim: Claim, *, has_ended: bool = True) -> Outcome:
        seconds = claim.task.timeout_seconds or 0
        logbook.run_timed_out(claim.task.name, claim.task.id, claim.run_id, seconds)
        error = too_long("timeout_seconds", seconds, has_ended=has_ended)
        return self._ended(claim, RunStatus.TIMED_OUT, error=error)

    def _ended(
        self,
        claim: Claim,
        status: RunStatus,
        *,
        response: str | None = None,
        error: BaseException | None = None,
        text: str | None = None,
        **others: Any,  # noqa: ANN401 (fields of Outcome)
    ) -> Outcome:
        if error is not None:
            prefix = "result_callback: " if status is RunStatus.SUCCEEDED else ""
            text = f"{prefix}{error_text(error, ERROR_LIMIT)}"[:ERROR_LIMIT]
        return Outcome(claim, status, self._clock.now(), response, text, error, **others)


def _callback_limit(task: TaskDefinition, seconds: float) -> tuple[str, float]:
    """Return the setting that bounds a task's callback, and its value in seconds: the shorter of two."""
    if task.timeout_seconds is not None and task.timeout_seconds < seconds:
        return "timeout_seconds", task.timeout_seconds
    return "callback_timeout_seconds", seconds


async def _awaited(callback: Callback, task: TaskDefinition, result: object) -> None:
    returned: object = callback(task, result)
    if not inspect.isawaitable(returned):
        message = f"result_callback={task.result_callback!r} returned {type(returned).__name__}, no awaitable"
        raise TypeError(message)
    await returned


def _code_of(task: TaskDefinition) -> _Code:
    return task.graph, task.result_callback, task.input_builder if task.input is None else _LITERAL


def _prepared(graph: Loaded, callback: str | None, builder: InputBuilder | str | None) -> _Prepared:
    build = load_builder(builder) if isinstance(builder, str) else builder
    return _Prepared(graph, None if callback is None else load_callback(callback), build)


def graph_config(
    claim: Claim, recursion_limit: int | None = None, configurable: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the config of one attempt; `configurable` is what the scheduler gives to all runs.

    The run's id never stands as `run_id` in the metadata: LangGraph takes an equal one for a resume and drops the new
    input.
    """
    limit = {} if recursion_limit is None else {"recursion_limit": recursion_limit}
    attempt = {} if claim.attempt == 1 else {ATTEMPT_KEY: claim.attempt}
    return {
        "configurable": {**(configurable or {}), **(claim.task.configurable or {}), "thread_id": claim.thread_id},
        "run_id": uuid.uuid4(),
        "run_name": claim.task.name,
        "tags": ["scheduler"],
        "metadata": {
            "task_id": claim.task.id,
            "scheduler_run_id": claim.run_id,
            "scheduled_at": to_datetime(claim.scheduled_at).isoformat(),
            **attempt,
        },
        **limit,
    }
