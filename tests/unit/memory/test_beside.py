"""Two reads side by side: both are waited for, and neither outlives the other's error."""

import asyncio

import pytest

from memory.beside import both


async def said(text: str, *, after: asyncio.Event | None = None) -> str:
    if after:
        await after.wait()
    return text


async def failed() -> str:
    raise ValueError("no")


async def test_both_go_on_together_or_one_after_the_other() -> None:
    assert await both(said("a"), said("b"), at_once=False) == ("a", "b")
    gate = asyncio.Event()

    async def opens() -> str:
        gate.set()
        return "b"

    # The first waits for what the second does.
    assert await both(said("a", after=gate), opens(), at_once=True) == ("a", "b")


@pytest.mark.parametrize("at_once", [False, True])
async def test_an_error_of_one_ends_the_other(at_once: bool) -> None:
    never, before = asyncio.Event(), asyncio.all_tasks()
    with pytest.raises(ValueError, match="no"):
        await both(failed(), said("b", after=never), at_once=at_once)
    if at_once:
        with pytest.raises(ValueError, match="no"):
            await asyncio.wait_for(both(said("a"), failed(), at_once=True), 10)
    assert not asyncio.all_tasks() - before
