"""The tokens that a run used, from the `usage_metadata` of the messages that its graph returned.

So they are known of graphs on servers, and where a model was not called through LangChain.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from scheduler import _containment
from scheduler.graphs.messages import member, message_text
from scheduler.models import TokenUsage

_USER: Final = frozenset({"user", "human"})
"""What the role of a user's message is called, and the type of LangChain's."""
_MOST_TOKENS: Final = 2**53
_MOST_MESSAGES: Final = 2_000
"""To read so many messages takes up to 30 ms."""
_COMPARED: Final = 10_000
"""Two messages count as the same if they begin with the same characters, up to this number."""


def usage_of(result: object, given: object, prompt: str) -> TokenUsage | None:
    """Return the tokens that a run used; None if none of its messages tells.

    On a thread that remembers, the result holds the messages of earlier runs as well. Those of this run follow the last
    user message that says what the run's own input said (`given`, where it is known, else `prompt`); where none does,
    the last user message; where there is none, all are its own. Of very many messages the last ones are read.
    Whatever the result is, nothing is raised.
    """
    try:
        return _usage_of(result, given, prompt)
    except BaseException as error:
        if _containment.is_from_signal(error):
            raise
        return None


def larger(one: TokenUsage | None, other: TokenUsage | None) -> TokenUsage | None:
    """Return the one of two counts of the same tokens that has seen more of them."""
    if one is None or other is None:
        return one or other
    return one if one.total_tokens >= other.total_tokens else other


def _usage_of(result: object, given: object, prompt: str) -> TokenUsage | None:
    messages = _messages(result)[-_MOST_MESSAGES:]
    if not any(member(message, "usage_metadata") for message in messages):
        return None
    asked = _messages(given)
    text = message_text(asked[-1] if asked else prompt, _COMPARED)
    return _sum(messages[_end_of_input(messages, text) :])


def _messages(value: object) -> list[object] | tuple[object, ...]:
    found = member(value, "messages")
    return found if isinstance(found, list | tuple) else ()


def _end_of_input(messages: list[object] | tuple[object, ...], text: str) -> int:
    latest = 0
    for index in range(len(messages), 0, -1):
        message = messages[index - 1]
        if not _is_of_user(message):
            continue
        if message_text(message, _COMPARED) == text:
            return index
        latest = latest or index
    return latest


def _is_of_user(message: object) -> bool:
    if isinstance(message, str):
        return True  # as LangGraph takes it
    if isinstance(message, list | tuple):
        return _is_user(message[0] if message else None)
    return _is_user(member(message, "role")) or _is_user(member(message, "type"))


def _is_user(role: object) -> bool:
    return isinstance(role, str) and role in _USER


def _sum(messages: Iterable[object]) -> TokenUsage | None:
    given = [usage for each in messages if isinstance(usage := member(each, "usage_metadata"), Mapping)]
    reported = [usage for usage in given if not is_from_cache(usage)]
    if not reported:
        return None
    read = sum(number_of(usage, "input_tokens") for usage in reported)
    written = sum(number_of(usage, "output_tokens") for usage in reported)
    total = sum(number_of(usage, "total_tokens") for usage in reported)
    return TokenUsage(input_tokens=read, output_tokens=written, total_tokens=total)


def is_from_cache(usage: Mapping[str, object]) -> bool:
    """Tell whether LangChain had an answer in its cache: it then writes that the answer has cost nothing."""
    return usage.get("total_cost") == 0


def number_of(usage: Mapping[str, object], name: str) -> int:
    """Return a number of tokens that a model's answer tells; 0 for anything else."""
    value = usage.get(name)
    # A number that no model can have used could be too long for the history's reader.
    return value if isinstance(value, int) and 0 <= value <= _MOST_TOKENS else 0
