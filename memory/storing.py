"""Storing: how facts come in: what is refused, what is there already, and what is new and findable at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from contracts.errors import BadInput, TransientError
from database import Tx
from memory import bounds, episodes, intake, likeness, postings
from memory.intake import Incoming, Told
from memory.writes import WriteKey, digest

READ_MANY = "SELECT id, body FROM fact WHERE tenant = $1 AND id = ANY($2)"
SAME = """
SELECT scope, content_hash, id, num FROM fact
 WHERE tenant = $1 AND scope = ANY($2) AND content_hash = ANY($3) AND superseded_at IS NULL
"""
TAKEN = "SELECT id, num, scope, kind, subject, speaker, body, valid_from, valid_to FROM fact WHERE tenant = $1 AND id = ANY($2)"
NUMBERS = "SELECT nextval('fact_num') AS num FROM generate_series(1, $1::integer)"
INSERT = """
INSERT INTO fact (tenant, num, id, scope, kind, subject, session, speaker, body, at, valid_from, valid_to, confidence,
                  content_hash, likeness, near, recorded_at, revises, lineage, step)
SELECT $1, num, id, scope, kind, subject, session, speaker, body, coalesce(at, now()), valid_from, valid_to, confidence,
       content_hash, likeness, near, coalesce($17, now()), $18, $19, $20
  FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::timestamptz[],
              $11::timestamptz[], $12::timestamptz[], $13::real[], $14::bytea[], $15::bigint[], $16::text[])
    AS given (num, id, scope, kind, subject, session, speaker, body, at, valid_from, valid_to, confidence, content_hash, likeness, near)
ON CONFLICT DO NOTHING RETURNING id, num
"""
SOURCES = """
INSERT INTO fact_source (tenant, fact, episode) SELECT $1, fact, episode FROM unnest($2::text[], $3::text[]) AS given (fact, episode)
ON CONFLICT DO NOTHING
"""

Outcome = Literal["new", "duplicate", "forgotten", "recalled"]


@dataclass(frozen=True, slots=True)
class NewFact:
    """What is to be remembered. Without an id, the same content in the same scope is one fact; an id that is given is kept.

    valid_from, valid_to: when it holds in the world; None: always has, always will. at: when it was said; None: now.
    confidence: 0 to 1. sources: ids of episodes.
    """

    body: str
    id: str | None = None
    scope: str = "default"
    kind: str = "note"
    subject: str = ""
    session: str = ""
    speaker: str = ""
    at: datetime | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    confidence: float | None = None
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of one fact: stored as ``new``; a ``duplicate`` of the fact with this id; not stored since its subject is
    ``forgotten`` (no id); or not stored since memory itself had said it (``recalled``: the id of what it repeats, or None)."""

    outcome: Outcome
    id: str | None = None
    num: int | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """The answer of a write, in the order of what was given. repeated: it is the answer of the first time."""

    stored: tuple[Stored, ...]
    repeated: bool = False

    @property
    def ids(self) -> list[str]:
        """The ids of what is kept, duplicates of older facts included."""
        return [one.id for one in self.stored if one.id is not None and one.outcome in ("new", "duplicate")]


async def put(
    tx: Tx,
    key: WriteKey,
    facts: Sequence[NewFact],
    *,
    recalled: Sequence[str] = (),
    recorded_at: datetime | None = None,
    revises: str | None = None,
) -> list[Stored]:
    """Store facts without keeping the answer, as where every fact has an id of its own and so can be given again.

    recorded_at: since when it is believed; None: now. revises: the fact whose place they take. Raises: BadInput.
    """
    rows = [_row(tx, key, nth, fact) for nth, fact in enumerate(facts)]
    cleaned = await _cleaned(tx, facts)
    known = await _refusals(tx, facts, cleaned, recalled)
    for nth, fact in cleaned.items():
        if fact:
            rows[nth] = _row(tx, key, nth, fact)
    # In one order for everybody: two writers of the same facts wait for each other, and never in a circle.
    left = sorted((row for row in rows if row.nth not in known), key=lambda row: (row.scope, row.hash))
    if left:
        known |= await _insert(tx, left, recorded_at, revises, key)
    pairs = [(one.id, source) for nth, one in known.items() if one.outcome in ("new", "duplicate") for source in facts[nth].sources]
    if pairs:
        await tx.execute(SOURCES, tx.tenant, *map(list, zip(*pairs, strict=True)))
    return [known[nth] for nth in range(len(rows))]


async def refusals(tx: Tx, facts: Sequence[NewFact]) -> dict[int, Stored]:
    """Return, by position, those facts that `put` would not store. Raises: BadInput where a source is no episode."""
    return await _refusals(tx, facts, await _cleaned(tx, facts), ())


async def _cleaned(tx: Tx, facts: Sequence[NewFact]) -> dict[int, NewFact | None]:
    """Return, by position, what an erasure changes of facts: what is left, or None."""
    given = [Incoming(Told(one.body, one.subject, one.speaker), (one.id or "", one.session, one.scope, one.kind)) for one in facts]
    cleaned = await intake.clean(tx, given)
    return {
        nth: replace(fact, **told._asdict()) if told else None
        for nth, (fact, told) in enumerate(zip(facts, cleaned, strict=True))
        if told != given[nth].told
    }


