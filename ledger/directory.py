"""The directory: who is who in a tenant, what each may do, who stands in for whom, and the tokens of machines."""

import hashlib
import secrets
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Self, get_args

import asyncpg

from contracts.errors import BadInput
from database import TENANT, Tx
from ledger import logins, records

COLUMNS = "id, name, role, groups, slack_team, slack_user, disabled, issuer, subject"
READ = f"SELECT {COLUMNS} FROM person WHERE tenant = $1 AND id = $2"  # noqa: S608
ALL = f"SELECT {COLUMNS} FROM person WHERE tenant = $1 ORDER BY id"  # noqa: S608
BY_SLACK = f"SELECT {COLUMNS} FROM person WHERE tenant = $1 AND slack_team = $2 AND slack_user = $3"  # noqa: S608
BY_SUBJECT = f"SELECT {COLUMNS} FROM person WHERE tenant = $1 AND issuer = $2 AND subject = $3"  # noqa: S608
PUT = """
INSERT INTO person (tenant, id, name, role, groups, slack_team, slack_user, disabled, issuer, subject)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (tenant, id) DO UPDATE
   SET name = $3, role = $4, groups = $5, slack_team = $6, slack_user = $7, disabled = $8, issuer = $9, subject = $10,
       version = person.version + 1, changed_at = now()
RETURNING version
"""
DELEGATE = "INSERT INTO delegation (tenant, id, giver, taker, groups, until, given_by) VALUES ($1, $2, $3, $4, $5, $6, $7)"
# Only what its giver has in person is handed on, and only while both are there: a chain of delegations gives nothing.
GIVEN = """
SELECT d.id, d.giver, d.taker, ARRAY(SELECT unnest(d.groups) INTERSECT SELECT unnest(g.groups)) AS groups, d.until
  FROM delegation d
  JOIN person g ON g.tenant = d.tenant AND g.id = d.giver AND NOT g.disabled AND g.role <> 'viewer'
 WHERE d.tenant = $1 AND ($2::text IS NULL OR d.taker = $2) AND d.revoked_at IS NULL AND d.until > now()
 ORDER BY d.until, d.id
"""
REVOKE = "UPDATE delegation SET revoked_at = now() WHERE tenant = $1 AND id = $2 AND revoked_at IS NULL"
MINT = "INSERT INTO api_token (tenant, hash, id, person, scopes, expires_at, minted_by) VALUES ($1, $2, $3, $4, $5, $6, $7)"
BEARER = f"""
SELECT t.id AS token, t.scopes, t.expires_at, {", ".join(f"p.{name.strip()}" for name in COLUMNS.split(","))}
  FROM api_token t JOIN person p ON p.tenant = t.tenant AND p.id = t.person
 WHERE t.tenant = $1 AND t.hash = $2 AND t.revoked_at IS NULL AND t.expires_at > now() AND NOT p.disabled
"""  # noqa: S608
UNMINT = "UPDATE api_token SET revoked_at = now() WHERE tenant = $1 AND id = $2 AND revoked_at IS NULL"
# By the database's clock, as what is asked of them later.
NOW = "SELECT now()"
TOKENS = "SELECT id, person, scopes, expires_at, revoked_at FROM api_token WHERE tenant = $1 ORDER BY minted_at, id"

