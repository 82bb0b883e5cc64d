"""Checks against JSON schemas that strangers wrote: whatever the schema and the value, they end soon.

Validation runs where all runs of a worker wait for it. So each keyword counts against a bound, patterns go through an engine that is
linear in the text, and `unevaluatedProperties` and `unevaluatedItems`, whose cost nobody counts, are not checked here. What is not
checked is left to the tool, which knows its own arguments; a check here spares calls, and guards nothing.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from referencing import Registry

from contracts.errors import BadInput
from contracts.keywords import CAREFUL, SAID_LENGTH, STEPS, Steps, patterns

MOST_DEPTH = 100
"""How deep a schema may nest."""


class Checker:
    """What holds values against one schema, which refers to nothing outside itself."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Raises: BadInput where the schema nests too deep."""
        bounded(schema)
        self._validator = CAREFUL(dict(schema), registry=Registry())
        self._patterns = patterns(schema)

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
