"""What is remembered: found by its words, with where it comes from; and forgotten where a person says so."""

from collections.abc import Sequence

import structlog
from starlette.responses import Response
from temporalio.service import RPCError

from channels import histories
from channels.console.answers.knowledge import Find, Forget
from channels.console.visit import Visit
from contracts.errors import PerdureError
from memory import browsing, erasure
from memory.browsing import Remembered
from memory.erasure import Named

LOG = structlog.get_logger(__name__)


async def page(visit: Visit) -> Response:
    """Show what is remembered, the newest first."""
    words = Find.model_validate(dict(visit.request.query_params)).q
    return visit.page("memory.html", facts=await found(visit, words), q=words, said="", good=True, title="Memory")


async def found(visit: Visit, words: str) -> list[Remembered]:
    """Return what is believed and has these words."""
    async with visit.house.database.transaction(visit.tenant) as tx:
        return await browsing.find(tx, words)


async def forget(visit: Visit) -> Response:
    """Forget all about a subject, and show what is left."""
    form = await visit.form()
    also = [line.strip() for line in form.get("also", "").splitlines() if line.strip()]
    said = await forgotten(visit, Forget(subject=form.get("subject", ""), also=also, reason=form.get("reason", "")))
    return visit.page("memory.html", facts=await found(visit, ""), q="", said=said, good=True, title="Memory")


async def forgotten(visit: Visit, word: Forget) -> str:
    """Forget all about a subject, histories of ended runs too, and say what that was. Raises: BadInput."""
    async with visit.house.database.transaction(visit.tenant) as tx:
        erased = await erasure.forget(tx, word.subject, word.reason, visit.person.id, also=word.also)
    visit.house.soon(_histories(visit, [run for run in erased.runs if not run.running]))
    running = ", ".join(run.workflow_id for run in erased.runs if run.running)
    again = f"; forget it again when these have ended: {running}" if running else ""
    return f"forgotten: {sum(erased.deleted.values())} rows deleted, {sum(erased.redacted.values())} redacted{again}"


async def _histories(visit: Visit, runs: Sequence[Named]) -> None:
    try:
        for run in runs:
            await histories.delete(await visit.house.connect(), run.workflow_id, run.lineage)
    except (PerdureError, RPCError) as error:
        LOG.warning("histories are not deleted, and go after the server's retention", error=f"{type(error).__name__}: {error}")
