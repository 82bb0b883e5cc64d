"""People's word on an undo: what they are asked of a compensation, and what they allowed."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from activities.requests import undo_request
from activities.services import Services
from contracts.approvals import Gate
from database import Tx
from ledger import approvals, testimonies
from ledger.approvals import Request
from ledger.effects import Effect
from ledger.runs import RunRow
from policies.bundles import Bundle
from tools.contract import Tool


@dataclass(frozen=True, slots=True)
class Left:
    """What stays as it is, and why. gate: the request by which a person was asked. askable: whether one could settle it."""

    why: str
    gate: Gate | None = None
    askable: bool = False


@dataclass(frozen=True, slots=True)
class Consent:
    """Asks people about compensations of one run. asker: the workflow that waits for their answers; None asks nobody."""

    services: Services
    run: RunRow
    bundle: Bundle
    tenant: str
    asker: str | None
    since: datetime | None

    async def given(
        self, tx: Tx, effect: Effect, back: Tool, arguments: dict[str, Any], nth: int, why: str, *, edited: Request | None = None
    ) -> dict[str, Any] | Left | None:
        """Return the arguments that people approved, or how the effect is left. The word is used up here.

        None: a person says that it is undone already. edited: the request that an editor's word ended, where others have to agree to
        these arguments.
        """
        now = await approvals.now(tx)
        wanted = undo_request(
            self.tenant, self.bundle, effect, back, arguments, nth, now, why=why, asker=self.asker or "", starter=self.run.starter,
            one_machine=self.services.one_machine,
        )  # fmt: skip
        if edited:
            id = approvals.request_id(effect.lineage, effect.step, effect.n, wanted.digest, f"undo{edited.id}")
            wanted = replace(wanted, id=id, editor=edited.ruled_by, supersedes=edited.id)
        request = await approvals.latest(tx, effect.lineage, effect.step, wanted.digest)
        if request and testimonies.given(request):
            return None
        if request is None or self._unanswered(request, now):
            if self.asker is None:
                return Left(why, askable=True)
            anew = f"{wanted.id}-{int(self.since.timestamp() * 1_000_000)}" if request and self.since else wanted.id
            # What was asked with another version of the tool fits nothing any more.
            await approvals.withdraw(tx, effect.lineage, effect.step, effect.n, "undo")
            await approvals.ask(tx, replace(wanted, id=anew))
            return Left(why, gate=replace(wanted, id=anew).gate)
        if request.state == "pending":
            return Left(why, gate=request.gate)
        if request.state == "superseded" and request.expires_at > now:
            arguments = (request.ruling or {})["arguments"]
            if not request.bound.above and [stage.quorum for stage in request.chain] == [1]:
                return arguments
            return await self.given(tx, effect, back, arguments, nth, why, edited=request)
        used_by = undo_key(effect, nth)
        if request.state in ("approved", "consumed") and await approvals.consume(tx, request, used_by, request.digest, self.bundle.hash):
            return arguments
        who = f"{request.ruled_by}: {(request.ruling or {}).get('reason', '')}" if request.ruled_by else f"the request is {request.state}"
        return Left(f"{why}; left as it is ({who})")

    def _unanswered(self, request: Request, now: datetime) -> bool:
        """Return whether no word that holds came of a question that was asked before the newest order."""
        ran_out = request.state in ("approved", "superseded") and request.expires_at <= now
        over = ran_out or request.state in ("cancelled", "expired", "rejected", "stale")
        return over and self.since is not None and request.created_at < self.since


def undo_key(effect: Effect, nth: int) -> str:
    """Return the key of an effect's nth compensation."""
    return f"{effect.key}/undo" + (f"/{nth}" if nth > 1 else "")
