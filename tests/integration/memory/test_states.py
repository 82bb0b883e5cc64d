"""Session state on a real Postgres: compare-and-set, once for each key."""

import asyncio
import math
from typing import Any

import pytest

from contracts.errors import BadInput
from database import Database
from memory import states
from memory.states import MOST_BYTES, State, Swap
from memory.writes import WriteKey


async def test_a_session_without_state_is_at_version_0(database: Database) -> None:
    async with database.transaction("default") as tx:
        assert await states.read(tx, "s") == State(0, {})


async def test_only_who_has_read_what_stands_may_replace_it(database: Database) -> None:
    async with database.transaction("default") as tx:
        assert await states.swap(tx, WriteKey("l", "a"), "s", 0, {"n": 1}) == Swap(True, State(1, {"n": 1}))
        assert await states.swap(tx, WriteKey("l", "b"), "s", 0, {"n": 9}) == Swap(False, State(1, {"n": 1}))
        assert await states.swap(tx, WriteKey("l", "c"), "s", 1, {"n": 2}) == Swap(True, State(2, {"n": 2}))
        assert await states.swap(tx, WriteKey("l", "d"), "s", 1, {"n": 9}) == Swap(False, State(2, {"n": 2}))
        assert await states.swap(tx, WriteKey("l", "e"), "s", 7, {"n": 9}) == Swap(False, State(2, {"n": 2}))


async def test_a_repeated_swap_is_told_what_the_first_was_told(database: Database) -> None:
    async with database.transaction("default") as tx:
        await states.swap(tx, WriteKey("l", "a"), "s", 0, {"n": 1})
        await states.swap(tx, WriteKey("l", "b"), "s", 1, {"n": 2})
    async with database.transaction("default") as tx:
        assert await states.swap(tx, WriteKey("l", "a"), "s", 0, {"n": 1}) == Swap(True, State(2, {"n": 2}))
        with pytest.raises(BadInput, match="made before with another content"):
            await states.swap(tx, WriteKey("l", "a"), "s", 0, {"n": 3})


async def test_many_who_count_at_once_lose_nothing(database: Database) -> None:
    async def count(writer: int) -> None:
        for attempt in range(100):
            async with database.transaction("default") as tx:
                state = await states.read(tx, "s")
                value = {"n": state.value.get("n", 0) + 1}
                if (await states.swap(tx, WriteKey(f"w{writer}", "count", attempt), "s", state.version, value)).won:
                    return

    await asyncio.gather(*(count(writer) for writer in range(8)))
    async with database.transaction("default") as tx:
        assert await states.read(tx, "s") == State(8, {"n": 8})


@pytest.mark.parametrize(
    ("value", "match"),
    [({"x": "a" * MOST_BYTES}, "at most|the most"), ({"x": math.nan}, "not JSON"), ({"x": {1, 2}}, "not JSON")],
)
async def test_a_state_that_cannot_be_kept_is_refused(database: Database, value: dict[str, Any], match: str) -> None:
    with pytest.raises(BadInput, match=match):
        async with database.transaction("default") as tx:
            await states.swap(tx, WriteKey("l", "a"), "s", 0, value)


async def test_a_copied_session_begins_with_the_state_of_the_other(database: Database) -> None:
    async with database.transaction("default") as tx:
        await states.swap(tx, WriteKey("l", "a"), "s", 0, {"n": 1})
        await states.swap(tx, WriteKey("l", "b"), "s", 1, {"n": 2})
        for _ in range(2):
            await states.copy(tx, "s", "t")
        assert await states.read(tx, "t") == State(1, {"n": 2})
