"""Importing on a real Postgres: every good line once under its own id, and broken ones told by their number."""

import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from channels import imports
from channels.imports import Imported, Importer
from contracts.errors import BadInput
from database import SEARCH_PATH, Database
from memory import consistency, episodes, facts, keywords, naming, planning, tombstones
from memory.filters import Filter
from memory.json_lines import LINE_BYTES


def line(id: str, text: str = "", **more: Any) -> dict[str, Any]:
    return {
        "id": id,
        "tenant": "default",
        "session": "s",
        "speaker": "ann",
        "text": text or f"what {id} says",
        "at": "2026-01-05T10:00:00Z",
    } | more


def write(folder: Path, *lines: dict[str, Any] | str | bytes) -> Path:
    path = folder / "said.jsonl"
    raw = [each if isinstance(each, bytes) else (each if isinstance(each, str) else json.dumps(each)).encode() for each in lines]
    path.write_bytes(b"\n".join(raw) + b"\n")
    return path


async def bring_in(database: Database, path: Path, *, keep_good: bool = False, may_create: bool = True) -> Imported:
    importer = Importer(database, path, "default", may_create)
    return await (importer.keep_good() if keep_good else importer.all_or_nothing())


async def kept(database: Database, tenant: str = "default") -> list[str]:
    async with database.transaction(tenant) as tx:
        return [row["id"] for row in await tx.fetch("SELECT id FROM fact WHERE tenant = $1 ORDER BY id", tenant)]


@pytest.mark.parametrize("keep_good", [False, True])
async def test_a_line_becomes_an_episode_and_a_fact_under_its_id_in_the_order_of_the_file(
    database: Database, tmp_path: Path, keep_good: bool
) -> None:
    path = write(tmp_path, line("m2"), line("m1", subject="tea", scope="team", kind="answer", at="2026-01-05"), "", line("m3", session="t"))
    done = await bring_in(database, path, keep_good=keep_good)
    assert (done.new, done.duplicate, done.faults, done.tenants, done.created) == (3, 0, [], ["default"], [])
    async with database.transaction("default") as tx:
        fact, (episode,) = await facts.read(tx, "m1"), await episodes.of_fact(tx, "m1")
        assert fact is not None
        assert (fact.subject, fact.scope, fact.kind, fact.session, fact.speaker) == ("tea", "team", "answer", "s", "ann")
        assert (episode.id, episode.seq, episode.session, episode.lineage, episode.step) == ("m1", 2, "s", "import", "said.jsonl")
        assert episode.at.isoformat() == "2026-01-05T00:00:00+00:00"
        assert await keywords.search(tx, "m3 says", Filter(), limit=1)
        assert not [finding.name for finding in await consistency.check(tx) if finding.count]


@pytest.mark.parametrize("keep_good", [False, True])
async def test_a_repeated_import_changes_nothing_and_a_longer_file_adds_what_is_new(
    database: Database, tmp_path: Path, keep_good: bool
) -> None:
    await bring_in(database, write(tmp_path, line("m1"), line("m2")), keep_good=keep_good)
    done = await bring_in(database, write(tmp_path, line("m1"), line("m2"), line("m3"), line("m3")), keep_good=keep_good)
    assert (done.new, done.duplicate, done.faults) == (1, 3, [])
    async with database.transaction("default") as tx:
        rows = await tx.fetch("SELECT id, seq FROM episode WHERE tenant = 'default' ORDER BY seq")
    assert [tuple(row) for row in rows] == [("m1", 1), ("m2", 2), ("m3", 3)]


async def test_many_batches_keep_the_order_and_lose_nothing(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "BATCH", 7)
    lines = [line(f"m{nth:03}", session=f"s{nth % 3}", tenant=f"t{nth % 2}") for nth in range(100)]
    for keep_good in (True, False):
        await bring_in(database, write(tmp_path, *lines), keep_good=keep_good)
        for tenant in ("t0", "t1"):
            async with database.transaction(tenant) as tx:
                rows = await tx.fetch("SELECT id FROM episode WHERE tenant = $1 AND session = 's0' ORDER BY seq", tenant)
            assert [row["id"] for row in rows] == [one["id"] for one in lines if (one["session"], one["tenant"]) == ("s0", tenant)]


