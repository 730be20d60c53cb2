"""Graphs inside LangChain's runnables: what holds for a graph holds for them, as far as it can be known."""

import asyncio
import operator
from typing import Annotated

import pytest
from helpers import hourly, wait_until
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableBranch, RunnableLambda, RunnableParallel, RunnablePassthrough
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import interrupt
from runner_kit import a_claim, a_runner, a_task
from session_kit import chain
from typing_extensions import TypedDict

from scheduler import RunStatus
from scheduler.errors import GraphError
from scheduler.graphs.wrapped import WrappedGraph, unwrapped

YES = True


class Lab:
    """Nodes and steps that note what they do, and can wait, ask or fail."""

    def __init__(self):
        self.done = []
        self.failures = {}
        self.entered, self.opened = asyncio.Event(), asyncio.Event()

    async def note(self, name):
        self.done.append(name)
        if self.failures.get(name, 0):
            self.failures[name] -= 1
            message = f"{name} fails"
            raise OSError(message)
        if name == "wait":
            self.entered.set()
            await self.opened.wait()

    def node(self, name):
        async def run(_state):
            await self.note(name)
            answer = interrupt("May I?") if name == "ask" else "none"
            return {"messages": [AIMessage(f"{name}: {answer}" if name == "ask" else name)]}

        return run

    def graph(self, *names, **compiled):
        return chain(MessagesState, **{name: self.node(name) for name in names}).compile(**compiled)

    def before(self, given):
        self.done.append("before")
        return given

    def after(self, result):
        self.done.append("after")
        return {"messages": [*result["messages"], AIMessage(f"after {result['messages'][-1].text}")]}


@pytest.fixture
def lab():
    return Lab()


def sorry(_given):
    return {"messages": [AIMessage("Sorry.")]}


WRAPPERS = {
    "with_retry": lambda lab, graph: graph.with_retry(stop_after_attempt=2, wait_exponential_jitter=False),
    "bind": lambda lab, graph: graph.bind(),
    "with_config": lambda lab, graph: graph.bind().with_config(tags=["mine"], configurable={"model": "small"}),
    "with_types": lambda lab, graph: graph.with_types(input_type=dict),
    "with_fallbacks": lambda lab, graph: graph.with_fallbacks([RunnableLambda(sorry)]),
    "with_listeners": lambda lab, graph: graph.with_listeners(on_end=lambda run: lab.done.append("heard")),
    "several": lambda lab, graph: graph.with_retry(stop_after_attempt=2).bind().with_fallbacks([RunnableLambda(sorry)]),
    "step before": lambda lab, graph: RunnableLambda(lab.before) | graph,
    "step after": lambda lab, graph: graph | RunnableLambda(lab.after),
    "steps around": lambda lab, graph: RunnableLambda(lab.before) | graph.with_retry() | RunnableLambda(lab.after),
    "a sequence in a sequence": lambda lab, graph: (
        RunnablePassthrough() | (RunnableLambda(lab.before) | graph)
    ).bind(),
}


@pytest.fixture(params=WRAPPERS)
def wrap(request, lab):
    """Return what wraps a graph, in each of many ways."""
    return lambda graph: WRAPPERS[request.param](lab, graph)


def begin(scheduler, **fields):
    scheduler.add_task(hourly(**fields))
    scheduler.start()
    return scheduler.trigger_task("hourly")


async def settled(scheduler, run_id):
    """Return a run that is over or waits."""
    going = {RunStatus.PENDING, RunStatus.RUNNING}
    await wait_until(lambda: scheduler.get_run(run_id).status not in going, scheduler)
    return scheduler.get_run(run_id)


def of_graph(lab):
    """Return what the graph itself has done."""
    return [name for name in lab.done if name not in {"before", "after", "heard"}]


