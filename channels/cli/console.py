"""`console`: a link that logs the person at this machine in to the web console, once."""

from dataclasses import replace
from typing import Annotated

import typer

from channels.cli import link, screen, terminal
from contracts.errors import BadInput
from database import Database, Tx
from ledger import directory, logins
from ledger.directory import Person
from policies import bundles
from policies.approvals import Approvals
from policies.bundles import Bundles
from settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("console")(console)


def console(
    person: Annotated[str | None, typer.Option("--person", help="Whom to log in, from `people list`; the default is you.")] = None,
    tenant: link.Tenant = None,
    as_json: link.Json = False,
) -> None:
    """Print a link that logs in to the console of this machine, once and within ten minutes."""
    settings = link.settings()
    url = link.run(_link(settings, tenant or settings.tenant, person))
    if as_json:
        screen.print_json({"url": url})
    else:
        screen.show(url)


async def _link(settings: Settings, tenant: str, named: str | None) -> str:
    if not settings.one_machine:
        raise BadInput("links log in on the one-machine stack only: elsewhere the console asks whoever PERDURE_OIDC_ISSUER names")
    async with link.database(settings) as database:
        asked = await groups(database, tenant)
        async with database.transaction(tenant) as tx:
            who = await _known(tx, named) if named else await local(tx, asked)
            key = await logins.offer(tx, who)
    where = "" if tenant == settings.tenant else f"tenant={tenant}&"
    return f"{settings.console_address}/login/link?{where}key={key}"


async def _known(tx: Tx, named: str) -> str:
    found = await directory.person(tx, named)
    if found is None or found.disabled:
        known = ", ".join(person.id for person in await directory.people(tx) if not person.disabled) or "nobody yet"
        raise BadInput(f"the directory has no enabled person {named!r}; it has {known}")
    return found.id


async def local(tx: Tx, groups: frozenset[str]) -> str:
    """Return the person at this machine, who may do everything on it; put into the directory where they are not."""
    id = terminal.login()
    found = await directory.person(tx, id)
    if found is None:
        await directory.put(tx, Person(id, id, "admin", groups), by=id)
    elif found.role == "admin" and not found.disabled and not groups <= found.groups:
        await directory.put(tx, replace(found, groups=found.groups | groups), by=id)
    elif found.disabled:
        raise BadInput(f"{id} is disabled in the directory: --person names somebody else")
    return id


async def groups(database: Database, tenant: str) -> frozenset[str]:
    """Return every group that may rule on something here."""
    async with database.transaction(tenant) as tx:
        live = [hash for name in await bundles.applied(tx) if (hash := await bundles.live(tx, name))]
    known = Bundles(database)
    asking = [(await known.get(tenant, hash)).settings.approvals for hash in live]
    return frozenset(group for one in asking for group in _named(one))


def _named(asking: Approvals) -> set[str]:
    later = {group for step in asking.escalation for group in step.groups}
    return {group for stage in asking.chain for group in stage.groups} | later | set(asking.break_glass)
