"""The base of every message: frozen, and only ever gaining fields."""

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

EXACT = 2**53
"""Whole numbers below it are the same in every reader of JSON. Source: RFC 7493, section 2.2."""


class Message(BaseModel):
    """A frozen value; fields it does not know are left out, so that an older worker can read a newer message."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Strict(BaseModel):
    """A frozen value that people write by hand; a field it does not know is a mistake worth naming."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _can_be_kept(cls, value: Any) -> Any:
        if found := unkept(value):
            where, why = found
            raise ValueError(f"{'.'.join(map(str, where))}: {why}")
        return value


def unkept(value: Any) -> tuple[tuple[str | int, ...], str] | None:
    """Return where a value holds what neither canonical JSON nor Postgres can keep, and why, or None."""
    match value:
        case str() if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            return (), "NUL characters and halves of surrogate pairs cannot be kept"
        case int() | float() if not -EXACT < value < EXACT:
            return (), f"numbers must be between -{EXACT} and {EXACT}: write it as text"
        case bytes() | set():
            return (), "only text, numbers, true, false, lists and mappings can be kept"
        case dict():
            parts: Any = [(name, part) for name, child in value.items() for part in (name, child)]
        case list() | tuple():
            parts = enumerate(value)
        case _:
            return None
    for name, part in parts:
        if found := unkept(part):
            return (name, *found[0]), found[1]
    return None


def complaint(error: Exception) -> str:
    """Say what does not fit a model, each field by its name, and nothing of the value: it may be long or secret."""
    if not isinstance(error, ValidationError):
        return f"{type(error).__name__}: {error}"[:200]
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'the input'}: {item['msg']}" for item in found[:5])
