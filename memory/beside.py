"""Reads that go side by side, each in a transaction of its own, so that two cores share what one has to answer."""

import asyncio
from collections.abc import Coroutine
from contextlib import closing
from typing import Any, TypeVar

One = TypeVar("One")
Other = TypeVar("Other")


async def both(one: Coroutine[Any, Any, One], other: Coroutine[Any, Any, Other], *, at_once: bool) -> tuple[One, Other]:
    """Wait for both. at_once: they have a transaction each, and go on together; an error of one is then the end of the other."""
    if not at_once:
        with closing(other):
            return await one, await other
    beside = asyncio.create_task(other)
    try:
        return await one, await beside
    except BaseException:
        beside.cancel()
        await asyncio.gather(beside, return_exceptions=True)
        raise
