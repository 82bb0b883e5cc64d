"""Effects on a real Postgres: claimed once, recorded by the holder only."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from database import Database
from ledger import effects, runs
from tests.integration.ledger.rows import DIGEST, LINEAGE, claim, in_seconds, open_run

KEY = f"{LINEAGE}/s1/1"


async def claimed(database: Database, made: effects.Claim, tenant: str = "default") -> int | None:
    async with database.transaction(tenant) as tx:
        held = await effects.claim(tx, made)
    return held.attempt if held else None


async def held(database: Database, made: effects.Claim) -> effects.Claim:
    async with database.transaction("default") as tx:
        found = await effects.claim(tx, made)
    assert found is not None
    return found


async def recorded(database: Database, made: effects.Claim, state: str = "done", **given: Any) -> bool:
    async with database.transaction("default") as tx:
        return await effects.record(tx, made, state, **given)


async def read(database: Database, key: str = KEY) -> effects.Effect:
    async with database.transaction("default") as tx:
        found = await effects.read(tx, key)
    assert found is not None
    return found


async def resolved(database: Database, state: str, **given: Any) -> effects.Effect:
    async with database.transaction("default") as tx:
        await effects.resolve(tx, KEY, state, **given)
    return await read(database)


async def test_an_effect_is_claimed_once_until_its_deadline(database: Database) -> None:
    assert await claimed(database, claim()) == 1
    assert await claimed(database, claim(120)) is None


async def test_after_the_deadline_the_same_action_is_claimed_again(database: Database) -> None:
    await claimed(database, claim(-1))
    later = claim(60, tool_version="v2")
    assert await claimed(database, later) == 2
    effect = await read(database)
    assert (effect.tool_version, effect.attempts, effect.state) == ("v2", 2, "claimed")
    async with database.transaction("default") as tx:
        assert 0 < await effects.wait(tx, KEY) <= 60


async def test_another_action_never_takes_the_key(database: Database) -> None:
    await claimed(database, claim(-1))
    assert await claimed(database, claim(digest="e2" * 32, arguments={"text": "y"})) is None
    assert (await read(database)).arguments == {"text": "x"}


@pytest.mark.parametrize(("state", "attempt"), [("done", None), ("failed", None), ("compensated", None), ("unknown", 2)])
async def test_only_an_effect_whose_end_nobody_saw_is_claimed_again(database: Database, state: str, attempt: int | None) -> None:
    first = await held(database, claim(-1))
    await recorded(database, first, state)
    assert await claimed(database, claim()) == attempt


async def test_of_a_hundred_claims_at_once_one_wins(database: Database) -> None:
    claims = [claim(60 + n) for n in range(100)]
    attempts = await asyncio.gather(*(claimed(database, made) for made in claims))
    winners = [made for made, attempt in zip(claims, attempts, strict=True) if attempt is not None]
    assert len(winners) == 1 and (await read(database)).attempts == 1


async def test_of_a_hundred_second_claims_at_once_one_wins(database: Database) -> None:
    await claimed(database, claim(-1))
    attempts = await asyncio.gather(*(claimed(database, claim(60 + n)) for n in range(100)))
    assert [attempt for attempt in attempts if attempt] == [2]


async def test_only_the_holder_of_the_claim_records(database: Database) -> None:
    first, second = await held(database, claim(-1)), await held(database, claim(60))
    assert not await recorded(database, first, output={"late": True})
    assert await recorded(database, second, output={"id": 7}, detail="x" * 900)
    assert not await recorded(database, second, "failed")
    effect = await read(database)
    assert (effect.state, effect.output, effect.detail) == ("done", {"id": 7}, "x" * 500) and effect.ended_at is not None


async def test_the_holder_records_after_its_deadline_while_nobody_else_claimed(database: Database) -> None:
    first = await held(database, claim(-1))
    assert await recorded(database, first)


async def test_a_released_effect_is_claimed_at_once_and_its_first_holder_is_out(database: Database) -> None:
    first = await held(database, claim())
    async with database.transaction("default") as tx:
        await effects.release(tx, first, "no connection")
    assert (await read(database)).released
    assert await claimed(database, claim()) == 2 and not (await read(database)).released
    assert not await recorded(database, first)


async def test_nobody_releases_what_another_holds(database: Database) -> None:
    first = await held(database, claim(-1))
    await claimed(database, claim())
    async with database.transaction("default") as tx:
        await effects.release(tx, first, "late")
    assert await claimed(database, claim()) is None


async def test_of_many_who_take_up_a_released_effect_at_once_one_wins(database: Database) -> None:
    first = await held(database, claim(key=f"{KEY}/undo", undoes=KEY))
    async with database.transaction("default") as tx:
        await effects.release(tx, first, "no connection")
    attempts = await asyncio.gather(*(claimed(database, claim(60 + n, key=f"{KEY}/undo", undoes=KEY)) for n in range(20)))
    assert [attempt for attempt in attempts if attempt] == [2]


@pytest.mark.parametrize("state", ["done", "failed", "unknown"])
async def test_what_was_found_out_about_one_attempt_settles_no_later_one(database: Database, state: str) -> None:
    first, second = await held(database, claim(-1)), await held(database, claim(60))
    late = await resolved(database, state, output={"late": True}, detail="found too late", attempt=first.attempt)
    assert (late.state, late.output, late.ended_at) == ("claimed", None, None)
    assert await recorded(database, second, output={"id": 7})
    assert (await read(database)).output == {"id": 7}
    async with database.transaction("default") as tx:
        assert not await effects.resolve(tx, KEY, state, attempt=second.attempt), "its end was seen"


@pytest.mark.parametrize("state", ["claimed", "unknown"])
async def test_an_end_that_nobody_saw_is_resolved(database: Database, state: str) -> None:
    made = await held(database, claim(-1))
    if state == "unknown":
        await recorded(database, made, state)
    effect = await resolved(database, "done", output={"id": 7}, detail="found by a look-up")
    assert (effect.state, effect.output, effect.detail) == ("done", {"id": 7}, "found by a look-up")


@pytest.mark.parametrize("state", ["done", "failed", "compensated"])
async def test_an_end_that_was_seen_is_never_resolved_otherwise(database: Database, state: str) -> None:
    made = await held(database, claim())
    await recorded(database, made, state)
    assert (await resolved(database, "unknown")).state == state


@pytest.mark.parametrize(("state", "after"), [("done", "compensated"), ("failed", "failed"), ("unknown", "unknown")])
async def test_only_what_was_done_is_compensated(database: Database, state: str, after: str) -> None:
    made = await held(database, claim())
    await recorded(database, made, state)
    async with database.transaction("default") as tx:
        await effects.compensated(tx, KEY)
    assert (await read(database)).state == after


async def test_undo_gets_done_effects_newest_first_and_no_undo_of_an_undo(database: Database) -> None:
    for n, state in enumerate(("done", "done", "failed", "done"), 1):
        undoes = KEY if n == 4 else None
        made = await held(database, claim(key=effects.key(LINEAGE, f"s{n}", 1), step=f"s{n}", undoes=undoes))
        await recorded(database, made, state)
    async with database.transaction("default") as tx:
        assert [effect.step for effect in await effects.undoable(tx, LINEAGE)] == ["s2", "s1"]
        assert [effect.step for effect in await effects.of_run(tx, LINEAGE)] == ["s1", "s2", "s3", "s4"]
        assert await effects.counts(tx) == {"done": 3, "failed": 1}


@pytest.mark.parametrize(
    ("tool", "digest", "but", "found"),
    [
        ("blog.publish", DIGEST, "another/key/1", KEY),
        ("blog.publish", DIGEST, KEY, None),
        ("blog.publish", "e2" * 32, "another/key/1", None),
        ("social.post", DIGEST, "another/key/1", None),
    ],
)
async def test_the_same_action_done_before_is_found(database: Database, tool: str, digest: str, but: str, found: str | None) -> None:
    made = await held(database, claim())
    async with database.transaction("default") as tx:
        assert await effects.same(tx, LINEAGE, tool, digest, but) == ((found, False) if found else None)
    await recorded(database, made)
    async with database.transaction("default") as tx:
        assert await effects.same(tx, LINEAGE, tool, digest, but) == ((found, True) if found else None)


async def test_a_tools_price_stays_within_the_budget_unless_it_is_spent_already(database: Database) -> None:
    await open_run(database, limit=100)
    async with database.transaction("default") as tx:
        assert await effects.spend(tx, LINEAGE, 60) == 40
        assert await effects.spend(tx, LINEAGE, 41) is None
        assert await effects.spend(tx, LINEAGE, 41, anyway=True) == -1
        assert await effects.spend(tx, "another-run", 1) is None
        assert await runs.spending(tx, LINEAGE) == (100, 0, 101)


async def test_two_hundred_prices_at_once_never_overshoot(database: Database) -> None:
    await open_run(database, limit=100)

    async def spend() -> bool:
        async with database.transaction("default") as tx:
            return await effects.spend(tx, LINEAGE, 7) is not None

    assert sum(await asyncio.gather(*(spend() for _ in range(200)))) == 14


async def test_effects_are_seen_by_their_tenant_only(database: Database) -> None:
    made = await held(database, claim())
    async with database.transaction("other") as tx:
        assert await effects.read(tx, KEY) is None and await effects.of_run(tx, LINEAGE) == [] and await effects.counts(tx) == {}
        assert not await effects.record(tx, made, "failed")
        await effects.resolve(tx, KEY, "failed")
    # The same key is free for another tenant, and its claim takes nothing from the first.
    before = (await read(database)).deadline
    assert await claimed(database, replace(made, until=in_seconds(5)), "other") == 1
    assert (await read(database)).deadline == before
