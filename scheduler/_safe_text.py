"""Texts of values that are not ours: of bounded length, made in bounded time, and without an exception.

What a graph returns or raises may be of any size and make, and its text is made on the event loop. There `repr` of a
list of a million rows takes a second: one call that nothing interrupts.
"""

import gc
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import (
    BuiltinFunctionType,
    CodeType,
    FrameType,
    FunctionType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
    TracebackType,
)
from typing import Any, Final

from scheduler import _containment
from scheduler._texts import indented

ERROR_LIMIT: Final = 2_000
"""So many characters of an error are kept."""
_DEPTH: Final = 50
"""What is nested more deeply is shown as an ellipsis."""
_MOST_OBJECTS, _MOST_CHARACTERS = 1_000, 100_000
"""An object that holds more is not asked for its `repr`. To weigh as much takes 1 ms."""
_OBJECT_WEIGHT: Final = 10
"""An object counts as so many characters, beside those of its texts."""
_MOST_BITS: Final = 14_000
"""Python does not write integers of more than 4,300 digits, and takes long where a program lifts that limit."""
_BITS_PER_DIGIT: Final = 3
_MOST_ERRORS: Final = 50
"""Of a chain of more exceptions none is logged with its traceback."""
_NOT_CONTENT: Final = (
    type,
    ModuleType,
    FunctionType,
    BuiltinFunctionType,
    MethodType,
    CodeType,
    FrameType,
    TracebackType,
)
_BRACKETS: Final[dict[type, tuple[str, str]]] = {
    dict: ("{", "}"),
    list: ("[", "]"),
    tuple: ("(", ")"),
    set: ("{", "}"),
    frozenset: ("frozenset({", "})"),
}
# Looked up here, past whatever a class or its metaclass says instead.
_NAME: Any = type.__dict__["__name__"]
_QUALIFIED_NAME: Any = type.__dict__["__qualname__"]
_MRO: Any = type.__dict__["__mro__"]
_DICT: Any = type.__dict__["__dict__"]
_ARGS: Any = BaseException.__dict__["args"]
_TRACEBACK: Any = BaseException.__dict__["__traceback__"]
_CAUSE: Any = BaseException.__dict__["__cause__"]
_CONTEXT: Any = BaseException.__dict__["__context__"]
_EXCEPTIONS: Any = BaseExceptionGroup.__dict__["exceptions"]
_OF_ARGS: Final = (BaseException.__str__, KeyError.__str__)
"""Make a text of the arguments alone."""
_BOUNDED: Final = (
    UnicodeDecodeError.__str__,
    UnicodeEncodeError.__str__,
    UnicodeTranslateError.__str__,
    BaseExceptionGroup.__str__,
)
"""Leave out what the exception holds, however much that is."""


def type_name(value: object) -> str:
    """Return the name of a value's class, whatever its metaclass says."""
    name: str = _NAME.__get__(type(value))
    return name


def qualified_type_name(value: object) -> str:
    """Return the name of a value's class with those of the classes and functions that it is defined in."""
    name: str = _QUALIFIED_NAME.__get__(type(value))
    return name


def _is(value: object, kinds: type | tuple[type, ...]) -> bool:
    """Do what `isinstance` does without asking for `__class__`, which may be a property that raises."""
    return issubclass(type(value), kinds)


# --- Values ---


def text_of(value: Any, limit: int) -> str:  # noqa: ANN401
    """Return the first characters of `str(value)`; of what holds too much for that, those of its `repr`."""
    if _is(value, str):
        return str.__getitem__(value, slice(limit))
    return _called(str, value, limit) if is_light(value) else shown(value, limit)


def shown(value: object, limit: int) -> str:
    """Return the first characters of `repr(value)`.

    Of an object that holds too much, its attributes are shown instead of what its own `__repr__` would say.
    """
    return _Writer(limit).text_of(value)


class _FullError(Exception):
    """The limit is reached."""


