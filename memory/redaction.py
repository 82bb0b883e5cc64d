"""Episodes and facts that mention whom we forget: they stay, without the name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from database import Tx
from memory import likeness, naming, postings, vectors
from memory.writes import digest

# What is kept is never changed in place: a row that loses a name is taken out and put back as another text, under its id and number.
FACTS = """
WITH given AS (
    SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::text[], $8::bigint[])
        AS given (id, subject, speaker, body, content_hash, kind, likeness)
), gone AS (
    DELETE FROM fact USING given WHERE fact.tenant = $1 AND fact.id = given.id
    RETURNING fact.*, given.subject AS of, given.speaker AS by, given.body AS text, given.content_hash AS hash,
              given.kind AS sort, given.likeness AS alike
)
INSERT INTO fact (tenant, id, num, scope, kind, subject, session, speaker, body, at, valid_from, valid_to, recorded_at,
                  superseded_at, superseded_by, revises, confidence, content_hash, likeness, near, lineage, step)
SELECT tenant, id, num, scope, sort, of, session, by, text, at, valid_from, valid_to, recorded_at,
       superseded_at, superseded_by, revises, confidence, hash, alike, near, lineage, step
  FROM gone
"""
# A link to a fact that went is none, and one whose fact went long ago would keep the name.
LINKS = """
WITH gone AS (DELETE FROM fact WHERE tenant = $1 AND id = ANY ($2) RETURNING *)
INSERT INTO fact (tenant, id, num, scope, kind, subject, session, speaker, body, at, valid_from, valid_to, recorded_at,
                  superseded_at, superseded_by, revises, confidence, content_hash, likeness, near, lineage, step)
SELECT tenant, id, num, scope, kind, subject, session, speaker, body, at, valid_from, valid_to, recorded_at,
       superseded_at, CASE WHEN superseded_by = ANY ($3) THEN NULL ELSE superseded_by END,
       CASE WHEN revises = ANY ($3) THEN NULL ELSE revises END, confidence, content_hash, likeness,
       CASE WHEN near = ANY ($3) THEN NULL ELSE near END, lineage, step
  FROM gone
"""
EPISODES = """
WITH given AS (
    SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[]) AS given (id, subject, speaker, body, content_hash)
), gone AS (
    DELETE FROM episode USING given WHERE episode.tenant = $1 AND episode.id = given.id
    RETURNING episode.*, given.subject AS of, given.speaker AS by, given.body AS text, given.content_hash AS hash
)
INSERT INTO episode (tenant, id, session, seq, speaker, origin, subject, body, content_hash, at, recorded_at, lineage, step)
SELECT tenant, id, session, seq, by, origin, of, text, hash, at, recorded_at, lineage, step FROM gone
"""
SAME = """
SELECT scope, content_hash FROM fact
 WHERE tenant = $1 AND scope = ANY ($2) AND content_hash = ANY ($3) AND superseded_at IS NULL AND NOT id = ANY ($4)
"""


@dataclass(frozen=True, slots=True)
class Text:
    """What is left of a row without a name. twin: another fact says the same now, so this one has to go."""

    id: str
    num: int
    subject: str
    speaker: str
    body: str
    hash: bytes
    kind: str = ""
    likeness: int = 0
    twin: bool = False


def episode(row: Any, name: str) -> Text:
    """Return what an episode's row says without the name."""
    subject, speaker, body = (naming.without(row[column], [name]) for column in ("subject", "speaker", "body"))
    return Text(row["id"], 0, subject, speaker, body, digest(row["session"], speaker, row["origin"], body))


async def facts(tx: Tx, rows: Sequence[Any], name: str) -> list[Text]:
    """Return what the rows of facts say without the name, and mark those that other facts say as well then."""
    texts = [_fact(row, name) for row in rows]
    live = [(row["scope"], text.hash) for row, text in zip(rows, texts, strict=True) if row["superseded_at"] is None]
    scopes, hashes, ids = [scope for scope, _ in live], [hashed for _, hashed in live], [text.id for text in texts]
    seen = {(row["scope"], row["content_hash"]) for row in await tx.fetch(SAME, tx.tenant, scopes, hashes, ids)} if live else set()
    found: list[Text] = []
    for row, text in zip(rows, texts, strict=True):
        says = (row["scope"], text.hash)
        twin = row["superseded_at"] is None and says in seen
        if row["superseded_at"] is None:
            seen.add(says)
        found.append(Text(text.id, text.num, text.subject, text.speaker, text.body, text.hash, text.kind, text.likeness, twin))
    return found


async def rewrite(tx: Tx, texts: Sequence[Text]) -> None:
    """Put these texts in the place of their facts; they are found by their new words at once, and embedded anew."""
    if not texts:
        return
    nums = [text.num for text in texts]
    await postings.remove(tx, nums)
    await vectors.remove(tx, nums)
    await tx.execute(FACTS, tx.tenant, *_columns(texts), [text.kind for text in texts], [text.likeness for text in texts])
    await postings.add(tx, [(text.num, text.body) for text in texts])


async def unlink(tx: Tx, rows: Sequence[Any], name: str) -> set[str]:
    """Cut the links of facts to ids that have the name in them, and return which facts had one."""
    linked = {row["id"]: {id for id in (row["near"], row["superseded_by"], row["revises"]) if id} for row in rows}
    named = {id for id in set[str]().union(*linked.values()) if naming.without(id, [name]) != id}
    found = {id for id, links in linked.items() if links & named}
    if found:
        await tx.execute(LINKS, tx.tenant, list(found), list(named))
    return found


async def rewrite_episodes(tx: Tx, texts: Sequence[Text]) -> None:
    """Put these texts in the place of their episodes."""
    if texts:
        await tx.execute(EPISODES, tx.tenant, *_columns(texts))


def _fact(row: Any, name: str) -> Text:
    kind, subject, speaker, body = (naming.without(row[column], [name]) for column in ("kind", "subject", "speaker", "body"))
    # An id that was given is part of what names the content; whether it was, only the hash knows.
    said = (row["kind"], row["subject"], row["speaker"], row["valid_from"], row["valid_to"])
    given = None if digest(row["body"], *said, None) == row["content_hash"] else row["id"]
    hashed = digest(body, kind, subject, speaker, row["valid_from"], row["valid_to"], given)
    return Text(row["id"], row["num"], subject, speaker, body, hashed, kind, likeness.hashed(row["scope"], body))


def _columns(texts: Sequence[Text]) -> list[list[Any]]:
    return [[getattr(text, name) for text in texts] for name in ("id", "subject", "speaker", "body", "hash")]
