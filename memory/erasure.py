"""Forgetting a subject: what is about it goes, and where others mention it the name goes. `docs/erasure.md` lists every place."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from contracts.errors import BadInput
from database import Tx
from memory import bounds, naming, postings, redaction, samples, shared_erasure, sieve, tombstones, vectors
from memory.sieve import Sieve

MOST_ALSO = 20
"""Further spellings of one subject that one order may name."""
NOTE = "INSERT INTO erasure (tenant, hash, reason, by) VALUES ($1, $2, $3, $4) RETURNING id"
DID = "UPDATE erasure SET did = $3 WHERE tenant = $1 AND id = $2"
FACTS = """
SELECT id, num, scope, kind, subject, session, speaker, body, valid_from, valid_to, superseded_at, superseded_by, revises,
       content_hash, near
  FROM fact
 WHERE tenant = $1 AND (session = ANY ($2)
    OR named(concat_ws(' ', body, subject, speaker, session, scope, kind, id, near, superseded_by, revises), $3, $4))
"""
EPISODES = """
SELECT id, session, speaker, origin, subject, body FROM episode
 WHERE tenant = $1 AND (session = ANY ($2) OR named(concat_ws(' ', body, subject, speaker, session, id), $3, $4))
"""
# Facts that stand on what goes and on nothing else.
DERIVED = """
SELECT fact.id, fact.num FROM fact_source s JOIN fact ON fact.tenant = $1 AND fact.id = s.fact
 WHERE s.tenant = $1 AND s.episode = ANY ($2)
   AND NOT EXISTS (SELECT FROM fact_source o WHERE o.tenant = $1 AND o.fact = s.fact AND NOT o.episode = ANY ($2))
"""
DROP_SOURCES = "DELETE FROM fact_source WHERE tenant = $1 AND (fact = ANY ($2) OR episode = ANY ($3))"
DROP_FACTS = "DELETE FROM fact WHERE tenant = $1 AND id = ANY ($2)"
DROP_EPISODES = "DELETE FROM episode WHERE tenant = $1 AND id = ANY ($2)"
UNLINK = "UPDATE fact SET near = NULL WHERE tenant = $1 AND near = ANY ($2)"
DROP_STATES = "DELETE FROM session_state WHERE tenant = $1 AND (session = ANY ($2) OR forgotten(session, $3) <> session)"
DROP_SUMMARIES = "DELETE FROM summary WHERE tenant = $1 AND (session = ANY ($2) OR forgotten(session, $3) <> session)"
# Another version, so that no process goes on with what it has at hand of the old one.
STATES = """
UPDATE session_state SET value = forgotten(value, $4, 0), version = version + 1, at = now()
 WHERE tenant = $1 AND named(value::text, $2, $3) AND forgotten(value, $4, 0) <> value
"""
SUMMARIES = """
UPDATE summary SET body = forgotten(body, $4)
 WHERE tenant = $1 AND named(body, $2, $3) AND forgotten(body, $4) <> body
"""
WRITES = """
UPDATE memory_write SET result = forgotten(result, $4, 0)
 WHERE tenant = $1 AND named(result::text, $2, $3) AND forgotten(result, $4, 0) <> result
