"""Edits: what the rules think of other arguments is said to their editor at once, and judged again before they run."""

from collections.abc import Mapping
from typing import Any

from contracts.approvals import Ruling
from database import Database, Tx
from ledger import approvals, surroundings
from ledger.approvals import Judge, Request
from policies.bundles import Bundle, Bundles


class Edits:
    """Judges edits by the bundle that their request binds."""

    def __init__(self, database: Database, bundles: Bundles) -> None:
        self._database = database
        self._bundles = bundles

    async def judge(self, tenant: str, ruling: Ruling) -> Judge | None:
        """Return what `approvals.rule` asks about an edit; None where it is none.

        The bundle is read here, since a transaction that waited for a second connection could wait for ever.
        """
        if ruling.verdict != "edit":
            return None
        async with self._database.transaction(tenant) as tx:
            found = await approvals.read(tx, ruling.request)
        # What was asked before its tool was kept with it is judged when it runs.
        if found is None or not found.about:
            return None
        bundle = await self._bundles.get(tenant, found.bundle)

        async def judged(tx: Tx, request: Request, arguments: Mapping[str, Any]) -> str | None:
            return await _denied(tx, bundle, request, arguments)

        return judged


async def _denied(tx: Tx, bundle: Bundle, request: Request, arguments: Mapping[str, Any]) -> str | None:
    around = await surroundings.of(tx, request.lineage, request.step)
    if around is None:
        return None
    undo = request.question == "undo"  # Never stopped by an empty budget, nor by what the plan had read.
    facts = {
        **{name: request.about[name] for name in ("effect", "guarantee", "reversible", "cost_micros")},
        "tool": request.tool,
        "arguments": dict(arguments),
        "input": around.input,
        "taint": [] if undo else list(around.taint),
        "automation": around.automation,
        "tenant": tx.tenant,
        "budget_left_micros": 0 if undo else around.left,
    }
    judgement = bundle.rules.judge(facts)
    return f"the rules deny that: {judgement.because}" if judgement.outcome == "deny" else None
