"""Graphs with breakpoints (`interrupt_before`, `interrupt_after`): their runs wait until a human lets them continue."""

import asyncio

import pytest
from helpers import hourly, wait_until
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import interrupt
from runner_kit import a_claim, a_runner, a_task
from session_kit import chain

from scheduler import Decision, RunStatus, TaskScheduler

YES, NO = True, False


class Steps:
    """Nodes that note that they were run."""

    def __init__(self):
        self.done = []

    def node(self, name):
        async def run(_state):
            self.done.append(name)
            return {"messages": [AIMessage(name)]}

        return run

    def graph(self, *names, **breakpoints):
        """Return a graph whose nodes follow one another, with breakpoints."""
        return self.builder(*names).compile(**breakpoints)

    def builder(self, *names):
        return chain(MessagesState, **{name: self.node(name) for name in names})


@pytest.fixture
def steps():
    return Steps()


async def waits(scheduler, run_id):
    """Return the one question of a run when it waits."""
    await wait_until(lambda: scheduler.get_run(run_id).status is not RunStatus.RUNNING, scheduler)
    await wait_until(lambda: scheduler.get_run(run_id).status is not RunStatus.PENDING, scheduler)
    await wait_until(lambda: scheduler.get_run(run_id).status is not RunStatus.RUNNING, scheduler)
    run = scheduler.get_run(run_id)
    assert run.status is RunStatus.WAITING, (run.status, run.error)
    (question,) = run.questions
    return question


async def over(scheduler, run_id):
    await wait_until(lambda: scheduler.get_run(run_id).finished_at, scheduler)
    return scheduler.get_run(run_id)


def begin(scheduler, **fields):
    scheduler.add_task(hourly(**fields))
    scheduler.start()
    return scheduler.trigger_task("hourly")


