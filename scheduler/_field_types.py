"""Types of the fields of a definition: what each value must be, and where it is refused."""

import json
import re
import unicodedata
from datetime import date, datetime
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from scheduler._json_values import check_json
from scheduler._limits import (
    COUNT_LIMIT,
    EXCEPTION_LIMIT,
    FIRST_YEAR,
    ID_LIMIT,
    INTERVAL_LIMIT,
    LAST_YEAR,
    NAME_LIMIT,
    TAG_LIMIT,
    TAGS_LIMIT,
    TEXT_LIMIT,
    WORD_LIMIT,
)
from scheduler._texts import is_unicode
from scheduler.graph_names import FileGraph, NamedGraph, parse_graph_name
from scheduler.server_url import is_server_url, parse_server_url
from scheduler.timing.crontab import parse_crontab
from scheduler.timing.rule_parser import parse_rule

STORED: Final = {"stored": True}
"""The validation context of definitions from a store: what earlier releases took within wider limits stays valid."""

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TAG: Final = re.compile(r"\w[\w.:/@+-]*")
_CALLBACK_PATH: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*[.:][^\W\d]\w*")
_GRAPH_PATH: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def _printable(value: str) -> str:
    if not value.isprintable() and any(unicodedata.category(letter) == "Cc" for letter in value):
        raise PydanticCustomError("control_characters", "it has control characters")
    return value


def _not_blank(value: str) -> str:
    if not value or value.isspace():
        raise PydanticCustomError("blank", "it is blank")
    if not is_unicode(value):
        raise PydanticCustomError("unicode", "it has half of a surrogate pair, which is no character")
    return value


def _crontab(value: str) -> str:
    try:
        parse_crontab(value)
    except ValueError as error:
        raise PydanticCustomError("crontab", "{reason}", {"reason": str(error)}) from None
    return value


def _rule(value: str) -> str:
    """Return a recurrence rule in capital letters, without `RRULE:`."""
    try:
        return parse_rule(value).text
    except ValueError as error:
        raise PydanticCustomError("crontab", "{reason}", {"reason": str(error)}) from None


def _date_or_instant(value: object) -> object:
    """Read a text as a date if it has no time: else it would be taken for midnight of that day."""
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            return value
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, LookupError):
        raise PydanticCustomError("zone", "no time zone has this name") from None
    return value


def _tag(value: str) -> str:
    if not is_tag(value):
        raise PydanticCustomError("tag", "{reason}", {"reason": f"{value[:TAG_LIMIT]!r} is no tag"})
    return value


def is_tag(value: str) -> bool:
    """Tell whether a text can be a tag: letters, digits and a few marks, no blanks and no commas."""
    return len(value) <= TAG_LIMIT and bool(_TAG.fullmatch(value))


def _once_each(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _callback_path(value: str) -> str:
    if not _CALLBACK_PATH.fullmatch(value):
        raise PydanticCustomError("dotted_path", "it is no dotted path of a function in a module")
    return value


def _graph_path(value: str) -> str:
    if is_server_url(value):
        try:
            parse_server_url(value)
        except ValueError as error:
            raise PydanticCustomError("server_url", "{reason}", {"reason": str(error)}) from None
    elif not _GRAPH_PATH.fullmatch(value) and not isinstance(parse_graph_name(value), (FileGraph, NamedGraph)):
        raise PydanticCustomError("graph_path", "it is not of the form module:attribute")
    return value


def is_stored(info: ValidationInfo) -> bool:
    return info.context is STORED


def _within_calendar(value: datetime, info: ValidationInfo) -> datetime:
    if not FIRST_YEAR <= value.year <= LAST_YEAR and not is_stored(info):
        raise PydanticCustomError("year", "its year is out of range")
    return value


def _json_object(value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
    check_json(str(info.field_name), value)
    if value and not is_stored(info):
        _refuse_longer(len(json.dumps(value, ensure_ascii=False)), TEXT_LIMIT, "its JSON")
    return value


def _at_most(limit: int) -> AfterValidator:
    """Return what refuses a longer text, except from a store, where earlier releases may have put one."""

    def check(value: str, info: ValidationInfo) -> str:
        if not is_stored(info):
            _refuse_longer(len(value), limit, "it")
        return value

    return AfterValidator(check)


def _refuse_longer(length: int, limit: int, what: str) -> None:
    if length > limit:
        context = {"what": what, "length": f"{length:,}", "limit": f"{limit:,}"}
        raise PydanticCustomError("too_long", "{what} has {length} characters, and {limit} are the most", context)


Seconds = Annotated[float, Field(ge=0, le=INTERVAL_LIMIT, allow_inf_nan=False, strict=True)]
Count = Annotated[int, Field(ge=1, le=COUNT_LIMIT, strict=True)]
Flag = Annotated[bool, Field(strict=True)]
Moment = Annotated[datetime, AfterValidator(_within_calendar)]
JsonObject = Annotated[dict[Annotated[str, Field(strict=True)], Any], AfterValidator(_json_object)]
Name = Annotated[str, _at_most(NAME_LIMIT), AfterValidator(_not_blank)]
Prompt = Annotated[str, _at_most(TEXT_LIMIT), AfterValidator(_not_blank)]
CallbackPath = Annotated[str, _at_most(WORD_LIMIT), AfterValidator(_callback_path)]
Identifier = Annotated[str, Field(max_length=ID_LIMIT), AfterValidator(_not_blank), AfterValidator(_printable)]
Crontab = Annotated[str, _at_most(WORD_LIMIT), AfterValidator(_crontab)]
RecurrenceRule = Annotated[str, _at_most(WORD_LIMIT), AfterValidator(_rule)]
Exceptions = Annotated[
    tuple[Annotated[Annotated[date, Field(strict=True)] | Moment, BeforeValidator(_date_or_instant)], ...],
    Field(max_length=EXCEPTION_LIMIT),
]
Tags = Annotated[
    tuple[Annotated[str, AfterValidator(_tag)], ...], Field(max_length=TAGS_LIMIT), AfterValidator(_once_each)
]
Zone = Annotated[str, AfterValidator(_zone)]
GraphPath = Annotated[str, _at_most(WORD_LIMIT), AfterValidator(_graph_path)]
Interval = Annotated[int, Field(ge=1, le=INTERVAL_LIMIT, strict=True)]
Jitter = Annotated[int, Field(ge=0, le=INTERVAL_LIMIT, strict=True)]
PositiveSeconds = Annotated[Seconds, Field(gt=0)]
