"""An endpoint of embeddings that costs, over a real connection: what is asked of it is paid from the tenant's allowance, or not asked."""

import asyncio
import json
import os
import sys
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import REGISTRY
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp
from structlog.testing import capture_logs

from activities.asking import Asking
from activities.embedder import embedders_of
from activities.indexer import Indexer
from activities.memories import Memories
from activities.paid import asked_by
from contracts.errors import PerdureError, PermanentError
from database import Database
from devstack.web_server import CutReply
from memory import allowance, succession
from memory.allowance import EXTRA, MILLION, MOST, AllowanceSpent
from memory.embedding import Embedder
from policies.agents import Recall
from settings import ROOT
from tests.integration.activities.endpoints import PRICE, Endpoint, day, have, letters, paid, settings, use_up, write
from tests.integration.memory import corpora
from tests.integration.memory.corpora import Row


def stops(logs: list[Any]) -> list[Any]:
    return [entry for entry in logs if entry["event"] == "embeddings stopped for today"]


# The indexer


async def test_the_indexer_stops_for_the_day_says_so_once_and_goes_on_tomorrow(database: Database, owner: Any, endpoint: Endpoint) -> None:
    await write(database, 200, size=100)
    cap = MOST + 100
    with capture_logs() as logs:
        async with paid(database, endpoint, cap) as embedders:
            indexers = [Indexer(database, embedders, "default") for _ in range(2)]
            for indexer in indexers * 3:
                await indexer.drain("default")
            assert await have(database) == (128, 72)
            found = await day(database)
            assert (found.spent, found.reserved, found.tokens) == (endpoint.billed * MILLION, 0, endpoint.billed)
            assert found.stopped_at is not None and len(endpoint.asked) == 1
            (said,) = stops(logs)
            assert said["log_level"] == "warning"
            assert (said["tenant"], said["spent_micros"], said["cap_micros"]) == ("default", 3_200, cap)
            assert [entry for entry in logs if entry["event"] == "indexing failed"] == []

            await owner.execute("UPDATE embedding_day SET day = day - 1")
            await indexers[0].drain("default")
            assert await have(database) == (200, 0) and len(endpoint.asked) == 2
    assert len(stops(logs)) == 1


async def test_as_many_texts_are_asked_for_as_the_day_has_room_for(database: Database, owner: Any, endpoint: Endpoint) -> None:
    await write(database, 100, size=2_000)
    async with paid(database, endpoint, 100_000) as embedders:
        await Indexer(database, embedders, "default").drain("default")
    fit = 100_000 // (2_000 + EXTRA)
    assert [len(texts) for texts in endpoint.asked] == [fit]
    # The others wait for nobody's lease.
    assert await have(database) == (fit, 100 - fit)
    assert await owner.fetchval("SELECT count(*) FROM vector_due WHERE due <= clock_timestamp()") == 100 - fit


async def test_whatever_waits_first_a_day_has_room_for_one_text(database: Database, owner: Any, endpoint: Endpoint) -> None:
    async with database.transaction("default") as tx:
        await corpora.write(tx, [Row("long", "\U0001f600" * 20_000), Row("short", "a boat")])
    endpoint.usage = lambda texts: {"prompt_tokens": MOST, "total_tokens": MOST}
    async with paid(database, endpoint, MOST) as embedders:
        indexer = Indexer(database, embedders, "default")
        await indexer.drain("default")
        assert await have(database) == (1, 1)
        await owner.execute("UPDATE embedding_day SET day = day - 1")
        await indexer.drain("default")
    assert await have(database) == (2, 0) and endpoint.billed == 2 * MOST


async def test_what_an_endpoint_finds_too_long_or_too_many_is_asked_for_in_parts_and_paid_for_once(
    database: Database, owner: Any, endpoint: Endpoint
) -> None:
    endpoint.most, endpoint.refuses = 8_000, "what it will not have"
    async with database.transaction("default") as tx:
        given = [Row("long", "a boat " * 2_800), Row("bad", "what it will not have")]
        await corpora.write(tx, [*given, *(Row(f"f{nth}", f"letter {nth} ".ljust(1_000, "x")) for nth in range(60))])
    async with paid(database, endpoint, 100 * MOST) as embedders:
        await Indexer(database, embedders, "default").drain("default")
    # One is given up; keywords find it all the same.
    assert await have(database) == (61, 0)
    found = await day(database)
    assert (found.spent, found.reserved) == (endpoint.billed * MILLION, 0)
    texts = [text for texts in endpoint.taken for text in texts]
    assert len(texts) == len(set(texts))