BREAKPOINTS = {
    "before": ({"interrupt_before": ["b"]}, [["b"]]),
    "after": ({"interrupt_after": ["a"]}, [["b"]]),
    "before and after": ({"interrupt_before": ["b"], "interrupt_after": ["a"]}, [["b"]]),
    "several": ({"interrupt_before": ["b", "c"]}, [["b"], ["c"]]),
    "before all": ({"interrupt_before": "*"}, [["a"], ["b"], ["c"]]),
    "after all": ({"interrupt_after": "*"}, [["b"], ["c"]]),
    "before and after all": ({"interrupt_before": "*", "interrupt_after": "*"}, [["a"], ["b"], ["c"]]),
    "after the last": ({"interrupt_after": ["c"]}, []),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", BREAKPOINTS)
async def test_a_run_waits_at_each_breakpoint(scheduler_with, steps, kind, stream):
    """The question says what comes next; a yes lets the graph continue, up to the next breakpoint."""
    settings, stops = BREAKPOINTS[kind]
    scheduler = scheduler_with(steps.graph("a", "b", "c", **settings))
    run_id = begin(scheduler, stream=stream)
    for stop in stops:
        question = await waits(scheduler, run_id)
        assert steps.done == list("abc")[: "abc".index(stop[0])]
        assert question.value == {"question": f"Continue with {stop[0]!r}?", "next": stop}
        assert question.id.startswith("breakpoint:")
        scheduler.answer_run(run_id, YES)
    run = await over(scheduler, run_id)
    assert (run.status, run.response, run.attempt) == (RunStatus.SUCCEEDED, "c", len(stops) + 1)
    assert steps.done == ["a", "b", "c"]


async def test_a_run_that_waits_holds_its_thread(scheduler_with, steps):
    """The next run, whose input would throw the pending step away, is pending until the question is answered."""
    scheduler = scheduler_with(steps.graph("a", "b", interrupt_before=["b"]))
    first = begin(scheduler)
    await waits(scheduler, first)
    second = scheduler.trigger_task("hourly")
    await scheduler.scheduler.pass_done.wait()
    assert scheduler.get_run(second).status is RunStatus.PENDING
    scheduler.answer_run(first, "yes")
    assert (await over(scheduler, first)).status is RunStatus.SUCCEEDED
    await waits(scheduler, second)
    assert steps.done == ["a", "b", "a"]


async def test_an_answer_after_a_restart(scheduler_with, steps, db_path):
    """Given by a program that runs no graph, between two starts."""
    graph = steps.graph("a", "b", interrupt_before=["b"])
    scheduler = scheduler_with(graph)
    run_id = begin(scheduler)
    await waits(scheduler, run_id)
    await scheduler.stop()
    other = TaskScheduler(db_path=db_path)
    other.answer_run(run_id, {other.get_run(run_id).questions[0].id: "Approve"})
    other.stop()
    again = scheduler_with(graph)
    again.start()
    assert (await over(again, run_id)).status is RunStatus.SUCCEEDED
    assert steps.done == ["a", "b"]


async def test_a_rejected_run_is_cancelled(scheduler_with, steps):
    """The node is not run, the history says why, and the thread is free for the next run, with its own input."""
    scheduler = scheduler_with(steps.graph("a", "b", interrupt_before=["b"]))
    run_id = begin(scheduler, max_attempts=3)
    await waits(scheduler, run_id)
    scheduler.answer_run(run_id, NO)
    run = await over(scheduler, run_id)
    assert (run.status, run.error) == (RunStatus.CANCELLED, "a human did not let the graph continue with 'b'")
    assert steps.done == ["a"]
    run_id = scheduler.trigger_task("hourly")
    await waits(scheduler, run_id)
    assert steps.done == ["a", "a"]


async def test_the_reason_of_a_rejection(scheduler_with, steps):
    """It stands in the history."""
    scheduler = scheduler_with(steps.graph("a", "b", interrupt_before=["b"]))
    run_id = begin(scheduler)
    await waits(scheduler, run_id)
    scheduler.answer_run(run_id, Decision("reject", "not before Monday"))
    run = await over(scheduler, run_id)
    assert run.error == "a human did not let the graph continue with 'b': not before Monday"
    assert (run.status, steps.done) == (RunStatus.CANCELLED, ["a"])


async def test_nobody_answers(scheduler_with, steps):
    """As with a question: after `expire_waiting_after_seconds` the run is cancelled."""
    scheduler = scheduler_with(steps.graph("a", "b", interrupt_before=["b"]))
    run = await over(scheduler, begin(scheduler, expire_waiting_after_seconds=0.1))
    assert (run.status, steps.done) == (RunStatus.CANCELLED, ["a"])


# --- Agents ---


class Model(GenericFakeChatModel):
    def bind_tools(self, *_arguments, **_options):
        return self


class Shop:
    """An agent with a tool that pays."""

    def __init__(self):
        self.paid = []

    def agent(self, **breakpoints):
        @tool
        def pay(amount: int) -> str:
            """Pay an amount."""
            self.paid.append(amount)
            return "paid"

        calls = [{"name": "pay", "args": {"amount": amount}, "id": f"call{amount}"} for amount in (100, 7)]
        said = [AIMessage("", tool_calls=calls), AIMessage("Done."), AIMessage("Hello.")]
        return create_agent(Model(messages=iter(said)), [pay], **breakpoints)


async def test_an_agent_that_stops_before_its_tools(scheduler_with):
    """The question shows the tool calls that a human is to decide about."""
    shop = Shop()
    scheduler = scheduler_with(shop.agent(interrupt_before=["tools"]))
    run_id = begin(scheduler)
    question = await waits(scheduler, run_id)
    assert question.value == {
        "question": "Continue with 'tools'?",
        "next": ["tools"],
        "tool_calls": [
            {"name": "pay", "args": {"amount": 100}, "id": "call100"},
            {"name": "pay", "args": {"amount": 7}, "id": "call7"},
        ],
    }
    assert shop.paid == []
    scheduler.answer_run(run_id, YES)
    run = await over(scheduler, run_id)
    assert (run.status, run.response, sorted(shop.paid)) == (RunStatus.SUCCEEDED, "Done.", [7, 100])


async def test_tool_calls_that_are_rejected(scheduler_with, saver):
    """They are answered in the conversation, as models want it: the next run of the session works."""
    shop = Shop()
    agent = shop.agent(interrupt_before=["tools"])
    scheduler = scheduler_with(agent)
    run_id = begin(scheduler)
    await waits(scheduler, run_id)
    scheduler.answer_run(run_id, "reject")
    run = await over(scheduler, run_id)
    assert (run.status, shop.paid) == (RunStatus.CANCELLED, [])
    run_id = scheduler.trigger_task("hourly")
    run = await over(scheduler, run_id)
    assert (run.status, run.response) == (RunStatus.SUCCEEDED, "Done.")
    attached = agent.copy(update={"checkpointer": saver})
    state = await attached.aget_state({"configurable": {"thread_id": run.thread_id}})
    messages = state.values["messages"]
    assert [message.type for message in messages] == ["human", "ai", "tool", "tool", "human", "ai"]
    answered = {message.tool_call_id: message.status for message in messages if isinstance(message, ToolMessage)}
    assert answered == {"call100": "error", "call7": "error"}


# --- Graphs inside nodes ---


def as_a_node(inner):
    return inner


def called_by_a_method(inner):
    """LangGraph does not find such a graph."""

    class Agent:
        graph = inner

        async def run(self, state):
            return await self.graph.ainvoke(state)

    return Agent().run


@pytest.mark.parametrize(
    ("nested", "shown"), [(as_a_node, ["inner.q", "inner.r"]), (called_by_a_method, ["inner"] * 2)]
)
async def test_breakpoints_in_a_graph_inside_a_node(scheduler_with, steps, nested, shown):
    """Several in the same inner graph, each answered by itself."""
    inner = nested(steps.graph("p", "q", "r", interrupt_before=["q", "r"]))
    graph = chain(MessagesState, a=steps.node("a"), inner=inner, z=steps.node("z")).compile()
    scheduler = scheduler_with(graph)
    run_id = begin(scheduler)
    for name, done in zip(shown, ["ap", "apq"], strict=True):
        question = await waits(scheduler, run_id)
        assert (question.value["next"], "".join(steps.done)) == ([name], done)
        scheduler.answer_run(run_id, YES)
    run = await over(scheduler, run_id)
    assert (run.status, "".join(steps.done)) == (RunStatus.SUCCEEDED, "apqrz")


async def test_a_breakpoint_beside_a_question(scheduler_with, steps):
    """A graph in one node stops at a breakpoint while another node asks; both are answered together."""

    async def ask(_state):
        return {"messages": [AIMessage(interrupt("Which?"))]}

    builder = StateGraph(MessagesState)
    builder.add_node("inner", steps.graph("p", "q", interrupt_before=["q"]))
    builder.add_node("ask", ask)
    for name in ("inner", "ask"):
        builder.add_edge(START, name)
        builder.add_edge(name, END)
    scheduler = scheduler_with(builder.compile())
    run_id = begin(scheduler)
    await wait_until(lambda: scheduler.get_run(run_id).status is RunStatus.WAITING, scheduler)
    questions = {
        question.value if question.value == "Which?" else "breakpoint": question.id
        for question in scheduler.get_run(run_id).questions
    }
    scheduler.answer_run(run_id, {questions["Which?"]: "This one.", questions["breakpoint"]: "yes"})
    run = await over(scheduler, run_id)
    assert (run.status, steps.done) == (RunStatus.SUCCEEDED, ["p", "q"])


# --- Without a checkpointer ---


@pytest.mark.parametrize(
    "graph",
    [
        lambda steps: steps.graph("a", "b", interrupt_before=["b"]),
        lambda steps: steps.graph("a", "b", interrupt_after="*"),
        lambda steps: chain(MessagesState, inner=steps.graph("a", "b", interrupt_before=["b"])).compile(),
        lambda steps: steps.graph("a", "b", interrupt_before=["b"]).with_config(tags=["mine"]),
    ],
    ids=["before", "after all", "inside a node", "with_config"],
)
async def test_a_graph_without_a_checkpointer_cannot_wait(new_scheduler, steps, graph):
    """Its run fails, with what to do: the rest of the graph was not run, and cannot be."""
    scheduler = new_scheduler(graph(steps), poll_interval=0.05)
    run = await over(scheduler, begin(scheduler))
    assert (run.status, steps.done) == (RunStatus.FAILED, ["a"])
    assert "the graph stops at a breakpoint and has no checkpointer to wait with" in run.error


# --- Attempts that are cut off ---


def cut_off(runner, **claim):
    """Make the next attempt of a run whose process died before it could note that the graph had stopped."""
    claim = {"attempt": 2, "last_status": RunStatus.INTERRUPTED, "interrupted": (1,), **claim}
    return runner.run(a_claim(a_task(), checkpointed=True, **claim))


@pytest.mark.parametrize(
    "graph",
    [
        lambda steps: steps.graph("a", "b", interrupt_before=["b"]),
        lambda steps: steps.graph("a", "b", interrupt_after=["a"]),
        lambda steps: steps.graph("a", "b", interrupt_before="*"),
        lambda steps: steps.graph("a", "b", interrupt_after="*"),
        lambda steps: chain(MessagesState, inner=steps.graph("a", "b", interrupt_before=["b"])).compile(),
        lambda steps: chain(MessagesState, inner=steps.graph("a", "b", interrupt_after=["a"])).compile(),
        lambda steps: chain(MessagesState, inner=steps.graph("a", "b")).compile(interrupt_before=["inner"]),
    ],
    ids=["before", "after", "before all", "after all", "before in a node", "after in a node", "before a node"],
)
async def test_a_process_that_dies_at_a_breakpoint(steps, graph):
    """The next attempt waits like the first: a breakpoint that nobody has let the graph pass is not passed."""
    runner = a_runner(graph(steps), checkpointer=InMemorySaver())
    first = await runner.run(a_claim(a_task(), checkpointed=True))
    done = list(steps.done)
    second = await cut_off(runner)
    assert (first.status, second.status, steps.done) == (RunStatus.WAITING, RunStatus.WAITING, done)
    assert first.questions == second.questions
    answers = {first.questions[0].id: True}
    third = await cut_off(runner, last_status=RunStatus.WAITING, answers=answers)
    assert len(steps.done) > len(done)
    assert third.status in {RunStatus.SUCCEEDED, RunStatus.WAITING}


async def test_a_process_that_dies_behind_a_breakpoint(steps):
    """The yes counts for the step that it was given for, however often that is run; not for the next breakpoint."""
    runner = a_runner(steps.graph("a", "b", "c", interrupt_before=["b", "c"]), checkpointer=InMemorySaver())
    first = await runner.run(a_claim(a_task(), checkpointed=True))
    answers = {first.questions[0].id: True}
    for number in (2, 3):
        again = await cut_off(runner, attempt=number, answers=answers)
        assert again.status is RunStatus.WAITING
        assert again.questions[0].value["next"] == ["c"]
        assert steps.done == ["a", "b"]


async def test_a_process_that_dies_inside_a_node_behind_a_breakpoint():
    """In a graph that a method calls: the yes was for the node, and it is not asked for again."""
    entered, opened = asyncio.Event(), asyncio.Event()

    async def wait(_state):
        entered.set()
        await opened.wait()

    class Agent:
        graph = chain(MessagesState, p=Steps().node("p"), wait=wait).compile()

        async def run(self, state):
            return await self.graph.ainvoke(state)

    graph = chain(MessagesState, inner=Agent().run).compile(interrupt_before=["inner"])
    runner = a_runner(graph, checkpointer=InMemorySaver())
    first = await runner.run(a_claim(a_task(), checkpointed=True))
    answers = {first.questions[0].id: True}
    second = asyncio.ensure_future(cut_off(runner, last_status=RunStatus.WAITING, answers=answers))
    await entered.wait()
    second.cancel()
    await asyncio.wait([second])
    opened.set()
    assert (await cut_off(runner, attempt=3, answers=answers)).status is RunStatus.SUCCEEDED


async def test_a_step_that_fails_behind_a_breakpoint(scheduler_with, steps):
    """Its retry needs no further yes."""
    failures = [True]

    async def pay(_state):
        if failures:
            failures.pop()
            message = "no network"
            raise OSError(message)
        steps.done.append("pay")

    graph = chain(MessagesState, plan=steps.node("plan"), pay=pay).compile(interrupt_before=["pay"])
    scheduler = scheduler_with(graph)
    run_id = begin(scheduler, max_attempts=2, retry_delay_seconds=0)
    await waits(scheduler, run_id)
    scheduler.answer_run(run_id, YES)
    run = await over(scheduler, run_id)
    assert (run.status, run.attempt, steps.done) == (RunStatus.SUCCEEDED, 3, ["plan", "pay"])


async def test_a_node_that_asks_behind_a_breakpoint(scheduler_with, steps):
    """First whether it may run at all, then what it asks."""

    async def pay(_state):
        steps.done.append(interrupt("How much?"))

    graph = chain(MessagesState, plan=steps.node("plan"), pay=pay).compile(interrupt_before=["pay"])
    scheduler = scheduler_with(graph)
    run_id = begin(scheduler)
    assert (await waits(scheduler, run_id)).value["next"] == ["pay"]
    scheduler.answer_run(run_id, YES)
    await wait_until(lambda: scheduler.get_run(run_id).attempt == 2, scheduler)
    assert (await waits(scheduler, run_id)).value == "How much?"
    scheduler.answer_run(run_id, 7)
    assert (await over(scheduler, run_id)).status is RunStatus.SUCCEEDED
    assert steps.done == ["plan", 7]


async def test_a_breakpoint_that_a_stop_meets(scheduler_with, steps):
    """A stop asks the graph to end its step; the step behind it has a breakpoint, and the run waits."""
    entered, opened = asyncio.Event(), asyncio.Event()

    async def plan(_state):
        entered.set()
        await opened.wait()
        steps.done.append("plan")

    graph = chain(MessagesState, plan=plan, pay=steps.node("pay")).compile(interrupt_before=["pay"])
    scheduler = scheduler_with(graph, shutdown_grace_seconds=20)
    run_id = begin(scheduler)
    await entered.wait()
    stopped = asyncio.ensure_future(scheduler.stop())
    await asyncio.sleep(0)
    opened.set()
    await stopped
    assert (scheduler.get_run(run_id).status, steps.done) == (RunStatus.WAITING, ["plan"])


async def test_a_graph_with_an_ainvoke_of_its_own(scheduler_with, steps):
    """It is called as its author wants it, and its state tells that it has stopped."""
    calls = []

    class Mine(CompiledStateGraph):
        async def ainvoke(self, *arguments, **options):
            calls.append(arguments)
            return await super().ainvoke(*arguments, **options)

    graph = steps.graph("a", "b", interrupt_before=["b"])
    graph.__class__ = Mine
    scheduler = scheduler_with(graph)
    run_id = begin(scheduler)
    await waits(scheduler, run_id)
    scheduler.answer_run(run_id, YES)
    assert (await over(scheduler, run_id)).status is RunStatus.SUCCEEDED
    assert len(calls) == 2
