"""Whom we were told to forget: a keyed hash of the name outlives every retry, and the name itself is nowhere."""

import hashlib
import hmac
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

from contracts.errors import BadInput, PermanentError
from database import Tx
from memory import naming
from settings import Settings

SECRET = "MEMORY_KEY"
LONGEST = 200
"""Characters a subject's name may have."""
OURS = frozenset({"default", "import", "cli", "note", "turn", "forgotten"})
"""Scopes, sessions and kinds of everybody, and the mark: an erasure of one of these would take half of the memory away."""

# Whoever writes holds the tenant's lock with others, whoever erases holds it alone: a write that was asked about before an erasure
# has committed before it looks, or is asked after it.
SHARE = "SELECT pg_advisory_xact_lock_shared(hashtextextended('perdure/forget/' || $1, 0))"
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('perdure/forget/' || $1, 0))"
KEYS = "SELECT key, array_agg(DISTINCT words) AS sizes FROM tombstone WHERE tenant = $1 GROUP BY key"
FIND = "SELECT hash FROM tombstone WHERE tenant = $1 AND hash = ANY ($2)"
BURY = """
INSERT INTO tombstone (tenant, hash, key, words) SELECT $1, hash, $3, $4 FROM unnest($2::bytea[]) AS hash
ON CONFLICT (tenant, hash) DO NOTHING
"""


def checked(subject: str) -> str:
    """Return a subject's normal name. Raises BadInput where it could not be told from other words."""
    name = naming.normal(subject)
    if len(subject) > LONGEST or sum(map(str.isalnum, name)) < 2:
        raise BadInput(f"{subject[:80]!r} is no name to forget: at most {LONGEST} characters, two of them letters or digits")
    if name in OURS:
        raise BadInput(f"{name!r} is no name to forget: it is a word of ours")
    return name


async def buried(tx: Tx, subjects: Sequence[str]) -> set[str]:
    """Return which of these subjects were to be forgotten, and let none be erased until the transaction ends.

    Raises: PermanentError where the key that the tenant's tombstones were made with is not at hand: nobody can tell then.
    """
    await share(tx)
    if not subjects:
        return set()
    key, _ = await _key_in_use(tx)
    if not key:
        return set()
    hashes = {subject: {digest(tx.tenant, name, key) for name in naming.wholes(subject)} for subject in subjects}
    found = {row["hash"] for row in await tx.fetch(FIND, tx.tenant, list(set().union(*hashes.values())))}
    return {subject for subject, hashed in hashes.items() if hashed & found}


async def scrubbed(tx: Tx, texts: Sequence[str]) -> list[str]:
    """Return texts without the names that were to be forgotten, for what is taken in from outside again."""
    key, sizes = await _key_in_use(tx)
    if not key:
        return list(texts)
    names = set[str]().union(*(naming.candidates(text, sizes) for text in texts))
    hashes = {digest(tx.tenant, name, key): name for name in names}
    known = {hashes[row["hash"]] for row in await tx.fetch(FIND, tx.tenant, list(hashes))}
    return [naming.cleared(text, known) for text in texts] if known else list(texts)


async def bury(tx: Tx, name: str) -> bytes:
    """Note that a normal name is to be forgotten for good, and return its keyed hash. The caller holds the tenant's lock."""
    # Not under another key than the tenant's other tombstones: half of them would mean nothing then.
    key = (await _key_in_use(tx))[0] or secret()
    await tx.execute(BURY, tx.tenant, [digest(tx.tenant, each, key) for each in naming.keys(name)], _id(key), len(name.split()))
    return digest(tx.tenant, name, key)


async def share(tx: Tx) -> None:
    """Let nobody be erased until the transaction ends; an erasure under way is waited for."""
    await tx.execute(SHARE, tx.tenant)


async def lock(tx: Tx) -> None:
    """Keep every writer of the tenant's memory out until the transaction ends."""
    await tx.execute(LOCK, tx.tenant)


def digest(tenant: str, name: str, key: bytes) -> bytes:
    """Return the keyed hash of a normal name: HMAC-SHA-256, 32 bytes, another one in each tenant. Source: RFC 2104."""
    return hmac.digest(key, f"{tenant}\0{name}".encode(), hashlib.sha256)


def secret() -> bytes:
    """Return the key that hides names. One machine makes its own, in the state folder; elsewhere it is a secret.

    Raises: BadInput where it is not set.
    """
    settings = Settings()
    if given := settings.secret(SECRET):
        return given.encode()
    if settings.one_machine:
        return _kept(settings.state / "memory.key")
    raise BadInput(f"there is no key to hide the names of whom we forget: set PERDURE_SECRET_{SECRET}, the same in every worker, for good")


async def _key_in_use(tx: Tx) -> tuple[bytes, list[int]]:
    # No tombstone, no key: an installation that never forgot anybody needs none. The sizes are how many words its names have.
    keys = {row["key"]: row["sizes"] for row in await tx.fetch(KEYS, tx.tenant)}
    if not keys:
        return b"", []
    key = secret()
    if others := sorted(keys.keys() - {_id(key)}):
        raise PermanentError(
            f"PERDURE_SECRET_{SECRET} is not the key under which tenant {tx.tenant!r} forgot somebody: restore {', '.join(others)}"
        )
    return key, keys[_id(key)]


def _kept(path: Path) -> bytes:
    try:
        return bytes.fromhex(path.read_text())
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    # Written beside and linked: of two who make one at once the first wins, and nobody reads half a key.
    made = path.with_name(f"{path.name}.{token_hex(8)}")
    made.touch(0o600)
    made.write_text(os.urandom(32).hex())
    with suppress(FileExistsError):
        os.link(made, path)
    made.unlink()
    return bytes.fromhex(path.read_text())


def _id(key: bytes) -> str:
    # Names the key, and tells nothing of it.
    return hashlib.sha256(b"perdure/memory-key/" + key).hexdigest()[:16]