async def test_runs_take_turns_on_a_thread(scheduler_with, lab, wrap, saver):
    """Two tasks that share a session lose no message."""
    graph = lab.graph("wait")
    scheduler = scheduler_with(wrap(graph))
    scheduler.add_tasks([hourly(name, session_id="talk") for name in ("one", "two")])
    scheduler.start()
    runs = [scheduler.trigger_task(name) for name in ("one", "two")]
    await lab.entered.wait()
    await scheduler.scheduler.pass_done.wait()
    assert sorted(scheduler.get_run(run_id).status for run_id in runs) == ["pending", "running"]
    lab.opened.set()
    for run_id in runs:
        assert (await settled(scheduler, run_id)).status is RunStatus.SUCCEEDED
    config = {"configurable": {"thread_id": scheduler.get_run(runs[0]).thread_id}}
    state = await graph.copy(update={"checkpointer": saver}).aget_state(config)
    assert len(state.values["messages"]) == 4


async def test_a_question_and_its_answer(scheduler_with, lab, wrap):
    """The unfinished result goes to no further step, no retry and no fallback; the answer goes to the graph."""
    scheduler = scheduler_with(wrap(lab.graph("a", "ask")))
    run_id = begin(scheduler)
    run = await settled(scheduler, run_id)
    assert (run.status, [question.value for question in run.questions]) == (RunStatus.WAITING, ["May I?"])
    assert "after" not in lab.done
    scheduler.answer_run(run_id, "yes")
    run = await settled(scheduler, run_id)
    assert (run.status, run.resumed) == (RunStatus.SUCCEEDED, True)
    assert run.response.endswith("ask: yes")
    assert of_graph(lab) == ["a", "ask", "ask"]
    assert lab.done.count("before") <= 1
    assert lab.done.count("after") <= 1


async def test_a_breakpoint(scheduler_with, lab, wrap):
    """As of the graph itself."""
    scheduler = scheduler_with(wrap(lab.graph("a", "b", interrupt_before=["b"])))
    run_id = begin(scheduler)
    run = await settled(scheduler, run_id)
    assert (run.status, run.questions[0].value["next"], "after" in lab.done) == (RunStatus.WAITING, ["b"], False)
    scheduler.answer_run(run_id, YES)
    assert (await settled(scheduler, run_id)).status is RunStatus.SUCCEEDED
    assert of_graph(lab) == ["a", "b"]


async def test_a_run_that_was_cut_off_continues(scheduler_with, lab, wrap):
    """With the step that was running; steps before the graph are not run again, those after it are run."""
    scheduler = scheduler_with(wrap(lab.graph("a", "wait", "c")))
    run_id = begin(scheduler)
    await lab.entered.wait()
    await scheduler.stop()
    lab.opened.set()
    scheduler.start()
    run = await settled(scheduler, run_id)
    assert (run.status, run.attempt, run.resumed) == (RunStatus.SUCCEEDED, 2, True)
    assert of_graph(lab) == ["a", "wait", "wait", "c"]
    assert lab.done.count("before") <= 1
    assert "after" not in lab.done or lab.done[-1] == "after"


async def test_a_stop_ends_the_step(scheduler_with, lab, wrap):
    """The graph is asked to end its step, and what is around it does not start it again."""
    scheduler = scheduler_with(wrap(lab.graph("wait", "b")), shutdown_grace_seconds=20)
    run_id = begin(scheduler)
    await lab.entered.wait()
    stopped = asyncio.ensure_future(scheduler.stop())
    await asyncio.sleep(0)
    lab.opened.set()
    await stopped
    assert (scheduler.get_run(run_id).status, of_graph(lab)) == (RunStatus.PENDING, ["wait"])
    scheduler.start()
    assert (await settled(scheduler, run_id)).status is RunStatus.SUCCEEDED
    assert of_graph(lab) == ["wait", "b"]


async def test_a_node_that_was_renamed(scheduler_with, lab, wrap):
    """The run fails and says so."""
    scheduler = scheduler_with(wrap(lab.graph("a", "ask")))
    run_id = begin(scheduler)
    await settled(scheduler, run_id)
    await scheduler.stop()
    renamed = chain(MessagesState, a=lab.node("a"), ask_again=lab.node("ask")).compile()
    scheduler = scheduler_with(wrap(renamed))
    scheduler.start()
    scheduler.answer_run(run_id, "yes")
    run = await settled(scheduler, run_id)
    assert run.status is RunStatus.FAILED
    assert "the graph no longer has node 'ask'" in run.error


