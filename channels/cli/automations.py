"""Commands about configuration: apply a folder as an immutable bundle that new runs get."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from channels.changes import changes
from channels.cli import link, screen
from channels.cli.terminal import By, at_terminal
from contracts.errors import BadConfiguration, BadInput
from database import Database
from policies import bundles
from policies.bundles import Bundle
from settings import Settings
from tools import registry

SHOWN = 80
"""Characters of a name that are shown where there is none like it."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What an apply did. ``before`` is the bundle that was live, if there was one."""

    automation: str
    bundle: str
    before: str | None
    changed: bool
    changes: list[str]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("apply")(apply)


def apply(
    name: Annotated[str, typer.Argument(help="A folder of automations/.")],
    by: By = None,
    tenant: link.Tenant = None,
    as_json: link.Json = False,
) -> None:
    """Check an automation's folder and make it what new runs get; running plans keep what they started with."""
    settings = link.settings()
    applied = link.run(_apply(settings, tenant or settings.tenant, name, by))
    if as_json:
        screen.print_json(applied)
        return
    if not applied.changed:
        screen.show(f"{name} {applied.bundle[:12]} was live already: nothing in the folder has changed")
        return
    before = f", instead of {applied.before[:12]}" if applied.before else ""
    screen.show("\n".join([f"{name} {applied.bundle[:12]} is live for new runs{before}", *(f"  {line}" for line in applied.changes)]))


async def _apply(settings: Settings, tenant: str, name: str, by: str | None) -> Applied:
    bundle = load(named(settings.automations, name))
    async with link.database(settings) as database:
        who = await at_terminal(settings, database, tenant, "apply", by)
        before = await live(database, tenant, name)
        async with database.transaction(tenant) as tx:
            changed = await bundles.apply(tx, bundle, who)
    return Applied(name, bundle.hash, before.hash if before else None, changed, changes(before, bundle) if changed else [])


async def live(database: Database, tenant: str, automation: str) -> Bundle | None:
    """Return the bundle that new runs get, or None."""
    async with database.transaction(tenant) as tx:
        hash = await bundles.live(tx, automation)
    return await bundles.Bundles(database).get(tenant, hash) if hash else None


def named(automations: Path, name: str) -> Path:
    """Return the folder of an automation, which lies in that of all of them. Raises: BadConfiguration."""
    known = {folder.name: folder for folder in folders(automations)}
    if name not in known:
        shown = screen.line(name, SHOWN)
        raise BadConfiguration(f"there is no automation {shown!r} in {automations}; there are: {', '.join(known) or 'none'}")
    return known[name]


def load(folder: Path) -> Bundle:
    """Read an automation's folder, tools and configuration. Raises: BadConfiguration."""
    if not (folder / "automation.yaml").is_file():
        known = ", ".join(found.name for found in folders(folder.parent)) or "none"
        raise BadConfiguration(f"there is no automation {folder.name!r} in {folder.parent}; there are: {known}")
    tools = registry.load(folder).tools
    return bundles.load(folder, {name: tool.effect == "read" for name, tool in tools.items()})


def folders(automations: Path) -> Iterable[Path]:
    """Return the folders that are automations, by name."""
    return sorted(path.parent for path in automations.glob("*/automation.yaml"))


def hint(settings: Settings, live: Bundle) -> str | None:
    """Say so where the folder on this machine is not what new runs get."""
    folder = settings.automations / live.automation
    if not settings.one_machine or not folder.is_dir():
        return None
    try:
        bundle = load(folder)
    except BadInput as error:
        return f"{folder} has a mistake, so the bundle {live.hash[:12]} runs that was applied before: {error}"
    if bundle.hash == live.hash:
        return None
    apply = link.command("apply", live.automation)
    return f"{folder} has changed since it was applied, and {live.hash[:12]} runs: `{apply}` makes the change live"


class Folders:
    """Applies every automation of this checkout, as `up` does on one machine; a broken one stops no other."""

    def __init__(self) -> None:
        self.problems: dict[str, str] = {}

    async def apply_all(self, settings: Settings) -> None:
        """Apply what can be applied, and keep what is wrong with the rest."""
        async with link.database(settings) as database:
            for folder in folders(settings.automations):
                try:
                    bundle = load(folder)
                except BadInput as error:
                    self.problems[folder.name] = str(error)
                    continue
                async with database.transaction(settings.tenant) as tx:
                    await bundles.apply(tx, bundle, "up")
