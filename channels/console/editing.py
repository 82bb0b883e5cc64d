"""The forms in which people write other arguments, or what a tool would have answered: made from its schemas, and checked against them."""

import json
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from contracts.errors import BadInput
from contracts.message import unkept
from contracts.schemas import Checker, said
from tools.invisible import INVISIBLE

Kind = Literal["text", "number", "boolean", "json"]
PREFIX = "arg."
LONG = 80  # characters from which a text gets more than a line
HIDDEN = frozenset({"Cc", "Cf", "Co", "Cs"})
NUMBERS: dict[str, type[int] | type[float]] = {"integer": int, "number": float}


@dataclass(frozen=True, slots=True)
class Field:
    """One argument in the form. ``value`` is what stands in it, ``problem`` what is wrong with that.

    A text with characters that nobody sees stands there as JSON, which writes them out: what is sent is what was seen.
    """

    name: str
    kind: Kind
    value: str
    required: bool
    description: str
    problem: str = ""
    escaped: bool = False
    """Whether it is a text, written as JSON. Nothing else of the form changes by that."""

    @property
    def long(self) -> bool:
        """Whether it needs more than a line."""
        lines = "\\n" if self.escaped else "\n"
        return (self.kind == "json" and not self.escaped) or len(self.value) > LONG or lines in self.value


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
        escaped = kind == "json" and described.get(name, {}).get("type") == "string" and isinstance(arguments.get(name), str)
        found.append(Field(name, kind, value, required, says, (problems or {}).get(name, ""), escaped))
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


def output(schema: Mapping[str, Any], typed: str) -> tuple[dict[str, Any] | None, str]:
    """Return what a tool would have answered, as somebody typed it, and what is wrong with it; None where nothing was typed.

    schema: the result's; what the tool's own answers may have beside it, this may have too.
    """
    if not typed.strip():
        return None, ""
    try:
        value = _json(_seen(typed.replace("\r\n", "\n")))
    except ValueError as error:
        return None, str(error)
    if not isinstance(value, dict):
        return None, "not a JSON object: write {…}, or nothing where it is not known"
    given: dict[str, Any] = value
    if found := unkept(given):
        return None, f"{'.'.join(map(str, found[0]))}: {found[1]}"
    try:
        errors = Checker(schema).errors(given)
    except BadInput as error:
        return None, str(error)
    return given, "; ".join(f"{'.'.join(map(str, error.path))}: {said(error)}".removeprefix(": ") for error in errors[:5])


def _kind(schema: Mapping[str, Any], value: Any) -> Kind:
    match schema.get("type"), value:
        case "integer" | "number", bool() | str() | dict() | list():
            return "json"
        case "integer" | "number", _:
            return "number"
        case "boolean", bool() | None:
            return "boolean"
        case "string", str() | None:
            return "json" if value and next(_unseen(value), None) else "text"
        case _:
            return "json"


def _shown(kind: Kind, value: Any) -> str:
    if kind == "text":
        return str(value or "")
    if kind == "boolean":
        return "true" if value is True else ""
    return written_out(json.dumps(value, ensure_ascii=False, indent=2 if kind == "json" else None))


def written_out(text: str) -> str:
    """Return JSON in which characters that nobody sees are written as escapes; it says the same."""
    unseen = set(_unseen(text))
    return "".join(json.dumps(character)[1:-1] if character in unseen else character for character in text) if unseen else text


def _unseen(text: str) -> Iterator[str]:
    """Yield the characters that show nothing, or change the order of others."""
    if text.isascii() and text.isprintable():
        return
    for found in INVISIBLE.findall(text):
        yield from found
    yield from (character for character in text if unicodedata.category(character) in HIDDEN and character not in "\n\t")


def _value(schema: Mapping[str, Any], field: Field) -> Any:
    match field.kind:
        case "text":
            # Browsers send line ends in their own way, whatever the text had.
            return _seen(field.value.replace("\r\n", "\n"))
        case "boolean":
            return field.value == "true"
        case "number":
            try:
                return NUMBERS[schema["type"]](field.value)
            except ValueError:
                raise ValueError(f"{field.value[:40]!r} is no {schema['type']}") from None
        case "json":
            return _json(_seen(field.value.replace("\r\n", "\n")))


def _seen(text: str) -> str:
    """Return what was typed. Raises: ValueError where nobody could see what that is."""
    if found := next(_unseen(text), None):
        escape = json.dumps(found)[1:-1]
        raise ValueError(f"it has U+{ord(found):04X}, which nobody sees: take it out (JSON may have it as {escape})")
    return text


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except (ValueError, RecursionError):
        raise ValueError("not JSON that can be kept") from None
