"""The allowance: what a tenant may spend on embeddings in a day (UTC), reserved before each call and settled after it."""

import unicodedata
import uuid
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from contracts.errors import BadInput, BudgetExceeded
from database import Tx
from memory.embedding import LONGEST
from settings import Settings

MILLION = 1_000_000
EXTRA = 16
"""Tokens that a model may put around a text: where it begins and ends, and what stands for a first space."""
MOST = 4 * LONGEST + EXTRA
"""Tokens that one text may count as."""
PRICE, CAP = "PERDURE_EMBEDDING_MICROS_PER_MILLION", "PERDURE_EMBEDDING_DAY_MICROS"
LOST = timedelta(hours=1)
"""After so long nobody settles a call any more: its process has died, or was told to stop."""
LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})

TODAY = "(clock_timestamp() AT TIME ZONE 'UTC')::date"
# One statement looks and takes: of callers side by side, each sees what the ones before it hold. Nothing is reserved of a day that is over.
RESERVE = f"""
WITH today AS (
    INSERT INTO embedding_day AS d (tenant, day, cap, reserved) SELECT $1, {TODAY}, $4::bigint, $3::bigint WHERE $3::bigint <= $4::bigint
    ON CONFLICT (tenant, day) DO UPDATE SET reserved = d.reserved + $3::bigint, cap = $4::bigint
     WHERE d.tenant = $1 AND d.spent + d.reserved + $3::bigint <= $4::bigint
    RETURNING day
)
INSERT INTO embedding_call (tenant, id, day, held) SELECT $1, $2, day, $3::bigint FROM today
"""  # noqa: S608
# Who finds the call's row gone finds it settled.
SETTLE = """
WITH settled AS (DELETE FROM embedding_call WHERE tenant = $1 AND id = $2 RETURNING day, held)
UPDATE embedding_day AS d SET reserved = d.reserved - settled.held, spent = d.spent + $3, tokens = d.tokens + $4
  FROM settled WHERE d.tenant = $1 AND d.day = settled.day
"""
# Whether it was paid for, nobody knows, so all that was held counts as spent; what it was in tokens, nobody said. One at a time does it,
# and the calls come first, as in `SETTLE`, so that nobody waits for who waits for it.
WRITE_OFF = """
WITH lost AS (
    DELETE FROM embedding_call WHERE tenant = $1 AND at <= clock_timestamp() - $2::interval
       AND (SELECT pg_try_advisory_xact_lock(hashtextextended('perdure lost ' || $1, 0)))
    RETURNING day, held
), booked AS (
    UPDATE embedding_day AS d SET reserved = d.reserved - due.held, spent = d.spent + due.held
      FROM (SELECT day, sum(held)::bigint AS held FROM lost GROUP BY day) AS due WHERE d.tenant = $1 AND d.day = due.day
)
SELECT count(*) FROM lost
"""
READ = f"SELECT day, cap, reserved, spent, tokens, stopped_at FROM embedding_day WHERE tenant = $1 AND day = {TODAY}"  # noqa: S608
STOP = f"UPDATE embedding_day SET stopped_at = clock_timestamp() WHERE tenant = $1 AND day = {TODAY} AND stopped_at IS NULL"  # noqa: S608


class AllowanceSpent(BudgetExceeded):
    """The day's allowance for embeddings has no room for this call."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What an endpoint costs. price: micro-dollars for a million tokens; cap: micro-dollars that a tenant may spend in a day."""

    price: int
    cap: int

    @property
    def limit(self) -> int:
        """The cap, in millionths of a micro-dollar."""
        return self.cap * MILLION

    @property
    def longest(self) -> int:
        """The most that one text may cost, in millionths of a micro-dollar."""
        return MOST * self.price


