"""Work that goes on after Slack has its answer."""

import asyncio

import pytest

from channels.slack.work import Work


async def test_what_work_begins_is_waited_for_too() -> None:
    work, done = Work(), list[str]()

    async def second() -> None:
        await asyncio.sleep(0.05)
        done.append("second")

    async def first() -> None:
        done.append("first")
        work.start(second(), "the second")

    work.start(first(), "the first")
    await work.finish()
    assert done == ["first", "second"]


async def test_what_takes_too_long_is_cancelled() -> None:
    work = Work()
    endless = work.start(asyncio.Event().wait(), "nothing that ends")
    await work.finish(seconds=0.05)
    assert endless.cancelled()


async def test_nothing_is_waited_for_where_nothing_is_under_way() -> None:
    work = Work()
    await work.finish()
    failing = work.start(asyncio.wait_for(asyncio.Event().wait(), 0), "what fails")
    await work.idle()
    with pytest.raises(TimeoutError):
        failing.result()
