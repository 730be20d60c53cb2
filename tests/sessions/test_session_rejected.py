"""Wrong answers: a run that is given one asks again, with the error, and does not fail."""

import pytest
from helpers import hourly, wait_until
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt
from pydantic import BaseModel
from session_kit import asking

from scheduler import Decision, RunStatus


async def asked(scheduler, run_id, times=1):
    """Return a run when it waits for the so-many-th time."""
    await wait_until(
        lambda: (run := scheduler.get_run(run_id)).status is RunStatus.WAITING and run.attempt >= times, scheduler
    )
    return scheduler.get_run(run_id)


async def over(scheduler, run_id):
    await wait_until(lambda: scheduler.get_run(run_id).finished_at, scheduler)
    return scheduler.get_run(run_id)


async def strict(_state):
    answer = interrupt("Which city?")
    return {"messages": [AIMessage(f"Going to {answer['city']}.")]}


async def test_an_answer_that_the_node_cannot_use(scheduler_with):
    """The run waits again, shows the error, and takes another answer; the history has the attempt with its error."""
    scheduler = scheduler_with(asking(strict))
    scheduler.add_task(hourly())
    scheduler.start()
    run = await asked(scheduler, scheduler.trigger_task("hourly"))
    scheduler.answer_run(run.id, "Rome")
    run = await asked(scheduler, run.id, times=2)
    assert run.error.startswith("TypeError: ")
    assert [each.value for each in run.questions] == ["Which city?"]
    scheduler.answer_run(run.id, {"town": "Rome"})
    run = await asked(scheduler, run.id, times=3)
    assert run.error == "KeyError: 'city'"
    scheduler.answer_run(run.id, {"city": "Rome"})
    run = await over(scheduler, run.id)
    assert (run.status, run.response, run.error) == (RunStatus.SUCCEEDED, "Going to Rome.", None)
    assert [(each.status, (each.error or "").split(":")[0]) for each in run.earlier_attempts] == [
        (RunStatus.WAITING, ""),
        (RunStatus.WAITING, "TypeError"),
        (RunStatus.WAITING, "KeyError"),
    ]


async def test_granted_attempts_come_first(scheduler_with):
    """The error may have another cause; when all attempts have failed, the run asks again."""
    scheduler = scheduler_with(asking(strict))
    scheduler.add_task(hourly(max_attempts=2, retry_delay_seconds=0))
    scheduler.start()
    run = await asked(scheduler, scheduler.trigger_task("hourly"))
    scheduler.answer_run(run.id, "Rome")
    run = await asked(scheduler, run.id, times=3)
    assert [each.status for each in run.earlier_attempts] == [RunStatus.WAITING, RunStatus.FAILED]
    scheduler.answer_run(run.id, {"city": "Rome"})
    assert (await over(scheduler, run.id)).response == "Going to Rome."


class City(BaseModel):
    city: str
    nights: int = 1


async def typed(_state):
    city = interrupt("Which city?", response_schema=City)
    return {"messages": [AIMessage(f"{city.nights} in {city.city}")]}


async def test_a_question_with_a_schema(scheduler_with):
    """The schema is with the question; what does not fit is refused at once, and nothing is begun."""
    scheduler = scheduler_with(asking(typed))
    scheduler.add_task(hourly())
    scheduler.start()
    run = await asked(scheduler, scheduler.trigger_task("hourly"))
    assert run.questions[0].response_schema["required"] == ["city"]
    with pytest.raises(ValueError, match="does not fit the question's schema: 'Rome' is not of type 'object'"):
        scheduler.answer_run(run.id, "Rome")
    with pytest.raises(ValueError, match=r"\[\"nights\"\]: 'two' is not of type 'integer'"):
        scheduler.answer_run(run.id, {"city": "Rome", "nights": "two"})
    assert scheduler.get_run(run.id).attempt == 1
    scheduler.answer_run(run.id, {"city": "Rome", "nights": 2})
    assert (await over(scheduler, run.id)).response == "2 in Rome"


class Even(BaseModel):
    number: int

    def model_post_init(self, _context):
        if self.number % 2:
            raise ValueError("it is odd")


async def even(_state):
    return {"messages": [AIMessage(str(interrupt("Which?", response_schema=Even).number))]}


@pytest.mark.parametrize("inside", [False, True], ids=["a node", "a graph in a node"])
async def test_what_a_schema_cannot_say(scheduler_with, inside):
    """The graph's own type refuses it: the same question stands, also one of a graph inside another."""
    graph = asking(even)
    if inside:
        graph = StateGraph(MessagesState).add_node("inner", graph).add_edge(START, "inner").compile()
    scheduler = scheduler_with(graph)
    scheduler.add_task(hourly(max_attempts=3))
    scheduler.start()
    run = await asked(scheduler, scheduler.trigger_task("hourly"))
    scheduler.answer_run(run.id, {"number": 3})
    again = await asked(scheduler, run.id, times=2)
    assert "it is odd" in again.error
    assert again.questions == run.questions
    scheduler.answer_run(run.id, {"number": 4})
    assert (await over(scheduler, run.id)).response == "4"


