"""Conversations of the program's own: tasks join them, and a lock keeps runs off while the program speaks."""

import asyncio

import pytest
from helpers import PATIENCE, hourly, one_time, wait_until
from langchain_core.messages import HumanMessage
from langgraph.graph import MessagesState
from session_kit import Gate, chain, count, counting

from scheduler import RunStatus, TaskDefinition

CHAT = "6f9a1c1e-2b53-4c61-9d49-6f2f52a1b0c7"


def talk(thread_id=CHAT):
    return {"configurable": {"thread_id": thread_id}}


def said(text="Hello."):
    return {"messages": [HumanMessage(text)]}


async def over(scheduler, run_id):
    await wait_until(lambda: scheduler.get_run(run_id).finished_at, scheduler)
    return scheduler.get_run(run_id)


@pytest.mark.parametrize("thread_id", [CHAT, "chat-7"])
async def test_a_task_joins_a_conversation(scheduler_with, saver, thread_id):
    """What the program has said there is before the run, and what the run said is after."""
    graph = counting().copy(update={"checkpointer": saver})
    await graph.ainvoke(said(), talk(thread_id))
    scheduler = scheduler_with(counting())
    scheduler.add_task(hourly(thread_id=thread_id))
    scheduler.start()
    run = await over(scheduler, scheduler.trigger_task("hourly"))
    assert (run.status, run.response, run.thread_id) == (RunStatus.SUCCEEDED, "3", thread_id)
    state = await graph.aget_state(talk(thread_id))
    assert len(state.values["messages"]) == 4


async def test_the_input_is_unchanged(new_scheduler, echo):
    """The session in it is that of the task."""
    scheduler = new_scheduler(echo)
    scheduler.add_task(hourly(thread_id=CHAT))
    scheduler.start()
    await over(scheduler, scheduler.trigger_task("hourly"))
    [(given, config)] = echo.calls
    assert given["session_id"] == "scheduler:scheduler"
    assert config["configurable"]["thread_id"] == CHAT


async def test_two_tasks_on_one_thread_take_turns(scheduler_with):
    """As in a session."""
    gate = Gate()
    scheduler = scheduler_with(chain(MessagesState, gate=gate).compile())
    scheduler.add_task(hourly("a", thread_id=CHAT))
    scheduler.add_task(hourly("b", thread_id=CHAT))
    scheduler.start()
    runs = [scheduler.trigger_task("a"), scheduler.trigger_task("b")]
    await asyncio.wait_for(gate.entered.wait(), PATIENCE)
    gate.opened.set()
    responses = [(await over(scheduler, run)).response for run in runs]
    assert (gate.most, responses) == (1, ["1", "3"])


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"session_mode": "per_run"}, "thread_id and session_mode='per_run' both say where runs talk"),
        ({"session_id": "team", "session_mode": "task"}, "both say where runs talk"),
        (
            {"thread_id": "scheduler:daily"},
            "is a thread of the scheduler's; leave thread_id out, and give",
        ),
        ({"thread_id": "scheduler-task:x"}, "is a thread of the scheduler's"),
        ({"thread_id": ""}, "thread_id=''"),
        ({"thread_id": "a\nb"}, "thread_id="),
    ],
)
def test_a_thread_that_is_refused(fields, problem):
    """Before anything is stored."""
    with pytest.raises(ValueError, match=problem.replace("(", r"\(")):
        hourly(**{"thread_id": CHAT, **fields})


def test_it_is_stored_and_read():
    """Also through JSON with all fields."""
    task = hourly(thread_id=CHAT, session_id="team")
    assert TaskDefinition.model_validate_json(task.model_dump_json()) == task


# --- The lock ---


async def test_runs_wait_while_the_program_speaks(scheduler_with, saver):
    """What comes due meanwhile starts afterwards, and finds all messages; other threads are not held up."""
    graph = counting().copy(update={"checkpointer": saver})
    scheduler = scheduler_with(counting())
    scheduler.add_task(hourly("chat", thread_id=CHAT))
    scheduler.add_task(hourly("other", thread_id="another"))
    scheduler.start()
    async with scheduler.thread(CHAT):
        held = scheduler.trigger_task("chat")
        scheduler.add_task(one_time("due", thread_id=CHAT))
        other = await over(scheduler, scheduler.trigger_task("other"))
        for _ in range(3):
            await scheduler.scheduler.pass_done.wait()
        assert scheduler.get_run(held).status is RunStatus.PENDING
        assert [run.status for run in scheduler.list_runs("due")] in ([], [RunStatus.PENDING])
        await graph.ainvoke(said(), talk())
        assert other.response == "1"
    first = await over(scheduler, held)
    await wait_until(lambda: scheduler.list_runs("due", status="succeeded"), scheduler)
    [due] = scheduler.list_runs("due")
    assert sorted([first.response, due.response]) == ["3", "5"]


async def test_the_program_waits_for_a_run(scheduler_with):
    """Until the run that is running on the thread is over."""
    gate = Gate()
    scheduler = scheduler_with(chain(MessagesState, gate=gate).compile())
    scheduler.add_task(hourly(thread_id=CHAT))
    scheduler.start()
    run_id = scheduler.trigger_task("hourly")
    await asyncio.wait_for(gate.entered.wait(), PATIENCE)

    async def speak():
        async with scheduler.thread(CHAT):
            return scheduler.get_run(run_id).status

    speaking = asyncio.create_task(speak())
    for _ in range(2):
        await scheduler.scheduler.pass_done.wait()
    assert not speaking.done()
    gate.opened.set()
    assert await asyncio.wait_for(speaking, PATIENCE) is RunStatus.SUCCEEDED


async def test_no_message_is_lost(scheduler_with, saver):
    """The program and a task speak on one thread at once, again and again: all messages are there in the end."""
    number = 10
    graph = chain(MessagesState, count=count).compile(saver)
    scheduler = scheduler_with(chain(MessagesState, count=count).compile())
    scheduler.add_task(hourly(thread_id=CHAT, overlap="allow_all"))
    scheduler.start()

    async def chat():
        for _ in range(number):
            async with scheduler.thread(CHAT):
                await graph.ainvoke(said(), talk())

    chatting = [asyncio.create_task(chat()) for _ in range(2)]
    runs = [scheduler.trigger_task("hourly") for _ in range(number)]
    await asyncio.wait_for(asyncio.gather(*chatting), PATIENCE)
    for run in runs:
        await over(scheduler, run)
    state = await graph.aget_state(talk())
    assert len(state.values["messages"]) == 2 * 3 * number


async def test_it_is_left_in_order(scheduler_with):
    """After an error inside, and after a cancellation while it waits."""
    scheduler = scheduler_with(counting())
    scheduler.add_task(hourly(thread_id=CHAT))
    scheduler.start()
    with pytest.raises(OSError, match="inside"):
        async with scheduler.thread(CHAT):
            raise OSError("inside")
    async with scheduler.thread(CHAT):
        second = asyncio.create_task(scheduler.thread(CHAT).__aenter__())
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
    assert (await over(scheduler, scheduler.trigger_task("hourly"))).status is RunStatus.SUCCEEDED


@pytest.mark.parametrize("thread_id", ["", None, 5])
async def test_what_is_no_thread(scheduler_with, thread_id):
    """It is refused."""
    with pytest.raises(ValueError, match="thread_id="):
        async with scheduler_with(counting()).thread(thread_id):
            pass
