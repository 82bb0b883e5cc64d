"""Commands for what is remembered: add, import, recall, show, forget, stats, check."""

import dataclasses
import getpass
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from channels.cli import forget, importing, keeping, link, models, recall, screen, tenants
from channels.cli.terminal import By
from contracts.errors import BadInput
from ledger import breakers
from memory import allowance, consistency, episodes, facts
from memory import importing as lines
from memory.allowance import Standing
from memory.consistency import Finding
from memory.episodes import Episode, NewEpisode
from memory.facts import Fact
from memory.storing import NewFact, Stored
from memory.writes import WriteKey
from settings import Settings

SHOWN = 100  # characters of an id that is repeated


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(no_args_is_help=True, help="What is remembered, and how well it is found again.")
    for name, command in (("add", add), ("import", importing.bring_in), ("recall", recall.recall), ("show", show)):
        group.command(name)(command)
    for name, command in (("forget", forget.forget), ("stats", stats), ("check", check)):
        group.command(name)(command)
    for name, command in (("keep", keeping.keep), ("expire", keeping.expire)):
        group.command(name)(command)
    models.register(group)
    app.add_typer(group, name="memory")


def add(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What is to be remembered.")],
    subject: Annotated[str, typer.Option("--subject", help="Whom or what it is about.")] = "",
    scope: Annotated[str, typer.Option("--scope", help="Whose memory it is part of.")] = "default",
    kind: Annotated[str, typer.Option("--kind")] = "note",
    id: Annotated[str | None, typer.Option("--id", help="Its id; without one the same text is kept once.")] = None,
    valid_from: Annotated[str | None, typer.Option("--valid-from", help="Since when it holds, as 2026-01-31T09:30:00Z.")] = None,
    valid_to: Annotated[str | None, typer.Option("--valid-to", help="Until when it holds.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="Names this write: a repetition with the same key changes nothing.")] = None,
    tenant: link.Tenant = None,
    as_json: link.Json = False,
) -> None:
    """Remember one fact; it is found by its words at once."""
    settings = link.settings()
    begin, end = link.run(_moments(valid_from, valid_to))
    fact = NewFact(text, id, scope, kind, subject, valid_from=begin, valid_to=end)
    stored = link.run(_added(settings, tenant or settings.tenant, fact, WriteKey("cli", key or uuid.uuid4().hex)))
    if as_json:
        screen.print_json(stored)
    elif stored.outcome == "forgotten":
        link.fail("not kept: it is about somebody who was to be forgotten", link.REFUSED)
    else:
        screen.show(f"{stored.id} ({'is remembered' if stored.outcome == 'new' else 'was remembered already'})")


async def _moments(*given: str | None) -> list[datetime | None]:
    return [lines.moment(text, "the date") for text in given]


async def _added(settings: Settings, tenant: str, fact: NewFact, key: WriteKey) -> Stored:
    async with link.database(settings) as database:
        await tenants.ready(database, tenant, may_create=tenants.may_create(settings))
        async with database.transaction(tenant) as tx:
            said = NewEpisode(fact.body, "cli", getpass.getuser(), "user", fact.subject)
            sources = tuple(id for id in await episodes.append(tx, key, [said]) if id)
            return (await facts.write(tx, key, [dataclasses.replace(fact, sources=sources)])).stored[0]


def show(
    id: Annotated[str, typer.Argument(metavar="ID", help="A fact or an episode.")], tenant: link.Tenant = None, as_json: link.Json = False
) -> None:
    """Show a fact, where it is known from and what it replaced; or an episode."""
    settings = link.settings()
    found = link.run(_shown(settings, tenant or settings.tenant, id))
    if as_json:
        screen.print_json(found)
        return
    fact: Fact | None = found["fact"]
    for title, rows in (("fact", [fact] if fact else []), ("from", found["episodes"]), ("replaced or replacing", found["history"])):
        for row in rows:
            screen.show(screen.styled(title, "bold"))
            screen.show(screen.table(("field", "value"), [(name, _value(value)) for name, value in dataclasses.asdict(row).items()]))


def _value(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else "" if value is None else screen.plain(value)


async def _shown(settings: Settings, tenant: str, id: str) -> dict[str, Any]:
    async with tenants.reading(settings, tenant) as tx:
        fact, episode = await facts.read(tx, id), await episodes.read(tx, id)
        if fact is None and episode is None:
            raise BadInput(f"tenant {tenant} remembers nothing under the id {screen.line(id, SHOWN)!r}")
        sources: list[Episode] = await episodes.of_fact(tx, id) if fact else []
        found = {each.id: each for each in [*sources, *([episode] if episode else [])]}
        past = [other for other in await facts.history(tx, id) if other.id != id] if fact else []
        return {"fact": fact, "episodes": list(found.values()), "history": past}


def stats(tenant: link.Tenant = None, as_json: link.Json = False) -> None:
    """Say how much is remembered."""
    settings = link.settings()
    found = link.run(_stats(settings, tenant or settings.tenant))
    if as_json:
        screen.print_json(found | {"embeddings": found["embeddings"] and found["embeddings"].told()})
        return
    models, day, left_alone = found.pop("models"), found.pop("embeddings"), found.pop("left_alone")
    screen.show(screen.table(("what", "rows"), [(name.replace("_", " "), f"{count:,}") for name, count in found.items()]))
    for model in models:
        vectors = f"{model['vectors']:,} vectors, {model['not_indexed']:,} not indexed yet, {model['waiting']:,} to be made"
        screen.show(f"model {model['name']} ({model['dims']} dimensions, {model['state']}): {vectors}")
    if day:
        _tell(day)
    for why in left_alone:
        screen.warn(f"{why}; what has no vector yet is found by words only, and queries go by words")


async def _stats(settings: Settings, tenant: str) -> dict[str, Any]:
    async with tenants.reading(settings, tenant) as tx:
        left_alone = [breakers.told(breaker) for breaker in await breakers.embeddings(tx)]
        return await consistency.stats(tx) | {"embeddings": await allowance.today(tx), "left_alone": left_alone}


def _tell(day: Standing) -> None:
    screen.show(str(day))
    if day.stopped_at:
        screen.warn(
            f"there was no room left at {day.stopped_at.astimezone(UTC):%H:%M} (UTC): what has no vector yet is found by words only"
        )


def check(
    mend: Annotated[bool, typer.Option("--mend", help="Set right what does not agree.")] = False,
    by: By = None,
    tenant: link.Tenant = None,
    as_json: link.Json = False,
) -> None:
    """Compare facts, words, statistics and vectors with each other; exits with 1 where they do not agree."""
    settings = link.settings()
    tenant = tenant or settings.tenant
    found, day = link.run(_checked(settings, tenant, by, mend=mend))
    wrong = [finding for finding in found if finding.count]
    if as_json:
        counts = {finding.name: finding.count for finding in found}
        screen.print_json({"findings": counts, "mended": mend and bool(wrong), "embeddings": day and day.told()})
    else:
        for finding in wrong:
            screen.show(screen.styled(f"{finding.count:,} {finding.name}", "yellow" if mend else "red"))
        screen.show("mended" if mend and wrong else "not sound" if wrong else "sound")
        if day and day.stopped_at:
            _tell(day)
    if wrong and not mend:
        link.fail(f"`{link.command('memory', 'check', '--mend', tenant=tenant)}` mends it", link.REFUSED)


async def _checked(settings: Settings, tenant: str, by: str | None, *, mend: bool) -> tuple[list[Finding], Standing | None]:
    if mend:
        await tenants.allowed(settings, tenant, "mend", by)
    async with tenants.reading(settings, tenant, snapshot=not mend) as tx:
        return await (consistency.mend(tx) if mend else consistency.check(tx)), await allowance.today(tx)
