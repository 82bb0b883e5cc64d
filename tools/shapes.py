"""Models made of JSON schemas: the arguments and results of tools whose code is elsewhere."""

from collections.abc import Mapping
from typing import Any

from jsonschema.exceptions import ValidationError, best_match
from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from contracts.errors import BadInput
from contracts.schemas import Checker, bounded, said, schema_errors

MOST_BYTES = 100_000
"""Of one schema: what is longer is no shape of a call, and would be shown to the model."""


REFERENCES = ("$ref", "$dynamicRef", "$id")
"""What can send a validator to another document: an `$id` moves where the others point to."""


class Shaped(BaseModel):
    """Base of the models that `shape` makes: whatever object their schema lets through, unchanged."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())


def shape(name: str, schema: Mapping[str, Any]) -> type[BaseModel]:
    """Return a model that takes the objects of a JSON schema, and whose JSON schema is that one.

    Raises: BadInput where the schema is none, is not one of an object, nests too deep, or refers to another document.
    """
    given = dict(schema)
    try:
        bounded(given)
        _refuse(given)
    except BadInput as error:
        raise BadInput(f"{name}: {error}") from None
    checker = Checker({"type": "object", **given})

    class Made(Shaped):
        @model_validator(mode="before")
        @classmethod
        def _fits(cls, value: Any) -> Any:
            if problem := _problem(checker, value):
                raise PydanticCustomError("schema", "{where}", {"where": problem})
            return value

        @classmethod
        def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
            return given

    Made.__name__ = Made.__qualname__ = name
    return Made


def without(name: str, schema: Mapping[str, Any], argument: str | None) -> dict[str, Any]:
    """Return a schema without one of its arguments, the one that takes the key.

    name: of the tool. Raises: BadInput where it has no such argument.
    """
    if argument is None:
        return dict(schema)
    properties = dict(schema.get("properties", {}))
    if argument not in properties:
        raise BadInput(f"{name}: `key_argument` names {argument!r}, and its arguments are {', '.join(sorted(properties)) or 'none'}")
    del properties[argument]
    return {**schema, "properties": properties, "required": [one for one in schema.get("required", []) if one != argument]}


def _refuse(schema: Mapping[str, Any]) -> None:
    if schema.get("type", "object") != "object":
        raise BadInput(f"its schema is of a {str(schema['type'])[:80]}, and must be of an object")
    if len(str(schema)) > MOST_BYTES:
        raise BadInput(f"its schema has more than {MOST_BYTES} bytes")
    # An anchor would be looked for in the whole schema each time it is referred to.
    if foreign := [ref for ref in _references(schema) if ref != "#" and not ref.startswith("#/")]:
        raise BadInput(f"its schema refers to {foreign[0][:80]!r}: only what is within it may be referred to, like `#/$defs/item`")
    if wrong := schema_errors(schema):
        where = ".".join(map(str, wrong[0].path)) or "the top"
        raise BadInput(f"its schema is wrong at {where}: {wrong[0].message[:200]}")


def _problem(checker: Checker, value: Any) -> str:
    """Return what is wrong with a value, or why that cannot be found out; nothing where it fits."""
    try:
        error: ValidationError | None = best_match(checker.errors(value))
    except BadInput as unknown:
        return str(unknown)
    if error is None:
        return ""
    where = ".".join(map(str, error.absolute_path))
    return f"{where}: {said(error)}" if where else said(error)


def _references(schema: Any) -> list[str]:
    if isinstance(schema, Mapping):
        own = [schema[name] for name in REFERENCES if isinstance(schema.get(name), str)]
        return own + [ref for part in schema.values() for ref in _references(part)]
    return [ref for part in schema for ref in _references(part)] if isinstance(schema, list) else []
