"""An agent that schedules its own tasks: a user asks for something later, and the agent is invoked when it is due.

    python examples/self_scheduling_agent.py

It runs offline, with a model that follows a script. With `SCHEDULER_MODEL`, such as `openai:gpt-5-mini`, it asks a real
model (`pip install langchain langchain-openai`). The graph below is the same as `create_agent(model, tools)` builds.
"""

import asyncio
import os
import sys
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolCall, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from scheduler import Run, TaskScheduler
from scheduler.tools import scheduling_tools

RULES = SystemMessage("You are an assistant that can schedule tasks for later. Check what the tools answer.")
FIRST = "Look through my inbox every weekday at 9am, and remind me in 1 second to drink some water."
THEN = "What is scheduled?"
PATIENCE_SECONDS = 60
LOOK_SECONDS = 0.1


class ScriptedModel(BaseChatModel):
    """Replaces a model, offline: knows three requests, and repeats what the tools answer."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, *_: Any, **__: Any) -> "ScriptedModel":  # noqa: ANN401 (LangChain's own signature)
        """Ignore the tools: the script knows them already."""
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:  # noqa: ANN401
        return ChatResult(generations=[ChatGeneration(message=self._answer(messages))])

    def _answer(self, messages: list[BaseMessage]) -> AIMessage:
        match messages[-1]:
            case HumanMessage(content=content) if content == FIRST:
                inbox = {"name": "Inbox", "prompt": "Look through the inbox.", "schedule": "every weekday at 9am"}
                water = {"name": "Water", "prompt": "Remind me to drink water.", "schedule": "in 1 second"}
                return AIMessage("", tool_calls=[call("schedule_task", inbox, "1"), call("schedule_task", water, "2")])
            case HumanMessage(content=content) if content == THEN:
                return AIMessage("", tool_calls=[call("list_scheduled_tasks", {}, "3")])
            case ToolMessage():
                said = [message.text for message in messages if isinstance(message, ToolMessage)]
                return AIMessage("\n".join(said))
        return AIMessage("It is time: drink some water.")


def call(name: str, arguments: dict[str, Any], call_id: str) -> ToolCall:
    """Return a call of a tool, as models make them."""
    return ToolCall(name=name, args=arguments, id=call_id)


def load_model() -> BaseChatModel:
    """Return the model that `SCHEDULER_MODEL` names, or the scripted one."""
    name = os.environ.get("SCHEDULER_MODEL")
    if not name:
        return ScriptedModel()
    from langchain.chat_models import init_chat_model  # noqa: PLC0415 (needed for a real model only)

    model: BaseChatModel = init_chat_model(name)
    return model


async def think(state: MessagesState) -> dict[str, Any]:
    """Let the model answer, or call tools."""
    return {"messages": [await model.ainvoke([RULES, *state["messages"]])]}


# The scheduler invokes the agent, and the agent's tools need the scheduler: so the scheduler gets the agent's name.
scheduler = TaskScheduler(persistent=False, graph=f"{__name__}:agent", timezone="Europe/Berlin")
tools = scheduling_tools(scheduler)
model = load_model().bind_tools(tools)

builder = StateGraph(MessagesState)
builder.add_node("think", think)
builder.add_node("tools", ToolNode(tools))
builder.add_edge(START, "think")
builder.add_conditional_edges("think", tools_condition)
builder.add_edge("tools", "think")
agent = builder.compile()


async def ask(question: str) -> None:
    """Ask the agent something, as the user alice, and print what it says."""
    print(f"alice: {question}\n")
    config: Any = {"configurable": {"user_id": "alice", "thread_id": "a-chat"}}
    answer = await agent.ainvoke({"messages": [HumanMessage(question)]}, config)
    print(f"agent: {answer['messages'][-1].text}\n", flush=True)


async def first_scheduled_run() -> Run:
    """Wait for a scheduled run to be over."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            for run in scheduler.list_runs():
                if run.finished_at is not None:
                    return run
            await asyncio.sleep(LOOK_SECONDS)


async def main() -> None:
    """Talk with the agent, and wait for one of its tasks to run."""
    async with scheduler:
        await ask(FIRST)
        run = await first_scheduled_run()
        print(f"scheduled run ({run.status}): {run.response or run.error}\n")
        await ask(THEN)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except TimeoutError:
        sys.exit(f"No scheduled run ended within {PATIENCE_SECONDS} s.")