BROKEN: dict[str, tuple[dict[str, Any] | str | bytes, str]] = {
    "no JSON": ('{"id": "m2", "text": ', "it is not JSON: Expecting value at column"),
    "a field twice": ('{"id": "m2", "text": "a", "id": "m3"}', "it is not JSON: 'id' stands there twice"),
    "not a number": ('{"id": "m2", "text": NaN}', "it is not JSON: NaN is no JSON value"),
    "a list": ('["m2"]', "it is a JSON list"),
    "no UTF-8": (b'{"id": "m2", "text": "\xff"}', "it is not UTF-8: byte 23 is 0xff"),
    "very deep": ("[" * 100_000, "it is not JSON"),
    "no id": ({"text": "x"}, "id is missing or empty"),
    "an id of another kind": (line("m2") | {"id": 2}, "id is a JSON number; right is a text"),
    "no text": (line("m2") | {"text": ""}, "text is missing or empty"),
    "only spaces": (line("m2", "  "), "text is empty"),
    "an unknown field": (line("m2", speeker="ann"), "there is no field 'speeker'; there are id, tenant"),
    "a bad date": (line("m2", at="the day before"), "at 'the day before' is no date; right is 2026-01-31T09:30:00Z"),
    "a date outside time": (line("m2", at="0001-01-01T00:00:00+14:00"), "at 0001-01-01T00:00:00+14:00 lies outside the years 1 to 9999"),
    "a bad tenant": (line("m2", tenant="Robert'); --"), 'tenant "Robert\'); --" is not a name'),
    "a text of 10 MB": (line("m2", "x" * 10_000_000), f"it has more than {LINE_BYTES:,} bytes"),
    "a text of 200 kB": (line("m2", "x" * 200_000), "text has 200,000 bytes; 100,000 is the most"),
    "a long name": (line("m2", speaker="x" * 201), "speaker has 201 characters"),
    "an id used twice in the file": (line("m1", "another text"), "id 'm1' is used on line 1 already, for another text"),
    "an id used twice, of another subject": (line("m1", subject="bob"), "id 'm1' is used on line 1 already, for another text, session"),
    "an id used before, of another subject": (line("old", subject="bob"), "id 'old' is used already, for another text, session, speaker"),
    "an id used before, of another kind": (line("old", kind="note"), "id 'old' is used already, for another text, session, speaker"),
    "an id used twice, of another date": (
        line("m1", at="2026-01-06T10:00:00Z"),
        "id 'm1' is used on line 1 already, for another text, session",
    ),
    "an id used before, in another scope": (line("old", scope="team"), "id 'old' is used already, for another text, session, speaker"),
    "an id used before, in another session": (line("old", session="t"), "id 'old' is used already, for another text, session, speaker"),
    "an id used before, at another time": (line("old", at="2026-01-06T10:00:00Z"), "id 'old' is used already, for another text, session"),
    "an id that reads like another": (line("ol\u200bd"), "id 'ol\\u200bd' has a character that nobody sees, U+200B: leave it out"),
    "an id that is read backwards": (line("\u202edlo"), "id '\\u202edlo' has a character that nobody sees, U+202E"),
    "an id used before": (line("old", "another text"), "id 'old' is used already, for another text"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_line_in_the_middle_is_told_by_its_number_and_by_flag_the_good_lines_are_kept_or_none(
    database: Database, tmp_path: Path, name: str
) -> None:
    await bring_in(database, write(tmp_path, line("old")))
    broken, why = BROKEN[name]
    path = write(tmp_path, line("m1"), line("m9"), broken, line("m3"))
    with pytest.raises(BadInput) as error:
        await bring_in(database, path)
    assert f"{path}: 1 lines are broken, so none is kept" in str(error.value)
    assert f"line 3: {why}" in str(error.value)
    assert len(str(error.value)) < 1_000
    assert await kept(database) == ["old"]
    done = await bring_in(database, path, keep_good=True)
    assert (done.new, [fault.number for fault in done.faults]) == (3, [3])
    assert str(done.faults[0]).startswith(f"line 3: {why}")
    assert await kept(database) == ["m1", "m3", "m9", "old"]


async def test_a_line_without_a_date_was_said_when_it_came_in_first(database: Database, tmp_path: Path) -> None:
    path = write(tmp_path, {"id": "m1", "text": "tea is ready"})
    assert [(await bring_in(database, path)).new for _ in range(2)] == [1, 0]


async def test_of_very_many_broken_lines_the_first_are_told_and_the_others_counted(database: Database, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as error:
        await bring_in(database, write(tmp_path, *["nonsense"] * 1_000))
    told = str(error.value).splitlines()
    assert len(told) == 22
    assert told[-1] == "and 980 more"


async def test_a_file_without_a_line_is_refused(database: Database, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has no line to import"):
        await bring_in(database, write(tmp_path, "", " "))


async def test_windows_line_ends_a_byte_order_mark_and_a_missing_last_line_end_are_read(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "said.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(line("m1")).encode() + b"\r\n\r\n" + json.dumps(line("m2")).encode())
    assert (await bring_in(database, path)).new == 2


async def test_a_tenant_that_does_not_exist_is_created_and_named_or_refused(database: Database, tmp_path: Path) -> None:
    path = write(tmp_path, line("m2", tenant="acme"))
    for keep_good in (False, True):
        with pytest.raises(BadInput, match="tenant 'acme' does not exist, and only an admin may create it"):
            await bring_in(database, path, keep_good=keep_good, may_create=False)
    path = write(tmp_path, line("m1"), line("m2", tenant="acme"))
    with pytest.raises(BadInput, match="acme"):
        await bring_in(database, path, may_create=False)
    assert await kept(database) == []
    done = await bring_in(database, path)
    assert (done.tenants, done.created) == (["default", "acme"], ["acme"])
    assert (await kept(database), await kept(database, "acme")) == (["m1"], ["m2"])


async def test_one_id_in_two_tenants_is_two_facts(database: Database, tmp_path: Path) -> None:
    done = await bring_in(database, write(tmp_path, line("m1"), line("m1", "another text", tenant="acme")))
    assert done.new == 2


async def test_who_was_forgotten_is_not_imported_again(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_SECRET_MEMORY_KEY", "key of this test")
    lines = [line("m1", speaker="zelda"), line("m2", "I met Zelda in Graz"), line("m3", subject="zelda"), line("zelda-4"), line("m5")]
    async with database.transaction("default") as tx:
        await tombstones.lock(tx)
        await tombstones.bury(tx, naming.normal("Zelda"))
    for keep_good in (False, True):
        done = await bring_in(database, write(tmp_path, *lines), keep_good=keep_good)
        assert (done.lines, done.forgotten, done.faults) == (5, 3, [])
    async with database.transaction("default") as tx:
        rows = await tx.fetch("SELECT id, body FROM fact WHERE tenant = 'default' ORDER BY id")
    assert [tuple(row) for row in rows] == [("m2", "I met [forgotten] in Graz"), ("m5", "what m5 says")]


async def test_exact_twins_of_a_file_are_all_kept_and_linked_to_the_first(database: Database, tmp_path: Path) -> None:
    await bring_in(database, write(tmp_path, line("m1", "Yes, of course."), line("m2", "yes of course"), line("m3", "Of course, yes.")))
    async with database.transaction("default") as tx:
        near = [fact.near for id in ("m1", "m2", "m3") if (fact := await facts.read(tx, id))]
    assert near == [None, "m1", None]


async def test_a_large_import_tells_the_planner_of_its_tenant_and_of_no_other(
    database: Database, owner_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "LOOKED", 40)
    for nth, keep_good in enumerate((False, True)):
        tenant = f"grown-{nth}"
        await bring_in(database, write(tmp_path, *(line(f"{nth}-{each}", tenant=tenant) for each in range(50))), keep_good=keep_good)
        await bring_in(database, write(tmp_path, line("one", tenant="small")))
        looked_at = await known_tenants(owner_database_url)
        assert {table for table, tenants in looked_at.items() if tenant in tenants} == {"episode", "fact", "fact_source"}
        assert not any("small" in tenants for tenants in looked_at.values())


async def known_tenants(owner_database_url: str) -> dict[str, set[str]]:
    """Return the tenants that statistics of each table know."""
    owner = await asyncpg.connect(owner_database_url)
    try:
        rows = await owner.fetch(
            "SELECT tablename, most_common_vals::text::text[] AS tenants FROM pg_stats WHERE schemaname = 'perdure' AND attname = 'tenant'"
        )
    finally:
        await owner.close()
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row["tablename"].rpartition("_p")[0], set()).update(row["tenants"] or [])
    return found


async def test_statistics_are_made_for_a_tenant_that_is_set_only(database: Database, database_url: str) -> None:
    async with database.transaction("default") as tx:
        await planning.look(tx)
    bare = await asyncpg.connect(database_url, server_settings=SEARCH_PATH)
    try:
        with pytest.raises(asyncpg.PostgresError, match=r"app\.tenant|no tenant"):
            await bare.execute(planning.LOOK)
    finally:
        await bare.close()
