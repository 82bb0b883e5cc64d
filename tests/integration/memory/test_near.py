"""Near-duplicates on a real Postgres: what came in in bulk is linked behind it, to the older one, and nothing is merged."""

import asyncio
from pathlib import Path

import pytest

from activities.indexer import Indexer
from channels.imports import Importer
from database import Database
from memory import erasure, likeness, revisions
from memory.embedding import Packaged
from memory.storing import NewFact
from memory.writes import WriteKey
from tests.integration.memory.test_importing import line, write

LETTER = "the harbour master wrote a long letter about the new red boat and its two engines"
SAID = (
    line("first", LETTER),
    line("closer", f"{LETTER} today"),
    line("other", "the harbour master wrote a short note about old ropes, nets and one broken engine"),
    line("elsewhere", f"{LETTER} indeed", scope="team"),
    line("short", "a red boat"),
    line("shorter", "the red boat"),
)
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
NEAR = "SELECT id, near FROM fact WHERE tenant = $1 AND near IS NOT NULL ORDER BY id"


async def near(database: Database) -> dict[str, str]:
    async with database.transaction("default") as tx:
        return {row["id"]: row["near"] for row in await tx.fetch(NEAR, tx.tenant)}


@pytest.fixture
def indexer(database: Database) -> Indexer:
    return Indexer(database, [Packaged()], "default")


async def test_what_an_import_brings_is_linked_once_its_vectors_are_there_and_all_of_it_is_kept(
    database: Database, tmp_path: Path, indexer: Indexer
) -> None:
    done = await Importer(database, write(tmp_path, *SAID), "default", may_create=True).keep_good()
    assert (done.new, await near(database)) == (len(SAID), {})
    await indexer.drain("default")
    assert await near(database) == {"closer": "first"}
    async with database.transaction("default") as tx:
        assert await tx.value("SELECT count(*) FROM fact WHERE tenant = $1 AND superseded_at IS NULL", tx.tenant) == len(SAID)


async def test_linking_again_changes_nothing_and_a_later_fact_is_linked_to_the_oldest(
    database: Database, tmp_path: Path, indexer: Indexer
) -> None:
    for lines in (SAID, [line("latest", f"today {LETTER}")]):
        await Importer(database, write(tmp_path, *lines), "default", may_create=True).keep_good()
        await indexer.drain("default")
    linked = {"closer": "first", "latest": "first"}
    assert await near(database) == linked
    async with database.transaction("default") as tx:
        nums = [row["num"] for row in await tx.fetch("SELECT num FROM fact WHERE tenant = $1", tx.tenant)]
        assert await likeness.link_near(tx, nums) == 0
    assert await near(database) == linked


async def test_what_was_replaced_is_no_neighbour_and_has_none(database: Database, tmp_path: Path, indexer: Indexer) -> None:
    await Importer(database, write(tmp_path, SAID[0]), "default", may_create=True).keep_good()
    async with database.transaction("default") as tx:
        await revisions.supersede(tx, WriteKey("l", "s"), "first", NewFact("the boat was sold"))
    await Importer(database, write(tmp_path, SAID[1]), "default", may_create=True).keep_good()
    await indexer.drain("default")
    assert await near(database) == {}


async def test_a_word_that_is_in_many_facts_hides_no_neighbour_among_the_newest(
    database: Database, tmp_path: Path, indexer: Indexer
) -> None:
    crowd = [line(f"c{nth}", f"the harbour master wrote word{nth} and word{nth + 1000} and word{nth + 2000}") for nth in range(200)]
    await Importer(database, write(tmp_path, *crowd, *SAID[:2]), "default", may_create=True).keep_good()
    await indexer.drain("default")
    assert (await near(database))["closer"] == "first"


async def waiting(database: Database, count: int) -> None:
    """Return once so many wait for a lock."""
    async with asyncio.timeout(60):
        while True:
            async with database.transaction("default") as tx:
                if await tx.value(WAITING) >= count:
                    return
            await asyncio.sleep(0.02)


async def test_two_that_link_the_same_facts_in_opposite_orders_and_an_erasure_behind_them_all_end_well(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERDURE_SECRET_MEMORY_KEY", "a key")
    said = [SAID[0], *(line(f"said{nth}", f"{LETTER} word{nth}") for nth in range(6)), line("named", "Zelda Quimby came", speaker="bob")]
    await Importer(database, write(tmp_path, *said), "default", may_create=True).keep_good()

    async def link(nums: list[int]) -> int:
        async with database.transaction("default") as tx:
            return await likeness.link_near(tx, nums)

    async def forget() -> None:
        async with database.transaction("default") as tx:
            await erasure.forget(tx, "Zelda Quimby", "", "ann")

    async with database.transaction("default") as tx:
        rows = await tx.fetch("SELECT num FROM fact WHERE tenant = $1 AND id LIKE 'said%' ORDER BY num", tx.tenant)
        nums = [row["num"] for row in rows]
        # Both have begun, and neither can have locked all, before either goes on.
        await tx.execute("SELECT FROM fact WHERE tenant = $1 AND num = $2 FOR NO KEY UPDATE", tx.tenant, nums[3])
        linking = [asyncio.create_task(link(order)) for order in (nums, nums[::-1])]
        await waiting(database, 2)
        forgetting = asyncio.create_task(forget())
        await waiting(database, 3)
    assert sorted(await asyncio.gather(*linking)) == [0, 6]
    await forgetting
    assert await near(database) == {f"said{nth}": "first" for nth in range(6)}