async def test_a_retry_of_the_task_continues(scheduler_with, lab, wrap):
    """Where the graph failed, whatever is around it."""
    lab.failures["b"] = 1
    scheduler = scheduler_with(wrap(lab.graph("a", "b")))
    run = await settled(scheduler, begin(scheduler, max_attempts=2, retry_delay_seconds=0))
    assert run.status is RunStatus.SUCCEEDED
    assert lab.done.count("a") == 1


async def test_the_steps_of_the_graph(scheduler_with, lab, wrap):
    """With `stream`, they are noted."""
    scheduler = scheduler_with(wrap(lab.graph("a", "b")))
    run = await settled(scheduler, begin(scheduler, stream=True))
    assert (run.status, run.current_step) == (RunStatus.SUCCEEDED, "b")


@pytest.mark.parametrize("has_checkpointer", [True, False])
async def test_a_graph_of_many_steps(new_scheduler, wrap, has_checkpointer):
    """LangChain's default limit of 25 steps is not imposed on it."""

    async def nothing(_state):
        """Do nothing."""

    graph = chain(MessagesState, **{f"n{number}": nothing for number in range(30)}).compile()
    saver = InMemorySaver() if has_checkpointer else None
    scheduler = new_scheduler(wrap(graph), checkpointer=saver, poll_interval=0.05)
    run = await settled(scheduler, begin(scheduler))
    assert (run.status, run.error) == (RunStatus.SUCCEEDED, None)
    assert "Sorry" not in run.response


async def test_a_graph_that_had_returned(lab, wrap):
    """Its process died before that was on disk: the graph is not run again, and the steps after it are."""
    runner = await asyncio.to_thread(a_runner, wrap(lab.graph("a")), checkpointer=InMemorySaver())
    first = await runner.run(a_claim(a_task(), checkpointed=True))
    lab.done.clear()
    claim = {"attempt": 2, "last_status": RunStatus.INTERRUPTED, "interrupted": (1,)}
    second = await runner.run(a_claim(a_task(), checkpointed=True, **claim))
    assert (second.status, second.response) == (RunStatus.SUCCEEDED, first.response)
    assert of_graph(lab) == []
    assert "before" not in lab.done


async def test_the_thread_of_a_run_is_deleted(scheduler_with, lab, wrap, saver):
    """After `session_retention`."""
    scheduler = scheduler_with(wrap(lab.graph("a")))
    run = await settled(scheduler, begin(scheduler, session_mode="per_run", session_retention=0.001))
    config = {"configurable": {"thread_id": run.thread_id}}
    while await saver.aget_tuple(config):
        await scheduler.scheduler.pass_done.wait()


@pytest.mark.parametrize("kind", WRAPPERS)
async def test_a_graph_without_a_checkpointer_cannot_wait(new_scheduler, lab, kind):
    """No retry and no fallback hides that."""
    for names, breakpoints, waits in (
        (["ask"], {}, "asks a question"),
        (["a", "b"], {"interrupt_before": ["b"]}, "stops at a breakpoint"),
    ):
        graph = WRAPPERS[kind](lab, lab.graph(*names, **breakpoints))
        async with new_scheduler(graph, poll_interval=0.05) as scheduler:
            run = await settled(scheduler, begin(scheduler))
        assert run.status is RunStatus.FAILED
        assert f"the graph {waits} and has no checkpointer to wait with" in run.error


# --- Retries and fallbacks ---


