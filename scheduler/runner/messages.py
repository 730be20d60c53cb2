"""The text of what a graph returned."""

from collections.abc import Iterator, Mapping
from typing import Final

RESPONSE_LIMIT: Final = 2_000
"""So many characters of a response are kept."""


def response_text(result: object) -> str:
    """Return the text of the last message of a graph's result, or of a result that has no messages, cut short.

    A message is an object with `content`, a mapping with that key, a pair of role and content, or a text; content is a
    text or a list of blocks, of which the texts are taken. A result without any text gives "".
    """
    messages = member(result, "messages")
    if isinstance(messages, list | tuple):
        text = message_text(messages[-1]) if messages else ""
    elif result is None:
        text = ""
    else:
        text = result if isinstance(result, str) else repr(result)
    return text[:RESPONSE_LIMIT]


def member(value: object, name: str) -> object:
    """Return what a mapping has under a key, or an object as an attribute; None if it has it not."""
    if isinstance(value, dict):  # asked first, as it is told at once, and is what nearly all are
        return value.get(name)
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def message_text(message: object) -> str:
    """Return the text of one message."""
    match message:
        case str():
            return message
        case (str(), content):
            return _content_text(content)
    return _content_text(member(message, "content"))


def _content_text(content: object) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list | tuple):
        return "".join(_block_texts(content))
    return str(content)


def _block_texts(blocks: list[object] | tuple[object, ...]) -> Iterator[str]:
    for block in blocks:
        text = block if isinstance(block, str) else member(block, "text")
        if isinstance(text, str):
            yield text