async def test_an_error_of_another_kind_fails(scheduler_with):
    """A provider that is down is no answer's fault."""

    async def broken(_state):
        raise OSError(interrupt("Go on?"))

    scheduler = scheduler_with(asking(broken))
    scheduler.add_task(hourly())
    scheduler.start()
    run = await asked(scheduler, scheduler.trigger_task("hourly"))
    scheduler.answer_run(run.id, "yes")
    run = await over(scheduler, run.id)
    assert (run.status, run.error) == (RunStatus.FAILED, "OSError: yes")


async def test_a_later_node_fails_as_ever(scheduler_with):
    """Only the node that asked can be asked again: the others have begun to act on the answer."""

    async def ask(_state):
        return {"messages": [AIMessage(str(interrupt("Go on?")))]}

    async def later(_state):
        raise ValueError("later")

    graph = StateGraph(MessagesState).add_sequence([("ask", ask), ("later", later)]).add_edge(START, "ask").compile()
    scheduler = scheduler_with(graph)
    scheduler.add_task(hourly())
    scheduler.start()
    run = await asked(scheduler, scheduler.trigger_task("hourly"))
    scheduler.answer_run(run.id, "yes")
    assert (await over(scheduler, run.id)).status is RunStatus.FAILED


async def test_a_neighbour_that_has_finished_is_not_run_again(scheduler_with):
    """A node beside the one that asked has done its work: the run fails rather than do it twice."""
    done = []

    async def neighbour(_state):
        done.append(1)
        return {"messages": [AIMessage("done")]}

    scheduler = scheduler_with(asking(strict, neighbour))
    scheduler.add_task(hourly())
    scheduler.start()
    run = await asked(scheduler, scheduler.trigger_task("hourly"))
    scheduler.answer_run(run.id, "Rome")
    assert (await over(scheduler, run.id)).status is RunStatus.FAILED
    assert done == [1]


SENT = []


def send(to: str) -> str:
    """Send it."""
    SENT.append(to)
    return f"sent to {to}"


def reviewed(mode):
    """Return an agent whose tool a person reviews."""
    call = {"name": "send", "args": {"to": "ann"}, "id": "1"}
    model = Scripted(messages=iter([AIMessage("", tool_calls=[call]), AIMessage("I am done.")]))
    review = HumanInTheLoopMiddleware(interrupt_on={"send": True}, interrupt_mode=mode)
    return create_agent(model, [send], middleware=[review])


class Scripted(GenericFakeChatModel):
    """Says what was written for it."""

    def bind_tools(self, tools, **kwargs):
        return self


@pytest.mark.parametrize("mode", ["batched", "per_call"])
@pytest.mark.parametrize(
    ("decision", "sent"),
    [
        (Decision("approve"), ["ann"]),
        (Decision("reject", "not now"), []),
        (Decision("edit", {"to": "bob"}), ["bob"]),
        (Decision("respond", "I did it myself."), []),
    ],
)
async def test_langchains_middleware_takes_each_decision(scheduler_with, mode, decision, sent):
    """In both its ways of asking; a text is refused, and the run waits on."""
    SENT.clear()
    scheduler = scheduler_with(reviewed(mode))
    scheduler.add_task(hourly())
    scheduler.start()
    run = await asked(scheduler, scheduler.trigger_task("hourly"))
    with pytest.raises(ValueError, match="send"):
        scheduler.answer_run(run.id, "yes")
    scheduler.answer_run(run.id, decision)
    run = await over(scheduler, run.id)
    assert (run.status, run.response, SENT) == (RunStatus.SUCCEEDED, "I am done.", sent)


async def test_agent_inbox(scheduler_with):
    """The request of its schema gets the response that the graph's authors wrote for."""
    request = {
        "action_request": {"action": "send", "args": {"to": "ann"}},
        "config": {"allow_accept": True, "allow_edit": True, "allow_respond": True, "allow_ignore": False},
        "description": "Send it?",
    }

    async def review(_state):
        return {"messages": [AIMessage(str(interrupt([request])[0]))]}

    scheduler = scheduler_with(asking(review))
    scheduler.add_task(hourly())
    scheduler.start()
    run = await asked(scheduler, scheduler.trigger_task("hourly"))
    with pytest.raises(ValueError, match="'ignore' is not among what is allowed: accept, edit, response"):
        scheduler.answer_run(run.id, Decision("reject"))
    scheduler.answer_run(run.id, Decision("edit", {"to": "bob"}))
    expected = {"type": "edit", "args": {"action": "send", "args": {"to": "bob"}}}
    assert (await over(scheduler, run.id)).response == str(expected)
