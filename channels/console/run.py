"""The page of one run: what it did and why, what it does now, and what a person may do to it."""

import asyncio
from contextlib import suppress
from typing import Any

from starlette.responses import Response
from temporalio.service import RPCError

from channels import explain, standing, under_way
from channels.console.doors import Handler
from channels.console.graph import graph
from channels.console.stream import saying
from channels.console.visit import Visit
from channels.explain import Explained
from channels.operating import AlreadyRunning
from channels.under_way import UnderWay
from contracts.errors import BadInput, PerdureError, StackError
from contracts.operations import Operated, StepWord
from ledger import feed, listing, operations, runs, said_so_far
from ledger.runs import RunRow

TEMPORAL_SECONDS = 2.0
VERBS = ("pause", "resume", "cancel", "retry", "fork", "undo")
ENDINGS = {"": None, "undo": "undo", "keep": "keep"}
RETRIED = ("failed", "denied", "unknown", "waiting", "planned")


async def page(visit: Visit) -> Response:
    """Show a run; a part of the page asks for itself again when something has happened."""
    run = await visit.run()
    template = "state.html" if visit.partial and visit.request.headers.get("hx-target") == "state" else "run.html"
    return await _shown(visit, run, template)


async def _shown(visit: Visit, run: RunRow, template: str, result: Operated | None = None, status: int = 200) -> Response:
    async with visit.house.database.transaction(visit.tenant) as tx:
        # The mark comes first: what happens while the rest is read is told again rather than not at all.
        mark = await feed.mark(tx)
        found = await explain.explain(tx, run)
        calls = await listing.calls(tx, run.lineage)
        # The part that asks for itself again has none of it.
        said = await said_so_far.shown(tx, [run.lineage]) if template == "run.html" else []
    notes = await standing_of(visit, found)
    values: dict[str, Any] = {
        "found": found, "notes": notes, "calls": calls, "mark": mark, "graph": graph(found.steps), "result": result,
        "state": "paused" if operations.held(found.run) else found.run.status, "title": found.run.workflow_id,
        "spent": standing.spent(found), "retried": RETRIED, "decisions": _decisions(found),
        "saying": [saying(call) for call in said],
    }  # fmt: skip
    return visit.page(template, status, **values)


def _decisions(found: Explained) -> list[str]:
    """Return the names of a run's decisions, from which it may be forked."""
    return list(dict.fromkeys(moment.step for moment in found.timeline if moment.kind == "decision" and moment.step))


async def standing_of(visit: Visit, found: Explained) -> list[str]:
    """Say where a run stands; what only Temporal knows is left out where it does not answer soon."""
    seen: UnderWay | None = None
    if found.run.status == "running":
        with suppress(TimeoutError, StackError, RPCError):
            async with asyncio.timeout(TEMPORAL_SECONDS):
                seen = await under_way.look(await visit.house.connect(), found.run.workflow_id)
    own = seen if seen and seen.first_run_id == found.run.lineage else None
    return standing.standing(found, own)


def operate(verb: str) -> Handler:
    """Return what does one verb to a run, and shows it."""

    async def handle(visit: Visit) -> Response:
        return await _operate(visit, verb)

    return handle


async def _operate(visit: Visit, verb: str) -> Response:
    run, form = await visit.run(), await visit.form()
    try:
        result = await operated(visit, run, verb, form)
    except (PerdureError, RPCError, AlreadyRunning) as error:
        said = error.message if isinstance(error, RPCError) else str(error)
        result = Operated(accepted=False, changed=False, message=said)
    async with visit.house.database.transaction(visit.tenant) as tx:
        fresh = await runs.read(tx, run.lineage)
    template = "state.html" if visit.partial else "run.html"
    return await _shown(visit, fresh or run, template, result, 200 if result.accepted else 409)


async def operated(visit: Visit, run: RunRow, verb: str, form: dict[str, Any]) -> Operated:
    """Pause, resume, cancel, retry, fork or undo a run. Raises: BadInput, PerdureError."""
    operator, word = visit.operator, visit.word(str(form.get("reason") or ""))
    match verb:
        case "pause":
            return await operator.pause(run, word)
        case "resume":
            return await operator.resume(run, word)
        case "cancel":
            if (ending := str(form.get("ending") or "")) not in ENDINGS:
                raise BadInput("`ending` is undo or keep, or is left out to do as the bundle says")
            return await operator.cancel(run, word, ENDINGS[ending])
        case "retry":
            return await operator.retry(run, StepWord(by=word.by, reason=word.reason, step=_step(form, "step")))
        case "fork":
            made = await operator.fork(run, _step(form, "at"), word, bundle=form.get("bundle") or None, id=form.get("id") or None)
            kept = f"{', '.join(made.kept)} kept" if made.kept else "nothing kept"
            return Operated(accepted=True, message=f"forked as {made.workflow_id}; {kept}")
        case _:
            return await operator.undo(run, word, str(form.get("since") or "") or None)


def _step(form: dict[str, Any], name: str) -> str:
    if not (step := str(form.get(name) or "")):
        raise BadInput(f"`{name}` is missing: the id of a step")
    return step
