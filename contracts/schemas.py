"""Checks against JSON schemas that strangers wrote: whatever the schema and the value, they end soon.

Validation runs where all runs of a worker wait for it. So each keyword counts against a bound, patterns go through an engine that is
linear in the text, and `unevaluatedProperties` and `unevaluatedItems`, whose cost nobody counts, are not checked here. What is not
checked is left to the tool, which knows its own arguments; a check here spares calls, and guards nothing.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache
from math import prod
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from pydantic_core import SchemaError, SchemaValidator, core_schema
from referencing import Registry

from contracts.errors import BadInput

MOST_DEPTH = 100
"""How deep a schema may nest."""
MOST_STEPS, BYTES_FOR_ONE = 200_000, 10
"""Of one check, and one more for so many bytes of the value: about as many keywords are looked at, which takes seconds at the worst."""
STEP_BYTES = 500
"""So many bytes of a value count as a step more for each keyword: a keyword's complaint shows the value."""
ERROR_STEPS, REFERENCE_STEPS = 10, 5
MOST_PATTERNS, PATTERN_LENGTH, REPEATS = 50, 500, 256
"""Of one schema. Patterns beyond, longer or that repeat more than that are not checked, nor those that the linear engine does not know."""
MATCHED_LENGTH = 4096
"""Characters of a text that a pattern is held against; a longer text is not checked by patterns."""
SAID_LENGTH = 200
COUNTED = re.compile(r"\{(\d{0,9}),?(\d{0,9})\}")
REFERENCES = ("$ref", "$dynamicRef")
UNCHECKED = ("unevaluatedProperties", "unevaluatedItems")
Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


class Steps:
    """What is left of one check. weights: the bytes of each list and object of the value, about, by its identity."""

    def __init__(self, value: Any, patterns: frozenset[str]) -> None:
        self._weights: dict[int, int] = {}
        self.patterns = patterns
        self._left = MOST_STEPS + self._weigh(value) // BYTES_FOR_ONE

    def spend(self, steps: int) -> None:
        """Take so many steps. Raises: BadInput where none are left."""
        self._left -= steps
        if self._left < 0:
            raise BadInput("it takes too many steps to hold the value against its schema: right is less of it, or a simpler schema")

    def of(self, value: Any) -> int:
        """Return what a keyword costs on top because of the value's size."""
        return (len(value) if isinstance(value, str) else self._weights.get(id(value), 0)) // STEP_BYTES

    def _weigh(self, value: Any) -> int:
        match value:
            case str():
                return len(value)
            case dict():
                weight = sum(len(name) + self._weigh(child) for name, child in value.items())
            case list():
                weight = len(value) + sum(map(self._weigh, value))
            case _:
                return 8
        self._weights[id(value)] = weight
        return weight


STEPS: ContextVar[Steps] = ContextVar("STEPS")


class Checker:
    """What holds values against one schema, which refers to nothing outside itself."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Raises: BadInput where the schema nests too deep."""
        bounded(schema)
        self._validator = CAREFUL(dict(schema), registry=Registry())
        self._patterns = frozenset(_patterns(schema)[:MOST_PATTERNS])

    def errors(self, value: Any) -> list[ValidationError]:
        """Return what is wrong with a value. Raises: BadInput where that cannot be found out, or not within the bound."""
        token = None
        try:
            token = STEPS.set(Steps(value, self._patterns))
            return list(self._validator.iter_errors(value))
        except BadInput:
            raise
        except RecursionError:
            raise BadInput("the value or its schema nests too deep to be held against each other") from None
        except Exception as error:
            # A stranger's reference may lead nowhere, or to what is no schema; a number may be none that can be divided.
            raise BadInput(f"the value cannot be held against its schema ({type(error).__name__})") from error
        finally:
            if token is not None:
                STEPS.reset(token)


def bounded(schema: Any) -> None:
    """Raises: BadInput where a schema nests deeper than anybody may."""
    level, depth = [schema], 0
    while level:
        if depth > MOST_DEPTH:
            raise BadInput(f"its schema nests deeper than {MOST_DEPTH}")
        parts = [list(part.values()) if isinstance(part, Mapping) else part for part in level if isinstance(part, Mapping | list)]
        level, depth = [child for part in parts for child in part], depth + 1


def schema_errors(schema: Mapping[str, Any]) -> list[ValidationError]:
    """Return what makes it no JSON schema. Raises: BadInput where it nests too deep, or is too large to tell."""
    bounded(schema)
    try:
        return _meta().errors(dict(schema))
    except BadInput:
        raise BadInput("its schema is too large, or nests too deep, to be checked") from None


def said(error: ValidationError) -> str:
    """Return what an error says, in at most about 200 characters."""
    # The library's message begins with the value, and a long one would hide what is wrong with it.
    if len(error.message) <= SAID_LENGTH:
        return error.message
    return f"the value breaks `{error.validator}: {str(error.validator_value)[:100]}`"


