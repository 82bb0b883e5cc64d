"""Importing: lines of a file become episodes and the facts that say the same, under the ids they come with."""

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from contracts.errors import BadInput
from database import Tx, kept
from memory import bounds, episodes, json_lines, storing, tombstones
from memory.episodes import NewEpisode
from memory.json_lines import Fault
from memory.storing import NewFact
from memory.writes import WriteKey

TEXTS = ("id", "tenant", "session", "speaker", "text", "at", "subject", "scope", "kind")
EXAMPLE = '{"id": "m1", "tenant": "default", "session": "s1", "speaker": "ann", "text": "…", "at": "2026-01-31T09:30:00Z"}'
SESSION, KIND = "import", "turn"
STANDING = """
SELECT e.id, e.session, e.speaker, e.body, e.at, NULL AS subject, NULL AS kind, NULL AS scope
  FROM episode AS e WHERE e.tenant = $1 AND e.id = ANY($2)
UNION ALL
SELECT f.id, f.session, f.speaker, f.body, f.at, f.subject, f.kind, f.scope FROM fact AS f WHERE f.tenant = $1 AND f.id = ANY($2)
"""
KEPT = "text, session, speaker, subject, kind, scope or date"
EXISTS = "SELECT EXISTS (SELECT FROM tenant WHERE tenant = $1)"
CREATE = "INSERT INTO tenant (tenant) VALUES ($1) ON CONFLICT DO NOTHING"


@dataclass(frozen=True, slots=True)
class Line:
    """One good line. ``number`` counts from 1."""

    number: int
    id: str
    tenant: str
    text: str
    at: datetime | None
    session: str = SESSION
    speaker: str = ""
    subject: str = ""
    scope: str = "default"
    kind: str = KIND


def lines(path: Path, tenant: str) -> Generator[Line | Fault]:
    """Read a file line by line. tenant: whose a line is that doesn't say. An id may come twice with the same content.

    Raises: OSError.
    """
    seen: dict[tuple[str, str], tuple[int, int]] = {}
    for number, given in json_lines.read(path, EXAMPLE):
        try:
            line = given if isinstance(given, Fault) else parse(given, number, tenant)
        except BadInput as error:
            line = Fault(number, str(error))
        if isinstance(line, Fault):
            yield line
            continue
        content = hash((line.session, line.speaker, line.text, line.subject, line.kind, line.scope, line.at))
        first, said = seen.setdefault((line.tenant, line.id), (number, content))
        yield line if said == content else Fault(number, f"id {line.id!r} is used on line {first} already, for another {KEPT}")


def parse(given: Mapping[str, Any], number: int, tenant: str) -> Line:
    """Return what a line says. Raises: BadInput saying what is wrong with it."""
    said = json_lines.texts(given, TEXTS, ("id", "text"), EXAMPLE)
    names = {name: bounds.name(said[name], name) for name in ("session", "speaker", "subject", "scope", "kind") if name in said}
    whose, id = json_lines.tenant(said.get("tenant", tenant)), bounds.id(said["id"], "id")
    return Line(number, id, whose, bounds.text(said["text"], "text"), moment(said.get("at"), "at"), **names)


def moment(given: str | None, what: str) -> datetime | None:
    """Return a date as people write it; without a zone it is UTC. Raises: BadInput."""
    if given is None:
        return None
    try:
        found = datetime.fromisoformat(kept(given).strip())
    except ValueError:
        raise BadInput(f"{what} {given[: bounds.SHOWN]!r} is no date; right is 2026-01-31T09:30:00Z") from None
    return bounds.moment(found if found.tzinfo else found.replace(tzinfo=UTC), what)


async def faults(tx: Tx, given: Sequence[Line]) -> list[Fault]:
    """Return those lines whose id stands for something else already."""
    rows = await tx.fetch(STANDING, tx.tenant, [line.id for line in given])
    if not rows:
        return []
    standing: dict[str, list[Any]] = {}
    for row in rows:
        standing.setdefault(row["id"], []).append(row)
    again = [line for line in given if line.id in standing]
    # What an erasure took out of the one is not in the other either.
    scrubbed = await tombstones.scrubbed(tx, [text for line in again for text in (line.speaker, line.text, line.subject, line.kind)])
    return [
        Fault(line.number, f"id {line.id!r} is used already, for another {KEPT}; what was said is never changed")
        for line, *said in zip(again, *(scrubbed[nth::4] for nth in range(4)), strict=True)
        if not all(_says(row, line, *said) for row in standing[line.id])
    ]


def _says(row: Any, line: Line, speaker: str, body: str, subject: str, kind: str) -> bool:
    # A line without a date was said when it came in first. An episode has no kind, and whom it is about does not change what was said.
    told = (row["session"], row["speaker"], row["body"], row["at"]) == (line.session, speaker, body, line.at or row["at"])
    return told and (row["kind"] is None or (row["subject"], row["kind"], row["scope"]) == (subject, kind, line.scope))


async def store(tx: Tx, source: str, given: Sequence[Line]) -> Counter[str]:
    """Store lines, findable by keyword once this commits, and return how many had which outcome; a repetition changes nothing.

    source: names the file, as provenance. Raises: BadInput where an id stands for another text; ask `faults` before.
    """
    key = WriteKey("import", source)
    said = [NewEpisode(line.text, line.session, line.speaker, "user", line.subject, line.at, line.id) for line in given]
    kept_ids = await episodes.append(tx, key, said)
    believed = [
        NewFact(
            line.text, line.id, line.scope, line.kind, line.subject, line.session, line.speaker, line.at, sources=(line.id,) if id else ()
        )
        for line, id in zip(given, kept_ids, strict=True)
    ]  # fmt: skip
    return Counter(one.outcome for one in await storing.put(tx, key, believed))


async def exists(tx: Tx) -> bool:
    """Tell whether the transaction's tenant exists."""
    return bool(await tx.value(EXISTS, tx.tenant))


async def create_tenant(tx: Tx) -> None:
    """Make the transaction's tenant exist."""
    await tx.execute(CREATE, tx.tenant)
