"""One call of a tool: its time, its size, and how it is stopped."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import asyncpg
import pytest
from pydantic import BaseModel

from contracts.errors import ToolFailed, ToolRetry, ToolUnknown, TransientError
from tools.bounds import MOST_ARGUMENTS, MOST_OUTPUT, Answer, heavier
from tools.calls import Broke, Incapable, NotStarted, answer, looked_up, parsed, slot
from tools.contract import Due, Lookup, Tool, ToolContext


class Given(BaseModel):
    text: str = ""


class Made(BaseModel):
    id: str = "1"
    text: Any = ""
    size: float = 0.0


Body = Callable[[], Awaitable[Any]]


def tool(body: Body, effect: Literal["read", "write"] = "write", **declared: Any) -> Tool:
    async def call(arguments: Any, context: ToolContext) -> BaseModel:
        return await body()

    return Tool(
        name="shop.refund", description="x", effect=effect, guarantee="guarded" if effect == "write" else "pure", call=call,
        arguments=Given, result=Made, irreversible=effect == "write", **declared,
    )  # fmt: skip


def context(seconds: float = 5.0, **changes: Any) -> ToolContext:
    made = ToolContext(
        tenant="default", automation="shop", lineage="l", step="a", key="l/a/1", deadline=datetime.now(UTC) + timedelta(seconds=seconds),
        input={}, settings={}, documents=None, endpoints={}, folder=Path(),  # pyright: ignore[reportArgumentType]
    )  # fmt: skip
    return replace(made, **changes)


async def ended(body: Body, effect: Literal["read", "write"] = "write", seconds: float = 5.0) -> Answer:
    return await answer(tool(body, effect), Given(), context(seconds))


async def _sleeps() -> Made:
    await asyncio.sleep(60)
    return Made()


async def _ignores() -> Made:
    for _ in range(12):
        try:
            await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            continue
    return Made()


@pytest.mark.parametrize("body", [_sleeps, _ignores])
async def test_a_hanging_call_is_unknown_where_it_writes_and_tried_again_where_it_reads(body: Body) -> None:
    with pytest.raises(ToolUnknown, match="did not end within 0 s; it may have acted"):
        await ended(body, seconds=0.05)
    with pytest.raises(TransientError, match="did not end within 0 s"):
        await ended(body, "read", seconds=0.05)


async def test_a_call_whose_time_is_over_is_not_started() -> None:
    with pytest.raises(NotStarted, match="was not started"):
        await ended(_sleeps, seconds=-1)


async def test_a_call_without_its_secret_is_not_made() -> None:
    with pytest.raises(Incapable, match="PERDURE_SECRET_KEY"):
        await answer(tool(_sleeps, secrets=("KEY",)), Given(), context())


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: "text",
        lambda: None,
        lambda: Given(),
        lambda: Made(size=float("nan")),
        lambda: Made(text=object()),
    ],
)
async def test_garbage_is_unknown_where_it_writes_and_a_failure_where_it_reads(wrong: Callable[[], Any]) -> None:
    async def body() -> Any:
        return wrong()

    with pytest.raises(ToolUnknown, match=r"shop\.refund broke .* it may have acted"):
        await ended(body)
    with pytest.raises(Broke, match=r"shop\.refund broke"):
        await ended(body, "read")


async def test_a_tool_that_cancels_itself_is_broken_and_cancels_nobody() -> None:
    async def body() -> Any:
        raise asyncio.CancelledError

    with pytest.raises(ToolUnknown, match="it cancelled itself"):
        await ended(body)


async def test_a_broken_wire_is_tried_again_where_it_reads() -> None:
    async def body() -> Any:
        raise ConnectionRefusedError("nobody listens")

    with pytest.raises(TransientError, match="ConnectionRefusedError"):
        await ended(body, "read")
    with pytest.raises(ToolUnknown, match="it may have acted"):
        await ended(body)


async def _cancelled(body: Body) -> asyncio.Task[Answer]:
    task = asyncio.create_task(ended(body))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait({task})
    return task


async def test_a_cancel_reaches_the_call_and_what_it_then_says_counts() -> None:
    async def says(error: Exception | None) -> Made:
        try:
            return await _sleeps()
        except asyncio.CancelledError:
            if error:
                raise error from None
            return Made(id="done all the same")

    assert (await _cancelled(lambda: says(None))).result().output["id"] == "done all the same"
    assert isinstance((await _cancelled(lambda: says(ToolFailed("nothing was done")))).exception(), ToolFailed)
    for error in (ValueError("in a panic"), asyncio.CancelledError()):
        assert (await _cancelled(lambda error=error: says(error))).cancelled()  # pyright: ignore[reportArgumentType]


async def test_an_output_over_the_limit_fails_a_read_and_is_cut_for_a_write() -> None:
    async def body() -> Made:
        return Made(id="r-1", text="x" * (MOST_OUTPUT + 1))

    with pytest.raises(ToolFailed, match=r"8\.0 MB, and 8 MB is the most: ask for less"):
        await ended(body, "read")
    found = await ended(body)
    assert found.output == {"id": "r-1", "size": 0.0} and found.note == "its output has 8.0 MB, and 8 MB is the most: without text"


async def test_an_output_of_many_small_fields_is_cut_too() -> None:
    class Many(BaseModel, extra="allow"):
        pass

    async def call(arguments: Any, context: ToolContext) -> BaseModel:
        return Many(**{f"name{nth}": "x" * 80 for nth in range(100_000)})  # pyright: ignore[reportArgumentType]

    found = await answer(replace(tool(_sleeps), call=call, result=Many), Given(), context())
    assert 1000 < len(found.output) < 4000 and found.note.endswith("more")


def test_arguments_over_the_limit_are_refused_though_they_stand_in_memory_once() -> None:
    once = {"text": "x" * 100_000}
    assert not heavier({"all": [once] * 100}, MOST_ARGUMENTS)
    with pytest.raises(ToolRetry, match="more than 16 MB"):
        parsed(tool(_sleeps), {"all": [once] * 200})


async def test_a_look_up_that_hangs_or_breaks_is_tried_again_and_tells_no_secret() -> None:
    async def hangs(key: str, context: ToolContext) -> Lookup | None:
        await asyncio.sleep(60)

    async def breaks(key: str, context: ToolContext) -> Lookup | None:
        raise ValueError("token s3cret is wrong")

    for look, said in ((hangs, "Overdue"), (breaks, r"token \[KEY\] is wrong")):
        with pytest.raises(TransientError, match=f"could not be asked what became of it .*{said}"):
            await looked_up(tool(_sleeps, lookup=look), "k", context(0.05, secrets={"KEY": "s3cret"}))


async def asked(body: Body, seconds: float = 5.0) -> Due | None:
    async def call(arguments: Any, context: ToolContext) -> Any:
        return await body()

    return await slot(tool(body, due=call), Given(), context(seconds, secrets={"TOKEN": "s3cret-t0ken"}))


def raising(error: Exception) -> Body:
    async def body() -> None:
        raise error

    return body


async def test_a_tool_says_when_it_is_due_or_that_it_does_not_matter() -> None:
    due = Due(at=datetime(2026, 5, 4, tzinfo=UTC))

    async def at() -> Any:
        return due

    async def any_time() -> Any:
        return None

    assert await asked(at) == due and await asked(any_time) is None


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (ToolFailed("no slot for s3cret-t0ken"), ToolFailed, "no slot for [TOKEN]"),
        (TransientError("s3cret-t0ken is late"), TransientError, "[TOKEN] is late"),
        (ValueError("hunter2"), Broke, "shop.refund broke (ValueError) when it was asked when it is due"),
        (ToolUnknown("hunter2"), Broke, "shop.refund broke (ToolUnknown) when it was asked when it is due"),
        (ConnectionError("hunter2"), TransientError, "shop.refund broke (ConnectionError) when it was asked when it is due"),
        (asyncpg.InterfaceError("hunter2"), TransientError, "shop.refund broke (InterfaceError) when it was asked when it is due"),
    ],
)
async def test_a_tool_that_cannot_say_when_it_is_due_shows_no_secret(error: Exception, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind) as caught:
        await asked(raising(error))
    assert str(caught.value) == said and caught.value.__cause__ is None


async def test_a_tool_that_does_not_say_in_time_when_it_is_due_is_asked_again() -> None:
    async def sleeps() -> None:
        await asyncio.sleep(30)

    with pytest.raises(TransientError, match="did not say within 0 s when it is due"):
        await asked(sleeps, seconds=0.05)


async def test_a_tool_that_says_anything_but_a_time_fails() -> None:
    async def noon() -> str:
        return "noon"

    with pytest.raises(Broke, match="TypeError"):
        await asked(noon)