@dataclass(frozen=True, slots=True)
class Standing:
    """How a tenant's day stands. cap, reserved, spent: millionths of a micro-dollar; tokens: those of calls that were settled."""

    day: date
    cap: int
    reserved: int
    spent: int
    tokens: int
    stopped_at: datetime | None

    @property
    def used(self) -> int:
        """What is spent, or may turn out to be."""
        return self.spent + self.reserved

    def told(self) -> dict[str, Any]:
        """Return it for programs; amounts in micro-dollars, rounded up."""
        micros = {f"{name}_micros": -(-getattr(self, name) // MILLION) for name in ("cap", "spent", "reserved")}
        stopped = self.stopped_at.isoformat() if self.stopped_at else None
        return {"day": self.day.isoformat(), **micros, "tokens": self.tokens, "stopped_at": stopped}

    def __str__(self) -> str:
        spent, reserved, cap = map(_dollars, (self.spent, self.reserved, self.cap))
        return f"{spent} spent and {reserved} reserved of {cap} for embeddings on {self.day} (UTC)"


def terms(settings: Settings) -> Terms | None:
    """Return what this installation's endpoint of embeddings costs, None where nothing is to be paid.

    Raises: BadInput where that is not certain, or what may be spent is not bounded.
    """
    price, cap, url = settings.embedding_micros_per_million, settings.embedding_day_micros, settings.embedding_base_url
    if url is None:
        if (price, cap) != (None, None):
            raise BadInput(
                f"{CAP if price is None else PRICE} is set and PERDURE_EMBEDDING_BASE_URL is not: the packaged model costs nothing"
            )
        return None
    where = _host(url)
    if (price, cap) == (None, None) and where in LOCAL:
        return None
    if price is None:
        raise BadInput(f"{PRICE} is not set: say what {where} asks for a million tokens, in micro-dollars; 0 where it is free")
    if price and cap is None:
        raise BadInput(f"{PRICE} is set and {CAP} is not: say what a tenant's embeddings may cost in a day (UTC), in micro-dollars")
    if not price and cap is not None:
        raise BadInput(f"{CAP} is set and {PRICE} is 0: where nothing is to be paid there is nothing to bound")
    return _bounded(Terms(price, cap)) if cap is not None else None


def _host(url: str) -> str:
    try:
        if (split := urlsplit(url)).scheme in ("http", "https") and split.hostname:
            return split.hostname
    except ValueError:
        pass
    raise BadInput(f"PERDURE_EMBEDDING_BASE_URL is {url[:200]!r}, which is no address; right is https://host/v1")


def _bounded(found: Terms) -> Terms:
    # So each day has room for one text at least, whatever waits first.
    if found.limit < found.longest:
        least = -(-found.longest // MILLION)
        raise BadInput(f"{CAP} is {found.cap}, which does not pay for one long text: at this price it takes {least} at least")
    return found


def bound(text: str) -> int:
    """Return the most tokens that a model can count for a text.

    A token stands for one byte at least, of the text or of the normal form that some tokenizers give it first, in which one letter may
    become many. Source: Sennrich et al. 2016 and GPT-2 (byte-level BPE begins with single bytes and only joins them); SentencePiece
    (`nmt_nfkc`, byte fallback); Unicode UAX 15: no other normal form has more bytes than all of these.
    """
    forms = [text] if text.isascii() else [text, unicodedata.normalize("NFD", text), unicodedata.normalize("NFKD", text)]
    size = max(len(form.encode("utf-8", "surrogatepass")) for form in forms)
    return size + EXTRA


def clipped(text: str) -> str:
    """Return as much of a text as its vector stands for: ``MOST`` tokens of it at most."""
    text = text[:LONGEST]
    while bound(text) > MOST:
        text = text[: len(text) // 2]
    return text


async def reserve(tx: Tx, agreed: Terms, tokens: int) -> uuid.UUID | None:
    """Hold the most that a call may cost and return what names it to `settle`; None where the day has no room for it. One statement."""
    call = uuid.uuid4()
    return call if await tx.execute(RESERVE, tx.tenant, call, tokens * agreed.price, agreed.limit) else None


async def settle(tx: Tx, agreed: Terms, call: uuid.UUID, tokens: int) -> bool:
    """Book what a call did cost, on the day on which it was reserved, and give back the rest; False where that was done before."""
    return bool(await tx.execute(SETTLE, tx.tenant, call, tokens * agreed.price, tokens))


async def write_off(tx: Tx) -> int:
    """Book calls that nobody has settled for an hour as if they had cost all that was held, each on its day; return how many."""
    return int(await tx.value(WRITE_OFF, tx.tenant, LOST))


async def today(tx: Tx) -> Standing | None:
    """Return how the tenant's day stands, None where nothing was asked for on it."""
    row = await tx.row(READ, tx.tenant)
    return Standing(**dict(row)) if row else None


async def stop(tx: Tx) -> bool:
    """Note that the day had not room enough; True for the first who finds that."""
    return bool(await tx.execute(STOP, tx.tenant))


def _dollars(amount: int) -> str:
    return f"${amount / MILLION**2:.6f}".rstrip("0").rstrip(".")