async def test_a_retry_inside_the_attempt_continues_where_the_graph_failed(scheduler_with, lab, saver):
    """Steps that were made are not made again, and the prompt is in the conversation once."""
    lab.failures["b"] = 2
    graph = lab.graph("a", "b")
    scheduler = scheduler_with(graph.with_retry(stop_after_attempt=3, wait_exponential_jitter=False))
    run = await settled(scheduler, begin(scheduler))
    assert (run.status, run.attempt, lab.done) == (RunStatus.SUCCEEDED, 1, ["a", "b", "b", "b"])
    config = {"configurable": {"thread_id": run.thread_id}}
    state = await graph.copy(update={"checkpointer": saver}).aget_state(config)
    assert [message.type for message in state.values["messages"]] == ["human", "ai", "ai"]


class Log(TypedDict):
    messages: Annotated[list, operator.add]


async def test_an_answer_is_not_given_twice_by_a_retry(scheduler_with):
    """A node that fails between its two questions does not take the first answer for the second."""
    failures = [True]

    async def delete(_state):
        one = interrupt("Delete it?")
        if failures:
            failures.pop()
            message = "between the questions"
            raise OSError(message)
        return {"messages": [AIMessage(f"{one} {interrupt('Really?')}")]}

    graph = chain(Log, delete=delete).compile().with_retry(stop_after_attempt=3, wait_exponential_jitter=False)
    scheduler = scheduler_with(graph)
    run_id = begin(scheduler)
    await settled(scheduler, run_id)
    scheduler.answer_run(run_id, "yes")
    run = await settled(scheduler, run_id)
    assert (run.status, [question.value for question in run.questions]) == (RunStatus.WAITING, ["Really?"])
    scheduler.answer_run(run_id, "no")
    assert (await settled(scheduler, run_id)).response == "yes no"


async def test_a_fallback_is_for_failures(scheduler_with, lab):
    """A graph that raises has one; the attempt is a success, as it is without a scheduler."""
    lab.failures["a"] = 1
    scheduler = scheduler_with(lab.graph("a").with_fallbacks([RunnableLambda(sorry)]))
    run = await settled(scheduler, begin(scheduler))
    assert (run.status, run.response) == (RunStatus.SUCCEEDED, "Sorry.")


async def test_a_fallback_that_is_told_the_error(scheduler_with, lab):
    """With `exception_key`, LangChain insists on a dict as the input, also where a run continues."""
    fallback = RunnableLambda(sorry)
    graph = lab.graph("a", "ask").with_fallbacks([fallback], exception_key="error")
    scheduler = scheduler_with(graph)
    run_id = begin(scheduler)
    await settled(scheduler, run_id)
    scheduler.answer_run(run_id, "yes")
    assert (await settled(scheduler, run_id)).response == "ask: yes"


async def test_breakpoints_that_are_bound(scheduler_with, lab):
    """They count like those that a graph was compiled with, also for a process that dies at one."""
    graph = lab.graph("a", "b").bind(interrupt_before=["b"])
    scheduler = scheduler_with(graph)
    run_id = begin(scheduler)
    assert (await settled(scheduler, run_id)).questions[0].value["next"] == ["b"]
    runner = a_runner(graph, checkpointer=InMemorySaver())
    first = await runner.run(a_claim(a_task(), checkpointed=True))
    claim = {"attempt": 2, "last_status": RunStatus.INTERRUPTED, "interrupted": (1,)}
    second = await runner.run(a_claim(a_task(), checkpointed=True, **claim))
    assert (first.status, second.status, lab.done) == (RunStatus.WAITING, RunStatus.WAITING, ["a", "a"])


async def test_options_that_are_bound(scheduler_with, lab, monkeypatch):
    """`durability` of `bind` is kept where the scheduler would only use its default."""
    seen = []
    graph = lab.graph("a")
    stream = type(graph).astream

    def astream(self, *arguments, **options):
        seen.append(options.get("durability"))
        return stream(self, *arguments, **options)

    monkeypatch.setattr(type(graph), "astream", astream)
    scheduler = scheduler_with(graph.bind(durability="exit"))
    await settled(scheduler, begin(scheduler))
    await settled(scheduler, begin(scheduler, durability="async"))
    assert seen == ["exit", "async"]


class Tenant(TypedDict):
    tenant: str


