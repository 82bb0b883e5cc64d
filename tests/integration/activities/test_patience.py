"""An endpoint that is paid and gives nothing for it: after a few requests it is left alone, by every worker, for longer each time."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp
from structlog.testing import capture_logs

from activities.asking import Asking
from activities.indexer import Indexer
from activities.patience import THRESHOLD
from contracts.errors import PerdureError
from database import Database
from devstack.web_server import CutReply
from ledger import breakers
from ledger.breakers import EMBEDDINGS, Breaker
from memory.allowance import MOST
from tests.integration.activities.endpoints import DIMS, Endpoint, day, have, paid, write

CAP = 100 * MOST
FIRST = THRESHOLD.failures


def replied(*vectors: Any) -> ASGIApp:
    data = [{"index": nth, "embedding": vector} for nth, vector in enumerate(vectors)]
    return JSONResponse({"data": data, "usage": {"prompt_tokens": 9, "total_tokens": 9}})


USELESS: dict[str, ASGIApp] = {
    "no JSON": Response("<html>", media_type="application/json"),
    "no list": JSONResponse({"data": 7}),
    "too few": replied(),
    "other dimensions": replied(*([[1.0] * (DIMS + 1)] * 128)),
    "no numbers": replied(*([["1"] * DIMS] * 128)),
    "cut": CutReply(b'{"data": ['),
}


async def work(*indexers: Indexer) -> None:
    """Do some rounds, as workers do, who go on after any fault."""
    for indexer in indexers * 4:
        with suppress(PerdureError):
            await indexer.work("default")


async def breaker(database: Database) -> Breaker:
    async with database.transaction("default") as tx:
        return await breakers.read(tx, "model", EMBEDDINGS, "letters")


async def later(owner: Any) -> None:
    """Let time pass until the endpoint may be tried again, and what was tried falls due."""
    await owner.execute("UPDATE breaker SET opened_until = opened_until - interval '2 hours'")
    await owner.execute("UPDATE vector_due SET due = clock_timestamp()")


def said(logs: list[Any]) -> list[Any]:
    return [entry for entry in logs if entry["event"] == "an endpoint of embeddings is left alone"]


@pytest.mark.parametrize("name", USELESS)
async def test_what_cannot_be_read_is_paid_for_a_few_times_and_then_no_worker_asks(
    database: Database, owner: Any, endpoint: Endpoint, name: str
) -> None:
    endpoint.reply = USELESS[name]
    await write(database, 600)
    async with paid(database, endpoint, CAP) as ours, paid(database, endpoint, CAP) as theirs:
        with capture_logs() as logs:
            await work(Indexer(database, ours, "default"), Indexer(database, theirs, "default"))
        spent = await day(database)
        assert len(endpoint.asked) == FIRST and await have(database) == (0, 600)
        # Each worker has said it once, with the reason.
        assert [(entry["log_level"], entry["tenant"], entry["model"]) for entry in said(logs)] == [("warning", "default", "letters")] * 2
        found = await breaker(database)
        assert found.state == "open" and all(f"{FIRST} failures: {found.detail}" in entry["why"] for entry in said(logs))
        with capture_logs() as logs:
            answers = [await Asking(database, ours).ask("default", f"boat{nth}") for nth in range(5)]
        assert {answer.mode for answer in answers} == {"keywords"} and answers[3].hits[0].id == "f3" and logs == []
        assert "letters gave no vector: the breaker of the model letters is open until" in answers[0].degraded
    assert len(endpoint.asked) == FIRST and await day(database) == spent


async def test_it_is_tried_by_one_request_after_a_while_that_grows_and_once_it_is_well_all_goes_on(
    database: Database, owner: Any, endpoint: Endpoint
) -> None:
    endpoint.reply = USELESS["no JSON"]
    await write(database, 600)
    async with paid(database, endpoint, CAP) as ours, paid(database, endpoint, CAP) as theirs:
        indexers = Indexer(database, ours, "default"), Indexer(database, theirs, "default")
        waits: list[float] = []
        with capture_logs() as logs:
            for nth in range(3):
                await work(*indexers)
                assert len(endpoint.asked) == FIRST + nth
                waits.append((await breaker(database)).wait)
                await later(owner)
        minute = THRESHOLD.open.total_seconds()
        assert minute / 2 < waits[0] <= minute < waits[1] <= 2 * minute < waits[2] <= 4 * minute
        assert len(said(logs)) == 2 * 3

        endpoint.reply = None
        for indexer in indexers:
            await indexer.drain("default")
        assert await have(database) == (600, 0)
        found = await breaker(database)
        assert (found.state, found.failures, found.openings) == ("closed", 0, 0)
        assert (await Asking(database, theirs).ask("default", "a boat or two")).mode == "exact"


async def test_while_one_tries_it_the_others_do_not(database: Database, owner: Any, endpoint: Endpoint) -> None:
    endpoint.reply = USELESS["no JSON"]
    await write(database, 600)
    async with paid(database, endpoint, CAP) as ours, paid(database, endpoint, CAP) as theirs:
        await work(Indexer(database, ours, "default"))
        await later(owner)
        endpoint.reply, endpoint.hangs = None, asyncio.Event()
        endpoint.reached.clear()
        trying = asyncio.create_task(Indexer(database, ours, "default").work("default"))
        await endpoint.reached.wait()
        await work(Indexer(database, theirs, "default"))
        answer = await Asking(database, theirs).ask("default", "a boat or two")
        assert "lets one call through and the others wait for its end" in answer.degraded
        assert len(endpoint.asked) == FIRST + 1
        endpoint.hangs.set()
        await trying
    assert (await breaker(database)).state == "closed" and (await have(database))[0] == 128


async def test_one_that_gives_up_trying_leaves_it_to_the_next(database: Database, owner: Any, endpoint: Endpoint) -> None:
    endpoint.reply = USELESS["no JSON"]
    await write(database, 600)
    async with paid(database, endpoint, CAP) as ours:
        indexer = Indexer(database, ours, "default")
        await work(indexer)
        await later(owner)
        endpoint.reply, endpoint.hangs = None, asyncio.Event()
        endpoint.reached.clear()
        leaving = asyncio.create_task(indexer.work("default"))
        await endpoint.reached.wait()
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        endpoint.hangs.set()
        await indexer.drain("default")
    assert (await breaker(database)).state == "closed" and (await have(database))[0] > 0


@pytest.mark.parametrize("status", [401, 429, 503])
async def test_one_that_costs_nothing_while_it_is_away_is_asked_again_at_once(
    database: Database, owner: Any, endpoint: Endpoint, status: int
) -> None:
    endpoint.reply = Response("not now", status)
    await write(database, 600)
    async with paid(database, endpoint, CAP) as embedders:
        await work(Indexer(database, embedders, "default"))
    assert len(endpoint.asked) == 4 and (await breaker(database)).failures == (await day(database)).used == 0


class FirstOnly:
    """An endpoint that makes a vector of the first text, however many it is given."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await replied([1.0] * DIMS)(scope, receive, send)


async def test_queries_that_go_well_do_not_keep_batches_that_do_not_being_paid_for(
    database: Database, owner: Any, endpoint: Endpoint
) -> None:
    endpoint.reply = FirstOnly()
    await write(database, 600)
    async with paid(database, endpoint, CAP) as ours:
        indexer, asking = Indexer(database, ours, "default"), Asking(database, ours)
        for nth in range(10):
            await work(indexer)
            await asking.ask("default", f"boat {nth}")
        batches = [texts for texts in endpoint.asked if len(texts) > 1]
        assert len(batches) == FIRST
        await later(owner)
        assert (await asking.ask("default", "another boat")).degraded == ""


async def test_vectors_that_point_nowhere_are_paid_for_a_few_times_and_the_texts_wait(
    database: Database, owner: Any, endpoint: Endpoint
) -> None:
    endpoint.reply = replied(*([[0.0] * DIMS] * 128))
    await write(database, 600)
    async with paid(database, endpoint, CAP) as ours:
        await work(*[Indexer(database, ours, "default")] * 3)
    assert len(endpoint.asked) == FIRST and await have(database) == (0, 600)
