"""The stream of a page: what models say in it beside the records, and how many one person may have open."""

import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx2

from channels.console.limits import Seats
from channels.console.stream import told
from channels.speech import Progress
from database import Database
from ledger import decisions, records, runs, said_so_far
from ledger.decisions import Hold
from ledger.said_so_far import Saying
from tests.integration.channels.console.conftest import Console, Visitor
from tests.integration.ledger import rows
from tests.integration.ledger.rows import LINEAGE
from tests.servers import until

HOSTILE = "<img src=x onerror=alert(1)></pre></article><script>alert(1)</script>\u202egnp.exe"

DECIDED = {
    "event": "decided", "agent": "planner", "attempt": 1, "prompt": {"name": "plan", "version": "1"}, "model": "m", "model_calls": 1,
    "repairs": 0, "cost_micros": 0, "reads": [], "actions": [], "summary": "", "failed": [],
}  # fmt: skip


async def saying(database: Database, text: str) -> Hold:
    """Open a run whose model has said something."""
    async with database.transaction("default") as tx:
        await runs.open_run(tx, rows.run(), limit_micros=1_000_000)
        taken = await decisions.take(tx, LINEAGE, "d1")
        assert taken is not None
        await said_so_far.write(tx, taken.hold, 0, "saying", len(text), text)
    return taken.hold


@asynccontextmanager
async def streaming(visitor: Visitor, address: str, **headers: str) -> AsyncGenerator[httpx2.Response]:
    async with visitor.client.stream("GET", address, headers=headers) as stream:
        yield stream


async def following(stream: httpx2.Response) -> AsyncGenerator[tuple[str, str, dict[str, Any]]]:
    """Yield each event: its kind, its id, and its data."""
    kind = id = ""
    async for line in stream.aiter_lines():
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "id":
            id = value
        elif name == "data":
            yield kind, id, json.loads(value)
            kind = id = ""


async def test_a_page_shows_what_was_said_so_far_as_text_and_is_told_what_follows(console: Console) -> None:
    hold = await saying(console.database, HOSTILE)
    async with console.visitor("vera") as vera:
        page = (await vera.load(f"/runs/{LINEAGE}")).text
        assert "&lt;img src=x" in page and "<img" not in page and "onerror=alert(1)&gt;" in page and "\\u202egnp" in page
        address = page.split('data-live="')[1].split('"')[0].replace("&amp;", "&")
        async with streaming(vera, address) as stream:
            told = following(stream)
            kind, id, first = await anext(told)
            assert (kind, id, first["whole"]) == ("saying", "", True)
            assert [(call["id"], call["state"], call["anew"]) for call in first["calls"]] == [("d1/1/0", "saying", True)]
            async with console.database.once("default") as tx:
                await said_so_far.write(tx, hold, 0, "saying", len(HOSTILE) + 5, f"{HOSTILE} more")
            _, _, second = await anext(told)
            assert [(call["text"], call["anew"]) for call in second["calls"]] == [(" more", False)] and not second["whole"]
            async with console.database.transaction("default") as tx:
                await decisions.finish(tx, hold, {}, DECIDED)
            after = [await anext(told), await anext(told)]
        assert {kind for kind, _, _ in after} == {"record", "saying"}
        assert next(data for kind, _, data in after if kind == "saying")["gone"] == ["d1/1/0"]
        assert [bool(id) for kind, id, _ in after if kind == "record"] == [True], "only records have a place to come back to"
        # The part of the page that asks for itself again has no words of a model in it.
        part = await vera.load(f"/runs/{LINEAGE}", **{"hx-request": "true", "hx-target": "state"})
        assert "said-call" not in part.text


async def test_who_comes_back_is_told_the_whole_and_misses_no_record(console: Console) -> None:
    await saying(console.database, "so far")
    async with console.visitor("vera") as vera:
        page = (await vera.load(f"/runs/{LINEAGE}")).text
        address = page.split('data-live="')[1].split('"')[0].replace("&amp;", "&")
        async with console.database.transaction("default") as tx:
            await records.append(tx, "one", "configuration", LINEAGE, None, {"event": "one"})
        async with streaming(vera, address) as stream:
            told = following(stream)
            _, last, one = await anext(told)
            assert one["event"] == "one" and (await anext(told))[0] == "saying"
        async with console.database.transaction("default") as tx:
            await records.append(tx, "two", "configuration", LINEAGE, None, {"event": "two"})
        async with streaming(vera, address, **{"last-event-id": last}) as stream:
            told = following(stream)
            seen = [await anext(told), await anext(told)]
        assert [(kind, data.get("event")) for kind, _, data in seen] == [("record", "two"), ("saying", None)]
        assert [call["text"] for call in seen[1][2]["calls"]] == ["so far"]


async def test_a_page_that_watches_no_run_is_told_of_no_model(console: Console) -> None:
    await saying(console.database, "so far")
    async with console.visitor("vera") as vera:
        page = (await vera.load("/runs")).text
        address = page.split('data-live="')[1].split('"')[0].replace("&amp;", "&")
        async with streaming(vera, address) as stream:
            async with console.database.transaction("default") as tx:
                await records.append(tx, "one", "configuration", LINEAGE, None, {"event": "one"})
            kind, _, data = await anext(following(stream))
            assert (kind, data["event"]) == ("record", "one")


def test_no_text_ends_its_event() -> None:
    text = "a\n\nevent: record\ndata: {}\r\rid: 9\n\n\u2028\0"
    event = told(Progress(LINEAGE, (Saying(LINEAGE, "d1", 1, 0, "saying", len(text), text),), whole=True))
    assert event.count("\n") == 3 and "\r" not in event and event.startswith("event: saying\ndata: {") and event.endswith("}\n\n")


async def test_a_person_has_so_many_live_pages_open_and_is_told_so(console: Console) -> None:
    assert console.house.streams.most == 20
    console.house.streams = Seats(3)
    async with console.visitor("vera") as vera, console.visitor("ann") as ann, AsyncExitStack() as open:
        page = (await vera.load("/runs")).text
        address = page.split('data-live="')[1].split('"')[0].replace("&amp;", "&")
        closing = AsyncExitStack()
        await open.enter_async_context(closing)
        for stack in (open, open, closing):
            assert (await stack.enter_async_context(streaming(vera, address))).status_code == 200
        refused = await vera.client.get(address)
        assert refused.status_code == 429 and refused.text == (
            "vera has 3 live pages open, which is the most: close one and load this page again\n"
        )
        assert (await open.enter_async_context(streaming(ann, address))).status_code == 200, "others have their own"
        await closing.aclose()

        async def again() -> bool:
            async with streaming(vera, address) as stream:
                return stream.status_code == 200

        await until(again)


async def test_who_asks_for_the_head_of_a_stream_gets_that_and_holds_nothing_open(console: Console) -> None:
    console.house.streams = Seats(1)
    async with console.visitor("vera") as vera:
        address = (await vera.load("/runs")).text.split('data-live="')[1].split('"')[0].replace("&amp;", "&")
        for _ in range(2):
            answer = await vera.client.head(address)
            assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
