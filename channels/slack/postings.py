"""Which message of Slack shows which request, and which deliveries were taken."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from database import Tx

# A row changes whenever its version does; a vote beside it counts too. What is compared is told by Postgres, so nothing is missed.
MARK = "a.xmin::text || '/' || (SELECT count(*) FROM vote v WHERE v.tenant = a.tenant AND v.request = a.id)"
COLUMNS = "m.request, m.channel, m.state, m.ts, m.shown, m.told, m.detail, m.due_at"
UNPOSTED = """
SELECT a.id, a.groups FROM approval a
 WHERE a.tenant = $1 AND a.state = 'pending'
   AND ($3::text[] IS NULL OR a.groups && $3)
   AND NOT EXISTS (SELECT FROM slack_message m WHERE m.tenant = $1 AND m.request = a.id)
 ORDER BY a.created_at, a.id LIMIT $2
"""
CLAIM = """
INSERT INTO slack_message (tenant, request, channel, due_at) VALUES ($1, $2, $3, now() + $4)
ON CONFLICT (tenant, request, channel) DO NOTHING
"""
# Those whose poster was lost, and those that could not be delivered and may be by now.
DUE = f"""
UPDATE slack_message m SET due_at = now() + $2
 WHERE m.tenant = $1 AND (m.request, m.channel) IN (
       SELECT d.request, d.channel FROM slack_message d JOIN approval a ON a.tenant = d.tenant AND a.id = d.request
        WHERE d.tenant = $1 AND d.state IN ('posting', 'undelivered') AND d.due_at <= now() AND a.state = 'pending'
        ORDER BY d.due_at LIMIT $3 FOR UPDATE OF d SKIP LOCKED)
RETURNING {COLUMNS}
"""  # noqa: S608
CHANGED = f"""
SELECT {COLUMNS} FROM slack_message m JOIN approval a ON a.tenant = m.tenant AND a.id = m.request
 WHERE m.tenant = $1 AND m.state = 'posted' AND ($2::text IS NULL OR m.request = $2) AND m.shown <> {MARK}
 ORDER BY a.created_at, a.id LIMIT $3
"""  # noqa: S608
MARKED = f"SELECT {MARK} FROM approval a WHERE a.tenant = $1 AND a.id = $2"  # noqa: S608
POSTED = """
UPDATE slack_message SET state = 'posted', ts = $4, shown = $5, detail = '', posted_at = coalesce(posted_at, now())
 WHERE tenant = $1 AND request = $2 AND channel = $3
"""
SHOWN = "UPDATE slack_message SET shown = $4, state = $5 WHERE tenant = $1 AND request = $2 AND channel = $3 AND state = 'posted'"
UNDELIVERED = """
UPDATE slack_message SET state = 'undelivered', detail = $4, due_at = now() + $5 WHERE tenant = $1 AND request = $2 AND channel = $3
"""
WAITS = "UPDATE slack_message SET due_at = now() + $4 WHERE tenant = $1 AND request = $2 AND channel = $3 AND state = 'posting'"
# The records that tell of a rung; there are few requests of which one is due and not told.
UNTOLD = """
SELECT m.request, m.channel, m.ts, r.id, r.body FROM slack_message m
  JOIN approval a ON a.tenant = m.tenant AND a.id = m.request
  JOIN record r ON r.tenant = a.tenant AND r.lineage = a.lineage AND r.kind = 'ruling' AND r.body ->> 'request' = a.id
                   AND r.body ->> 'event' IN ('reminded', 'escalated')
 WHERE m.tenant = $1 AND m.state = 'posted' AND a.state = 'pending' AND NOT r.id = ANY (m.told)
   AND cardinality(m.told) < (SELECT count(*) FROM jsonb_array_elements(a.rungs) AS g (rung)
                               WHERE g.rung ->> 'kind' <> 'end' AND (g.rung ->> 'at')::bigint <= extract(epoch FROM now()) * 1000)
 ORDER BY r.seq LIMIT $2
