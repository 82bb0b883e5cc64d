"""The list of runs: found by their words, state and automation."""

from datetime import datetime
from typing import get_args

from starlette.responses import Response

from channels.console.answers.runs import Runs
from channels.console.visit import Visit
from contracts.errors import BadInput
from contracts.runs import Ending
from ledger import feed, listing
from ledger.listing import Listed

STATES = ("running", *get_args(Ending))


async def page(visit: Visit) -> Response:
    """List runs, newest first."""
    wanted = Runs.model_validate(dict(visit.request.query_params))
    found, more = await listed(visit, wanted)
    async with visit.house.database.transaction(visit.tenant) as tx:
        known, mark = await listing.automations(tx), await feed.mark(tx)
    template = "rows.html" if visit.partial and visit.request.headers.get("hx-target") in ("rows", "more") else "runs.html"
    return visit.page(template, found=found, more=more, known=known, chosen=wanted, states=STATES, mark=mark, title="Runs")


async def listed(visit: Visit, wanted: Runs) -> tuple[list[Listed], str]:
    """Return the runs that are wanted, and from where the next page goes on. Raises: BadInput."""
    async with visit.house.database.transaction(visit.tenant) as tx:
        found = await listing.runs(
            tx, status=wanted.status or None, automation=wanted.automation or None, words=wanted.q, before=_before(wanted.before),
            limit=wanted.limit + 1,
        )  # fmt: skip
    last = found[wanted.limit - 1] if len(found) > wanted.limit else None
    return found[: wanted.limit], f"{last.started_at.isoformat()}/{last.lineage}" if last else ""


def _before(said: str) -> tuple[datetime, str] | None:
    if not said:
        return None
    at, _, lineage = said.partition("/")
    try:
        when = datetime.fromisoformat(at)
        if when.tzinfo is None or not lineage:
            raise ValueError
    except ValueError:
        raise BadInput("`before` is what the page before it gave as `more`") from None
    return when, lineage
