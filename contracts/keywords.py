"""The keywords of JSON schemas, as `contracts.schemas` checks them: each use counts, and the steps of one check are bounded."""

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

from contracts.errors import BadInput

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


def patterns(schema: Any) -> frozenset[str]:
    """Return the patterns of a schema that are checked: the first of them, as many as may be."""
    return frozenset(_patterns(schema)[:MOST_PATTERNS])


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
