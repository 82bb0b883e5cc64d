"""Who is logged in to the console: one-time links, and sessions that end where a person says so. Only hashes of secrets are kept."""

import hashlib
import secrets
from datetime import timedelta

from database import Tx

OFFER = "INSERT INTO console_link (tenant, hash, person, expires_at) VALUES ($1, $2, $3, now() + $4)"
TAKE = """
UPDATE console_link SET used_at = now() WHERE tenant = $1 AND hash = $2 AND used_at IS NULL AND expires_at > now() RETURNING person
"""
BEGIN = "INSERT INTO console_session (tenant, id, person, way, expires_at) VALUES ($1, $2, $3, $4, now() + $5)"
PERSON = "SELECT person FROM console_session WHERE tenant = $1 AND id = $2 AND ended_at IS NULL AND expires_at > now()"
END = "UPDATE console_session SET ended_at = now() WHERE tenant = $1 AND id = $2 AND ended_at IS NULL"
END_ALL = "UPDATE console_session SET ended_at = now() WHERE tenant = $1 AND person = $2 AND ended_at IS NULL"
USE_UP = "UPDATE console_link SET used_at = now() WHERE tenant = $1 AND person = $2 AND used_at IS NULL"
# Nothing changes where the bucket is empty, and no row comes back.
FILLED = "least($3, t.remaining + extract(epoch FROM clock_timestamp() - t.at)::float8 * $4 / 60)"
TRY = f"""
INSERT INTO console_try AS t (tenant, address, remaining, at) VALUES ($1, $2, $3::float8 - 1, clock_timestamp())
ON CONFLICT (tenant, address) DO UPDATE SET remaining = {FILLED} - 1, at = clock_timestamp() WHERE {FILLED} >= 1 RETURNING true
"""  # noqa: S608
LEFT = f"SELECT {FILLED} FROM console_try t WHERE t.tenant = $1 AND t.address = $2"  # noqa: S608
FORGET_TRIES = "DELETE FROM console_try WHERE tenant = $1 AND at < clock_timestamp() - interval '1 hour'"
LINK_HOLDS, SESSION_HOLDS = timedelta(minutes=10), timedelta(hours=12)


async def offer(tx: Tx, person: str) -> str:
    """Make a link's secret for a person, good once and for ten minutes."""
    secret = secrets.token_urlsafe(32)
    await tx.execute(OFFER, tx.tenant, _hash(secret), person, LINK_HOLDS)
    return secret


async def take(tx: Tx, secret: str) -> str | None:
    """Use a link up and return whom it is for; None where it was used, is too old, or never was."""
    return await tx.value(TAKE, tx.tenant, _hash(secret))


async def begin(tx: Tx, person: str, way: str) -> str:
    """Begin a session of twelve hours and return its id. way: link or oidc."""
    id = secrets.token_urlsafe(24)
    await tx.execute(BEGIN, tx.tenant, _hash(id).hex(), person, way, SESSION_HOLDS)
    return id


async def person_of(tx: Tx, session: str) -> str | None:
    """Return whose session it is, None where it is over."""
    return await tx.value(PERSON, tx.tenant, _hash(session).hex())


async def end(tx: Tx, session: str) -> None:
    """End a session, whoever holds its cookie."""
    await tx.execute(END, tx.tenant, _hash(session).hex())


async def end_all(tx: Tx, person: str) -> None:
    """End a person's sessions, and the links that nobody followed yet."""
    for query in (END_ALL, USE_UP):
        await tx.execute(query, tx.tenant, person)


async def wait(tx: Tx, address: str, *, tries: int, per_minute: float) -> int:
    """Count a try of an address and return 0, or return after how many seconds the next one is heard.

    It counts for all processes together: so many tries at once, and so many more each minute.
    """
    given = (tx.tenant, address, float(tries), float(per_minute))
    if await tx.value(TRY, *given):
        await tx.execute(FORGET_TRIES, tx.tenant)
        return 0
    return max(1, round((1 - (await tx.value(LEFT, *given) or 0.0)) * 60 / per_minute))


def named(session: str) -> str:
    """Return a name of a session that lets nobody in."""
    return _hash(session).hex()[:16]


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
