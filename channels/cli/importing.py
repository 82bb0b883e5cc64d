"""`memory import`: a file of lines becomes memory."""

import dataclasses
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from channels.cli import link, screen, tenants
from channels.imports import Imported, Importer
from contracts.errors import BadInput, PerdureError
from database import Database
from ledger import breakers
from memory import allowance, backlog, json_lines, models
from memory.importing import EXAMPLE
from settings import Settings


def bring_in(
    file: Annotated[Path, typer.Argument(metavar="FILE.jsonl", help=f"One object a line: {EXAMPLE}")],
    keep_good: Annotated[
        bool, typer.Option("--keep-good/--all-or-nothing", help="What happens to the good lines of a file with broken ones.")
    ] = False,
    vectors: Annotated[bool, typer.Option("--vectors/--no-vectors", help="Also make the vectors, which a worker does otherwise.")] = True,
    tenant: link.Tenant = None,
    as_json: link.Json = False,
) -> None:
    """Import a file, under the ids it gives; a repetition changes nothing."""
    settings = link.settings()
    done, timing = link.run(_imported(settings, tenant or settings.tenant, file, keep_good=keep_good, vectors=vectors))
    if as_json:
        screen.print_json({**dataclasses.asdict(done), "lines": done.lines, **timing})
    else:
        _tell(done, timing)
    if done.faults:
        link.fail(f"{len(done.faults)} broken lines are not kept\n{json_lines.told(done.faults)}", link.REFUSED)


async def _imported(settings: Settings, tenant: str, file: Path, *, keep_good: bool, vectors: bool) -> tuple[Imported, dict[str, Any]]:
    async with link.database(settings) as database:
        importer = Importer(database, file, tenant, tenants.may_create(settings))
        began = time.perf_counter()
        try:
            done = await (importer.keep_good() if keep_good else importer.all_or_nothing())
        except OSError as error:
            raise BadInput(f"{file} cannot be read: {error.strerror or error}") from None
        timing: dict[str, Any] = {"seconds": round(time.perf_counter() - began, 3)}
        if vectors and done.new:
            timing |= await _vectors(settings, database, done.tenants)
        return done, timing


async def _vectors(settings: Settings, database: Database, tenants: list[str]) -> dict[str, Any]:
    """Make the vectors that are missing, and say how long it took; what goes wrong costs vectors, never what was kept."""
    # Imported here: no other command is to wait for the client of an endpoint.
    from activities.embedder import embedders_of
    from activities.indexer import Indexer

    began = time.perf_counter()
    try:
        async with embedders_of(settings, database) as embedders:
            for tenant in tenants:
                await Indexer(database, embedders, tenant).drain(tenant)
        if waiting := [why for tenant in tenants if (why := await _waiting(database, tenant))]:
            return {"vectors": f"later, by a worker: {'; '.join(waiting)}"}
    except PerdureError as error:
        return {"vectors": f"later, by a worker: {error}"}
    return {"vector_seconds": round(time.perf_counter() - began, 3)}


async def _waiting(database: Database, tenant: str) -> str:
    """Say why some vectors were not made, where the day's allowance had no room for them or the endpoint is left alone."""
    async with database.transaction(tenant) as tx:
        standing, left_alone = await allowance.today(tx), await breakers.embeddings(tx)
        why = [breakers.told(breaker) for breaker in left_alone] + [str(standing)] * bool(standing and standing.stopped_at)
        waits = sum([await backlog.waiting(tx, model) for model in await models.of_tenant(tx)]) if why else 0
    return f"{waits:,} wait in tenant {tenant}, {', '.join(why)}" if waits else ""


def _tell(done: Imported, timing: dict[str, Any]) -> None:
    for tenant in done.created:
        screen.show(f"tenant {tenant} did not exist and was created")
    said = [f"{done.duplicate} were there already"] * bool(done.duplicate)
    said += [f"{done.forgotten} are to stay forgotten"] * bool(done.forgotten)
    rate = f", {done.new / timing['seconds']:,.0f} a second" if done.new and timing["seconds"] else ""
    screen.show("; ".join([f"{done.new} new in {timing['seconds']:.1f} s{rate}, found by their words", *said]))
    if "vector_seconds" in timing:
        screen.show(f"their vectors followed in {timing['vector_seconds']:.1f} s")
    elif "vectors" in timing:
        screen.warn(f"their vectors follow {timing['vectors']}")
