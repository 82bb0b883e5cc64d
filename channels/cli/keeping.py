"""`memory keep` and `memory expire`: for how long what is remembered, and taking away what is over it."""

from collections import Counter
from typing import Annotated

import typer

from channels.cli import link, screen, tenants
from contracts.errors import BadInput
from memory import retention
from memory.retention import Bloated
from settings import Settings

FOREVER = "forever"


def keep(
    what: Annotated[str | None, typer.Argument(metavar="[WHAT]", help=f"{', '.join(retention.WHATS)}; none: all are shown.")] = None,
    days: Annotated[str | None, typer.Argument(metavar="[DAYS]", help=f"For so many days, or {FOREVER}.")] = None,
    tenant: link.Tenant = None,
    as_json: link.Json = False,
) -> None:
    """Show, or set, for how many days what is kept; what has no policy is kept for good."""
    settings = link.settings()
    policy = link.run(_kept(settings, tenant or settings.tenant, what, days))
    if as_json:
        screen.print_json(policy)
        return
    for name in retention.WHATS:
        screen.show(f"{name}: {f'{policy[name]} days' if name in policy else FOREVER}")


def expire(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what is over the policy.")] = False,
    vacuum: Annotated[bool, typer.Option("--vacuum", help="Vacuum the tables that need it; takes the owner's login.")] = False,
    tenant: link.Tenant = None,
    as_json: link.Json = False,
) -> None:
    """Take away what is over the policy, in batches; with `--dry-run`, count it and change nothing."""
    settings = link.settings()
    if vacuum and settings.owner_database_url is None:
        link.fail("only an owner may vacuum: set PERDURE_OWNER_DATABASE_URL")
    counts, tables = link.run(_expired(settings, tenant or settings.tenant, dry_run=dry_run, vacuum=vacuum))
    if as_json:
        screen.print_json({"dry_run": dry_run, "rows": counts, "vacuum": tables})
        return
    word = "would go" if dry_run else "gone"
    screen.show(f"{word}: {', '.join(f'{count} {what}' for what, count in counts.items() if count) or 'nothing'}")
    for table in tables:
        screen.show(f"{'to vacuum' if dry_run else 'vacuumed'}: {table.name}, {table.dead:,} dead rows beside {table.live:,}")


async def _kept(settings: Settings, tenant: str, what: str | None, days: str | None) -> dict[retention.What, int]:
    if what is not None and (days is None or not (days == FOREVER or days.isdecimal())):
        raise BadInput(f"{what} is kept for a number of days, or {FOREVER}, not {days or 'nothing'}")
    async with tenants.reading(settings, tenant) as tx:
        if what is not None and days is not None:
            await retention.keep(tx, what, None if days == FOREVER else int(days))
        return await retention.policy(tx)


async def _expired(settings: Settings, tenant: str, *, dry_run: bool, vacuum: bool) -> tuple[dict[str, int], list[Bloated]]:
    counts = Counter[str]()
    async with tenants.reading(settings, tenant) as tx:
        counts.update(await retention.due(tx))
    if not dry_run:
        counts = Counter[str]()
        async with link.database(settings) as database:
            # Each batch commits, so that writers never wait for long.
            while True:
                async with database.transaction(tenant) as tx:
                    gone = await retention.expire(tx)
                counts.update(gone)
                if not any(gone.values()):
                    break
    owner = settings.owner_database_url
    return dict(counts), await retention.vacuum(owner.get_secret_value(), dry_run=dry_run) if vacuum and owner else []
