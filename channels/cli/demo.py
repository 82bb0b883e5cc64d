"""`demo`: the main job on this machine, with a worker that is killed on the way, and proof of what happened."""

import asyncio
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer
import yaml
from rich.text import Text

from channels import explain, standing, under_way
from channels.cli import approvals, cards, link, screen
from channels.cli.automations import Folders
from channels.cli.runs import start_run
from channels.cli.stack import progress
from channels.explain import Explained
from contracts.approvals import Ruling
from contracts.errors import BadInput, PerdureError
from database import Database
from devstack import stack
from devstack.journal import Journal
from devstack.parts import WORKER
from ledger import effects, runs
from ledger.approvals import Request
from ledger.effects import Effect
from settings import ROOT, Settings

AUTOMATION = "content-ops"
THEME = "durable agents that publish exactly once"
SLOTS = {"first_slot_seconds": 8, "slot_every_seconds": 5}
PATIENCE = 600.0  # seconds until the demo gives up on its run


@dataclass(frozen=True, slots=True)
class Summary:
    """What the demo ends with. ``duplicate_effects`` are counted where the effects arrived, not in our own books."""

    run: str
    status: str
    published: list[dict[str, str]]
    decisions: int
    effects: int
    duplicate_effects: int
    worker_kills: int
    cost_micros: int
    seconds: float


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    yes: Annotated[bool, typer.Option("--yes", help="Approve everything without asking.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")] = False,
) -> None:
    """Plan, ask you, lose the worker to SIGKILL, and publish exactly once."""
    if not yes and not sys.stdin.isatty():
        link.fail("there is no terminal to ask on: answer beforehand with --yes")
    started = time.monotonic()
    settings, applied = link.settings(), Folders()
    with progress() as say:
        settings = link.run(stack.up(settings, say, prepare=applied.apply_all))
    if problem := applied.problems.pop(AUTOMATION, None):
        link.fail(problem)
    for problem in applied.problems.values():
        screen.warn(problem)
    found, done, kills = link.run(_run(settings, yes=yes))
    copies = outside(settings, done)
    summary = Summary(
        run=found.run.workflow_id,
        status=found.run.status,
        published=_published(found),
        decisions=sum(moment.kind == "decision" for moment in found.timeline),
        effects=len(done),
        duplicate_effects=sum(max(0, count - 1) for count in copies.values()),
        worker_kills=kills,
        cost_micros=found.spent,
        seconds=round(time.monotonic() - started, 1),
    )
    _print(settings, found, summary, copies)
    if as_json:
        screen.print_json(summary)
    if summary.status != "completed" or summary.duplicate_effects:
        raise typer.Exit(1)


async def _run(settings: Settings, *, yes: bool) -> tuple[Explained, list[Effect], int]:
    sources = _sources(settings)
    started = await start_run(settings, settings.tenant, AUTOMATION, {"sources": str(sources), "theme": THEME, **SLOTS})
    id: str = started["workflow_id"]
    screen.show(f"run {id} reads {len(list(sources.iterdir()))} notes and plans with {settings.model or 'the model'}")
    killed, patience = False, time.monotonic() + PATIENCE
    async with link.database(settings) as database:
        while (found := await _look(database, settings.tenant, id)) is None or found.run.status == "running":
            for request in found.waiting if found else ():
                await _decide(settings, request, yes=yes)
                patience = time.monotonic() + PATIENCE
            if found and not killed and _ready_to_lose(found):
                killed = True
                await _kill(settings)
            await asyncio.sleep(0.2)
            if found is None:
                await _raise_if_not_opened(settings, id)
            if time.monotonic() > patience:
                raise PerdureError(f"the run has not ended within {PATIENCE:.0f} s: `{link.command('show', id)}` tells why")
        async with database.transaction(settings.tenant) as tx:
            done = [effect for effect in await effects.of_run(tx, found.run.lineage) if effect.state == "done"]
    return found, done, int(killed)


def _sources(settings: Settings) -> Path:
    """Lay out this repository's own notes: its docs and its changelog."""
    folder = settings.state / "demo" / "sources"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in (*sorted((ROOT / "docs").rglob("*.md")), ROOT / "CHANGELOG.md"):
        shutil.copyfile(path, folder / path.name.lower())
    return folder


