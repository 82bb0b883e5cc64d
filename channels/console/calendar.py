"""The calendar: what goes out when, and moving it."""

from itertools import groupby

from starlette.responses import Response

from channels import slots
from channels.console.visit import Visit
from channels.slots import Late
from contracts.errors import BadInput
from ledger import listing

FIRST = "content-ops"


async def page(visit: Visit) -> Response:
    """Show an automation's entries by day."""
    return await _shown(visit, visit.query("automation", FIRST))


async def _shown(visit: Visit, automation: str, said: str = "", *, good: bool = True) -> Response:
    async with visit.house.database.transaction(visit.tenant) as tx:
        entries, known = await slots.entries(tx, automation), await listing.automations(tx)
    days = [(day, list(found)) for day, found in groupby(entries, key=lambda entry: entry.at[:10])]
    status = 200 if good else 409
    return visit.page(
        "calendar.html", status, days=days, known=known or [automation], automation=automation, said=said, good=good, title="Calendar"
    )


async def move(visit: Visit) -> Response:
    """Move an entry, and show the calendar."""
    automation, form = visit.part("automation"), await visit.form()
    try:
        moved = await moved_to(visit, automation, visit.part("entry"), form.get("at", ""))
    except (BadInput, Late) as error:
        return await _shown(visit, automation, str(error), good=False)
    return await _shown(visit, automation, f"{moved.title} now goes out at {moved.at}")


async def moved_to(visit: Visit, automation: str, entry: str, at: str) -> slots.Entry:
    """Move an entry and wake its run. Raises: BadInput, Late."""
    when = slots.when(at)
    async with visit.house.database.transaction(visit.tenant) as tx:
        moved = await slots.move(tx, automation, entry, when, visit.person.id)
    await visit.house.wake(visit.tenant)
    return moved