async def test_an_endpoint_that_refuses_whatever_it_is_asked_is_asked_little_and_nothing_is_given_up(
    database: Database, owner: Any, endpoint: Endpoint
) -> None:
    await write(database, 100)
    endpoint.most = 0
    async with paid(database, endpoint, 2 * MOST) as embedders:
        with pytest.raises(PermanentError, match="said 400"):
            await Indexer(database, embedders, "default").drain("default")
    assert len(endpoint.asked) == 3 and await have(database) == (0, 100)
    assert ((await day(database)).spent, (await day(database)).reserved) == (0, 0)


async def test_what_is_free_leaves_no_row(database: Database, owner: Any, endpoint: Endpoint) -> None:
    await write(database, 200)
    for price in (None, 0):
        async with embedders_of(settings(endpoint, None, price), database) as embedders:
            await Indexer(database, embedders, "default").drain("default")
            assert (await Asking(database, embedders).ask("default", "a boat")).mode == "exact"
    assert await have(database) == (200, 0)
    assert await owner.fetchval("SELECT (SELECT count(*) FROM embedding_day) + (SELECT count(*) FROM embedding_call)") == 0


async def test_the_shadow_of_a_model_that_costs_stops_without_a_word(database: Database, owner: Any, endpoint: Endpoint) -> None:
    await write(database, 30)
    cap = 10 * MOST
    async with paid(database, endpoint, cap) as embedders:
        indexer = Indexer(database, embedders[::-1], "default")
        await indexer.drain("default")
        async with database.transaction("default") as tx:
            await succession.adopt(tx, "letters")
        await indexer.drain("default")
        async with database.transaction("default") as tx:
            await succession.shadow(tx, "letters")
        await use_up(database, cap)
        with capture_logs() as logs:
            await indexer.drain("default")
            for nth in range(60):
                assert (await Asking(database, embedders).ask("default", f"boat{nth}")).mode == "exact"
    assert len(stops(logs)) == len(logs) == 1


# Queries


async def test_a_query_without_room_is_answered_by_words_and_says_why(database: Database, owner: Any, endpoint: Endpoint) -> None:
    await write(database, 20)
    cap = 2 * MOST
    async with paid(database, endpoint, cap) as embedders:
        await Indexer(database, embedders, "default").drain("default")
        asking, memories = Asking(database, embedders), Memories(database, embedders)
        assert (await asking.ask("default", "harbours and boat3")).mode == "exact"
        await use_up(database, cap)
        asked = len(endpoint.asked)
        with capture_logs() as logs:
            answers = [await asking.ask("default", f"boat{nth} and others") for nth in range(5)]
            recalled = await memories.recall("default", Recall(id="r", query="q"), "boat7 again", 0.99)
        assert {answer.mode for answer in answers} == {"keywords"} and answers[3].hits[0].id == "f3"
        assert "letters gave no vector: the day's allowance is used up: $" in answers[0].degraded
        assert recalled["mode"] == "keywords" and "allowance is used up" in recalled["degraded"] and recalled["hits"][0]["id"] == "f7"
        assert len(stops(logs)) == len(logs) == 1 and len(endpoint.asked) == asked
        # What is known costs nothing, and so is answered as ever.
        assert (await asking.ask("default", "harbours and boat3")).mode == "exact"
        await owner.execute("UPDATE embedding_day SET day = day - 1")
        assert (await asking.ask("default", "boat0 and others")).mode == "exact"