"""
TELL = """
UPDATE slack_message SET told = told || $4::text WHERE tenant = $1 AND request = $2 AND channel = $3 AND NOT $4 = ANY (told)
"""
TAKE = "INSERT INTO slack_delivery (tenant, id) SELECT $1, unnest($2::text[]) ON CONFLICT (tenant, id) DO NOTHING RETURNING id"
FORGET = "DELETE FROM slack_delivery WHERE tenant = $1 AND at < now() - $2::interval"
KEPT = timedelta(minutes=30)
"""How long a delivery is remembered: three times as long as its signature is good for, whatever the clocks say."""
LEASE = timedelta(seconds=60)
"""How long a poster has the word; far more than a call may take."""
AGAIN = timedelta(minutes=10)
"""After which a channel that could not be posted to is tried again."""


@dataclass(frozen=True, slots=True)
class Posting:
    """One message of one request. ``shown`` is what of the request it shows, ``told`` the records its thread has."""

    request: str
    channel: str
    state: str
    ts: str | None
    shown: str
    told: list[str]
    detail: str
    due_at: datetime

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """Map one row."""
        return cls(**{name: row[name] for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class Note:
    """A record that a message's thread is to tell."""

    request: str
    channel: str
    ts: str
    id: str
    body: dict[str, Any]


async def unposted(tx: Tx, groups: Sequence[str] | None, *, limit: int) -> list[tuple[str, list[str]]]:
    """Return the requests that wait and no message shows, oldest first, each with its groups. groups: only theirs; None is anybody's."""
    return [(row["id"], row["groups"]) for row in await tx.fetch(UNPOSTED, tx.tenant, limit, groups)]


async def claim(tx: Tx, request: str, channel: str) -> bool:
    """Take the word to post a request in a channel; False where somebody has it or had it."""
    return await tx.execute(CLAIM, tx.tenant, request, channel, LEASE) > 0


async def due(tx: Tx, *, limit: int) -> list[Posting]:
    """Take the word for messages whose poster was lost, or that could not be delivered a while ago."""
    return [Posting.from_row(row) for row in await tx.fetch(DUE, tx.tenant, LEASE, limit)]


async def changed(tx: Tx, request: str | None = None, *, limit: int = 100) -> list[Posting]:
    """Return the messages that show something else than their request is by now; of one request, or all."""
    return [Posting.from_row(row) for row in await tx.fetch(CHANGED, tx.tenant, request, limit)]


async def mark(tx: Tx, request: str) -> str:
    """Return what of a request's row a message made in this transaction shows."""
    return str(await tx.value(MARKED, tx.tenant, request))


async def posted(tx: Tx, request: str, channel: str, ts: str, shown: str) -> None:
    """Note that a message is up."""
    await tx.execute(POSTED, tx.tenant, request, channel, ts, shown)


async def rewritten(tx: Tx, posting: Posting, shown: str, *, settled: bool) -> None:
    """Note what a message shows now. settled: its request has ended, so it never changes again."""
    await tx.execute(SHOWN, tx.tenant, posting.request, posting.channel, shown, "settled" if settled else "posted")


async def undelivered(tx: Tx, request: str, channel: str, why: str) -> None:
    """Note that Slack does not take a message for this channel."""
    await tx.execute(UNDELIVERED, tx.tenant, request, channel, why, AGAIN)


async def put_off(tx: Tx, request: str, channel: str, seconds: float) -> None:
    """Give the word back: the message is posted in a while."""
    await tx.execute(WAITS, tx.tenant, request, channel, timedelta(seconds=seconds))


async def untold(tx: Tx, *, limit: int) -> list[Note]:
    """Return reminders and escalations that no thread has told, oldest first."""
    return [Note(**{name: row[name] for name in Note.__slots__}) for row in await tx.fetch(UNTOLD, tx.tenant, limit)]


async def tell(tx: Tx, note: Note) -> bool:
    """Take the word to tell one; False where another poster has it. A reminder that is lost with its poster is not told again."""
    return await tx.execute(TELL, tx.tenant, note.request, note.channel, note.id) > 0


async def take(tx: Tx, ids: Sequence[str]) -> frozenset[str]:
    """Take a delivery by each of its ids; return those that nobody had taken."""
    return frozenset(row["id"] for row in await tx.fetch(TAKE, tx.tenant, sorted(set(ids))))


async def forget(tx: Tx) -> None:
    """Drop the deliveries that are too old to come again."""
    await tx.execute(FORGET, tx.tenant, KEPT)
