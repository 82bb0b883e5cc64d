"""How a person is asked: the ladder of a request, and a request about an undo."""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from activities.services import digest
from contracts.approvals import Rung
from ledger import approvals
from ledger.approvals import Request
from ledger.effects import Effect
from policies.automation import Approvals
from policies.bundles import Bundle
from tools.contract import Tool

HOLDS = timedelta(hours=1)
"""How long a word on an undo holds after the request's own deadline: it is waited for, so it is used at once."""


def rungs(asking: Approvals, now: datetime) -> list[dict[str, Any]]:
    """Return what happens while nobody rules, in the order of its time: reminders, a wider circle, the safe end."""
    found = [_rung(now + after, "remind") for after in asking.remind] + [_rung(now + asking.deadline, "end")]
    found += [_rung(now + asking.escalate, "escalate")] if asking.escalate else []
    return [rung.model_dump() for rung in sorted(found, key=lambda rung: rung.at)]


def undo_request(
    tenant: str, bundle: Bundle, effect: Effect, back: Tool, arguments: dict[str, Any], nth: int, *, why: str, asker: str
) -> Request:
    """Return the request whether ``back`` shall (again) take back an effect. The same attempt gives the same request.

    asker: the workflow that waits for the answer. Approve runs it with these arguments, edit with others, reject leaves the effect.
    """
    asking, now = bundle.settings.approvals, datetime.now(UTC)
    bound = {"tool": back.name, "version": back.version, "arguments": arguments, "tenant": tenant, "undoes": effect.key, "nth": nth}
    return Request(
        id=approvals.request_id(effect.lineage, effect.step, effect.n, digest(bound), "undo"),
        lineage=effect.lineage,
        workflow_id=asker,
        step=effect.step,
        n=effect.n,
        tool=back.name,
        digest=digest(bound),
        bundle=bundle.hash,
        arguments=arguments,
        schema=back.arguments.model_json_schema(),
        question="undo",
        reason=f"to undo {effect.tool}: {why}"[:500],
        groups=list(asking.groups),
        unsigned=asking.unsigned,
        state="pending",
        rungs=rungs(asking, now),
        created_at=now,
        expires_at=now + asking.deadline + HOLDS,
    )


def _rung(at: datetime, kind: Literal["remind", "escalate", "end"]) -> Rung:
    return Rung(at=int(at.timestamp() * 1000), kind=kind)