BRANCHES = {
    "a branch": lambda graph: RunnableBranch((lambda given: "messages" in given, graph), sorry),
    "the default of a branch": lambda graph: RunnableBranch((lambda given: "messages" not in given, sorry), graph),
    "a branch in a branch": lambda graph: RunnableBranch((lambda _: True, BRANCHES["a branch"](graph)), sorry),
    "a branch with retries": lambda graph: BRANCHES["a branch"](graph).with_retry(),
    "a branch in a sequence": lambda graph: RunnablePassthrough() | BRANCHES["a branch"](graph),
    "a branch of wrapped graphs": lambda graph: BRANCHES["a branch"](graph.with_retry()),
}


@pytest.mark.parametrize("kind", BRANCHES)
async def test_options_reach_a_graph_in_a_branch(new_scheduler, kind):
    """The context of the task reaches it, and its steps are noted."""

    async def work(_state, runtime):
        return {"messages": [AIMessage(f"for {runtime.context['tenant']}")]}

    builder = StateGraph(MessagesState, context_schema=Tenant)
    builder.add_node("work", work)
    builder.add_edge(START, "work")
    builder.add_edge("work", END)
    scheduler = new_scheduler(BRANCHES[kind](builder.compile()), poll_interval=0.05)
    run = await settled(scheduler, begin(scheduler, context={"tenant": "acme"}, stream=True))
    assert (run.status, run.response, run.current_step) == (RunStatus.SUCCEEDED, "for acme", "work")


# --- What cannot be known ---


def two_in_a_row(lab, saver):
    first, second = lab.graph("a", "ask", checkpointer=saver), lab.graph("b", checkpointer=saver)
    return first | RunnableLambda(lab.after) | second


def two_as_a_fallback(lab, saver):
    return lab.graph("a", "ask", checkpointer=saver).with_fallbacks([lab.graph("b", checkpointer=saver)])


def the_same_twice(lab, saver):
    graph = lab.graph("a", "ask", checkpointer=saver)
    return graph | graph


def called_by_a_function(lab, saver):
    graph = lab.graph("a", "ask", checkpointer=saver)

    async def call(given):
        return await graph.ainvoke(given)

    return RunnableLambda(call)


def in_parallel(lab, saver):
    graph = lab.graph("a", "ask", checkpointer=saver)
    return RunnableParallel(one=graph) | (lambda result: result["one"])


def in_a_branch(lab, saver):
    graph = lab.graph("a", "ask", checkpointer=saver)
    return RunnableBranch((lambda given: "messages" in given, graph), sorry)


UNKNOWN = [two_in_a_row, two_as_a_fallback, the_same_twice, called_by_a_function, in_parallel, in_a_branch]


@pytest.mark.parametrize("make", UNKNOWN)
async def test_a_question_that_could_not_be_answered(new_scheduler, lab, make):
    """The run fails and says why, rather than to wait for an answer that nobody could be given."""
    scheduler = new_scheduler(make(lab, InMemorySaver()), poll_interval=0.05)
    run = await settled(scheduler, begin(scheduler))
    assert run.status is RunStatus.FAILED
    assert "the graph asks a question and could not be continued: " in run.error
    assert "give the scheduler a runnable with one graph" in run.error
    assert "after" not in lab.done


@pytest.mark.parametrize("make", UNKNOWN)
async def test_such_runs_take_turns_on_a_thread(new_scheduler, lab, make):
    """Two graphs at work on one thread would lose messages all the same."""
    lab.node = lambda name: node_of(lab, "wait" if name == "a" else name)
    scheduler = new_scheduler(make(lab, InMemorySaver()), poll_interval=0.05)
    scheduler.add_tasks([hourly(name, session_id="talk") for name in ("one", "two")])
    scheduler.start()
    runs = [scheduler.trigger_task(name) for name in ("one", "two")]
    await lab.entered.wait()
    await scheduler.scheduler.pass_done.wait()
    assert sorted(scheduler.get_run(run_id).status for run_id in runs) == ["pending", "running"]
    lab.opened.set()
    for run_id in runs:
        await settled(scheduler, run_id)