Role = Literal["viewer", "approver", "operator", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
"""From the least to the most."""
LONGEST_DELEGATION, LONGEST_TOKEN = timedelta(days=90), timedelta(days=366)
PREFIX = "perdure"


@dataclass(frozen=True, slots=True)
class Person:
    """One person. ``role`` says what one may do in a console, ``groups`` what one may rule on."""

    id: str
    name: str
    role: Role
    groups: frozenset[str] = frozenset()
    slack_team: str | None = None
    slack_user: str | None = None
    disabled: bool = False
    issuer: str | None = None
    subject: str | None = None

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """Map one row."""
        found: dict[str, Any] = {name: row[name] for name in cls.__slots__}
        found["groups"] = frozenset(row["groups"])
        return cls(**found)

    def at_least(self, role: Role) -> bool:
        """Whether this person has a role or more than it."""
        return not self.disabled and ROLES.index(self.role) >= ROLES.index(role)


@dataclass(frozen=True, slots=True)
class Delegation:
    """Who may rule for whom, for which groups, until when (UTC)."""

    id: str
    giver: str
    taker: str
    groups: frozenset[str]
    until: datetime


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who an API token speaks for, and what it may do."""

    person: Person
    scopes: frozenset[str]
    expires_at: datetime
    token: str
    """The token's id, which is no secret."""


async def put(tx: Tx, person: Person, by: str) -> None:
    """Add a person, or change one; who is disabled is logged out, for good.

    Raises: BadInput where an account of theirs is somebody else's already.
    """
    given = (person.slack_team, person.slack_user, person.disabled, person.issuer, person.subject)
    try:
        version = await tx.value(PUT, tx.tenant, person.id, person.name, person.role, sorted(person.groups), *given)
    except asyncpg.UniqueViolationError as error:
        what = "Slack account" if "slack" in (error.constraint_name or "") else "login"
        raise BadInput(f"{person.id}: this {what} belongs to somebody else already") from None
    except asyncpg.CheckViolationError as error:
        raise BadInput(f"person {person.id[:100]!r} cannot be kept ({error.constraint_name}): {RIGHT}") from None
    if person.disabled:
        await logins.end_all(tx, person.id)
    body = {"event": "person changed" if version > 1 else "person added", "person": person.id, "name": person.name, "role": person.role}
    body |= {"groups": sorted(person.groups), "disabled": person.disabled, "by": by, "why": ""}
    await records.append(tx, f"person/{person.id}/{version}", "access", None, None, body)


RIGHT = "an id is 1 to 100 of a-z, 0-9, `.`, `_`, `@` and `-`; a Slack user needs its team, and a subject its issuer"


async def person(tx: Tx, id: str) -> Person | None:
    """Return one person, disabled ones too."""
    row = await tx.row(READ, tx.tenant, id)
    return Person.from_row(row) if row else None


async def people(tx: Tx) -> list[Person]:
    """Return all people by their ids, disabled ones too."""
    return [Person.from_row(row) for row in await tx.fetch(ALL, tx.tenant)]


async def by_slack(tx: Tx, team: str, user: str) -> Person | None:
    """Return whose account a user of a Slack workspace is."""
    row = await tx.row(BY_SLACK, tx.tenant, team, user)
    return Person.from_row(row) if row else None


async def by_subject(tx: Tx, issuer: str, subject: str) -> Person | None:
    """Return whom an identity provider means by a subject."""
    row = await tx.row(BY_SUBJECT, tx.tenant, issuer, subject)
    return Person.from_row(row) if row else None


async def delegate(tx: Tx, giver: str, taker: str, groups: Iterable[str], until: datetime, by: str) -> Delegation:
    """Let ``taker`` rule for ``giver`` in some of the giver's own groups until a time. Raises: BadInput."""
    wanted, now = frozenset(groups), await tx.value(NOW)
    gives, takes = await person(tx, giver), await person(tx, taker)
    for id, found in ((giver, gives), (taker, takes)):
        if found is None or not found.at_least("approver"):
            raise BadInput(f"{id!r} is nobody who may rule: an enabled person with the role approver or more can give and take")
    assert gives is not None
    if not wanted or not wanted <= gives.groups:
        raise BadInput(f"{giver} can hand on only groups of their own: {', '.join(sorted(gives.groups)) or 'none'}")
    if giver == taker or not now < until <= now + LONGEST_DELEGATION:
        raise BadInput(f"a delegation is to somebody else, and ends within {LONGEST_DELEGATION.days} days from now")
    made = Delegation(f"del-{uuid.uuid4().hex[:16]}", giver, taker, wanted, until)
    await tx.execute(DELEGATE, tx.tenant, made.id, giver, taker, sorted(wanted), until, by)
    body = {"event": "delegated", "giver": giver, "taker": taker, "groups": sorted(wanted), "until": until.isoformat(), "by": by, "why": ""}
    await records.append(tx, made.id, "access", None, None, body)
    return made


async def delegations(tx: Tx, taker: str | None = None) -> list[Delegation]:
    """Return the delegations that hold now, all or those to one person."""
    rows = await tx.fetch(GIVEN, tx.tenant, taker)
    return [Delegation(row["id"], row["giver"], row["taker"], frozenset(row["groups"]), row["until"]) for row in rows]


async def revoke(tx: Tx, id: str, by: str) -> bool:
    """End a delegation now; False where none of that id holds."""
    ended = await tx.execute(REVOKE, tx.tenant, id) > 0
    if ended:
        await records.append(tx, f"{id}/revoked", "access", None, None, {"event": "delegation revoked", "id": id, "by": by, "why": ""})
    return ended


async def mint(tx: Tx, person: str, scopes: Iterable[str], expires: datetime, *, by: str = "") -> str:
    """Make an API token and return it, for the only time: its SHA-256 is all that is kept. Raises: BadInput."""
    wanted, found, now = sorted(set(scopes)), await _enabled(tx, person), await tx.value(NOW)
    if not wanted or not now < expires <= now + LONGEST_TOKEN:
        raise BadInput(f"a token has one scope at least, and expires within {LONGEST_TOKEN.days} days from now")
    plain, id = f"{PREFIX}.{tx.tenant}.{secrets.token_urlsafe(32)}", f"tok-{uuid.uuid4().hex[:16]}"
    await tx.execute(MINT, tx.tenant, _hash(plain), id, found.id, wanted, expires, by or found.id)
    body = {"event": "token minted", "token": id, "person": found.id, "scopes": wanted, "expires": expires.isoformat()}
    await records.append(tx, id, "access", None, None, {**body, "by": by or found.id, "why": ""})
    return plain


async def by_token(tx: Tx, plain: str) -> Bearer | None:
    """Return whom a token speaks for; None where it is unknown, expired or revoked, or its person is disabled."""
    row = await tx.row(BEARER, tx.tenant, _hash(plain))
    return Bearer(Person.from_row(row), frozenset(row["scopes"]), row["expires_at"], row["token"]) if row else None


async def tokens(tx: Tx) -> list[dict[str, Any]]:
    """Return all tokens, oldest first: id, person, scopes, expires_at, revoked_at."""
    return [dict(row) for row in await tx.fetch(TOKENS, tx.tenant)]


async def unmint(tx: Tx, id: str, by: str) -> bool:
    """Revoke a token by its id; False where none of that id holds."""
    ended = await tx.execute(UNMINT, tx.tenant, id) > 0
    if ended:
        await records.append(tx, f"{id}/revoked", "access", None, None, {"event": "token revoked", "token": id, "by": by, "why": ""})
    return ended


def tenant_of(plain: str) -> str | None:
    """Return the tenant that a token names; None for what is no token of ours. It proves nothing."""
    prefix, _, rest = plain.partition(".")
    tenant, _, secret = rest.partition(".")
    return tenant if prefix == PREFIX and secret and TENANT.fullmatch(tenant) else None


async def _enabled(tx: Tx, id: str) -> Person:
    found = await person(tx, id)
    if found is None or found.disabled:
        raise BadInput(f"there is no enabled person {id!r}")
    return found


def _hash(plain: str) -> str:
    return hashlib.sha256(plain.encode()).hexdigest()
