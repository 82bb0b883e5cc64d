"""Testimonies: what a person says has happened already, where it is asked whether to do something again, or whether to undo it."""

from contracts.approvals import Ruling
from contracts.errors import BadInput
from contracts.schemas import Checker, said
from database import Tx
from ledger.requests import COLUMNS, Request

QUESTIONS = ("again", "undo")
OF_UNDO = f"""
SELECT {COLUMNS} FROM approval
 WHERE tenant = $1 AND lineage = $2 AND step = $3 AND n = $4 AND question = 'undo' AND state = 'rejected'
   AND ruling ->> 'happened' = 'true'
 ORDER BY ruled_at, id LIMIT 1
"""  # noqa: S608


def given(request: Request) -> bool:
    """Return whether a request ended with a person's word that it has happened already."""
    return request.state == "rejected" and bool((request.ruling or {}).get("happened"))


async def of_undo(tx: Tx, lineage: str, step: str, n: int) -> Request | None:
    """Return the request by which a person first said that this effect of a step is undone already."""
    row = await tx.row(OF_UNDO, tx.tenant, lineage, step, n)
    return Request.from_row(row) if row else None


def problem(request: Request, ruling: Ruling) -> str | None:
    """Say why a testimony, or an output without one, does not fit what is asked, or None."""
    if not ruling.happened:
        return "`output` goes with `happened` only"
    if ruling.verdict != "reject" or request.question not in QUESTIONS:
        return "`happened` goes with the verdict `reject` of a request that asks whether to do something again, or whether to undo it"
    if ruling.output is None:
        return None
    if request.question == "undo":
        return "`output` does not go with an undo: that it is undone already is all there is to say"
    try:
        errors = Checker(request.about.get("result", {})).errors(ruling.output)
    except BadInput as error:
        return f"the output cannot be checked: {error}"
    return "; ".join(f"{'.'.join(map(str, error.path)) or 'output'}: {said(error)}" for error in errors[:5]) or None