@lru_cache(maxsize=1)
def _meta() -> Checker:
    return Checker(Draft202012Validator.META_SCHEMA)


def _patterns(schema: Any) -> list[str]:
    """Return all that stands where a pattern may stand, in order."""
    if isinstance(schema, list):
        return [found for part in schema for found in _patterns(part)]
    if not isinstance(schema, Mapping):
        return []
    own = [schema["pattern"]] if isinstance(schema.get("pattern"), str) else []
    named = schema.get("patternProperties")
    own += list(named) if isinstance(named, Mapping) else []
    return list(dict.fromkeys(own + [found for part in schema.values() for found in _patterns(part)]))


def _matches(pattern: str, text: str) -> bool | None:
    """Tell whether a pattern is found in a text; None where that is not checked."""
    steps = STEPS.get()
    steps.spend(5 + len(text) // 50)
    if pattern not in steps.patterns or len(text) > MATCHED_LENGTH:
        return None
    compiled = _compiled(pattern)
    return None if compiled is None else compiled.isinstance_python(text)


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> SchemaValidator | None:
    repeats = prod(max(int(least or 1), int(most or 1), 1) for least, most in COUNTED.findall(pattern))
    if len(pattern) > PATTERN_LENGTH or repeats > REPEATS:
        return None
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
    except SchemaError:
        return None


def _pattern(_: Any, pattern: Any, instance: Any, __: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and _matches(pattern, instance) is False:
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: Any, instance: Any, _: Any) -> Iterator[ValidationError]:
    for pattern, schema in patterns.items() if isinstance(instance, dict) else ():
        for name, value in instance.items():
            if _matches(pattern, name):
                yield from validator.descend(value, schema, path=name, schema_path=pattern)


def _additional(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    STEPS.get().spend(len(instance) // 10)
    rest = {name: child for name, child in instance.items() if name not in named}
    # A name whose pattern is not checked may be one of those that are allowed.
    rest = {name: child for name, child in rest.items() if all(_matches(pattern, name) is False for pattern in patterns)}
    yield from Draft202012Validator.VALIDATORS["additionalProperties"](validator, value, rest, {})


def _unique(_: Any, wanted: Any, instance: Any, __: Any) -> Iterator[ValidationError]:
    if not wanted or not isinstance(instance, list):
        return
    STEPS.get().spend(10 * STEPS.get().of(instance))
    # As text: its hashes are salted, and those of numbers are not.
    seen = {json.dumps(_canonical(item), sort_keys=True) for item in instance}
    if len(seen) < len(instance):
        yield ValidationError(f"{instance!r} has non-unique elements")


def _canonical(value: Any) -> Any:
    match value:
        case float():
            return int(value) if value.is_integer() else value
        case dict():
            return {name: _canonical(child) for name, child in value.items()}
        case list():
            return [_canonical(child) for child in value]
        case _:
            return value


def _counted(keyword: Keyword, least: int) -> Keyword:
    """Have each use of a keyword count, by what it goes through and by what it complains of."""

    def counted(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        steps = STEPS.get()
        parts = len(value) if isinstance(value, list | dict) else 0
        steps.spend((least + steps.of(instance)) * (1 + parts // 5))
        for error in keyword(validator, value, instance, schema) or ():
            steps.spend(ERROR_STEPS)
            if len(error.message) > SAID_LENGTH:
                # Cut here: there may be many, each with the whole value.
                error.message = f"{error.message[:SAID_LENGTH]}…"
            yield error

    return counted


def _compared(keyword: Keyword) -> Keyword:
    """Have a comparison count by the size of what is compared with."""

    def compared(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError] | None:
        if isinstance(instance, list | dict):
            STEPS.get().spend(_parts(value))
        return keyword(validator, value, instance, schema)

    return compared


def _parts(value: Any) -> int:
    children = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return 1 + sum(map(_parts, children))


def _careful() -> Any:
    known: dict[str, Keyword] = dict(Draft202012Validator.VALIDATORS)
    known |= {"pattern": _pattern, "patternProperties": _pattern_properties, "additionalProperties": _additional, "uniqueItems": _unique}
    known |= {"const": _compared(known["const"]), "enum": _compared(known["enum"])}
    counted = {name: _counted(keyword, REFERENCE_STEPS if name in REFERENCES else 1) for name, keyword in known.items()}
    counted |= dict.fromkeys(UNCHECKED, _unchecked)
    made: Any = extend(Draft202012Validator, validators=counted)

    def evolve(self: Any, **changes: Any) -> Any:
        # The library's own looks at `$schema`, and a part that names a draft would be checked without any bound.
        kept = {"schema": self.schema, "format_checker": self.format_checker, "registry": self._registry, "_resolver": self._resolver}
        return made(**{**kept, **changes})

    made.evolve = evolve
    return made


def _unchecked(*_: Any) -> None:
    return None


CAREFUL = _careful()
