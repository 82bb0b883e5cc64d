"""The form in which a person writes other arguments: one field for each, made from the tool's schema and checked against it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from contracts.errors import BadInput
from contracts.schemas import Checker, said

Kind = Literal["text", "number", "boolean", "json"]
PREFIX = "arg."
LONG = 80  # characters from which a text gets more than a line
NUMBERS: dict[str, type[int] | type[float]] = {"integer": int, "number": float}


@dataclass(frozen=True, slots=True)
class Field:
    """One argument in the form. ``value`` is what stands in it, ``problem`` what is wrong with that."""

    name: str
    kind: Kind
    value: str
    required: bool
    description: str
    problem: str = ""

    @property
    def long(self) -> bool:
        """Whether it needs more than a line."""
        return self.kind == "json" or len(self.value) > LONG or "\n" in self.value


def fields(
    schema: Mapping[str, Any],
    arguments: Mapping[str, Any],
    given: Mapping[str, str] | None = None,
    problems: Mapping[str, str] | None = None,
) -> list[Field]:
    """Return the form. given: what the person typed, where it was sent before; problems: field -> what is wrong with it."""
    described: dict[str, Any] = schema.get("properties", {})
    names = [*described, *(name for name in arguments if name not in described)]
    found: list[Field] = []
    for name in names:
        kind = _kind(described.get(name, {}), arguments.get(name))
        value = _shown(kind, arguments[name]) if name in arguments else ""
        if given is not None:
            value = given.get(PREFIX + name, "")
        required, says = name in schema.get("required", ()), str(described.get(name, {}).get("description", ""))
        found.append(Field(name, kind, value, required, says, (problems or {}).get(name, "")))
    return found


def read(schema: Mapping[str, Any], arguments: Mapping[str, Any], given: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the arguments that were typed, and what is wrong with which; the key "" is for what no field has.

    A field that is empty and was not there before is left out.
    """
    edited: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for field in fields(schema, arguments, given):
        if not field.value and field.name not in arguments and field.kind != "boolean":
            continue
        try:
            edited[field.name] = _value(schema.get("properties", {}).get(field.name, {}), field)
        except ValueError as error:
            problems[field.name] = str(error)
    return edited, problems or wrong(schema, edited)


def wrong(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, str]:
    """Return what does not fit the schema: argument -> what is wrong; the key "" is for the whole."""
    try:
        errors = Checker({"additionalProperties": False, **schema}).errors(dict(arguments))
    except BadInput as error:
        return {"": str(error)}
    problems: dict[str, str] = {}
    for error in errors[:20]:
        path = [str(part) for part in error.path]
        where = f"{'.'.join(path[1:])}: " if len(path) > 1 else ""
        problems.setdefault(path[0] if path else "", where + said(error))
    return problems


def _kind(schema: Mapping[str, Any], value: Any) -> Kind:
    match schema.get("type"), value:
        case "integer" | "number", bool() | str() | dict() | list():
            return "json"
        case "integer" | "number", _:
            return "number"
        case "boolean", bool() | None:
            return "boolean"
        case "string", str() | None:
            return "text"
        case _:
            return "json"


def _shown(kind: Kind, value: Any) -> str:
    if kind == "text":
        return str(value or "")
    if kind == "boolean":
        return "true" if value is True else ""
    return json.dumps(value, ensure_ascii=False, indent=2 if kind == "json" else None)


def _value(schema: Mapping[str, Any], field: Field) -> Any:
    match field.kind:
        case "text":
            # Browsers send line ends in their own way, whatever the text had.
            return field.value.replace("\r\n", "\n")
        case "boolean":
            return field.value == "true"
        case "number":
            try:
                return NUMBERS[schema["type"]](field.value)
            except ValueError:
                raise ValueError(f"{field.value[:40]!r} is no {schema['type']}") from None
        case "json":
            return _json(field.value)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except (ValueError, RecursionError):
        raise ValueError("not JSON that can be kept") from None
