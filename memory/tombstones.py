"""Whom we were told to forget: a keyed hash of the name outlives every retry, and the name itself is nowhere."""

import hashlib
import hmac
import itertools
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

from contracts.errors import BadInput, PermanentError
from database import Tx
from memory.bounds import UNSEEN
from settings import Settings

SECRET = "MEMORY_KEY"
LONGEST = 200
"""Characters a subject's name may have."""
MARK = "[forgotten]"
OURS = frozenset({"default", "import", "cli", "note", "turn", "forgotten"})
"""Scopes, sessions and kinds of everybody, and the mark: an erasure of one of these would take half of the memory away."""
# The vowels of many scripts are marks, which are no `\w`: without them one name would be another's.
MARKS = UNSEEN.sub("", "".join(chr(code) for code in range(0x300, 0x1F000) if unicodedata.category(chr(code)) in ("Mn", "Mc")))
WORD = re.compile(rf"[^\W_](?:[^\W_]|[{MARKS}])*")
FORMS = ("NFC", "NFKC", "NFD")

# Whoever writes holds the tenant's lock with others, whoever erases holds it alone: a write that was asked about before an erasure
# has committed before it looks, or is asked after it.
SHARE = "SELECT pg_advisory_xact_lock_shared(hashtextextended('perdure/forget/' || $1, 0))"
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('perdure/forget/' || $1, 0))"
KEYS = "SELECT key, array_agg(DISTINCT words) AS sizes FROM tombstone WHERE tenant = $1 GROUP BY key"
FIND = "SELECT hash FROM tombstone WHERE tenant = $1 AND hash = ANY ($2)"
BURY = """
INSERT INTO tombstone (tenant, hash, key, words) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant, hash) DO NOTHING
"""


def normal(name: str) -> str:
    """Return a name as it is compared: its words in one case, whatever stands between them and whatever of it nobody sees."""
    return " ".join(WORD.findall(bare(name).casefold()))


def bare(text: str) -> str:
    """Return a text as a reader sees it: without what is invisible, in plain letters for those that only look otherwise."""
    return text if text.isascii() else unicodedata.normalize("NFKC", UNSEEN.sub("", text))


def goes_by(name: str, written: str) -> bool:
    """Tell whether what is written, as a whole, is this normal name."""
    return name in _wholes(written)


def checked(subject: str) -> str:
    """Return a subject's normal name. Raises BadInput where it could not be told from other words."""
    name = normal(subject)
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
    hashes = {subject: {digest(tx.tenant, name, key) for name in _wholes(subject)} for subject in subjects}
    found = {row["hash"] for row in await tx.fetch(FIND, tx.tenant, list(set().union(*hashes.values())))}
    return {subject for subject, hashed in hashes.items() if hashed & found}


async def scrubbed(tx: Tx, texts: Sequence[str]) -> list[str]:
    """Return texts without the names that were to be forgotten, for what is taken in from outside again."""
    key, sizes = await _key_in_use(tx)
    if not key:
        return list(texts)
    names = {name for text in texts for view in _views(text) for _, _, name in _spans(view(text), sizes)}
    hashes = {digest(tx.tenant, name, key): name for name in names}
    known = {hashes[row["hash"]] for row in await tx.fetch(FIND, tx.tenant, list(hashes))}
    return [without(text, known) for text in texts] if known else list(texts)


def without(text: str, names: Iterable[str]) -> str:
    """Return a text with a mark in place of each of these normal names, wherever it stands as whole words.

    Where a name is hidden among invisible letters, or in letters that only look like its own, the text becomes `bare`.
    """
    known = set(names)
    known |= {account(name) for name in known if " " in name}
    sizes = {len(name.split()) for name in known}
    for view in _views(text):
        seen = view(text)
        if hits := [(first, last) for first, last, name in _spans(seen, sizes) if name in known]:
            text = _marked(seen, hits)
    return text


def spellings(subject: str) -> list[str]:
    """Return the ways in which a database that compares letter by letter, in any case, may find a name: words, one space between."""
    seen = UNSEEN.sub("", subject)
    forms = {form(unicodedata.normalize(kind, seen)) for kind in FORMS for form in (str.lower, str.casefold)}
    return sorted({" ".join(WORD.findall(form)) for form in forms})


async def bury(tx: Tx, name: str) -> bytes:
    """Note that a normal name is to be forgotten for good, and return its keyed hash. The caller holds the tenant's lock."""
    # Not under another key than the tenant's other tombstones: half of them would mean nothing then.
    key = (await _key_in_use(tx))[0] or secret()
    hashed, size = digest(tx.tenant, name, key), len(name.split())
    for each in [hashed, digest(tx.tenant, account(name), key)] if size > 1 else [hashed]:
        await tx.execute(BURY, tx.tenant, each, _id(key), size)
    return hashed


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


def account(name: str) -> str:
    """Return the normal name of whoever's account or address has the words of a name written as one."""
    return "@" + name.replace(" ", "")


def _composed(text: str) -> str:
    # A letter and its accent are one word's one letter, however they were typed.
    return unicodedata.normalize("NFC", text)


def _views(text: str) -> tuple[Callable[[str], str], ...]:
    # As it is written, then as it is read; they differ by letters that ASCII has not.
    return (_composed,) if text.isascii() else (_composed, bare)


def _wholes(written: str) -> set[str]:
    return {normal(written), normal(" ".join(_humps(bare(written))))}


def _spans(text: str, sizes: Iterable[int]) -> Iterator[tuple[int, int, str]]:
    """Yield everything that may be a name of so many words, the longest first: where it begins, where it ends, its normal name."""
    words = list(WORD.finditer(text))
    plain = [word.group().lower() if word.group().isascii() else normal(word.group()) for word in words]
    for size in sorted(sizes, reverse=True):
        for at in range(len(words) - size + 1):
            yield words[at].start(), words[at + size - 1].end(), " ".join(plain[at : at + size])
        for word in words if size > 1 else []:
            # `ZeldaQuimby` is two words, and as a whole only: a part of it is no name, no more than `Donald` is in `McDonald`.
            if not word.group().islower() and len(parts := _humps(word.group())) == size:
                yield word.start(), word.end(), normal(" ".join(parts))
    for word, name in zip(words, plain, strict=True) if "@" in text else []:
        if "@" in (text[word.end() : word.end() + 1], text[word.start() - 1 : word.start()]):
            yield word.start(), word.end(), f"@{name}"


def _humps(word: str) -> list[str]:
    cuts = [nth for nth in range(1, len(word)) if word[nth].isupper() and word[nth - 1].islower()]
    return [word[first:last] for first, last in itertools.pairwise([0, *cuts, len(word)])]


def _marked(text: str, spans: Iterable[tuple[int, int]]) -> str:
    taken: list[tuple[int, int]] = []
    for first, last in spans:
        if all(last <= begin or first >= end for begin, end in taken):
            taken.append((first, last))
    for first, last in sorted(taken, reverse=True):
        text = text[:first] + MARK + text[last:]
    return text


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
