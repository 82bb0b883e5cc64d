"""Episodes: what was said, read or done, word by word, in the order of its session; the source that facts point to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, Self

import asyncpg

from contracts.errors import BadInput, TransientError
from database import Tx
from memory import bounds, intake
from memory.intake import Incoming, Told
from memory.writes import WriteKey, digest

Origin = Literal["user", "agent", "tool", "recalled", "system"]
COLUMNS = "id, session, seq, speaker, origin, subject, body, at, recorded_at, lineage, step"
READ = f"SELECT {COLUMNS} FROM episode WHERE tenant = $1 AND id = $2"  # noqa: S608
OF_FACT = f"""
SELECT {COLUMNS} FROM episode JOIN fact_source AS s ON s.tenant = episode.tenant AND s.episode = episode.id
 WHERE episode.tenant = $1 AND s.tenant = $1 AND s.fact = $2 ORDER BY session, seq
"""  # noqa: S608
ORIGINS = "SELECT id, origin FROM episode WHERE tenant = $1 AND id = ANY($2)"
SAID = "SELECT id, session, speaker, origin, body FROM episode WHERE tenant = $1 AND id = ANY($2)"
ATTEMPTS = 50
"""Writers of one session that may come first."""
APPEND = """
WITH given AS (
    SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[], $9::timestamptz[])
        WITH ORDINALITY AS given (id, session, speaker, origin, subject, body, content_hash, at, position)
), last AS MATERIALIZED (
    SELECT session, coalesce(
        (SELECT seq FROM episode WHERE tenant = $1 AND episode.session = sessions.session ORDER BY seq DESC LIMIT 1), 0) AS seq
      FROM (SELECT DISTINCT session FROM given) AS sessions
)
INSERT INTO episode (tenant, id, session, seq, speaker, origin, subject, body, content_hash, at, lineage, step)
SELECT $1, id, session, last.seq + row_number() OVER (PARTITION BY session ORDER BY position), speaker, origin, subject, body,
       content_hash, coalesce(at, now()), $10, $11
  FROM given JOIN last USING (session)
 WHERE NOT EXISTS (SELECT FROM episode WHERE episode.tenant = $1 AND episode.id = given.id)
 ORDER BY session, position
ON CONFLICT (tenant, id) DO NOTHING RETURNING id
"""


@dataclass(frozen=True, slots=True)
class NewEpisode:
    """What is to be kept. ``subject``: whom or what it is about, and whose erasure takes it away."""

    body: str
    session: str
    speaker: str = ""
    origin: Origin = "user"
    subject: str = ""
    at: datetime | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Episode:
    """One row. ``seq`` counts from 1 within its session; ``lineage`` and ``step`` say which write brought it."""

    id: str
    session: str
    seq: int
    speaker: str
    origin: str
    subject: str
    body: str
    at: datetime
    recorded_at: datetime
    lineage: str | None
    step: str | None

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """Map one row."""
        return cls(**dict(row))


async def append(tx: Tx, key: WriteKey, episodes: Sequence[NewEpisode]) -> list[str | None]:
    """Append to their sessions, in the order given, and return their ids; None where the subject is to stay forgotten.

    A repetition with the same key or the same ids changes nothing and returns the same.
    Raises: BadInput where an id stands for something else.
    """
    rows: list[Row | None] = [_row(tx, key, nth, episode) for nth, episode in enumerate(episodes)]
    given = [Incoming(Told(one.body, one.subject, one.speaker), (one.id or "", one.session)) for one in episodes]
    for nth, (episode, told) in enumerate(zip(episodes, await intake.clean(tx, given), strict=True)):
        if told != given[nth].told:
            rows[nth] = _row(tx, key, nth, replace(episode, **told._asdict())) if told else None
    if left := [row for row in rows if row]:
        await _insert(tx, key, left, {episode.id for episode in episodes})
    return [row[0] if row else None for row in rows]


async def read(tx: Tx, id: str) -> Episode | None:
    """Return one episode."""
    row = await tx.row(READ, tx.tenant, id)
    return Episode.from_row(row) if row else None


async def of_fact(tx: Tx, fact: str) -> list[Episode]:
    """Return what a fact was taken from, in the order of the sessions."""
    return [Episode.from_row(row) for row in await tx.fetch(OF_FACT, tx.tenant, fact)]


async def origins(tx: Tx, ids: Sequence[str]) -> dict[str, str]:
    """Return where these episodes came from, by id; what is no episode is left out."""
    return {row["id"]: row["origin"] for row in await tx.fetch(ORIGINS, tx.tenant, ids)} if ids else {}


Row = tuple[str, str, str, str, str, str, bytes, datetime | None]


def _row(tx: Tx, key: WriteKey, nth: int, episode: NewEpisode) -> Row:
    what = f"episode {episode.id or nth + 1}"
    id = key.id(tx.tenant, f"episode {nth}") if episode.id is None else bounds.id(episode.id, f"{what}: id")
    session = bounds.name(episode.session, f"{what}: session", empty=False)
    speaker, subject = bounds.name(episode.speaker, f"{what}: speaker"), bounds.name(episode.subject, f"{what}: subject")
    body = bounds.text(episode.body, what)
    hashed = digest(session, speaker, episode.origin, body)
    return id, session, speaker, episode.origin, subject, body, hashed, bounds.moment(episode.at, f"{what}: at")


async def _insert(tx: Tx, key: WriteKey, rows: list[Row], given: set[str | None]) -> None:
    # The first of an id is the one that counts: a second one in the same batch would leave a gap in its session.
    columns = [list(column) for column in zip(*{row[0]: row for row in reversed(rows)}.values(), strict=True)]
    columns = [column[::-1] for column in columns]
    if await _appended(tx, [*columns, key.lineage, key.step]) < len(rows):
        # Not by the hash: what an erasure took out of both is in neither.
        found = {row["id"]: tuple(row)[1:] for row in await tx.fetch(SAID, tx.tenant, columns[0])}
        for row in rows:
            if found.get(row[0]) != (row[1], row[2], row[3], row[5]):
                made = row[0] not in given
                raise key.reused() if made else BadInput(f"id {row[0]!r} is used already, for another text: what was said is never changed")


async def _appended(tx: Tx, columns: list[Any]) -> int:
    """Insert rows, numbered behind what their sessions have, and return how many were new."""
    for _ in range(ATTEMPTS):
        await tx.execute("SAVEPOINT append")
        try:
            inserted = await tx.fetch(APPEND, tx.tenant, *columns)
        except asyncpg.UniqueViolationError:
            # Another writer of the session took these numbers, was waited for and has committed: now they are seen.
            await tx.execute("ROLLBACK TO SAVEPOINT append")
            continue
        await tx.execute("RELEASE SAVEPOINT append")
        return len(inserted)
    raise TransientError("other writers of the same session always came first")
