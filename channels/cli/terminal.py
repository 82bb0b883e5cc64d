"""Who is at this terminal, and whether they may do what they ask: whom a token names, or whose machine it is."""

import getpass
import os
import re
from typing import Annotated

import typer

from channels.acts import NEEDS, SCOPES, obstacle
from contracts.errors import BadInput, PerdureError
from database import Database
from ledger import directory, refusals
from ledger.directory import Bearer, Person
from ledger.refusals import Refused
from settings import Settings

CHANNEL = "cli"
TOKEN_NAME = "API_TOKEN"
"""The name of the secret that says who is at this terminal; see `starter.py people token`."""
NOT_PROVED = f"not proved who is speaking: set PERDURE_SECRET_{TOKEN_NAME} to a token of yours (`starter.py people token`)"
UNKNOWN = "not allowed: the directory has nobody {!r}; `starter.py people list` shows who there is, `people add` adds somebody"
FOUNDING = frozenset({"people", "delegate", "apply", "models"})
"""What has to be possible before anybody has a token. Whoever holds the login of the tables' owner could write the tables themselves."""
SHOWN = 200  # characters of a name on record

By = Annotated[str | None, typer.Option("--by", help="Who says so, from `people list`; the default is whose token is set, else you.")]


class NotAllowed(PerdureError):
    """Not allowed."""


def login() -> str:
    """Return the login name of who is at this terminal, as an id of the directory."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError, ImportError):
        name = f"uid-{os.getuid()}"  # A container may run as a user that has no name.
    return re.sub(r"[^a-z0-9._@-]", "-", name.lower()).lstrip("._@-")[:100] or "me"


async def at_terminal(settings: Settings, database: Database, tenant: str, act: str, by: str | None = None) -> str:
    """Return the id of who is at this terminal, if they may do an act of `channels.acts.NEEDS`; a refusal is put on record.

    A token proves who it is, whatever ``by`` says. Without one, the person at the one-machine stack is believed: a name that the
    directory knows has that person's role, and its owner, who may not be in there yet, may do everything.
    Raises: NotAllowed, and BadInput where the token says nothing (any more).
    """
    name, why = await _judged(settings, database, tenant, act, by)
    if why is None:
        return name
    await _refused(database, tenant, act, name, why)
    raise NotAllowed(why)


async def _refused(database: Database, tenant: str, act: str, name: str, why: str) -> None:
    body = {"event": "refused", "signal": act, "why": why, "channel": CHANNEL, "by": name[:SHOWN]}
    async with database.transaction(tenant) as tx:
        await refusals.add(tx, CHANNEL, {name[:SHOWN] or "nobody proved": [Refused(body)]})


async def _judged(settings: Settings, database: Database, tenant: str, act: str, by: str | None) -> tuple[str, str | None]:
    """Return who it is, or says to be, and why they may not do it."""
    if bearer := await _bearer(settings, database, tenant, act):
        return bearer.person.id, obstacle(bearer.person, NEEDS[act], bearer.scopes)
    name, founding = by or login(), by is None and act in FOUNDING and settings.owner_database_url is not None
    if founding or not settings.one_machine:
        return name, None if founding else NOT_PROVED
    async with database.transaction(tenant) as tx:
        person = await directory.person(tx, name)
    if person is not None:
        return name, obstacle(person, NEEDS[act])
    return name, None if name == login() else UNKNOWN.format(name[:80])


async def named(settings: Settings, database: Database, tenant: str, by: str | None = None) -> str:
    """Return the name of who is at this terminal, whatever they may do: the directory's where a token says it, else as they say.

    Raises: BadInput where the token says nothing (any more).
    """
    bearer = await _bearer(settings, database, tenant, "start")
    return bearer.person.id if bearer else by or login()


async def proved(settings: Settings, database: Database, tenant: str) -> Person | None:
    """Return who rules from this terminal, where a token says so; a token that does not let one rule is put on record.

    Raises: BadInput where it says nothing, or may not rule.
    """
    bearer = await _bearer(settings, database, tenant, "rule")
    wanted = SCOPES[NEEDS["rule"]]
    if bearer and wanted not in bearer.scopes:
        why = _none(tenant, f" with the scope `{wanted}`")
        await _refused(database, tenant, "rule", bearer.person.id, why)
        raise BadInput(why)
    return bearer.person if bearer else None


async def _bearer(settings: Settings, database: Database, tenant: str, act: str) -> Bearer | None:
    plain = settings.secret(TOKEN_NAME)
    if plain is None:
        return None
    async with database.transaction(tenant) as tx:
        bearer = await directory.by_token(tx, plain)
    if bearer is None:
        # On the installation's record: a tenant that anybody may name is nobody's.
        await _refused(database, settings.tenant, act, "", _none(tenant))
        raise BadInput(_none(tenant))
    return bearer


def _none(tenant: str, lacking: str = "") -> str:
    return f"the secret {TOKEN_NAME} is no token of tenant {tenant} (any more){lacking}: `people token` makes one"
