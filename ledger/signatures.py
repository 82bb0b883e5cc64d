"""Signed rulings: a short-lived word of Perdure's own that names one person, one verdict and one exact action, believed once."""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from contracts.approvals import Ruling
from database import Tx

HOLDS = timedelta(minutes=10)
KEY_NAME = "RULING_KEY"
"""The name of the secret that signs."""
SHORTEST_KEY = 32
LONGEST = 2000  # characters of a token
USE = "INSERT INTO nonce (tenant, nonce, until) VALUES ($1, $2, to_timestamp($3)) ON CONFLICT DO NOTHING"
FORGET = "DELETE FROM nonce WHERE tenant = $1 AND until < now() - interval '1 hour'"


@dataclass(frozen=True, slots=True)
class Word:
    """What is signed. digest: the action's. arguments: SHA-256 of an edit's, or of the output of what happened.

    until: epoch seconds, by the database's clock.
    """

    tenant: str
    request: str
    digest: str
    verdict: str
    person: str
    until: int
    nonce: str
    arguments: str = ""
    break_glass: bool = False
    happened: bool = False


def sign(key: str, tenant: str, ruling: Ruling, digest: str, now: datetime) -> str:
    """Return a token for one ruling by ``ruling.by``. digest: the request's, whole. now: by the database's clock."""
    word = Word(
        tenant, ruling.request, digest, ruling.verdict, ruling.by, int((now + HOLDS).timestamp()), secrets.token_urlsafe(16),
        _arguments(ruling), ruling.break_glass, ruling.happened,
    )  # fmt: skip
    body = json.dumps(asdict(word), separators=(",", ":"), sort_keys=True).encode()
    return f"{_text(body)}.{_text(_mac(key, body))}"


def read(key: str | None, token: str, tenant: str, ruling: Ruling, digest: str, now: datetime) -> Word | str:
    """Return what a token says, or why it is not believed for this ruling on the action of this digest."""
    if not key or len(key) < SHORTEST_KEY:
        return f"signed rulings are not set up here: the secret {KEY_NAME} has {SHORTEST_KEY} characters or more"
    body, _, mac = token[: LONGEST + 1].partition(".")
    try:
        signed, given = _bytes(body), _bytes(mac)
    except (ValueError, binascii.Error):
        return "its token is none of ours"
    if len(token) > LONGEST or not hmac.compare_digest(_mac(key, signed), given):
        return "its token is none of ours"
    word = Word(**json.loads(signed))
    return _mismatch(word, tenant, ruling, digest, now) or word


async def use(tx: Tx, word: Word) -> bool:
    """Use a token up; False where it was used before."""
    await tx.execute(FORGET, tx.tenant)
    return await tx.execute(USE, tx.tenant, word.nonce, word.until) > 0


def _mismatch(word: Word, tenant: str, ruling: Ruling, digest: str, now: datetime) -> str:
    if word.until <= now.timestamp():
        return f"its token ran out at {datetime.fromtimestamp(word.until, now.tzinfo):%Y-%m-%d %H:%M:%S} UTC"
    said = (tenant, ruling.request, digest, ruling.verdict, _arguments(ruling), ruling.break_glass, ruling.happened)
    if said != (word.tenant, word.request, word.digest, word.verdict, word.arguments, word.break_glass, word.happened):
        return "its token is for another ruling: request, action, verdict or arguments differ"
    return "" if ruling.by == word.person else "its token is for another person"


def _arguments(ruling: Ruling) -> str:
    # A ruling carries one of them at the most: arguments are an edit's, an output that of what happened.
    given = ruling.output if ruling.arguments is None else ruling.arguments
    if given is None:
        return ""
    return hashlib.sha256(json.dumps(given, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _mac(key: str, body: bytes) -> bytes:
    return hmac.new(key.encode(), b"perdure ruling v1\n" + body, hashlib.sha256).digest()


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    if _text(found := base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)) != text:
        raise ValueError  # More than one spelling of a token would be more than one token.
    return found
