"""`memory models`: which embedding models a tenant has, and moving from one to the next while queries go on."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from activities.embedder import embedders_of
from activities.paid import asked_by
from channels.cli import link, screen, tenants
from channels.cli.terminal import By, at_terminal
from contracts.errors import BadInput
from database import Tx
from memory import backlog, models, succession, vectors
from memory.models import Model
from settings import Settings

Deed = Literal["adopt", "shadow", "switch", "back", "leave"]
Doing = Callable[[Tx, str], Awaitable[Model | int]]
OWNER = "only an owner may make a model's table: set PERDURE_OWNER_DATABASE_URL"
RIGHT = "adopt MODEL, shadow MODEL, switch MODEL, leave MODEL, or back"
DEEDS: dict[Deed, tuple[Doing, str]] = {
    "adopt": (succession.adopt, "is used from now on, or built beside the one in use: workers make its vectors"),
    "shadow": (succession.shadow, "is asked beside the one in use from now on, and both are compared"),
    "switch": (succession.switch, "answers from now on; `back` takes that back"),
    "back": (lambda tx, _: succession.back(tx), "answers again"),
    "leave": (succession.leave, "and its vectors are gone"),
}


def register(group: typer.Typer) -> None:
    """Add the command to the group `memory`."""
    group.command("models")(run)


def run(
    deed: Annotated[str | None, typer.Argument(metavar="[DEED]", help=f"{', '.join(DEEDS)}; none: all models are shown.")] = None,
    name: Annotated[str, typer.Argument(metavar="[MODEL]", help="Its name, as the endpoint or package knows it.")] = "",
    by: By = None,
    tenant: link.Tenant = None,
    as_json: link.Json = False,
) -> None:
    """Show a tenant's embedding models, or move on: adopt MODEL, shadow MODEL, switch MODEL; back; leave MODEL."""
    settings = link.settings()
    tenant = tenant or settings.tenant
    if deed is None:
        _show(link.run(_standing(settings, tenant)), as_json=as_json)
        return
    if deed not in DEEDS or (not name and deed != "back"):
        link.fail(f"{deed!r} with {name!r} is nothing to do: right is {RIGHT}")
    said = link.run(_done(settings, tenant, deed, name, by))
    if as_json:
        screen.print_json(said)
    else:
        screen.show(f"{said['model']} {DEEDS[deed][1]}")


def _show(found: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        screen.print_json(found)
        return
    table = Table("model", "state", "dims", "vectors", "not indexed yet", "to be made", "shadow reads", "recall, this / in use", box=None)
    for one in found:
        reads = one["reads"]
        shadow = (str(reads["reads"]), f"{reads['shadow']:.3f} / {reads['active']:.3f}") if reads else ("", "")
        table.add_row(one["name"], one["state"], str(one["dims"]), f"{one['vectors']:,}", f"{one['fresh']:,}", f"{one['due']:,}", *shadow)
    screen.show(table if found else "the tenant has no embedding model yet: the first fact gets it one")


async def _standing(settings: Settings, tenant: str) -> list[dict[str, Any]]:
    async with tenants.reading(settings, tenant) as tx:
        return [await _stands(tx, model) for model in await models.of_tenant(tx)]


async def _stands(tx: Tx, model: Model) -> dict[str, Any]:
    kept, fresh = await vectors.counts(tx, model)
    reads = await succession.read(tx, model) if model.state == "shadow" else None
    shown = {"reads": reads.reads, "shadow": reads.shadow, "active": reads.active, "agreed": reads.agreed} if reads else None
    counted = {"vectors": kept, "fresh": fresh, "due": await backlog.waiting(tx, model)}
    return {"name": model.name, "state": model.state, "dims": model.dims, **counted, "reads": shown}


async def _done(settings: Settings, tenant: str, deed: str, name: str, by: str | None) -> dict[str, Any]:
    async with link.database(settings) as database:
        await at_terminal(settings, database, tenant, "models", by)
    if deed == "adopt":
        await _laid(settings, tenant, name)
    async with tenants.reading(settings, tenant) as tx:
        did = await DEEDS[deed][0](tx, name)  # pyright: ignore[reportArgumentType]
    return {"model": did.name, "state": did.state} if isinstance(did, Model) else {"model": name, "vectors": did}


async def _laid(settings: Settings, tenant: str, name: str) -> None:
    """Make the table of a model that has none yet. How many numbers its vectors have, the model itself says."""
    async with tenants.reading(settings, tenant) as tx:
        if name in {model.name for model in await models.laid(tx)}:
            return
    if settings.owner_database_url is None:
        raise BadInput(OWNER)
    async with link.database(settings) as database, embedders_of(settings, database) as embedders:
        embedder = next((one for one in embedders if one.name == name), None)
        if embedder is None:
            raise BadInput(f"nothing here embeds with {name!r}; there are {', '.join(one.name for one in embedders)}")
        (vector,) = await asked_by(tenant, embedder).embed(["how long is a vector?"])
    await models.lay(settings.owner_database_url.get_secret_value(), name, len(vector))
