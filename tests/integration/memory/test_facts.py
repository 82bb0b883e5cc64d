"""Facts on a real Postgres: once each, with their sources, and forgotten ones never again."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from contracts.errors import BadInput
from database import Database
from memory import episodes, facts, keywords, likeness, storing
from memory.episodes import NewEpisode
from memory.facts import Fact
from memory.filters import Filter
from memory.storing import NewFact, Written
from memory.writes import WriteKey

KEY = WriteKey("lineage", "s1")
TEA = NewFact("Ann drinks her tea without sugar", subject="ann")


async def write(database: Database, key: WriteKey, *given: NewFact, recalled: Sequence[str] = ()) -> Written:
    async with database.transaction("default") as tx:
        return await facts.write(tx, key, given, recalled=recalled)


async def rows(database: Database, tenant: str = "default") -> int:
    async with database.transaction(tenant) as tx:
        return await tx.value("SELECT count(*) FROM fact WHERE tenant = $1", tenant)


async def found(database: Database, words: str) -> list[int]:
    async with database.transaction("default") as tx:
        return [num for num, _ in await keywords.search(tx, words, Filter(), limit=10)]


async def test_a_committed_fact_is_found_at_once_by_its_words_and_knows_where_it_came_from(database: Database) -> None:
    async with database.transaction("default") as tx:
        sources = await episodes.append(tx, KEY, [NewEpisode("No sugar for me, thanks", "s", "ann")])
        (stored,) = (await facts.write(tx, KEY, [replace(TEA, sources=tuple(filter(None, sources)))])).stored
    assert stored.outcome == "new" and stored.id
    assert await found(database, "sugar tea") == [stored.num]
    async with database.transaction("default") as tx:
        kept = await facts.read(tx, stored.id)
        assert kept is not None
        assert (kept.body, kept.subject, kept.lineage, kept.step) == (TEA.body, "ann", "lineage", "s1")
        assert [episode.body for episode in await episodes.of_fact(tx, stored.id)] == ["No sugar for me, thanks"]


async def test_a_repeated_write_changes_nothing_and_gets_the_first_answer(database: Database) -> None:
    first = await write(database, KEY, TEA, NewFact("The office is in Graz"))
    again = await write(database, KEY, TEA, NewFact("The office is in Graz"))
    assert (first.repeated, again.repeated) == (False, True)
    assert again.stored == first.stored
    assert await rows(database) == 2


async def test_a_repetition_gets_the_first_answer_even_where_the_fact_is_gone(database: Database) -> None:
    first = await write(database, KEY, TEA)
    async with database.transaction("default") as tx:
        await tx.execute("DELETE FROM fact WHERE tenant = $1", "default")
    assert (await write(database, KEY, TEA)).stored == first.stored
    assert await rows(database) == 0


async def test_a_key_that_was_used_for_another_content_is_refused(database: Database) -> None:
    await write(database, KEY, TEA)
    with pytest.raises(BadInput, match="lineage/s1/0 was made before with another content"):
        await write(database, KEY, replace(TEA, body="Ann drinks coffee"))
    assert await rows(database) == 1


async def test_writers_of_the_same_key_at_the_same_time_store_once_and_get_one_answer(database: Database) -> None:
    given = [NewFact(f"fact number {nth} of this batch") for nth in range(20)]
    answers = await asyncio.gather(*(write(database, KEY, *given) for _ in range(8)))
    assert len({answer.stored for answer in answers}) == 1
    assert sorted(answer.repeated for answer in answers) == [False] + [True] * 7
    assert await rows(database) == 20


async def test_writers_of_the_same_facts_under_other_keys_store_each_once(database: Database) -> None:
    given = [NewFact(f"fact number {nth} of this batch") for nth in range(20)]
    batches = [given if nth % 2 else given[::-1] for nth in range(8)]
    answers = await asyncio.gather(*(write(database, replace(KEY, index=nth), *batch) for nth, batch in enumerate(batches)))
    assert await rows(database) == 20
    assert {id for answer in answers for id in answer.ids} == set(answers[0].ids)
    assert sum(one.outcome == "new" for answer in answers for one in answer.stored) == 20


async def test_the_same_content_is_one_fact_and_other_speakers_or_times_make_others(database: Database) -> None:
    first = await write(database, KEY, TEA)
    second = await write(database, replace(KEY, index=1), TEA, replace(TEA, scope="team"), replace(TEA, speaker="bob"),
                         replace(TEA, valid_from=datetime(2020, 1, 1, tzinfo=UTC)), TEA)  # fmt: skip
    assert [one.outcome for one in second.stored] == ["duplicate", "new", "new", "new", "duplicate"]
    assert second.ids[0] == second.ids[4] == first.ids[0]


async def test_a_duplicate_adds_its_source_to_the_fact_that_stands(database: Database) -> None:
    async with database.transaction("default") as tx:
        one, two = [id for id in await episodes.append(tx, KEY, [NewEpisode("first", "s"), NewEpisode("second", "s")]) if id]
        (id,) = (await facts.write(tx, KEY, [replace(TEA, sources=(one,))])).ids
        await facts.write(tx, replace(KEY, index=1), [replace(TEA, sources=(two,))])
        assert [episode.id for episode in await episodes.of_fact(tx, id)] == [one, two]


async def test_a_given_id_is_kept_and_an_id_used_twice_with_another_text_is_refused(database: Database) -> None:
    assert (await write(database, KEY, replace(TEA, id="f1"))).ids == ["f1"]
    again = await write(database, replace(KEY, index=1), replace(TEA, id="f1"))
    assert [one.outcome for one in again.stored] == ["duplicate"]
    with pytest.raises(BadInput, match="'f1' is used already, for another text or scope"):
        await write(database, replace(KEY, index=3), replace(TEA, id="f1", scope="team"))
    with pytest.raises(BadInput, match="'f1' is used already, for another text"):
        await write(database, replace(KEY, index=2), NewFact("kept by nobody"), replace(TEA, id="f1", body="Ann drinks coffee"))
    assert await rows(database) == 1
    assert await found(database, "kept nobody") == []


async def test_one_id_given_twice_in_one_write_is_one_fact(database: Database) -> None:
    written = await write(database, KEY, replace(TEA, id="f1"), replace(TEA, id="f1"))
    assert sorted(one.outcome for one in written.stored) == ["duplicate", "new"]
    with pytest.raises(BadInput, match="'f2' is used already"):
        await write(database, replace(KEY, index=1), replace(TEA, id="f2"), replace(TEA, id="f2", body="Ann drinks coffee"))


async def test_facts_that_say_almost_the_same_are_linked_to_the_older_and_both_are_kept(database: Database) -> None:
    (first,) = (await write(database, KEY, TEA)).ids
    given = ["ANN drinks her tea, without sugar!", "Ann drinks her green tea without sugar", "Bob drinks his coffee with milk"]
    later = await write(database, replace(KEY, index=1), *(NewFact(body, subject="ann") for body in given))
    assert [one.outcome for one in later.stored] == ["new"] * 3
    async with database.transaction("default") as tx:
        read = [await facts.read(tx, id) for id in later.ids]
        assert [fact.near for fact in read if fact] == [first, first, None]
        assert await likeness.link_near(tx, [one.num for one in later.stored if one.num]) == 0


async def test_what_memory_itself_had_said_is_never_stored_as_new(database: Database) -> None:
    (known,) = (await write(database, KEY, TEA)).ids
    repeated = replace(TEA, body=f"  {TEA.body.upper()}. ", kind="summary", subject="")
    (stored,) = (await write(database, replace(KEY, index=1), repeated, recalled=[known])).stored
    assert (stored.outcome, stored.id) == ("recalled", known)
    async with database.transaction("default") as tx:
        (source,) = [id for id in await episodes.append(tx, KEY, [NewEpisode("Ann: no sugar", "s", origin="recalled")]) if id]
        (stored,) = (await facts.write(tx, replace(KEY, index=2), [NewFact("Ann hates sugar", sources=(source,))])).stored
    assert stored.outcome == "recalled"
    assert await rows(database) == 1


async def test_a_hundred_turns_that_repeat_what_was_recalled_store_nothing(database: Database) -> None:
    known = (await write(database, KEY, *(NewFact(f"Customer {nth} pays on day {nth}") for nth in range(5)))).ids
    for turn in range(100):
        async with database.transaction("default") as tx:
            shown = [fact for id in known if (fact := await facts.read(tx, id))]
            await facts.write(tx, WriteKey("run", f"t{turn}"), [NewFact(fact.body, kind="learnt") for fact in shown], recalled=known)
    assert await rows(database) == 5


async def test_a_source_that_is_no_episode_is_refused(database: Database) -> None:
    with pytest.raises(BadInput, match="fact 1: its source 'nowhere' is no episode"):
        await write(database, KEY, replace(TEA, sources=("nowhere",)))
    assert await rows(database) == 0


NAIVE, BEFORE_TIME = datetime(2020, 1, 1), datetime.fromisoformat("0001-01-01T00:00:00+14:00")  # noqa: DTZ001
BAD = {
    "empty": (NewFact(" \n"), "fact 1 is empty"),
    "ten megabytes": (NewFact("x" * 10_000_000, id="big"), "fact big has 10,000,000 bytes; 100,000 is the most"),
    "no time zone": (replace(TEA, at=NAIVE), r"fact 1: at 2020-01-01T00:00:00 has no time zone"),
    "before time": (replace(TEA, valid_from=BEFORE_TIME), "outside the years 1 to 9999"),
    "ends before it begins": (
        replace(TEA, valid_from=datetime(2021, 1, 1, tzinfo=UTC), valid_to=datetime(2020, 1, 1, tzinfo=UTC)), "is not after valid_from",
    ),
    "not a number": (replace(TEA, confidence=float("nan")), "confidence nan is not between 0 and 1"),
    "no id": (replace(TEA, id=""), "id is empty"),
    "an id that reads like another": (replace(TEA, id="f\u2060 1"), "has a character that nobody sees, U\\+2060"),
    "an id of controls": (replace(TEA, id="a\x1b[31m"), "has control characters"),
    "a long name": (replace(TEA, subject="n" * 201), "subject has 201 characters; 200 is the most"),
    "no scope": (replace(TEA, scope=""), "scope is empty"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
async def test_what_cannot_be_kept_is_refused_with_the_reason_and_nothing_of_its_write_is_kept(database: Database, name: str) -> None:
    fact, why = BAD[name]
    for given in ([fact], [fact, NewFact("a good one beside it")]):
        with pytest.raises(BadInput, match=why):
            await write(database, KEY, *given)
    assert await rows(database) == 0
    assert not (await write(database, KEY, TEA)).repeated


async def test_hostile_text_is_kept_as_far_as_postgres_can_and_found(database: Database) -> None:
    body = "zebra\0 \ud800 '; DROP TABLE fact; -- \u202e {} %s $1 " + "x" * 5000 + " marmalade"
    (id,) = (await write(database, KEY, NewFact(body))).ids
    async with database.transaction("default") as tx:
        fact = await facts.read(tx, id)
    assert isinstance(fact, Fact) and fact.body.startswith("zebra\ufffd ? '; DROP TABLE fact; -- \u202e")
    assert await found(database, "marmalade zebra") == [fact.num]
    assert not (await write(database, replace(KEY, index=1), NewFact("!!! ... ???"))).repeated


async def test_facts_of_another_tenant_are_neither_seen_nor_counted_as_duplicates(database: Database) -> None:
    (mine,) = (await write(database, KEY, TEA)).ids
    async with database.transaction("other") as tx:
        assert await facts.read(tx, mine) is None
        (theirs,) = (await facts.write(tx, KEY, [TEA])).stored
    assert theirs.outcome == "new" and theirs.id != mine
    assert await rows(database) == 1


async def test_facts_written_by_nobody_write_nothing(database: Database) -> None:
    assert (await write(database, KEY)).stored == ()
    async with database.transaction("default") as tx:
        assert await storing.put(tx, KEY, []) == []