async def _look(database: Database, tenant: str, id: str) -> Explained | None:
    async with database.transaction(tenant) as tx:
        run = await runs.find(tx, id)
        return await explain.explain(tx, run) if run else None


async def _raise_if_not_opened(settings: Settings, id: str) -> None:
    seen = await under_way.look(await link.temporal(settings), id)
    if seen is not None and seen.closed_at is not None:
        raise BadInput("\n".join(standing.unopened(seen)))


async def _decide(settings: Settings, request: Request, *, yes: bool) -> None:
    screen.show(cards.card(request))
    agreed = yes or await asyncio.to_thread(typer.confirm, f"Publish it ({request.tool})?", True)
    verdict, reason = ("approve", "looks right") if agreed else ("reject", "not wanted")
    ruling = Ruling(request=request.id, verdict=verdict, by="you", reason=reason, digest=request.digest)
    result = await approvals.rule(settings, settings.tenant, ruling)
    screen.show(screen.styled(f"  {result.message}", "green" if agreed else "yellow"))


def _ready_to_lose(found: Explained) -> bool:
    """Return whether some pieces are out or under way and others are not."""
    publishing = [step for step in found.steps if step.tool in PUBLISHES]
    return bool(publishing) and not found.waiting and any(step.ended_at for step in publishing)


async def _kill(settings: Settings) -> None:
    pid = WORKER.pid(settings)
    WORKER.process(settings).kill()
    screen.show(Text.assemble((f"kill -9 {pid}", "red"), ": the worker is gone in the middle of the run"))
    await stack.start_worker(settings)
    screen.show(Text.assemble(("another worker", "green"), f" {WORKER.pid(settings)} takes over"))


PUBLISHES = ("blog.publish", "newsletter.send", "social.post")


def _published(found: Explained) -> list[dict[str, str]]:
    done = [step.output for step in found.steps if step.tool in PUBLISHES and step.status == "done" and step.output]
    return [{"channel": output["channel"], "ref": output["ref"]} for output in done]


def outside(settings: Settings, done: Iterable[Effect]) -> dict[str, int]:
    """Count how often each published effect is found where it went: site folder, mailbox, social network."""
    site = settings.state / "files" / settings.tenant / AUTOMATION
    posts = [yaml.safe_load(path.read_text().split("---\n")[1])["key"] for path in site.glob("site/posts/*.md")]
    mails = [line["message_id"] for line in Journal(settings.state / "mail" / "deliveries.jsonl").read()]
    social = [line["key"] for line in Journal(settings.state / "social" / "posts.jsonl").read() if line["event"] == "posted"]
    seen = Counter([*posts, *mails, *social])
    named = {effect.key: (effect.output or {}).get("ref") if effect.tool == "newsletter.send" else effect.key for effect in done}
    return {effect.key: seen[named[effect.key]] for effect in done if effect.tool in PUBLISHES}


def _print(settings: Settings, found: Explained, summary: Summary, copies: dict[str, int]) -> None:
    rows = [(piece["channel"], piece["ref"]) for piece in summary.published]
    screen.show(screen.table(("channel", "published as"), rows, whole=2) if rows else "nothing was published")
    screen.show(
        f"{summary.status}: {summary.decisions} decisions, {summary.effects} effects, {summary.worker_kills} worker killed, "
        f"cost {explain.dollars(summary.cost_micros)}, {summary.seconds} s"
    )
    proof = "each exactly once" if all(count == 1 for count in copies.values()) else f"not each once: {copies}"
    screen.show(f"proof: {len(copies)} pieces were counted where they arrived, {proof}; {summary.duplicate_effects} duplicates")
    screen.show(f"site  {settings.state / 'files' / settings.tenant / AUTOMATION / 'site'}\nmail  {settings.state / 'mail'}")
    screen.show(f"why   {link.command('why', summary.run)}")
    where = f"{settings.console_address}/runs/{quote(summary.run, safe='')}"
    screen.show(f"see   {where} in the console; `{link.command('console')}` prints a link that logs you in")
