"""The text of what a graph returned."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final

from scheduler import _containment
from scheduler._safe_text import error_text, shown, text_of
from scheduler.graphs.json_text import has_json, json_text

_ERROR_LIMIT: Final = 2_000
"""So many characters say why a result cannot be shown."""
_MOST_BLOCKS: Final = 10_000
"""Of a message with more blocks of content, the first ones are read."""


def response_text(result: object, limit: int) -> str:
    """Return `limit` characters of the last message of a graph's result; of a result without messages, of its JSON.

    A message is an object with `content`, a mapping with that key, a pair of role and content, or a text; content is a
    text or a list of blocks, of which the texts are taken. A result without any text gives "". Whatever the result is,
    this takes some milliseconds at most and raises nothing.
    """
    try:
        return _response_text(result, limit)
    except BaseException as error:
        if _containment.is_from_signal(error):
            raise
        return f"(the result cannot be shown: {error_text(error, _ERROR_LIMIT)})"[:limit]


def _response_text(result: object, limit: int) -> str:
    messages = member(result, "messages")
    if isinstance(messages, list | tuple):
        return message_text(messages[-1], limit) if messages else ""
    if result is None:
        return ""
    if isinstance(result, str):
        return text_of(result, limit)
    return json_text(result, limit) if has_json(result) else shown(result, limit)


def member(value: object, name: str) -> object:
    """Return what a mapping has under a key, or an object as an attribute; None if it has it not."""
    if isinstance(value, dict):  # asked first, as it is quick, and is what nearly all are
        return value.get(name)
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def message_text(message: object, limit: int) -> str:
    """Return the first characters of the text of one message."""
    match message:
        case str():
            return text_of(message, limit)
        case (str(), content):
            return _content_text(content, limit)
    return _content_text(member(message, "content"), limit)


def _content_text(content: object, limit: int) -> str:
    if content is None:
        return ""
    if not isinstance(content, list | tuple):
        return json_text(content, limit) if isinstance(content, Mapping) else text_of(content, limit)
    parts: list[str] = []
    for text in _block_texts(content):
        parts.append(text_of(text, limit))
        limit -= len(parts[-1])
        if limit <= 0:
            break
    return "".join(parts)


def _block_texts(blocks: list[object] | tuple[object, ...]) -> Iterator[str]:
    for block in islice(blocks, _MOST_BLOCKS):
        text = block if isinstance(block, str) else member(block, "text")
        if isinstance(text, str):
            yield text