"""
LEDGER = "SELECT relation, lineage, held, touched FROM forget_in_ledger($1, $2)"
SESSIONS = "SELECT session AS lineage, held, touched FROM forget_sessions($1, $2)"
RUNS = "SELECT lineage, workflow_id, status = 'running' AS running FROM run WHERE tenant = $1 AND lineage = ANY ($2) ORDER BY lineage"


@dataclass(frozen=True, slots=True)
class Named:
    """A run whose rows named the subject, so its history may. running: its rows are left as they are until it has ended."""

    lineage: str
    workflow_id: str
    running: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """How many rows of each table were deleted, and how many lost a name and stayed."""

    deleted: dict[str, int]
    redacted: dict[str, int]


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure did. deleted, redacted: table -> rows; a row that had two spellings counts for each.

    runs: whose histories are to be deleted, or to be waited for. spellings: what was found under each, the subject first.
    """

    id: int
    deleted: dict[str, int]
    redacted: dict[str, int]
    runs: tuple[Named, ...]
    spellings: tuple[Counts, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether no run has to end first, after which the subject must be forgotten once more."""
        return not any(run.running for run in self.runs)


async def forget(tx: Tx, subject: str, reason: str, by: str, *, sessions: Sequence[str] = (), also: Sequence[str] = ()) -> Erased:
    """Forget a subject in every tier, for good: nothing that is about it is taken in again, and its name is kept nowhere.

    What has the subject as its subject, speaker, session, scope or id goes, and facts that only stand on that; where anything else
    mentions it, a mark takes the place of the name. sessions: further sessions that are the subject's own. also: what else it is
    called, in letters of another alphabet, by an address. All of it is one erasure, on record once, with a tombstone for each.
    Repeating it is safe, and finds what came in between. Writers of the tenant's memory wait until it has committed.
    Raises: BadInput where a name could not be told from other words, there are too many, or no key is set.
    """
    if len(also) > MOST_ALSO:
        raise BadInput(f"{len(also)} further spellings of one subject: {MOST_ALSO} are the most")
    given = [subject, *also]
    names = {tombstones.checked(spelling): spelling for spelling in reversed(given)}
    reason, by = (naming.without(text[:2000], names) for text in (reason, by))
    owned = [bounds.name(session, "a session") for session in sessions]
    await tombstones.lock(tx)
    hashes = {name: await tombstones.bury(tx, name) for name in names}
    id = await tx.value(NOTE, tx.tenant, hashes[naming.normal(subject)], reason, by)
    counts, runs = dict[str, Counts](), set[Named]()
    # The longest first: whoever is called Zelda as well would leave a Quimby behind. Sessions go with the first.
    for nth, name in enumerate(sorted(names, key=lambda name: (-len(name.split()), -len(name)))):
        search = _Search(name, await sieve.of(tx, names[name]), naming.spellings(names[name]), [] if nth else owned)
        counts[name], found = await _forget(tx, id, search)
        runs.update(found)
    erased = _summed(id, [counts.pop(naming.normal(spelling), Counts({}, {})) for spelling in given], runs, await samples.clear(tx))
    await tx.execute(DID, tx.tenant, id, asdict(erased))
    return erased


async def rehearse(tx: Tx, subject: str, *, sessions: Sequence[str] = (), also: Sequence[str] = ()) -> Erased:
    """Return what forgetting a subject would do now, under the id 0, and undo all that the transaction did: it begins anew.

    Writers wait, and errors are raised, as they would.
    """
    erased = await forget(tx, subject, "", "", sessions=sessions, also=also)
    # Not a savepoint: the ledger gives way only to an erasure of the transaction itself.
    await tx.execute("ROLLBACK AND CHAIN")
    await tx.execute("SELECT set_config('app.tenant', $1, true)", tx.tenant)
    return replace(erased, id=0)


async def _forget(tx: Tx, id: int, search: "_Search") -> tuple[Counts, list[Named]]:
    deleted, redacted = Counter[str](), Counter[str]()
    await _long_term(tx, search, deleted, redacted)
    await _sessions(tx, search, deleted, redacted)
    await shared_erasure.forget(tx, search.name, search.sieve, deleted, redacted)
    while await postings.fold(tx):
        pass
    runs = await _ledger(tx, id, search, redacted)
    return Counts(dict(+deleted), dict(+redacted)), runs


def _summed(id: int, counts: Sequence[Counts], runs: Iterable[Named], samples: int) -> Erased:
    deleted, redacted = Counter[str](recall_sample=samples), Counter[str]()
    for each in counts:
        deleted.update(each.deleted)
        redacted.update(each.redacted)
    return Erased(id, dict(+deleted), dict(+redacted), tuple(sorted(runs, key=lambda run: run.lineage)), tuple(counts))


@dataclass(frozen=True, slots=True)
class _Search:
    name: str
    sieve: Sieve
    spellings: list[str]
    sessions: list[str]

    def owns(self, row: Any) -> bool:
        """Tell whether a row is about the subject. Keys cannot lose a part, so who is named in one owns it."""
        if row["session"] in self.sessions or any(naming.goes_by(self.name, row[by]) for by in ("subject", "speaker")):
            return True
        return any(naming.without(key, [self.name]) != key for key in (row["id"], row["session"], row.get("scope", "")))

    def split(self, rows: Iterable[Any]) -> tuple[list[Any], list[Any]]:
        """Return the subject's own rows, and those that may mention it."""
        own, others = list[Any](), list[Any]()
        for row in rows:
            (own if self.owns(row) else others).append(row)
        return own, others


async def _long_term(tx: Tx, search: _Search, deleted: Counter[str], redacted: Counter[str]) -> None:
    own, others = search.split(await tx.fetch(EPISODES, tx.tenant, search.sessions, *search.sieve[:2]))
    episodes = [row["id"] for row in own]
    facts, mentions = search.split(await tx.fetch(FACTS, tx.tenant, search.sessions, *search.sieve[:2]))
    going = {row["id"]: row["num"] for row in facts}
    going |= {row["id"]: row["num"] for row in await tx.fetch(DERIVED, tx.tenant, episodes)} if episodes else {}
    texts = await redaction.facts(tx, [row for row in mentions if row["id"] not in going and _mentions(row, search.name)], search.name)
    going |= {text.id: text.num for text in texts if text.twin}
    await _drop(tx, going, episodes, deleted)
    await redaction.rewrite(tx, left := [text for text in texts if not text.twin])
    unlinked = await redaction.unlink(tx, [row for row in mentions if row["id"] not in going], search.name)
    told = [redaction.episode(row, search.name) for row in others if _mentions(row, search.name)]
    await redaction.rewrite_episodes(tx, told)
    redacted.update(fact=len(unlinked.union(text.id for text in left)), episode=len(told))


def _mentions(row: Any, name: str) -> bool:
    return any(naming.without(text, [name]) != text for text in (row["subject"], row["speaker"], row["body"], row.get("kind", "")))


async def _drop(tx: Tx, facts: dict[str, int], episodes: list[str], deleted: Counter[str]) -> None:
    ids, nums = list(facts), list(facts.values())
    if facts:
        await postings.remove(tx, nums)
        deleted.update(await vectors.remove(tx, nums))
        await tx.execute(UNLINK, tx.tenant, ids)
        deleted["fact"] = await tx.execute(DROP_FACTS, tx.tenant, ids)
    deleted["fact_source"] = await tx.execute(DROP_SOURCES, tx.tenant, ids, episodes)
    deleted["episode"] = await tx.execute(DROP_EPISODES, tx.tenant, episodes) if episodes else 0


async def _sessions(tx: Tx, search: _Search, deleted: Counter[str], redacted: Counter[str]) -> None:
    deleted["session_state"] = await tx.execute(DROP_STATES, tx.tenant, search.sessions, search.sieve.pattern)
    deleted["summary"] = await tx.execute(DROP_SUMMARIES, tx.tenant, search.sessions, search.sieve.pattern)
    redacted["session_state"] = await tx.execute(STATES, tx.tenant, *search.sieve)
    redacted["summary"] = await tx.execute(SUMMARIES, tx.tenant, *search.sieve)
    redacted["memory_write"] = await tx.execute(WRITES, tx.tenant, *search.sieve)


async def _ledger(tx: Tx, id: int, search: _Search, redacted: Counter[str]) -> list[Named]:
    rows = [dict(row) for row in await tx.fetch(LEDGER, id, search.spellings)]
    rows += [dict(row) | {"relation": "turn"} for row in await tx.fetch(SESSIONS, id, search.sessions)]
    for row in rows:
        redacted[row["relation"]] += 0 if row["held"] else row["touched"]
    lineages = sorted({row["lineage"] for row in rows if row["lineage"]})
    return [Named(**dict(row)) for row in await tx.fetch(RUNS, tx.tenant, lineages)]
