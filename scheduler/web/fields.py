"""Fields of a form for values of JSON: what is typed keeps the type that the value has or that a schema wants."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Kind = Literal["text", "number", "choice", "json"]
LEFT_OUT: Final = object()
"""Stands for a value that was not given and need not be."""
_MOST_FIELDS: Final = 40
_MOST_REFERENCES: Final = 10
_BOOLEANS: Final = (("true", "yes"), ("false", "no"))


@dataclass(frozen=True, slots=True)
class Field:
    """One field: what it is called, what is in it, and what kind of value it is."""

    name: str
    label: str
    kind: Kind
    given: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    """The values of a choice as JSON, each with its text."""
    is_required: bool = True
    may_be_null: bool = False
    about: str = ""
    problem: str | None = None
    """What is wrong with what was typed."""

    def value(self) -> Any:  # noqa: ANN401 (JSON)
        """Return what was typed as JSON; `LEFT_OUT` if nothing was, and need not be. Raises `ValueError`."""
        if not self.given.strip() and (not self.is_required or self.may_be_null):
            return None if self.is_required else LEFT_OUT
        if self.kind == "text":
            return self.given
        if not self.given.strip():
            raise ValueError("Give a value.")
        return _number(self.given) if self.kind == "number" else json_value(self.given)


def json_value(text: str) -> Any:  # noqa: ANN401 (JSON)
    """Return what JSON says. Raises `ValueError`, with a sentence for the person who typed it."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        message = f"This is no JSON: {error}."
        raise ValueError(message) from None


def _refuse_constant(name: str) -> None:
    message = f"{name} is no value of JSON"
    raise ValueError(message)


def _number(text: str) -> int | float:
    try:
        value = json_value(text.strip())
    except ValueError:
        value = None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("Give a number.")  # noqa: TRY004 (it was typed)
    return value


def typed_in(form: Mapping[str, str], name: str) -> str:
    """Return what was typed into a field; its lines end as they do in Python, not as in forms."""
    return form.get(name, "").replace("\r\n", "\n")


def fields_of_args(prefix: str, args: object) -> list[Field]:
    """Return a field for each argument of a proposal, filled with what is proposed."""
    if not isinstance(args, dict) or len(args) > _MOST_FIELDS:
        return [Field(prefix, "arguments", "json", shown_json(args))]
    return [_field_of_value(f"{prefix}-{place}", key, value) for place, (key, value) in enumerate(args.items())]


def _field_of_value(name: str, label: str, value: object) -> Field:
    if isinstance(value, str):
        return Field(name, label, "text", value)
    if isinstance(value, bool):
        return Field(name, label, "choice", shown_json(value), _BOOLEANS)
    is_number = isinstance(value, int | float)
    return Field(name, label, "number" if is_number else "json", shown_json(value))


def shown_json(value: object) -> str:
    """Return a value as JSON, for a person who edits it."""
    return json.dumps(value, ensure_ascii=False, indent=2 if isinstance(value, dict | list) else None)


def fields_of_schema(prefix: str, schema: Mapping[str, Any]) -> tuple[list[Field], bool]:
    """Return fields for what a JSON schema describes; and whether they are the members of an object.

    What is neither a text, a number, a choice nor an object of such is one field of JSON.
    """
    whole = _resolved(schema, schema)
    properties = whole.get("properties")
    if isinstance(properties, dict) and 0 < len(properties) <= _MOST_FIELDS:
        required = whole.get("required") if isinstance(whole.get("required"), list) else []
        return [
            _field_of_schema(f"{prefix}-{place}", key, each, schema, is_required=key in (required or []))
            for place, (key, each) in enumerate(properties.items())
        ], True
    return [_field_of_schema(prefix, "Your answer", whole, schema, is_required=True)], False


def _field_of_schema(name: str, key: str, given: object, root: Mapping[str, Any], *, is_required: bool) -> Field:
    schema, may_be_null = _without_null(_resolved(given, root), root)
    kind, choices = _kind_of(schema)
    default = schema.get("default")
    if default is None and isinstance(given, dict):
        default = given.get("default")
    filled = "" if default is None else default if isinstance(default, str) and kind == "text" else shown_json(default)
    about = schema.get("description")
    return Field(
        name,
        key,
        kind,
        filled,
        choices,
        is_required,
        may_be_null,
        about if isinstance(about, str) else "",
    )


def _resolved(schema: object, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a schema, or the one in the same document that it refers to."""
    for _ in range(_MOST_REFERENCES):
        if not isinstance(schema, dict):
            return {}
        reference = schema.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return schema
        found: Any = root
        for part in reference[2:].split("/"):
            found = found.get(part) if isinstance(found, dict) else None
        schema = found
    return {}


def _without_null(schema: Mapping[str, Any], root: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """Return a schema without the choice of null, and whether there was one."""
    options = schema.get("anyOf") or schema.get("oneOf")
    if isinstance(options, list):
        others = [each for each in options if not (isinstance(each, dict) and each.get("type") == "null")]
        if len(others) == 1 and len(options) > 1:
            rest = {key: value for key, value in schema.items() if key not in {"anyOf", "oneOf"}}
            return {**rest, **_resolved(others[0], root)}, True
    types = schema.get("type")
    if isinstance(types, list) and "null" in types and len(types) == 2:  # noqa: PLR2004 (null and another)
        return {**schema, "type": next(each for each in types if each != "null")}, True
    return schema, False


def _kind_of(schema: Mapping[str, Any]) -> tuple[Kind, tuple[tuple[str, str], ...]]:
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(values, list) and values:
        return "choice", tuple(
            (shown_json(each), each if isinstance(each, str) else shown_json(each)) for each in values
        )
    match schema.get("type"):
        case "boolean":
            return "choice", _BOOLEANS
        case "integer" | "number":
            return "number", ()
        case "string":
            return "text", ()
        case _:
            return "json", ()
