"""Documents on a real Postgres."""

import asyncio

import pytest

from database import Database
from tools import Documents, ToolFailed


@pytest.fixture
def documents(database: Database) -> Documents:
    return Documents(database, "default", "content-ops")


async def test_a_retried_put_changes_nothing_and_answers_with_the_row(documents: Documents) -> None:
    first = await documents.put("brief", "b1", {"title": "one"}, writer="key-1")
    again = await documents.put("brief", "b1", {"title": "another"}, writer="key-1")
    assert again == first and first.version == 1 and first.body == {"title": "one"}


async def test_another_writer_raises_the_version(documents: Documents) -> None:
    await documents.put("brief", "b1", {"n": 1}, writer="key-1")
    written = await documents.put("brief", "b1", {"n": 2}, writer="key-2", version=1)
    assert written == await documents.get("brief", "b1") and (written.version, written.body) == (2, {"n": 2})


@pytest.mark.parametrize("version", [0, 2, 7])
async def test_a_write_over_another_version_is_refused_with_the_version_that_stands(documents: Documents, version: int) -> None:
    await documents.put("brief", "b1", {"n": 1}, writer="key-1")
    with pytest.raises(ToolFailed, match="brief b1 has changed meanwhile: read it again and write over version 1"):
        await documents.put("brief", "b1", {"n": 2}, writer="key-2", version=version)
    kept = await documents.get("brief", "b1")
    assert kept is not None and kept.body == {"n": 1}


async def test_a_write_over_a_document_that_is_gone_is_refused(documents: Documents) -> None:
    await documents.put("brief", "b1", {"n": 1}, writer="key-1")
    assert await documents.delete("brief", "b1") and not await documents.delete("brief", "b1")
    with pytest.raises(ToolFailed, match="write over version 0"):
        await documents.put("brief", "b1", {"n": 2}, writer="key-2", version=1)
    assert (await documents.put("brief", "b1", {"n": 2}, writer="key-2", version=0)).version == 1


async def test_of_many_writers_over_one_version_one_wins(documents: Documents) -> None:
    await documents.put("brief", "b1", {"n": 0}, writer="key-0")
    writes = (documents.put("brief", "b1", {"n": n}, writer=f"key-{n}", version=1) for n in range(1, 31))
    ended = await asyncio.gather(*writes, return_exceptions=True)
    assert sum(isinstance(end, ToolFailed) for end in ended) == 29
    kept = await documents.get("brief", "b1")
    assert kept is not None and kept.version == 2


async def test_a_list_has_one_kind_by_id(documents: Documents) -> None:
    for kind, id in (("brief", "b2"), ("draft", "d1"), ("brief", "b1")):
        await documents.put(kind, id, {}, writer=f"key-{id}")
    assert [document.id for document in await documents.list("brief")] == ["b1", "b2"]


@pytest.mark.parametrize(("tenant", "automation"), [("other", "content-ops"), ("default", "another")])
async def test_documents_are_seen_by_their_tenant_and_automation_only(
    database: Database, documents: Documents, tenant: str, automation: str
) -> None:
    await documents.put("brief", "b1", {"n": 1}, writer="key-1")
    foreign = Documents(database, tenant, automation)
    assert await foreign.get("brief", "b1") is None and await foreign.list("brief") == [] and not await foreign.delete("brief", "b1")
    assert (await foreign.put("brief", "b1", {"n": 2}, writer="key-2")).version == 1
    kept = await documents.get("brief", "b1")
    assert kept is not None and kept.body == {"n": 1}