def node_of(lab, name):
    return Lab.node(lab, name)


@pytest.mark.parametrize("rerun", [True, False])
@pytest.mark.parametrize("make", UNKNOWN)
async def test_such_a_run_that_is_cut_off_is_not_continued(new_scheduler, lab, make, rerun):
    """It is interrupted and says why; with `rerun_after_crash` it begins anew."""
    lab.node = lambda name: node_of(lab, "wait" if name == "a" else "b")
    scheduler = new_scheduler(make(lab, InMemorySaver()), poll_interval=0.05)
    run_id = begin(scheduler, rerun_after_crash=rerun)
    await lab.entered.wait()
    await scheduler.stop()
    lab.opened.set()
    scheduler.start()
    run = await settled(scheduler, run_id)
    if rerun:
        assert (run.status, run.resumed) == (RunStatus.SUCCEEDED, False)
    else:
        assert run.status is RunStatus.INTERRUPTED
        assert "no checkpoint of the run to continue from: " in run.error


async def test_one_of_two_graphs_keeps_threads(new_scheduler, lab):
    """Its runs are continued: the other graph has nothing to continue."""
    remembering = lab.graph("b", "ask", checkpointer=InMemorySaver())
    graph = lab.graph("a") | remembering | RunnableLambda(lab.after)
    scheduler = new_scheduler(graph, poll_interval=0.05)
    run_id = begin(scheduler)
    assert (await settled(scheduler, run_id)).status is RunStatus.WAITING
    scheduler.answer_run(run_id, "yes")
    run = await settled(scheduler, run_id)
    assert (run.status, run.response) == (RunStatus.SUCCEEDED, "after ask: yes")
    assert lab.done == ["a", "b", "ask", "ask", "after"]


@pytest.mark.parametrize("make", [two_in_a_row, two_as_a_fallback, called_by_a_function])
def test_a_saver_for_several_graphs_is_refused(lab, make):
    """Two graphs on one thread would take each other's checkpoints for their own."""
    with pytest.raises(GraphError, match="so that `checkpointer=` cannot be attached; leave checkpointer= out"):
        a_runner(make(lab, None), checkpointer=InMemorySaver())


# --- What is a wrapped graph ---


def same(graph):
    return graph


@pytest.mark.parametrize(
    "runnable",
    [RunnableLambda(sorry), RunnablePassthrough(), RunnableLambda(sorry) | RunnablePassthrough(), object(), None],
)
def test_runnables_without_a_graph(runnable):
    """They are called as they are."""
    assert unwrapped(runnable, same) is None


def test_a_graph_is_not_wrapped(lab):
    """Nor is one with a config of its own, which is a graph again."""
    graph = lab.graph("a")
    assert unwrapped(graph, same) is None
    assert unwrapped(graph.with_config(tags=["mine"]), same) is None


def test_graphs_that_a_function_uses(lab):
    """They are found in its closure, in lists and dicts, and behind further runnables."""
    graph = lab.graph("a")

    def call(given):
        return graph.invoke(given)

    inner = RunnableLambda(call)
    found = unwrapped(RunnableParallel(one=RunnablePassthrough(), two=inner.with_retry()), same)
    assert isinstance(found, WrappedGraph)
    assert (found.graphs, found.hidden, found.graph) == ((), (graph,), None)


class City(TypedDict):
    city: str


def test_the_input_of_a_wrapped_graph_is_checked():
    """Where the graph gets it as it is; a step before it may make another one."""
    builder = StateGraph(City)
    builder.add_node("a", lambda _state: {"city": "Paris"})
    builder.add_edge(START, "a")
    builder.add_edge("a", END)
    graph = builder.compile()
    for wrapped in (graph.with_retry(), graph.bind() | RunnablePassthrough(), graph.with_fallbacks([])):
        with pytest.raises(GraphError, match="its input has no `messages`"):
            a_runner(wrapped)
    a_runner(RunnableLambda(lambda _given: {"city": "Rome"}) | graph)