async def _refusals(tx: Tx, facts: Sequence[NewFact], cleaned: Mapping[int, NewFact | None], recalled: Sequence[str]) -> dict[int, Stored]:
    origins = await episodes.origins(tx, sorted({source for fact in facts for source in fact.sources}))
    said = {likeness.bare(row["body"]): row["id"] for row in await tx.fetch(READ_MANY, tx.tenant, recalled)} if recalled else {}
    found: dict[int, Stored] = {}
    for nth, fact in enumerate(facts):
        if cleaned.get(nth, fact) is None:
            found[nth] = Stored("forgotten")
            continue
        if missing := next((source for source in fact.sources if source not in origins), None):
            raise BadInput(f"fact {fact.id or nth + 1}: its source {missing[: bounds.SHOWN]!r} is no episode of this tenant")
        # What memory itself had said is never learnt again, or each recall would make the store grow.
        repeated = said.get(likeness.bare(fact.body)) if said else None
        if repeated or {origins[source] for source in fact.sources} == {"recalled"}:
            found[nth] = Stored("recalled", repeated)
    return found


@dataclass(frozen=True, slots=True)
class _Row:
    nth: int
    given: bool
    id: str
    scope: str
    columns: tuple[Any, ...]
    body: str
    hash: bytes
    likeness: int

    def says(self, stored: Any) -> bool:
        """Tell whether a stored row says the same. Not by its hash: what an erasure took out of both is in neither."""
        scope, kind, subject, _, speaker, body, _, begin, end, _ = self.columns
        return (scope, kind, subject, speaker, body, begin, end) == tuple(stored)[2:]


def _row(tx: Tx, key: WriteKey, nth: int, fact: NewFact) -> _Row:
    what = f"fact {fact.id or nth + 1}"
    names = {name: bounds.name(getattr(fact, name), f"{what}: {name}") for name in ("kind", "subject", "session", "speaker")}
    scope = bounds.name(fact.scope, f"{what}: scope", empty=False)
    id = key.id(tx.tenant, f"fact {nth}") if fact.id is None else bounds.id(fact.id, f"{what}: id")
    body = bounds.text(fact.body, what)
    begin, end = bounds.period(fact.valid_from, fact.valid_to, what)
    if fact.confidence is not None and not 0 <= fact.confidence <= 1:
        raise BadInput(f"{what}: confidence {fact.confidence} is not between 0 and 1")
    hashed = digest(body, fact.kind, fact.subject, fact.speaker, begin, end, fact.id)
    columns = (scope, *names.values(), body, bounds.moment(fact.at, f"{what}: at"), begin, end, fact.confidence)
    return _Row(nth, fact.id is not None, id, scope, columns, body, hashed, likeness.hashed(scope, body))


async def _insert(tx: Tx, rows: list[_Row], recorded_at: datetime | None, revises: str | None, key: WriteKey) -> dict[int, Stored]:
    # Numbered as they were given, whatever the order in which they are inserted: the older of two twins is the one that came first.
    given = sorted(rows, key=lambda row: row.nth)
    numbers = sorted(row["num"] for row in await tx.fetch(NUMBERS, len(rows)))
    nums = {row.nth: num for row, num in zip(given, numbers, strict=True)}
    alike = await likeness.alike(tx, {row.likeness: row.id for row in reversed(given)})
    near = {row.nth: older if (older := alike[row.likeness]) != row.id else None for row in rows}
    values = [(nums[row.nth], row.id, *row.columns, row.hash, row.likeness, near[row.nth]) for row in rows]
    columns = [list(column) for column in zip(*values, strict=True)]
    inserted = await tx.fetch(INSERT, tx.tenant, *columns, recorded_at, revises, key.lineage, key.step)
    new = {row["id"]: row["num"] for row in inserted}
    await postings.add(tx, [(new[row.id], row.body) for row in {row.id: row for row in rows}.values() if row.id in new])
    stored = {row.nth: Stored("new", row.id, new.pop(row.id)) for row in rows if row.id in new}
    rest = [row for row in rows if row.nth not in stored]
    return stored | (await _older(tx, rest) if rest else {})


async def _older(tx: Tx, rows: list[_Row]) -> dict[int, Stored]:
    """Find the facts that stand where these could not be inserted."""
    taken = {row["id"]: row for row in await tx.fetch(TAKEN, tx.tenant, [row.id for row in rows])}
    same = await tx.fetch(SAME, tx.tenant, [row.scope for row in rows], [row.hash for row in rows])
    by_content = {(row["scope"], row["content_hash"]): row for row in same}
    found: dict[int, Stored] = {}
    for row in rows:
        if row.given and row.id in taken and not row.says(taken[row.id]):
            raise BadInput(f"id {row.id!r} is used already, for another text or scope: each fact has an id of its own")
        if (other := by_content.get((row.scope, row.hash)) or taken.get(row.id)) is None:
            raise TransientError("a fact was replaced while the same one was written")
        found[row.nth] = Stored("duplicate", other["id"], other["num"])
    return found
