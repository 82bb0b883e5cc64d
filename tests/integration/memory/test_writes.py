"""Write keys on a real Postgres: one content each, and the first answer for whoever comes again."""

from datetime import UTC, datetime

import pytest

from contracts.errors import BadInput
from database import Database
from memory import writes
from memory.storing import NewFact
from memory.writes import WriteKey, digest

KEY = WriteKey("lineage", "s1", 3)


async def test_the_first_answer_is_kept_once_its_write_commits(database: Database) -> None:
    async with database.transaction("default") as tx:
        assert await writes.begin(tx, KEY, digest("a")) is None
        await writes.settle(tx, KEY, {"kept": [1, 2]})
    async with database.transaction("default") as tx:
        assert await writes.begin(tx, KEY, digest("a")) == {"kept": [1, 2]}
        with pytest.raises(BadInput, match="write lineage/s1/3 was made before with another content"):
            await writes.begin(tx, KEY, digest("b"))


async def test_a_write_that_failed_leaves_its_key_free(database: Database) -> None:
    with pytest.raises(BadInput, match="the write went wrong"):
        async with database.transaction("default") as tx:
            await writes.begin(tx, KEY, digest("a"))
            raise BadInput("the write went wrong")
    async with database.transaction("default") as tx:
        assert await writes.begin(tx, KEY, digest("b")) is None


async def test_a_key_is_of_one_tenant(database: Database) -> None:
    for tenant, content in (("default", "a"), ("other", "b")):
        async with database.transaction(tenant) as tx:
            assert await writes.begin(tx, KEY, digest(content)) is None
            await writes.settle(tx, KEY, tenant)


def test_ids_are_the_same_at_each_repetition_and_differ_between_tenants_writes_and_parts() -> None:
    assert KEY.id("default", "fact 0") == KEY.id("default", "fact 0")
    keys = [KEY, WriteKey("lineage", "s1", 4), WriteKey("lineage", "s2", 3), WriteKey("lineage/s1", "", 3)]
    assert len({key.id(tenant, part) for key in keys for tenant in ("a", "b") for part in ("fact 0", "fact 1")}) == 16


def test_a_digest_tells_contents_apart_and_takes_any_text() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    given = [NewFact("a"), NewFact("a", at=at), NewFact("a", sources=("x",)), NewFact("a", subject="b"), NewFact("\ud800\0")]
    assert len({digest(fact) for fact in given}) == len(given)
    assert digest("ab", "c") != digest("a", "bc")
