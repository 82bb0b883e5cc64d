"""Decisions and their journal on a real Postgres: fences, resuming, and money that adds up."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from contracts.errors import BudgetExceeded, PermanentError, Superseded
from contracts.plans import PlanStep
from database import Database, Tx
from ledger import decisions, records, runs, steps
from ledger.decisions import Entry, Hold, LastCall
from tests.integration.ledger.rows import LINEAGE, open_run

STEP = "plan-1"
Write = Callable[[Tx, Hold], Awaitable[Any]]


@pytest.fixture(autouse=True)
async def _opened(database: Database) -> None:
    await open_run(database, limit=1000)


async def take(database: Database, step: str = STEP) -> tuple[Hold, dict[str, Any] | None, dict[int, Entry]]:
    async with database.transaction("default") as tx:
        taken = await decisions.take(tx, LINEAGE, step)
    assert taken is not None
    return taken.hold, taken.result, dict(taken.entries)


async def begin(database: Database, hold: Hold, idx: int, reserve: int) -> int:
    async with database.transaction("default") as tx:
        return await decisions.begin_call(tx, hold, idx, "model", "digest", reserve)


async def end(database: Database, hold: Hold, idx: int, cost: int, reply: dict[str, Any] | None) -> None:
    async with database.transaction("default") as tx:
        await decisions.end_call(tx, hold, idx, reply=reply, cost=cost)


async def spending(database: Database) -> tuple[int, int, int]:
    async with database.transaction("default") as tx:
        return await runs.spending(tx, LINEAGE)


async def total(database: Database, hold: Hold) -> int:
    async with database.transaction("default") as tx:
        return await decisions.cost(tx, hold)


async def test_a_retry_resumes_after_the_last_entry(database: Database) -> None:
    first, _, entries = await take(database)
    assert entries == {}
    await begin(database, first, 0, 100)
    await end(database, first, 0, 40, {"text": "hello"})
    async with database.transaction("default") as tx:
        await decisions.note_look_up(tx, first, 1, "sources.read", "digest", {"notes": []})
    second, result, entries = await take(database)
    assert second.fence == first.fence + 1 and result is None
    assert entries == {
        0: Entry(0, "model", "model", "digest", {"text": "hello"}, 40),
        1: Entry(1, "lookup", "sources.read", "digest", {"notes": []}, 0),
    }


async def test_a_failed_call_is_made_again(database: Database) -> None:
    first, _, _ = await take(database)
    await begin(database, first, 0, 100)
    await end(database, first, 0, 0, None)
    second, _, entries = await take(database)
    assert entries == {}
    await begin(database, second, 0, 100)
    await end(database, second, 0, 30, {})
    assert await spending(database) == (1000, 0, 30)


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda tx, hold: decisions.begin_call(tx, hold, 1, "model", "digest", 10), id="begin_call"),
        pytest.param(lambda tx, hold: decisions.end_call(tx, hold, 0, reply={}, cost=10), id="end_call"),
        pytest.param(lambda tx, hold: decisions.note_look_up(tx, hold, 1, "read", "digest", {}), id="note_look_up"),
        pytest.param(lambda tx, hold: decisions.finish(tx, hold, {"late": True}, {}), id="finish"),
    ],
)
async def test_an_attempt_that_outlived_its_time_out_changes_nothing(database: Database, write: Write) -> None:
    old, _, _ = await take(database)
    await begin(database, old, 0, 100)
    await take(database)
    before = await spending(database)
    with pytest.raises(Superseded):
        async with database.transaction("default") as tx:
            await write(tx, old)
    hold, result, entries = await take(database)
    assert (result, entries) == (None, {}) and await spending(database) == before and await total(database, hold) == 100


async def test_the_call_of_a_dead_attempt_is_lost_at_its_worst_case_once(database: Database) -> None:
    dead, _, _ = await take(database)
    await begin(database, dead, 0, 300)
    assert await spending(database) == (1000, 300, 0)
    for _ in range(3):
        hold, _, entries = await take(database)
        assert entries == {} and await spending(database) == (1000, 0, 300) and await total(database, hold) == 300
    async with database.transaction("default") as tx:
        lost = [record["body"] for record in await records.of_run(tx, LINEAGE) if record["kind"] == "spend"]
    assert lost == [{"event": "lost", "model": "model", "cost_micros": 300}]


async def test_retries_at_once_lose_a_call_once(database: Database) -> None:
    dead, _, _ = await take(database)
    await begin(database, dead, 0, 300)
    holds = await asyncio.gather(*(take(database) for _ in range(20)))
    assert sorted(hold.fence for hold, _, _ in holds) == list(range(2, 22)) and await spending(database) == (1000, 0, 300)


async def test_a_decision_recorded_once_is_returned_and_never_made_anew(database: Database) -> None:
    hold, _, _ = await take(database)
    async with database.transaction("default") as tx:
        await decisions.finish(tx, hold, {"seq": 2}, {})
    assert (await take(database))[:2] == (hold, {"seq": 2})
    with pytest.raises(Superseded):
        async with database.transaction("default") as tx:
            await decisions.finish(tx, hold, {"seq": 3}, {})
    with pytest.raises(Superseded):
        await begin(database, hold, 0, 1)
    assert (await take(database))[1] == {"seq": 2}


async def test_a_call_is_settled_at_what_it_cost(database: Database) -> None:
    hold, _, _ = await take(database)
    assert await begin(database, hold, 0, 400) == 600
    await end(database, hold, 0, 123, {})
    assert await begin(database, hold, 1, 877) == 0
    await end(database, hold, 1, 0, None)
    assert await spending(database) == (1000, 0, 123) and await total(database, hold) == 123


async def test_the_cost_of_a_decision_is_a_whole_number(database: Database) -> None:
    hold, _, _ = await take(database)
    assert isinstance(await total(database, hold), int)


async def test_a_call_ends_once(database: Database) -> None:
    hold, _, _ = await take(database)
    await begin(database, hold, 0, 400)
    await end(database, hold, 0, 100, {})
    with pytest.raises(Superseded):
        await end(database, hold, 0, 100, {})
    assert await spending(database) == (1000, 0, 100)


async def test_a_call_that_the_budget_cannot_hold_leaves_no_trace(database: Database) -> None:
    hold, _, _ = await take(database)
    with pytest.raises(BudgetExceeded, match=r"may cost 1001 micro-dollars.*raise budget\.run_micros"):
        await begin(database, hold, 0, 1001)
    assert await spending(database) == (1000, 0, 0)
    assert await begin(database, hold, 0, 1000) == 0


async def test_a_run_that_nobody_opened_decides_nothing(database: Database) -> None:
    async with database.transaction("default") as tx:
        with pytest.raises(PermanentError, match="there is no run 'a-run-nobody-opened'"):
            await decisions.take(tx, "a-run-nobody-opened", STEP)


async def test_two_hundred_reservations_at_once_never_overshoot(database: Database) -> None:
    holds = [(await take(database, f"plan-{n}"))[0] for n in range(4)]

    async def reserve(n: int) -> bool:
        try:
            await begin(database, holds[n % 4], n, 7)
        except BudgetExceeded:
            return False
        return True

    granted = [n for n, yes in enumerate(await asyncio.gather(*map(reserve, range(200)))) if yes]
    assert len(granted) == 1000 // 7 and await spending(database) == (1000, 7 * len(granted), 0)
    await asyncio.gather(*(end(database, holds[n % 4], n, n % 3, {}) for n in granted))
    assert await spending(database) == (1000, 0, sum(n % 3 for n in granted))


async def test_steps_are_planned_once_in_order(database: Database) -> None:
    hold, _, _ = await take(database)
    first = [
        PlanStep(id="a", tool="t", arguments={"x": [1, {"y": None}]}, why="w"),
        PlanStep(id="b", tool="u", needs=("a",), approval=True),
    ]
    async with database.transaction("default") as tx:
        await decisions.finish(tx, hold, {}, {"event": "decided"}, steps=first)
        second = await decisions.take(tx, LINEAGE, "plan-2")
        assert second is not None and second.frame.position == 2
        await decisions.finish(tx, second.hold, {}, {}, after=2, steps=[PlanStep(id="a", tool="another")])
        assert [row["body"] for row in await records.of_run(tx, LINEAGE)] == [{"event": "decided"}, {}]
        rows = await steps.of_run(tx, LINEAGE)
    assert [(row.step, row.tool, row.arguments, row.needs, row.why, row.approval) for row in rows] == [
        ("a", "t", {"x": [1, {"y": None}]}, [], "w", False),
        ("b", "u", {}, ["a"], "", True),
    ]


async def test_decisions_are_seen_by_their_tenant_only(database: Database) -> None:
    hold, _, _ = await take(database)
    await begin(database, hold, 0, 100)
    async with database.transaction("other") as tx:
        with pytest.raises(Superseded):
            await decisions.end_call(tx, hold, 0, reply={}, cost=0)
        with pytest.raises(PermanentError):
            await decisions.take(tx, LINEAGE, STEP)
        assert await decisions.cost(tx, hold) == 0
    await end(database, hold, 0, 50, {})
    assert await spending(database) == (1000, 0, 50)


async def test_the_last_call_is_settled_with_the_decision(database: Database) -> None:
    hold, _, _ = await take(database)
    await begin(database, hold, 0, 100)
    async with database.transaction("default") as tx:
        await decisions.finish(tx, hold, {"seq": 2}, {}, last=LastCall(0, {"text": "x"}, 30))
    assert await spending(database) == (1000, 0, 30) and await total(database, hold) == 30


async def test_a_decision_of_a_paused_run_is_not_taken(database: Database) -> None:
    async with database.transaction("default") as tx:
        await tx.execute("UPDATE run SET paused_at = now(), paused_by = 'ann' WHERE tenant = $1 AND lineage = $2", tx.tenant, LINEAGE)
        assert await decisions.take(tx, LINEAGE, STEP) is None
        assert await tx.value("SELECT count(*) FROM decision") == 0
