"""`memory keep` and `memory expire`: for how long what is remembered, and taking away what is over it, now or by a Schedule."""

from typing import Annotated

import typer

from activities.expiry import Expiring
from channels.cli import link, schedules, screen, tenants
from channels.cli.terminal import By
from contracts import names
from contracts.errors import BadInput
from contracts.upkeep import ExpireRequest
from memory import retention
from memory.retention import Bloated
from settings import Settings

FOREVER = "forever"


def keep(
    what: Annotated[str | None, typer.Argument(metavar="[WHAT]", help=f"{', '.join(retention.WHATS)}; none: all are shown.")] = None,
    days: Annotated[str | None, typer.Argument(metavar="[DAYS]", help=f"For so many days, or {FOREVER}.")] = None,
    by: By = None,
    tenant: link.Tenant = None,
    as_json: link.Json = False,
) -> None:
    """Show, or set, for how many days what is kept; what has no policy is kept for good."""
    settings = link.settings()
    policy = link.run(_kept(settings, tenant or settings.tenant, what, days, by))
    if as_json:
        screen.print_json(policy)
        return
    for name in retention.WHATS:
        screen.show(f"{name}: {f'{policy[name]} days' if name in policy else FOREVER}")


def expire(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what is over the policy.")] = False,
    vacuum: Annotated[bool, typer.Option("--vacuum", help="Vacuum the tables that need it; takes the owner's login.")] = False,
    every: Annotated[str | None, typer.Option("--every", metavar="PT24H", help="A Schedule does it so often; `never` ends that.")] = None,
    by: By = None,
    tenant: link.Tenant = None,
    as_json: link.Json = False,
) -> None:
    """Take away what is over the policy, in batches; with `--dry-run`, count it and change nothing."""
    settings = link.settings()
    tenant = tenant or settings.tenant
    if every is not None:
        if given := next((flag for flag, on in (("--dry-run", dry_run), ("--vacuum", vacuum)) if on), None):
            link.fail(f"--every and {given} exclude each other: a Schedule takes away, and {given} is for a person, once")
        screen.show(link.run(_scheduled(settings, tenant, every, by)))
        return
    if vacuum and settings.owner_database_url is None:
        link.fail("only an owner may vacuum: set PERDURE_OWNER_DATABASE_URL")
    counts, tables = link.run(_expired(settings, tenant, by, dry_run=dry_run, vacuum=vacuum))
    if as_json:
        screen.print_json({"dry_run": dry_run, "rows": counts, "vacuum": tables})
        return
    word = "would go" if dry_run else "gone"
    screen.show(f"{word}: {', '.join(f'{count} {what}' for what, count in counts.items() if count) or 'nothing'}")
    for table in tables:
        screen.show(f"{'to vacuum' if dry_run else 'vacuumed'}: {table.name}, {table.dead:,} dead rows beside {table.live:,}")


async def _kept(settings: Settings, tenant: str, what: str | None, days: str | None, by: str | None) -> dict[retention.What, int]:
    if what is not None and (days is None or not (days == FOREVER or days.isdecimal())):
        raise BadInput(f"{what} is kept for a number of days, or {FOREVER}, not {days or 'nothing'}")
    if what is not None:
        await tenants.allowed(settings, tenant, "keep", by)
    async with tenants.reading(settings, tenant) as tx:
        if what is not None and days is not None:
            await retention.keep(tx, what, None if days == FOREVER else int(days))
        return await retention.policy(tx)


async def _expired(settings: Settings, tenant: str, by: str | None, *, dry_run: bool, vacuum: bool) -> tuple[dict[str, int], list[Bloated]]:
    async with tenants.reading(settings, tenant) as tx:
        counts: dict[str, int] = {**await retention.due(tx)}
    if not dry_run:
        await tenants.allowed(settings, tenant, "expire", by)
        async with link.database(settings) as database:
            counts = (await Expiring(database).take_away(ExpireRequest(tenant=tenant))).gone
    owner = settings.owner_database_url
    return counts, await retention.vacuum(owner.get_secret_value(), dry_run=dry_run) if vacuum and owner else []


async def _scheduled(settings: Settings, tenant: str, every: str, by: str | None) -> str:
    interval = None if every == schedules.NEVER else schedules.interval(every)
    await tenants.allowed(settings, tenant, "expire", by)
    client, id = await link.temporal(settings), schedule_id(tenant)
    if interval is None:
        return f"the Schedule {id} is gone" if await schedules.remove(client, id) else "there was no Schedule"
    await schedules.put(client, id, names.EXPIRE_ALL, ExpireRequest(tenant=tenant), settings.task_queue, interval)
    return f"the Schedule {id} takes away what is over the policy every {interval}"


def schedule_id(tenant: str) -> str:
    """Return the name of a tenant's Schedule."""
    return f"perdure-expire-{tenant}"
