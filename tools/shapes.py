"""Models made of JSON schemas: the arguments and results of tools whose code is elsewhere."""

from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError
from referencing import Registry

from contracts.errors import BadInput

MOST_BYTES = 100_000
"""Of one schema: what is longer is no shape of a call, and would be shown to the model."""


REFERENCES = ("$ref", "$dynamicRef", "$id")
"""What can send a validator to another document: an `$id` moves where the others point to."""


class Shaped(BaseModel):
    """Base of the models that `shape` makes: whatever object their schema lets through, unchanged."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())


def shape(name: str, schema: Mapping[str, Any]) -> type[BaseModel]:
    """Return a model that takes the objects of a JSON schema, and whose JSON schema is that one.

    Raises: BadInput where the schema is none, is not one of an object, or refers to another document.
    """
    given = dict(schema)
    if given.get("type", "object") != "object":
        raise BadInput(f"{name}: its schema is of a {given['type']}, and must be of an object")
    if len(str(given)) > MOST_BYTES:
        raise BadInput(f"{name}: its schema has more than {MOST_BYTES} bytes")
    if foreign := [ref for ref in _references(given) if not ref.startswith("#")]:
        raise BadInput(f"{name}: its schema refers to {foreign[0][:80]!r}: only what is within it may be referred to")
    try:
        Draft202012Validator.check_schema(given)
    except SchemaError as error:
        raise BadInput(f"{name}: its schema is wrong at {'.'.join(map(str, error.path)) or 'the top'}: {error.message[:200]}") from None
    # With a registry of its own it looks nowhere else, whatever a schema of a stranger refers to.
    check = Draft202012Validator({"type": "object", **given}, registry=Registry())

    class Made(Shaped):
        @model_validator(mode="before")
        @classmethod
        def _fits(cls, value: Any) -> Any:
            if error := best_match(check.iter_errors(value)):
                raise PydanticCustomError("schema", "{where}", {"where": _said(error)})
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


def _said(error: ValidationError) -> str:
    where = ".".join(map(str, error.absolute_path))
    # The library's message begins with the value, which may be long.
    message = error.message if len(error.message) <= 200 else f"the value breaks `{error.validator}: {str(error.validator_value)[:100]}`"
    return f"{where}: {message}" if where else message


def _references(schema: Any) -> list[str]:
    if isinstance(schema, Mapping):
        own = [schema[name] for name in REFERENCES if isinstance(schema.get(name), str)]
        return own + [ref for part in schema.values() for ref in _references(part)]
    return [ref for part in schema for ref in _references(part)] if isinstance(schema, list) else []