class LimitedWriter:
    """Writes a value as text, piece by piece, until a number of characters is reached. For one value."""

    def __init__(self, limit: int) -> None:
        """Take the number of characters."""
        self._parts: list[str] = []
        self._limit = self._left = limit
        self._open: set[int] = set()

    def text_of(self, value: object) -> str:
        """Return the first characters of a value; what it raises when it is read is noted where it stands."""
        try:
            self.write(value)
        except _FullError:
            pass
        except BaseException as error:
            if _containment.is_from_signal(error):
                raise
            self._parts.append(f"… ({type_name(error)} was raised here)"[: self._limit])
        return "".join(self._parts)

    def write(self, value: Any) -> None:  # noqa: ANN401
        """Write a value, by `_put`."""
        raise NotImplementedError

    def _put(self, text: str) -> None:
        self._parts.append(text[: self._left])
        self._left -= len(text)
        if self._left <= 0:
            raise _FullError


class _Writer(LimitedWriter):
    """Writes what `repr` would."""

    def write(self, value: Any) -> None:  # noqa: ANN401
        kind = type(value)
        if kind in {str, bytes, bytearray}:
            self._put(repr(value[: self._left]))
        elif kind in _BRACKETS:
            self._nested(value, self._container)
        elif is_light(value):
            self._put(_called(repr, value, self._left))
        elif kind is int:
            self._put(f"(an integer of {value.bit_length()} bits)")
        else:
            self._nested(value, self._object)

    def _nested(self, value: object, write: Callable[[Any], None]) -> None:
        if id(value) in self._open or len(self._open) >= _DEPTH:
            self._put("...")
            return
        self._open.add(id(value))
        write(value)
        self._open.discard(id(value))

    def _container(self, value: Any) -> None:  # noqa: ANN401
        if not value:
            self._put(repr(value))
            return
        opening, closing = _BRACKETS[type(value)]
        self._put(opening)
        if type(value) is dict:
            self._separated(value.items(), ": ", self.write)
        else:
            self._separated(((None, item) for item in value), "", _nothing)
        self._put(",)" if type(value) is tuple and len(value) == 1 else closing)

    def _object(self, value: object) -> None:
        self._put(f"{type_name(value)}(")
        self._separated(_attributes(value), "=", lambda name: self._put(text_of(name, self._left)))
        self._put(")")

    def _separated(self, items: Iterable[tuple[Any, Any]], sign: str, write_key: Callable[[Any], None]) -> None:
        for number, (key, item) in enumerate(items):
            if number:
                self._put(", ")
            write_key(key)
            self._put(sign)
            self.write(item)


def _nothing(_key: None) -> None:
    """Write no key."""


def _attributes(value: object) -> Iterator[tuple[object, object]]:
    """Yield what an object holds: the content of a container's subclass, then its attributes."""
    if _is(value, dict):
        yield from dict.items(value)  # type: ignore[arg-type]
    for kind in (list, tuple, set, frozenset, deque):
        if _is(value, kind):
            yield from enumerate(kind.__iter__(value))  # type: ignore[arg-type]
    for kind in _MRO.__get__(type(value)):
        for name, member in _DICT.__get__(kind).items():
            if type(member) is MemberDescriptorType and hasattr(value, name):  # of `__slots__`
                yield name, member.__get__(value)
    yield from (_dict_of(value) or {}).items()


def _dict_of(value: object) -> dict[str, Any] | None:
    try:
        found = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return None
    return found if type(found) is dict else None


def _called(make: Callable[[Any], str], value: object, limit: int) -> str:
    """Return the first characters of `repr(value)` or `str(value)`, or say that it raised."""
    text, error = _tried(make, value, limit)
    return text if error is None else f"({type_name(value)}, whose {make.__name__} raised {type_name(error)})"[:limit]


def _tried(make: Callable[[Any], str], value: object, limit: int) -> tuple[str, BaseException | None]:
    try:
        return str.__getitem__(make(value), slice(limit)), None
    except BaseException as error:
        if _containment.is_from_signal(error):
            raise
        return "", error


def is_light(value: object) -> bool:
    """Tell whether a value holds so little that texts of it can be made at once.

    What is held several times counts as often: a list of two references to a list of two references, and so on, holds
    few objects, and its `repr` has no end.
    """
    try:
        _weigh(value, {}, 0)
    except (_HeavyError, RecursionError):
        return False
    return True


class _HeavyError(Exception):
    """There is more than a text can be made of at once."""


