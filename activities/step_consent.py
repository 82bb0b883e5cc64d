"""People's word on a step: what they are asked of its action, what they allowed, and what an edit makes of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from activities.actions import Action, Actions
from activities.requests import about, ends, rungs, terms
from contracts.approvals import Terms
from contracts.effects import ActResult
from contracts.errors import BadInput, ToolRetry
from database import Tx
from ledger import approvals, runs, steps, votes
from ledger.approvals import Request
from ledger.votes import Vote
from tools.contract import Due

KEPT_AFTER_SLOT = timedelta(hours=1)


class StepConsent(Actions):
    """Asks people about the actions of one run's bundle."""

    async def approved(self, tx: Tx, action: Action, due: Due | None, question: str, reason: str) -> Any:
        """Return the action with its approval, or how the step waits or ends without one; what a refusal ends is the caller's to say."""
        request = action.view.request
        other = request is not None and question == "again" and request.n != action.claim.n
        if request is None or other or request.question not in (question, "again"):
            return await self._ask(tx, action, question, reason, due)
        match request.state:
            case "superseded":
                return await self._edited(tx, action, request, due)
            case "pending" if request.digest == action.digest:
                return ActResult(status="needs_approval", gate=request.gate)
            case "approved" | "consumed" if self._fits(action, request, await approvals.now(tx)):
                approver = {"approval": request.id, "approver": request.ruled_by, "reason": (request.ruling or {}).get("reason", "")}
                return replace(action, because={**action.because, **approver})
            case "rejected":
                return ActResult(status="refused", detail=f"{request.ruled_by}: {(request.ruling or {}).get('reason', '')}")
            case "expired" | "cancelled":
                return ActResult(status="refused", detail=f"the request {request.id} is {request.state}")
            case _:
                # What would run has changed since (new code, another output): that approval fits nothing any more.
                await approvals.make_stale(tx, request.id)
                return await self._ask(tx, action, question, reason, due)

    def _fits(self, action: Action, request: Request, now: datetime) -> bool:
        """Whether an approval holds for this action: it, its bundle and who must agree are the same, and its time is not out."""
        if request.digest != action.digest or request.bundle != self.bundle.hash:
            return False
        if request.consumed_by == action.claim.key:
            return True
        bound = self._terms(action)
        same = not request.terms or (request.bound.stages, request.bound.above) == (bound.stages, bound.above)
        return same and request.state == "approved" and request.expires_at > now

    def _terms(self, action: Action) -> Terms:
        return terms(self.bundle, action.judgement.matched, action.tool.cost_micros, one_machine=self._services.one_machine)

    async def _ask(self, tx: Tx, action: Action, question: str, reason: str, due: Due | None, edited: Request | None = None) -> ActResult:
        """Insert a request for exactly this action. edited: the one that an editor's word ended, and of which this is the edit."""
        request = await self._request(tx, action, question, reason, due)
        vote = None
        if edited:
            request = replace(request, editor=edited.ruled_by, supersedes=edited.id)
            vote = await self._editors(tx, edited) if edited.stage == 0 and not request.bound.above else None
        if edited and vote:
            request = _voted(request, edited)
        await approvals.ask(tx, request, editor=vote)
        if not request.ended:
            await steps.mark(tx, action.claim.lineage, action.view.step.step, "needs_approval", f"{request.id}: {reason}")
        return ActResult(status="needs_approval", gate=request.gate)

    async def _request(self, tx: Tx, action: Action, question: str, reason: str, due: Due | None) -> Request:
        view, asking, bound = action.view, self.bundle.settings.approvals, self._terms(action)
        now, run = await approvals.now(tx), await runs.read(tx, action.claim.lineage)
        ladder = rungs(asking, now)
        # Who approves a piece of next week has approved it for next week: the word holds until its slot has passed.
        kept = max(ends(ladder), due.at + due.grace + KEPT_AFTER_SLOT) if due else ends(ladder)
        previous = view.request.id if view.request else ""
        return Request(
            id=approvals.request_id(action.claim.lineage, view.step.step, action.claim.n, action.digest, f"{question}{previous}"),
            lineage=action.claim.lineage,
            workflow_id=view.workflow_id,
            step=view.step.step,
            n=action.claim.n,
            tool=action.tool.name,
            digest=action.digest,
            bundle=self.bundle.hash,
            arguments=action.arguments,
            schema=action.tool.arguments.model_json_schema(),
            question=question,
            reason=reason,
            groups=list(bound.stages[0].groups),
            unsigned=asking.unsigned,
            state="pending",
            rungs=ladder,
            created_at=now,
            expires_at=kept,
            terms=bound.model_dump(mode="json"),
            about=about(action.tool, action.judgement, question),
            starter=run.starter if run else "",
        )

    async def _editors(self, tx: Tx, edited: Request) -> Vote:
        """Return the vote that an editor's word is: below the threshold, who edits an action agrees to it."""
        cast = next((vote for vote in await votes.of(tx, edited.id) if vote.verdict == "edit"), None)
        given = cast or Vote(edited.ruled_by or "", 0, "edit", str((edited.ruling or {}).get("channel", "")))
        return replace(given, stage=0, verdict="approve", claim="")

    async def _edited(self, tx: Tx, action: Action, request: Request, due: Due | None) -> Any:
        """Take over an editor's arguments: a new action, judged anew, which others may have to approve as well."""
        arguments: dict[str, Any] = (request.ruling or {})["arguments"]
        await steps.rewrite(tx, action.claim.lineage, action.claim.step, arguments)
        view = replace(action.view, step=replace(action.view.step, arguments=arguments))
        try:
            edited = self.action(tx.tenant, view)
        except (BadInput, ToolRetry) as error:
            return await self.fail(tx, view, f"as edited: {error}")
        if edited.judgement.outcome == "deny":
            return await self.end(tx, view, "denied", f"as edited: {edited.judgement.because}", because=edited.because)
        await self._ask(tx, edited, request.question, request.reason, due, edited=request)
        # Looked at again from the start: with other arguments the step may have another slot.
        return ActResult(status="wait", at=int(datetime.now(UTC).timestamp() * 1000))


def _voted(request: Request, edited: Request) -> Request:
    """Return a request as its editor's vote leaves it: approved where that is enough, else further on."""
    stages = request.chain
    if stages[0].quorum > 1:
        return request
    if len(stages) > 1:
        return replace(request, stage=1, groups=list(stages[1].groups))
    return replace(request, state="approved", ruled_by=edited.ruled_by, ruled_at=edited.ruled_at, ruling=edited.ruling)
