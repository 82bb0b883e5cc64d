"""The contract: what contradicts itself is refused with its name and what would be right."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from contracts.errors import BadInput
from tools import Lookup, Tool, ToolContext, tool

DAY = timedelta(days=1)
READ: dict[str, Any] = {"effect": "read", "guarantee": "pure"}
WRITE: dict[str, Any] = {"effect": "write", "guarantee": "idempotent", "key_ttl": DAY, "irreversible": True}
GUARDED: dict[str, Any] = {"effect": "egress", "guarantee": "guarded", "compensate_with": "post.delete"}


class Post(BaseModel):
    title: str


async def post(arguments: Post, context: ToolContext) -> Post:
    """Post it.

    Only people who maintain it read this.
    """
    return arguments


async def found(key: str, context: ToolContext) -> Lookup | None:
    return Lookup(happened=True)


async def slot(arguments: Post, context: ToolContext) -> None:
    return None


def declared(name: str = "post", call: Any = None, **given: Any) -> Tool:
    async def fresh(arguments: Post, context: ToolContext) -> Post:
        return arguments

    fresh.__doc__ = post.__doc__
    return tool(name, **given)(call or fresh).__perdure_tool__  # pyright: ignore[reportFunctionMemberAccess]


@pytest.mark.parametrize(
    ("given", "reversible"),
    [
        (READ, True),
        (WRITE, False),
        (GUARDED, True),
        ({**GUARDED, "lookup": found}, True),
        ({**WRITE, "lookup": found, "cost_micros": 7}, False),
    ],
)
def test_a_whole_declaration_becomes_a_tool(given: dict[str, Any], reversible: bool) -> None:
    made = declared(**given)
    assert (made.name, made.arguments, made.result, made.reversible, made.problems()) == ("post", Post, Post, reversible, [])
    assert made.description == "Post it."


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({**READ, "guarantee": "guarded"}, "a tool of effect `read` is `pure`"),
        ({**READ, "guarantee": "idempotent", "key_ttl": DAY}, "a tool of effect `read` is `pure`"),
        ({**READ, "irreversible": True}, "a tool of effect `read` has nothing to undo"),
        ({**READ, "compensate_with": "post.delete"}, "a tool of effect `read` has nothing to undo"),
        ({**READ, "lookup": found}, "a `pure` tool needs no `lookup`"),
        ({**READ, "key_ttl": DAY}, "only an `idempotent` tool has a `key_ttl`"),
        ({**WRITE, "guarantee": "pure", "key_ttl": None}, "a tool that writes is `idempotent` or `guarded`, not `pure`"),
        ({**WRITE, "key_ttl": None}, "an `idempotent` tool names its `key_ttl`"),
        ({**WRITE, "key_ttl": timedelta(0)}, "`key_ttl` is more than 0"),
        ({**GUARDED, "key_ttl": DAY}, "only an `idempotent` tool has a `key_ttl`"),
        ({**WRITE, "irreversible": False}, "a tool that writes names `compensate_with` or says `irreversible=True`"),
        ({**WRITE, "compensate_with": "post.delete"}, "`compensate_with` and `irreversible` exclude each other"),
        ({**GUARDED, "compensate_with": "post"}, "a tool cannot compensate itself"),
        ({**READ, "effect": "reed"}, "`effect` is one of read, write, egress"),
        ({**WRITE, "guarantee": "sure"}, "`guarantee` is one of pure, idempotent, guarded"),
        ({**READ, "seconds": 0}, "`seconds` is more than 0"),
        ({**WRITE, "due": slot, "zone": "sandbox"}, "a tool with `due` runs in the zone `worker`"),
        ({**READ, "cost_micros": -1}, "`cost_micros` is not negative"),
        ({**READ, "name": "Post It"}, "its name is not 1 to 80 of a-z"),
        ({**READ, "name": "post\n"}, "its name is not 1 to 80 of a-z"),
    ],
)
def test_a_contradiction_is_refused_with_the_tools_name(given: dict[str, Any], said: str) -> None:
    name = given.get("name", "post")
    with pytest.raises(BadInput) as caught:
        declared(**given)
    assert str(caught.value).startswith(f"tool {name} cannot be registered: ") and said in str(caught.value)


def test_every_contradiction_is_named_at_once() -> None:
    with pytest.raises(BadInput) as caught:
        declared(effect="read", guarantee="guarded", key_ttl=DAY, seconds=-1)
    assert str(caught.value).count(";") == 2


def test_a_tool_without_a_description_is_refused() -> None:
    async def silent(arguments: Post, context: ToolContext) -> Post:
        return arguments

    with pytest.raises(BadInput, match="it has no description"):
        declared(call=silent, **READ)


def sync(arguments: Post, context: ToolContext) -> Post:
    """Post it."""
    return arguments


async def no_hints(arguments, context):  # pyright: ignore
    """Post it."""


async def no_context(arguments: Post) -> Post:
    """Post it."""
    return arguments


async def plain_types(arguments: dict[str, Any], context: ToolContext) -> str:
    """Post it."""
    return ""


async def optional(arguments: Post, context: ToolContext) -> Post | None:
    """Post it."""


@pytest.mark.parametrize("call", [sync, no_hints, no_context, plain_types, optional])
def test_a_function_of_another_form_is_refused_with_the_right_one(call: Any) -> None:
    with pytest.raises(BadInput) as caught:
        declared(call=call, **READ)
    assert str(caught.value) == f"tool post: write `async def {call.__name__}(arguments: Model, context: ToolContext) -> Model`"
