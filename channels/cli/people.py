"""Commands on the directory: who is who, who stands in for whom, tokens of machines, and how people rule."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, TypeVar

import typer

from channels.acts import SCOPES as SCOPE_OF
from channels.cli import link, screen
from channels.cli.terminal import By, at_terminal, named
from contracts.errors import BadInput
from database import Tx
from ledger import approvals, directory, numbers
from ledger.directory import Delegation, Person, Role
from ledger.numbers import Reviewer, Times

Result = TypeVar("Result")
Id = Annotated[str, typer.Argument(metavar="PERSON", help="Their id, like `ann` or `ann@example.test`.")]
Groups = Annotated[list[str] | None, typer.Option("--group", help="An approval group; may be given several times.")]
Days = Annotated[float, typer.Option("--days", min=0.001, help="For how many days.")]
SCOPES = tuple(SCOPE_OF.values())


def register(app: typer.Typer) -> None:
    """Add the commands."""
    people = typer.Typer(no_args_is_help=True, help="Who is who, and who may rule.")
    for name, command in (
        ("add", add), ("list", list_all), ("disable", disable), ("enable", enable), ("token", token), ("revoke", revoke),
        ("delegate", delegate), ("numbers", show_numbers),
    ):  # fmt: skip
        people.command(name)(command)
    app.add_typer(people, name="people")


def add(
    id: Id,
    name: Annotated[str | None, typer.Option("--name", help="As others know them; the default is the id.")] = None,
    role: Annotated[Role, typer.Option("--role", help="What they may do in the console.")] = "approver",
    group: Groups = None,
    slack_team: Annotated[str | None, typer.Option("--slack-team", help="The workspace of their Slack account.")] = None,
    slack_user: Annotated[str | None, typer.Option("--slack-user", help="Their user id there.")] = None,
    issuer: Annotated[str | None, typer.Option("--issuer", help="Who says who they are, by OpenID Connect.")] = None,
    subject: Annotated[str | None, typer.Option("--subject", help="Who they are there.")] = None,
    by: By = None,
    tenant: link.Tenant = None,
) -> None:
    """Add a person, or change one; what is not given is cleared, and who is disabled stays so."""
    person = Person(
        id, name or id, role, frozenset(group or ()), slack_team, slack_user, issuer=issuer, subject=subject
    )  # fmt: skip
    disabled = _change(tenant, by, lambda tx, who: _put(tx, person, who))
    still = f", and disabled as before: `people enable {id}` lets them in again" if disabled else ""
    screen.show(screen.styled(f"{id} is {'a' if role == 'viewer' else 'an'} {role}{_of(person.groups)}{still}", "green"))


def list_all(tenant: link.Tenant = None, as_json: link.Json = False) -> None:
    """List all people, and who stands in for whom."""
    found, given = _run(tenant, _everybody)
    if as_json:
        screen.print_json({"people": [_plain(person) for person in found], "delegations": [_given(one) for one in given]})
        return
    rows = [(one.id, one.name, "disabled" if one.disabled else one.role, ", ".join(sorted(one.groups)), _accounts(one)) for one in found]
    screen.show(screen.table(("person", "name", "role", "groups", "accounts"), rows) if rows else "the directory is empty")
    for one in given:
        screen.show(f"{one.taker} rules for {one.giver}{_of(one.groups)} until {one.until:%Y-%m-%d %H:%M} UTC [{one.id}]")


def disable(id: Id, by: By = None, tenant: link.Tenant = None) -> None:
    """Take all rights from a person, their tokens and their delegations at once; what they did stays on record."""
    _change(tenant, by, lambda tx, who: _set(tx, id, who, disabled=True))
    screen.show(screen.styled(f"{id} is disabled", "green"))


def enable(id: Id, by: By = None, tenant: link.Tenant = None) -> None:
    """Give a disabled person back what they had."""
    _change(tenant, by, lambda tx, who: _set(tx, id, who, disabled=False))
    screen.show(screen.styled(f"{id} is enabled", "green"))


def token(
    id: Id,
    scope: Annotated[list[str] | None, typer.Option("--scope", help=f"One of {', '.join(SCOPES)}; several may be given.")] = None,
    days: Days = 30,
    by: By = None,
    tenant: link.Tenant = None,
) -> None:
    """Make an API token that speaks for a person, and print it for the only time."""
    if wrong := [name for name in scope or () if name not in SCOPES]:
        link.fail(f"there is no scope {wrong[0]!r}; there are: {', '.join(SCOPES)}")
    wanted = scope or ["read", "decide"]

    async def minted(tx: Tx, who: str) -> str:
        return await directory.mint(tx, id, wanted, await _after(tx, days), by=who)

    typer.echo(_change(tenant, by, minted))


def revoke(
    id: Annotated[str, typer.Argument(metavar="ID", help="A token's id (tok-…) or a delegation's (del-…).")],
    by: By = None,
    tenant: link.Tenant = None,
) -> None:
    """End a token or a delegation now."""
    end = directory.unmint if id.startswith("tok-") else directory.revoke
    if not _change(tenant, by, lambda tx, who: end(tx, id, who)):
        link.fail(f"nothing of the id {screen.line(id, 40)!r} holds: a token's begins with tok-, a delegation's with del-")
    screen.show(screen.styled(f"{id} is revoked", "green"))


def delegate(
    giver: Annotated[str, typer.Argument(metavar="FROM", help="Whose word it is.")],
    taker: Annotated[str, typer.Argument(metavar="TO", help="Who says it.")],
    group: Groups = None,
    days: Days = 7,
    by: By = None,
    tenant: link.Tenant = None,
) -> None:
    """Let somebody rule for somebody else, in some of their groups, for some days; it cannot be handed on."""

    async def delegated(tx: Tx, who: str) -> Delegation:
        return await directory.delegate(tx, giver, taker, group or (), await _after(tx, days), who)

    # One's own word one may lend; whose else, an admin.
    made = _change(tenant, by, delegated, own=giver)
    screen.show(screen.styled(f"{taker} rules for {giver}{_of(made.groups)} until {made.until:%Y-%m-%d %H:%M} UTC [{made.id}]", "green"))


def show_numbers(tenant: link.Tenant = None, as_json: link.Json = False) -> None:
    """Show how long people take, and whose approvals may not mean much."""
    by, doubtful = _run(tenant, _numbers)
    if as_json:
        screen.print_json({"times": by, "doubtful": doubtful})
        return
    rows = [
        (one.name, kind, str(one.count), _pair(one.looked), _pair(one.considered), _pair(one.decided))
        for kind, all in by.items()
        for one in all
    ]
    headers = ("who or what", "by", "words", "first look", "look to word", "request to word")
    screen.show(screen.table(headers, rows) if rows else "nobody has ruled in the last 30 days")
    for one in doubtful:
        screen.show(screen.styled(f"{one.person}: {'; '.join(one.why)} (in {', '.join(one.automations)})", "yellow"))


async def _everybody(tx: Tx) -> tuple[list[Person], list[Delegation]]:
    return await directory.people(tx), await directory.delegations(tx)


async def _numbers(tx: Tx) -> tuple[dict[str, list[Times]], list[Reviewer]]:
    by = {
        "channel": await numbers.times(tx, "channel"),
        "role": await numbers.times(tx, "role"),
        "automation": await numbers.times(tx, "automation"),
        "person": await numbers.times(tx, "person"),
    }
    return by, await numbers.doubtful(tx)


async def _put(tx: Tx, person: Person, by: str) -> bool:
    """Keep a person, disabled where they were; return whether they are."""
    before = await directory.person(tx, person.id)
    disabled = before is not None and before.disabled
    await directory.put(tx, replace(person, disabled=disabled), by)
    return disabled


async def _set(tx: Tx, id: str, by: str, *, disabled: bool) -> None:
    found = await directory.person(tx, id)
    if found is None:
        raise BadInput(f"the directory has nobody {screen.line(id, 40)!r}: `starter.py people list` shows who there is")
    await directory.put(tx, replace(found, disabled=disabled), by)


async def _after(tx: Tx, days: float) -> datetime:
    return await approvals.now(tx) + timedelta(days=days)


def _change(tenant: str | None, by: str | None, work: Callable[[Tx, str], Awaitable[Result]], *, own: str | None = None) -> Result:
    """Change the directory in the name of who is at this terminal. own: whose affair it is, who needs no admin for it."""
    settings = link.settings()
    tenant = tenant or settings.tenant

    async def done() -> Result:
        async with link.database(settings) as database:
            mine = own is not None and await named(settings, database, tenant, by) == own
            who = await at_terminal(settings, database, tenant, "delegate" if mine else "people", by)
            async with database.transaction(tenant) as tx:
                return await work(tx, who)

    return link.run(done())


def _run(tenant: str | None, work: Callable[[Tx], Awaitable[Result]]) -> Result:
    settings = link.settings()

    async def done() -> Result:
        async with link.database(settings) as database, database.transaction(tenant or settings.tenant) as tx:
            return await work(tx)

    return link.run(done())


def _plain(person: Person) -> dict[str, object]:
    return {**{name: getattr(person, name) for name in person.__slots__}, "groups": sorted(person.groups)}


def _given(one: Delegation) -> dict[str, object]:
    return {"id": one.id, "giver": one.giver, "taker": one.taker, "groups": sorted(one.groups), "until": one.until.isoformat()}


def _accounts(person: Person) -> str:
    known = (("Slack", person.slack_user), (person.issuer, person.subject))
    return ", ".join(f"{where} {who}" for where, who in known if who)


def _of(groups: frozenset[str]) -> str:
    return f" in {', '.join(sorted(groups))}" if groups else ""


def _pair(pair: tuple[float, float] | None) -> str:
    return f"{pair[0]:.1f} s, p95 {pair[1]:.1f} s" if pair else "unknown"