async def test_another_tenant_has_an_allowance_of_its_own_and_what_one_paid_for_is_known_to_both(
    database: Database, owner: Any, endpoint: Endpoint
) -> None:
    cap = 2 * MOST
    async with paid(database, endpoint, cap) as embedders:
        await asked_by("default", embedders[0]).embed(["a boat"])
        await use_up(database, cap)
        with pytest.raises(AllowanceSpent):
            await asked_by("default", embedders[0]).embed(["a ship"])
        assert await asked_by("other", embedders[0]).embed(["a boat", "a ship"]) == [letters("a boat"), letters("a ship")]
    assert endpoint.asked == [["a boat"], ["a ship"]]
    spent = await owner.fetch("SELECT tenant, tokens FROM embedding_day ORDER BY tenant")
    assert [tuple(row) for row in spent] == [("default", 1), ("other", 1)]


# What a call costs


async def test_twenty_callers_are_never_billed_more_than_the_cap(database: Database, endpoint: Endpoint) -> None:
    # The worst endpoint: each text costs what it may.
    endpoint.usage = lambda texts: {"prompt_tokens": 0, "total_tokens": sum(map(allowance.bound, texts))}
    cap = MOST + 5_000

    async def caller(nth: int, embedder: Embedder) -> int:
        refused = 0
        for again in range(4):
            try:
                await embedder.embed([f"{nth} {again} ".ljust(2_000, "x")])
            except AllowanceSpent:
                refused += 1
        return refused

    async with paid(database, endpoint, cap) as embedders:
        refused = sum(await asyncio.gather(*(caller(nth, asked_by("default", embedders[0])) for nth in range(20))))
    made = cap // (2_000 + EXTRA)
    assert (len(endpoint.asked), refused) == (made, 80 - made)
    found = await day(database)
    assert found.spent == endpoint.billed * MILLION <= cap * MILLION and found.reserved == 0


WORST = len("a boat") + EXTRA
COUNTS: dict[str, tuple[Any, int]] = {
    "what was used": ({"prompt_tokens": 2, "total_tokens": 2}, 2),
    "more than could be": ({"prompt_tokens": 2, "total_tokens": 70}, 70),
    "nothing": ({"prompt_tokens": 0, "total_tokens": 0}, WORST),
    "less than nothing": ({"prompt_tokens": -5, "total_tokens": -5}, WORST),
    "no number": ({"prompt_tokens": "2", "total_tokens": True}, WORST),
    "beyond reason": ({"prompt_tokens": 10**30, "total_tokens": 10**30}, WORST),
    "no count": (None, WORST),
}


@pytest.mark.parametrize("name", COUNTS)
async def test_an_endpoint_is_believed_what_it_counts_and_without_a_count_the_worst_is_paid(
    database: Database, endpoint: Endpoint, name: str
) -> None:
    usage, tokens = COUNTS[name]
    endpoint.usage = lambda texts: usage
    async with paid(database, endpoint, 2 * MOST) as embedders:
        assert await asked_by("default", embedders[0]).embed(["a boat"]) == [letters("a boat")]
    found = await day(database)
    assert (found.spent, found.reserved) == (tokens * MILLION, 0)


