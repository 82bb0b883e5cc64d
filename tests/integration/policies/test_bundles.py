"""Bundles on a real Postgres: stored once, made live by compare-and-swap, recorded."""

import asyncio
from typing import Any

import asyncpg
import pytest

from contracts.errors import BadInput
from database import Database, Tx
from policies import bundles
from policies.bundles import Bundle, Bundles


def bundle(goal: str = "write", automation: str = "content-ops", **prompts: str) -> Bundle:
    agent = {"prompt": "plan.md", "route": "small", "tools": ["t"]}
    body = {"goal": goal, "agents": {"p": agent}, "planner": "p", "models": {"small": {}}, "rules": [], "budget": {"run_micros": 1}}
    return Bundle(automation, {"automation": body, "prompts": {"plan.md": "plan", **prompts}})


async def apply(database: Database, applied: Bundle, by: str = "ann", tenant: str = "default") -> bool:
    async with database.transaction(tenant) as tx:
        return await bundles.apply(tx, applied, by)


async def changes(tx: Tx) -> list[dict[str, Any]]:
    return [row["body"] for row in await tx.fetch("SELECT body FROM record WHERE kind = 'configuration' ORDER BY seq")]


async def test_an_applied_bundle_is_live_and_each_change_is_recorded(database: Database) -> None:
    first, second = bundle("one"), bundle("two")
    for applied, by in ((first, "ann"), (second, "eve"), (first, "bob")):
        assert await apply(database, applied, by)
    async with database.transaction("default") as tx:
        assert await bundles.live(tx, "content-ops") == first.hash and await bundles.applied(tx) == ["content-ops"]
        assert [(body["bundle"], body["before"], body["by"], body["version"]) for body in await changes(tx)] == [
            (first.hash, None, "ann", 1),
            (second.hash, first.hash, "eve", 2),
            (first.hash, second.hash, "bob", 3),
        ]


async def test_the_same_bundle_again_changes_nothing(database: Database) -> None:
    assert await apply(database, bundle()) and not await apply(database, bundle(), "eve")
    async with database.transaction("default") as tx:
        assert len(await changes(tx)) == 1


async def test_who_applies_over_what_another_changed_is_refused(database: Database) -> None:
    await apply(database, bundle("one"))

    async def raced(n: int) -> bool:
        return await apply(database, bundle(f"race {n}"))

    ended = await asyncio.gather(*map(raced, range(20)), return_exceptions=True)
    refused = [end for end in ended if isinstance(end, BadInput)]
    assert all("was changed by somebody else" in str(end) for end in refused) and len(refused) + ended.count(True) == 20
    async with database.transaction("default") as tx:
        recorded = await changes(tx)
        version = await tx.value("SELECT version FROM alias")
    # Everybody who was told so did change it, from the bundle that their record names.
    assert version == 1 + ended.count(True) == len(recorded)
    assert [body["before"] for body in recorded[1:]] == [body["bundle"] for body in recorded[:-1]]


async def test_of_the_first_applies_at_once_nobody_is_lost(database: Database) -> None:
    ended = await asyncio.gather(*(apply(database, bundle(f"{n}")) for n in range(10)), return_exceptions=True)
    async with database.transaction("default") as tx:
        assert len(await changes(tx)) == ended.count(True) >= 1


async def test_a_bundle_read_back_has_the_hash_it_was_stored_under(database: Database) -> None:
    stored = bundle(more="a prompt with ümlauts and \u2028")
    await apply(database, stored)
    read = await Bundles(database).get("default", stored.hash)
    assert (read.hash, read.body, read.automation) == (stored.hash, stored.body, stored.automation)


async def test_a_copied_folder_is_a_bundle_of_its_own(database: Database) -> None:
    for automation in ("content-ops", "copy"):
        await apply(database, bundle(automation=automation))
    assert (await Bundles(database).get("default", bundle(automation="copy").hash)).automation == "copy"


async def test_an_unknown_bundle_is_refused_by_name(database: Database) -> None:
    with pytest.raises(BadInput, match="tenant default has no bundle abababababab"):
        await Bundles(database).get("default", "ab" * 32)


async def test_bundles_that_were_read_are_kept_up_to_a_number(database: Database) -> None:
    stored = [bundle(f"{n}") for n in range(bundles.HELD + 2)]
    for one in stored:
        await apply(database, one)
    held = Bundles(database)
    first = await held.get("default", stored[0].hash)
    for one in stored[1 : bundles.HELD]:
        await held.get("default", one.hash)
    assert await held.get("default", stored[0].hash) is first
    for one in stored[bundles.HELD :]:
        await held.get("default", one.hash)
    # The one used last stays, the one used longest ago goes.
    assert await held.get("default", stored[0].hash) is first


async def test_a_stored_bundle_never_changes(database: Database) -> None:
    await apply(database, bundle())
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.transaction("default") as tx:
            await tx.execute("UPDATE bundle SET body = '{}'")


async def test_bundles_are_seen_by_their_tenant_only(database: Database) -> None:
    stored, held = bundle(), Bundles(database)
    await apply(database, stored)
    await held.get("default", stored.hash)
    with pytest.raises(BadInput, match="tenant other has no bundle"):
        await held.get("other", stored.hash)
    async with database.transaction("other") as tx:
        assert await bundles.live(tx, "content-ops") is None and await bundles.applied(tx) == []
    assert await apply(database, stored, tenant="other")
    async with database.transaction("other") as tx:
        assert [body["version"] for body in await changes(tx)] == [1]