def _weigh(value: object, weights: dict[int, int], depth: int) -> int:
    """Return about how many characters a text of a value has. Raises `_HeavyError`."""
    if _is(value, _NOT_CONTENT):
        return 0
    if id(value) in weights:
        return weights[id(value)]
    weights[id(value)] = 0  # a cycle is shown once
    if len(weights) + _size(value) > _MOST_OBJECTS or depth > 2 * _DEPTH:
        raise _HeavyError
    weight = _OBJECT_WEIGHT + _length(value)
    for held in _held_by(value):
        weight += _weigh(held, weights, depth + 1)
    if weight > _MOST_CHARACTERS:
        raise _HeavyError
    weights[id(value)] = weight
    return weight


def _held_by(value: object) -> list[Any]:
    """Return what a value holds; a dict does not show the garbage collector its keys, if they are texts."""
    held = gc.get_referents(value)
    return [*held, *dict.keys(value)] if _is(value, dict) else held  # type: ignore[arg-type]


def _length(value: object) -> int:
    for kind in (str, bytes, bytearray):
        if _is(value, kind):
            return kind.__len__(value)  # type: ignore[arg-type]
    if _is(value, int):
        bits = int.bit_length(value)  # type: ignore[arg-type]
        return bits // _BITS_PER_DIGIT if bits <= _MOST_BITS else _MOST_CHARACTERS + 1
    return 0


def _size(value: object) -> int:
    for kind in (*_BRACKETS, deque):
        if _is(value, kind):
            return kind.__len__(value)  # type: ignore[attr-defined, no-any-return]
    return 0


# --- Exceptions ---


def error_text(error: BaseException, limit: int) -> str:
    """Return the class and the message of an exception, cut to a number of characters."""
    return f"{type_name(error)}: {message_text(error, limit)}"[:limit]


def message_text(error: BaseException, limit: int) -> str:
    """Return the message of an exception, cut to a number of characters.

    The message of one that holds too much is made of its arguments, without its own `__str__`.
    """
    return _called(str, error, limit) if _is_light_error(error) else _text_of_args(error, limit)


def traceback_text(error: BaseException) -> str:
    """Return the traceback of an exception for a log: indented lines, so that none of them looks like a new record.

    Of one that holds too much there are the frames and the beginning of its message.
    """
    if can_be_printed(error):
        lines = list(traceback.TracebackException(type(error), error, error.__traceback__).format())
    else:
        lines = [frames_text(error), error_text(error, ERROR_LIMIT)]
    return indented("".join(lines))


def can_be_printed(error: BaseException) -> bool:
    """Tell whether `str` works and is short, for an exception and those that led to it, so that a log can take it."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        waiting += _behind(each)
        if len(seen) + len(waiting) > _MOST_ERRORS or not _has_short_message(each):
            return False
    return True


def _has_short_message(error: BaseException) -> bool:
    if not _is_light_error(error):
        return False
    text, failure = _tried(str, error, _MOST_CHARACTERS + 1)
    return failure is None and len(text) <= _MOST_CHARACTERS


def frames_text(error: BaseException) -> str:
    """Return the frames of an exception's traceback, without a word of the exception itself."""
    return "".join(traceback.format_tb(_TRACEBACK.__get__(error)))


def _behind(error: BaseException) -> tuple[BaseException | None, ...]:
    """Return what led to an exception, and what a group holds."""
    members = _EXCEPTIONS.__get__(error)[: _MOST_ERRORS + 1] if _is(error, BaseExceptionGroup) else ()
    return (_CAUSE.__get__(error), _CONTEXT.__get__(error), *members)


def _is_light_error(error: BaseException) -> bool:
    make = _attribute(type(error), "__str__")
    if not is_light((_dict_of(error) or {}).get("__notes__")):  # which a traceback shows, too
        return False
    return make in _BOUNDED or is_light((_ARGS.__get__(error), None if make in _OF_ARGS else _dict_of(error)))


def _attribute(kind: type, name: str) -> object:
    """Do what `getattr(kind, name)` does without asking the metaclass."""
    return next(space[name] for each in _MRO.__get__(kind) if name in (space := _DICT.__get__(each)))


def _text_of_args(error: BaseException, limit: int) -> str:
    args = _ARGS.__get__(error)
    return text_of(args[0], limit) if len(args) == 1 else shown(args, limit)
