"""Two reads side by side: both are waited for, and neither outlives the other's error."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from database import Tx
from memory.beside import Pair

ONE, OTHER = Tx(None, "default"), Tx(None, "default")
Read = Callable[[Tx], Coroutine[Any, Any, Tx]]


def said(*, after: asyncio.Event | None = None) -> Read:
    """A read that answers with the transaction it is given."""

    async def read(tx: Tx) -> Tx:
        if after:
            await after.wait()
        return tx

    return read


async def failed(tx: Tx) -> Tx:
    raise ValueError("no")


async def test_each_reads_in_a_transaction_of_its_own_where_there_are_two() -> None:
    assert await Pair(ONE).both(said(), said()) == (ONE, ONE)
    assert await Pair(ONE, OTHER).both(said(), said()) == (ONE, OTHER)


async def test_the_first_may_wait_for_what_the_second_does() -> None:
    gate = asyncio.Event()

    async def opens(tx: Tx) -> Tx:
        gate.set()
        return tx

    assert await Pair(ONE, OTHER).both(said(after=gate), opens) == (ONE, OTHER)


@pytest.mark.parametrize("pair", [Pair(ONE), Pair(ONE, OTHER)], ids=["in turn", "at once"])
async def test_an_error_of_one_ends_the_other(pair: Pair) -> None:
    never, before = asyncio.Event(), asyncio.all_tasks()
    with pytest.raises(ValueError, match="no"):
        await pair.both(failed, said(after=never))
    with pytest.raises(ValueError, match="no"):
        await asyncio.wait_for(pair.both(said(), failed), 10)
    assert not asyncio.all_tasks() - before
