"""Commands about configuration: apply a folder as an immutable bundle that new runs get."""

import getpass
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from channels.cli import link
from contracts.errors import BadConfiguration
from database import Database
from policies import bundles
from policies.bundles import Bundle
from settings import Settings
from tools import registry


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("apply")(apply)


def apply(name: Annotated[str, typer.Argument(help="A folder of automations/.")], tenant: link.Tenant = None) -> None:
    """Check an automation's folder and make it what new runs get; running plans keep what they started with."""
    settings = Settings()
    bundle, changed = link.run(_apply(settings, tenant or settings.tenant, name))
    link.OUT.print(f"{name} {bundle.hash[:12]} {'is live for new runs' if changed else 'was live already'}")


async def _apply(settings: Settings, tenant: str, name: str) -> tuple[Bundle, bool]:
    bundle = load(settings.automations / name)
    async with link.database(settings) as database, database.transaction(tenant) as tx:
        return bundle, await bundles.apply(tx, bundle, getpass.getuser())


def load(folder: Path) -> Bundle:
    """Read an automation's folder, tools and configuration. Raises: BadConfiguration."""
    if not (folder / "automation.yaml").is_file():
        known = ", ".join(found.name for found in folders(folder.parent)) or "none"
        raise BadConfiguration(f"there is no automation {folder.name!r} in {folder.parent}; there are: {known}")
    tools = registry.load(folder / "tools.py")
    return bundles.load(folder, {name: tool.effect == "read" for name, tool in tools.items()})


def folders(automations: Path) -> Iterable[Path]:
    """Return the folders that are automations, by name."""
    return sorted(path.parent for path in automations.glob("*/automation.yaml"))


async def apply_all(settings: Settings) -> None:
    """Apply every automation of this checkout, as `up` does on one machine."""
    assert settings.database_url is not None
    database = await Database.connect(settings.database_url.get_secret_value(), size=2)
    try:
        for folder in folders(settings.automations):
            async with database.transaction(settings.tenant) as tx:
                await bundles.apply(tx, load(folder), "up")
    finally:
        await database.close()
