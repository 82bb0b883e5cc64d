"""Commands about editorial calendars: what goes out when, and moving an entry, which moves the run's timer."""

from typing import Annotated

import typer

from channels import slots
from channels.cli import link, screen
from channels.cli.approvals import wake
from channels.cli.terminal import By, at_terminal
from channels.slots import Entry, Late
from settings import Settings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="See and move what an automation has put on its calendar.")
    group.command("list")(list_entries)
    group.command("move")(move)
    app.add_typer(group, name="calendar")


Automation = Annotated[str, typer.Option("--automation", help="Whose calendar.")]


def list_entries(automation: Automation = "content-ops", tenant: link.Tenant = None, as_json: link.Json = False) -> None:
    """List entries by time."""
    settings = link.settings()
    found = link.run(_list(settings, tenant or settings.tenant, automation))
    if as_json:
        screen.print_json(found)
        return
    rows = [(each.entry, each.at, each.channel, each.state, each.run, screen.line(each.title, 80)) for each in found]
    headers = ("entry", "at", "channel", "state", "run", "title")
    screen.show(screen.table(headers, rows, whole=5) if rows else "nothing is on the calendar")


async def _list(settings: Settings, tenant: str, automation: str) -> list[Entry]:
    async with link.database(settings) as database, database.transaction(tenant) as tx:
        return await slots.entries(tx, automation)


def move(
    entry: Annotated[str, typer.Argument(metavar="ENTRY", help="As `calendar list` shows it.")],
    time: Annotated[str, typer.Argument(metavar="TIME", help="2030-01-31T09:00, UTC unless it names a zone; or +2h from now.")],
    automation: Automation = "content-ops",
    by: By = None,
    tenant: link.Tenant = None,
    as_json: link.Json = False,
) -> None:
    """Move an entry to another time; exits with 1 if it is too late."""
    settings = link.settings()
    try:
        moved = link.run(_move(settings, tenant or settings.tenant, automation, entry, time, by))
    except Late as error:
        link.fail(str(error), link.REFUSED)
    if as_json:
        screen.print_json(moved)
    else:
        screen.show(f"{moved.entry} ({moved.channel}) now goes out at {moved.at}")


async def _move(settings: Settings, tenant: str, automation: str, id: str, time: str, by: str | None) -> Entry:
    at = slots.when(time)
    async with link.database(settings) as database:
        who = await at_terminal(settings, database, tenant, "move", by)
        async with database.transaction(tenant) as tx:
            moved = await slots.move(tx, automation, id, at, who)
        await wake(settings, database, tenant)
    return moved
