"""Episodes on a real Postgres: each once, in the order of its session, never changed."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from contracts.errors import BadInput
from database import Database
from memory import episodes
from memory.episodes import NewEpisode
from memory.writes import WriteKey

KEY = WriteKey("lineage", "s1")
HELLO = NewEpisode("hello", "s", "ann")


async def append(database: Database, key: WriteKey, *given: NewEpisode) -> Sequence[str | None]:
    async with database.transaction("default") as tx:
        return await episodes.append(tx, key, given)


async def said(database: Database, session: str = "s") -> list[tuple[int, str]]:
    async with database.transaction("default") as tx:
        rows = await tx.fetch("SELECT seq, body FROM episode WHERE tenant = $1 AND session = $2 ORDER BY seq", "default", session)
    return [(row["seq"], row["body"]) for row in rows]


async def test_episodes_are_numbered_within_their_session_in_the_order_given(database: Database) -> None:
    await append(database, KEY, NewEpisode("a", "s"), NewEpisode("x", "other"), NewEpisode("b", "s"))
    await append(database, replace(KEY, index=1), NewEpisode("c", "s"))
    assert await said(database) == [(1, "a"), (2, "b"), (3, "c")]
    assert await said(database, "other") == [(1, "x")]


async def test_a_repeated_append_changes_nothing_and_returns_the_same_ids(database: Database) -> None:
    given = [HELLO, replace(HELLO, id="e1", body="bye")]
    first = await append(database, KEY, *given)
    await append(database, replace(KEY, index=1), NewEpisode("later", "s"))
    assert await append(database, KEY, *given) == first
    assert await said(database) == [(1, "hello"), (2, "bye"), (3, "later")]


async def test_the_same_words_said_twice_are_two_episodes(database: Database) -> None:
    await append(database, KEY, HELLO, HELLO)
    assert await said(database) == [(1, "hello"), (2, "hello")]


async def test_writers_of_one_session_at_the_same_time_leave_no_gap_and_no_double(database: Database) -> None:
    batches = [[NewEpisode(f"{writer}/{nth}", session) for nth in range(10) for session in ("s", "t")] for writer in range(8)]
    await asyncio.gather(*(append(database, replace(KEY, index=nth), *batch) for nth, batch in enumerate(batches)))
    for session in ("s", "t"):
        found = await said(database, session)
        assert [seq for seq, _ in found] == list(range(1, 81))
        assert sorted(body for _, body in found) == sorted(f"{writer}/{nth}" for writer in range(8) for nth in range(10))


async def test_one_id_given_twice_in_one_append_is_one_episode_and_leaves_no_gap(database: Database) -> None:
    await append(database, KEY, replace(HELLO, id="e1"), replace(HELLO, id="e1"), NewEpisode("next", "s"))
    assert await said(database) == [(1, "hello"), (2, "next")]


@pytest.mark.parametrize("other", [replace(HELLO, id="e1", body="bye"), replace(HELLO, id="e1", session="t")])
async def test_an_id_used_twice_with_another_text_is_refused_and_its_append_with_it(database: Database, other: NewEpisode) -> None:
    await append(database, KEY, replace(HELLO, id="e1"))
    with pytest.raises(BadInput, match="id 'e1' is used already, for another text"):
        await append(database, replace(KEY, index=1), NewEpisode("beside it", "s"), other)
    assert await said(database) == [(1, "hello")]


@pytest.mark.parametrize(
    ("episode", "why"),
    [
        (replace(HELLO, body=""), "episode 1 is empty"),
        (replace(HELLO, body="é" * 60_000), "episode 1 has 120,000 bytes"),
        (replace(HELLO, session=""), "episode 1: session is empty"),
        (replace(HELLO, speaker="a\nb"), "episode 1: speaker 'a.nb' has control characters"),
    ],
)
async def test_what_cannot_be_kept_is_refused_with_the_reason(database: Database, episode: NewEpisode, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        await append(database, KEY, episode)
    assert await said(database) == []


async def test_episodes_are_seen_by_their_tenant_only(database: Database) -> None:
    (mine,) = await append(database, KEY, replace(HELLO, id="e1"))
    async with database.transaction("other") as tx:
        assert await episodes.read(tx, mine or "") is None
        assert await episodes.append(tx, KEY, [replace(HELLO, id="e1", body="theirs")]) == ["e1"]
    assert await said(database) == [(1, "hello")]