FAULTS: dict[str, tuple[ASGIApp, int]] = {
    "refused": (Response("who are you", 401), 0),
    "busy": (Response("later", 429), 0),
    "down": (Response("oops", 503), 0),
    "cut": (CutReply(b'{"data": ['), WORST),
    "no JSON": (Response("{", media_type="application/json"), WORST),
    "too few": (JSONResponse({"data": [], "usage": {"prompt_tokens": 3, "total_tokens": 3}}), 3),
    "no data": (JSONResponse({}), WORST),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_call_that_failed_is_paid_for_where_it_may_have_cost(database: Database, endpoint: Endpoint, name: str) -> None:
    endpoint.reply, tokens = FAULTS[name]
    async with paid(database, endpoint, 2 * MOST) as embedders:
        with pytest.raises(PerdureError):
            await asked_by("default", embedders[0]).embed(["a boat"])
    found = await day(database)
    assert (found.spent, found.reserved, len(endpoint.asked)) == (tokens * MILLION, 0, 1)


async def test_an_endpoint_that_nobody_reaches_costs_nothing(database: Database, endpoint: Endpoint) -> None:
    endpoint.url = "http://127.0.0.1:1"
    async with paid(database, endpoint, 2 * MOST) as embedders:
        with pytest.raises(PerdureError, match="cannot be reached"):
            await asked_by("default", embedders[0]).embed(["a boat"])
    assert (await day(database)).used == 0


async def test_a_caller_that_is_cancelled_in_a_call_leaves_it_reserved(database: Database, endpoint: Endpoint) -> None:
    endpoint.hangs = asyncio.Event()
    async with paid(database, endpoint, 2 * MOST) as embedders:
        embedder = asked_by("default", embedders[0])
        leaving = asyncio.create_task(embedder.embed(["a boat"]))
        await endpoint.reached.wait()
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        endpoint.hangs.set()
        assert (await day(database)).reserved == WORST * MILLION
        await embedder.embed(["a boat"])
    found = await day(database)
    assert (found.spent, found.reserved) == (MILLION, WORST * MILLION)


async def test_a_call_whose_program_was_killed_counts_for_its_day_and_its_repetition_gives_nothing_back(
    database: Database, database_url: str, owner: Any, endpoint: Endpoint
) -> None:
    cap = 2 * MOST
    async with paid(database, endpoint, cap) as embedders:
        await write(database, 1)
        await Indexer(database, embedders, "default").drain("default")
    before = await day(database)
    endpoint.hangs = asyncio.Event()
    endpoint.reached.clear()
    given = {"DATABASE_URL": database_url, "EMBEDDING_BASE_URL": f"{endpoint.url}/v1", "EMBEDDING_MODEL": "letters"}
    given |= {"EMBEDDING_MICROS_PER_MILLION": str(PRICE), "EMBEDDING_DAY_MICROS": str(cap)}
    environment = os.environ | {f"PERDURE_{name}": value for name, value in given.items()}
    command = (sys.executable, str(ROOT / "starter.py"), "memory", "recall", "a boat", "--json")
    program = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.DEVNULL)
    await endpoint.reached.wait()
    program.kill()
    await program.wait()
    endpoint.hangs.set()
    assert await day(database) == replace(before, reserved=WORST * MILLION)
    again = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE)
    answer, _ = await again.communicate()
    assert json.loads(answer)["mode"] == "exact"
    assert await day(database) == replace(before, reserved=WORST * MILLION, spent=before.spent + MILLION, tokens=before.tokens + 1)
    assert await owner.fetchval("SELECT count(*) FROM embedding_call") == 1

    # A worker books it as spent, once nobody can come back to it.
    held = await day(database)
    await owner.execute("UPDATE embedding_call SET at = at - $1::interval", allowance.LOST)
    async with paid(database, endpoint, cap) as embedders:
        await Indexer(database, embedders, "default").drain("default")
    assert await day(database) == replace(held, reserved=0, spent=held.spent + held.reserved)
    assert await owner.fetchval("SELECT count(*) FROM embedding_call") == 0


async def test_nobody_asks_a_model_that_costs_without_saying_who_pays(database: Database, endpoint: Endpoint) -> None:
    async with paid(database, endpoint, 2 * MOST) as embedders:
        with pytest.raises(PermanentError, match="without a tenant that pays"):
            await embedders[0].embed(["a boat"])
    assert endpoint.asked == []


async def test_cost_refusals_and_what_is_left_are_on_the_metrics_page(database: Database, owner: Any, endpoint: Endpoint) -> None:
    def shown(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(f"perdure_embedding_{name}", {"tenant": "default", **labels}) or 0.0

    cap = MOST + 100
    cost, refused = shown("cost_micros_total", model="letters"), shown("refused_total")
    await write(database, 100, size=400)
    async with paid(database, endpoint, cap) as embedders:
        await Indexer(database, embedders, "default").drain("default")
        await use_up(database, cap)
        assert (await Asking(database, embedders).ask("default", "a boat")).mode == "keywords"
    assert shown("cost_micros_total", model="letters") - cost == endpoint.billed == 10_000
    assert shown("refused_total") - refused == 1
    assert shown("left_micros") == cap - 10_000
