"""`show` and `why`: where a run stands and what to do next, and how it came to be as it is."""

import asyncio
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer
from rich.text import Text

from channels import explain, standing, under_way
from channels.cli import cards, link, screen
from channels.explain import Explained, Moment
from channels.under_way import UnderWay
from contracts.errors import BadInput, StackError
from ledger import runs
from ledger.steps import StepRow
from settings import Settings

TEMPORAL_SECONDS = 5.0


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for name, command in (("show", show), ("why", why)):
        app.command(name)(command)


@dataclass
class Shown:
    """What is known of a run: by the ledger, by Temporal, and what follows from it."""

    found: Explained | None = None
    seen: UnderWay | None = None
    notes: list[str] = field(default_factory=list[str])


Named = Annotated[str, typer.Argument(metavar="RUN", help="Workflow ID or lineage.")]


def show(run: Named, tenant: link.Tenant = None, as_json: link.Json = False) -> None:
    """Show where a run stands: steps, what it waits for and how to go on, why it failed, what was refused."""
    settings = link.settings()
    tenant = tenant or settings.tenant
    shown = link.run(_look(settings, tenant, run))
    if as_json:
        calls = shown.seen.calls if shown.seen else []
        data = _data(shown.found) if shown.found else {"run": None}
        screen.print_json({**data, "notes": shown.notes, "calls": [dataclasses.asdict(call) for call in calls]})
        return
    if shown.found:
        screen.show(_headline(shown.found))
    for note in shown.notes:
        screen.show(screen.styled(note, "yellow"))
    if shown.found:
        _print(shown.found, tenant)


async def _look(settings: Settings, tenant: str, name: str) -> Shown:
    async with link.database(settings) as database, database.transaction(tenant) as tx:
        run = await runs.find(tx, name)
        shown = Shown(found=await explain.explain(tx, run) if run else None)
    try:
        async with asyncio.timeout(TEMPORAL_SECONDS):
            shown.seen = await under_way.look(await link.temporal(settings), run.workflow_id if run else name)
    except (StackError, TimeoutError) as error:
        if run is None:
            raise StackError(str(error) or "Temporal did not answer in time") from None
        shown.notes = ["Temporal cannot be reached, so what is tried again is not shown: `starter.py status` shows the parts"]
    if run is None and shown.seen is None:
        raise BadInput(f"tenant {tenant} has no run {name!r}: `starter.py list` shows them")
    shown.notes = [*shown.notes, *_notes(shown, name)]
    return shown


def _notes(shown: Shown, name: str) -> list[str]:
    found, seen = shown.found, shown.seen
    if found is None:
        # One that Temporal knows and the ledger does not never opened: Temporal has the reason.
        return standing.unopened(seen) if seen else []
    own = seen if seen and seen.first_run_id == found.run.lineage else None
    notes = standing.standing(found, own)
    if seen and own is None and name != found.run.lineage:
        notes.append(standing.later(seen))
    return notes


def _print(found: Explained, tenant: str) -> None:
    if found.steps:
        rows = [(step.step, step.tool, screen.colored(step.status), screen.line(_detail(step))) for step in found.steps]
        screen.show(screen.table(("step", "tool", "status", "detail"), rows, whole=3))
    for request in found.waiting:
        screen.show(cards.brief(request, tenant))
    if found.refusals:
        screen.show("refused:")
    for refusal in found.refusals:
        screen.show(screen.styled(f"  {screen.line(standing.refused(refusal))}", "red"))


def _detail(step: StepRow) -> str:
    inherited = f"inherited: {step.inherited}" if step.inherited else ""
    return " ".join(filter(None, (inherited, step.detail)))


def why(run: Named, tenant: link.Tenant = None, as_json: link.Json = False) -> None:
    """Print a run as a timeline: who and what decided, read, allowed, approved, did, and what it cost."""
    settings = link.settings()
    found = link.run(_explained(settings, tenant or settings.tenant, run))
    if as_json:
        screen.print_json(_data(found))
        return
    screen.show(_headline(found))
    screen.show(screen.table(("time (UTC)", "step", "what"), list(_rows(found.timeline)), whole=2))


def _rows(timeline: list[Moment]) -> Iterator[tuple[str, str, Text]]:
    day = ""
    for moment in timeline:
        if (date := f"{moment.at:%Y-%m-%d}") != day:
            yield date, "", Text()
            day = date
        lines = [screen.styled(screen.line(moment.text)), *(screen.styled(f"- {screen.line(note)}", "dim") for note in moment.notes)]
        yield f"{moment.at:%H:%M:%S.%f}"[:-3], screen.line(moment.step or ""), Text("\n").join(lines)


async def _explained(settings: Settings, tenant: str, name: str) -> Explained:
    async with link.database(settings) as database:
        run = await link.find_run(database, tenant, name)
        async with database.transaction(tenant) as tx:
            return await explain.explain(tx, run)


def _data(found: Explained) -> dict[str, Any]:
    money = {"limit_micros": found.limit, "reserved_micros": found.reserved, "spent_micros": found.spent}
    rows = {"steps": found.steps, "requests": found.requests, "timeline": found.timeline, "refusals": found.refusals}
    return {
        "run": dataclasses.asdict(found.run),
        "forks": [fork.workflow_id for fork in found.forks],
        "forked_from": found.original.workflow_id if found.original else None,
        **money,
        **{name: [dataclasses.asdict(row) for row in group] for name, group in rows.items()},
    }


def _headline(found: Explained) -> Text:
    run = found.run
    state = "paused" if run.paused_at and run.status == "running" else run.status
    head = Text.assemble((screen.line(run.workflow_id), "bold"), " ", screen.colored(state))
    head.append(screen.plain(f"  {run.automation} {run.bundle[:12]}  {standing.spent(found)}"))
    return head.append(f"\n{screen.line(run.summary)}") if run.summary else head
