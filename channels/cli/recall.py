"""`memory recall`: one query, or a file of them so that anyone can measure what is found."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from channels import queries
from channels.cli import link, screen
from channels.queries import Asked
from memory import filters, search
from memory.filters import Filter
from memory.search import Answer, Hit
from settings import Settings

SHOWN = 160  # characters of a fact in a list


def recall(
    query: Annotated[str | None, typer.Argument(metavar="[QUERY]", help="What is to be found.")] = None,
    file: Annotated[Path | None, typer.Option("--queries", metavar="FILE.jsonl", help=f"One object a line: {queries.EXAMPLE}")] = None,
    k: Annotated[int, typer.Option("--k", min=1, max=search.MOST, help="How many facts at most.")] = 10,
    filter: Annotated[str | None, typer.Option("--filter", metavar="JSON", help='Which facts may be found: {"subjects": ["ann"]}.')] = None,
    tenant: link.Tenant = None,
    as_json: link.Json = False,
) -> None:
    """Find what is remembered, best first; every answer says how it was found."""
    settings = link.settings()
    tenant = tenant or settings.tenant
    if (query is None) == (file is None):
        link.fail("give a QUERY, or --queries FILE.jsonl")
    if file is not None:
        link.run(_all(settings, tenant, file, k, as_json=as_json))
        return
    wanted = link.run(_filter(filter))
    answer = link.run(_one(settings, Asked("", query or "", tenant, wanted), k))
    if as_json:
        screen.print_json({**dataclasses.asdict(answer), "ms": round(answer.ms, 3)})
        return
    rows = [(hit.id, f"{hit.score:.3f}", hit.via, screen.line(hit.body, SHOWN), screen.line(_from(hit), 60)) for hit in answer.hits]
    screen.show(screen.table(("id", "score", "by", "text", "from"), rows) if rows else "nothing is remembered that answers this")
    screen.show(screen.styled(f"{answer.mode}, {answer.searched:,} looked at, {answer.ms:.1f} ms", "dim"))
    if answer.degraded:
        screen.warn(f"found by words only: {answer.degraded}")


def _from(hit: Hit) -> str:
    return " ".join(part for part in (hit.speaker, f"{hit.at:%Y-%m-%d}", hit.session) if part)


async def _filter(given: str | None) -> Filter:
    return filters.read(link.json_object(given, "--filter")) if given is not None else Filter()


async def _one(settings: Settings, asked: Asked, k: int) -> Answer:
    async with link.database(settings) as database, queries.recalling(settings, database) as recalling:
        await recalling.require(asked.tenant)
        return await recalling.answer(asked, k)


async def _all(settings: Settings, tenant: str, path: Path, k: int, *, as_json: bool) -> None:
    asked = queries.read(path, tenant)
    async with link.database(settings) as database, queries.recalling(settings, database) as recalling:
        for whose in sorted({one.tenant for one in asked}):
            await recalling.require(whose)
        for one in asked:
            answer = await recalling.answer(one, k)
            if as_json:
                hits = [{"id": hit.id, "score": round(hit.score, 6)} for hit in answer.hits]
                screen.print_json({"id": one.id, "mode": answer.mode, "ms": round(answer.ms, 3), "hits": hits})
            else:
                screen.show(f"{one.id}: {answer.mode}, {answer.ms:.1f} ms: {' '.join(hit.id for hit in answer.hits)}")
