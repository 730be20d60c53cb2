"""A chat model for projects in tests: it works offline and is as strict as OpenAI's API about what it is sent."""

import os
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult


class ScriptedModel(BaseChatModel):
    """Calls the tools that it has been given, each once, then answers with what they returned, or with the question."""

    tools: tuple[Any, ...] = ()

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools, **_):
        return self.model_copy(update={"tools": tuple(tools)})

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **_: Any,
    ) -> ChatResult:
        check_history(messages)
        question = max(number for number, each in enumerate(messages) if isinstance(each, HumanMessage))
        results = [each for each in messages[question:] if isinstance(each, ToolMessage)]
        if self.tools and not results:
            calls = [{"name": tool.name, "args": {}, "id": f"{tool.name}-{question}"} for tool in self.tools]
            answer = AIMessage("", tool_calls=calls)
        else:
            answer = AIMessage(", ".join(str(each.content) for each in results or [messages[question]]))
        return ChatResult(generations=[ChatGeneration(message=answer)])


def check_history(messages):
    """Raise what OpenAI's API says to a history in which a tool call has no answer, or an answer no call."""
    waiting: set[str] = set()
    for each in messages:
        if isinstance(each, ToolMessage):
            assert each.tool_call_id in waiting, "messages with role 'tool' must follow a message with 'tool_calls'"
            waiting.discard(each.tool_call_id)
            continue
        assert not waiting, "an assistant message with 'tool_calls' must be followed by tool messages"
        waiting = {call["id"] for call in getattr(each, "tool_calls", ())}
    assert not waiting, "an assistant message with 'tool_calls' must be followed by tool messages"


def a_model():
    """Return the model, if there is a key for it, as a provider's package does."""
    os.environ["SCRIPTED_API_KEY"]
    return ScriptedModel()
