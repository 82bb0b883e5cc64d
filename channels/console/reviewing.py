"""Reviews: what was let through by breaking the glass is looked at by somebody else, who says what was found."""

from starlette.responses import Response

from channels.console import inbox
from channels.console.visit import Visit
from contracts.approvals import RuleResult
from ledger import reviews
from ledger.reviews import Review


async def review(visit: Visit) -> Response:
    """Close the review of a request, and show its card."""
    shown, form = await inbox.found(visit, visit.part("request")), await visit.form()
    said = await closed(visit, shown.id, form.get("note", ""))
    answer = await inbox.answered(visit, shown, RuleResult(accepted=True, message=said, request=shown.id, ended=True))
    # The banner of the page that is open asks for itself again.
    answer.headers["hx-trigger"] = "reviewed"
    return answer


async def closed(visit: Visit, request: str, note: str) -> str:
    """Close a review and say so. Raises: BadInput where none is open, this person broke the glass, or nothing is said."""
    async with visit.house.database.transaction(visit.tenant) as tx:
        await reviews.close(tx, request, visit.person.id, note)
    return f"reviewed by {visit.person.id}"


async def waiting(visit: Visit) -> list[Review]:
    """Return the reviews that nobody has done, the most urgent first."""
    async with visit.house.database.transaction(visit.tenant) as tx:
        return await reviews.waiting(tx)
