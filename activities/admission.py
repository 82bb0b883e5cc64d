"""What must hold before an action runs: arguments, rules, a person's word, its slot, its budget and its claim.

Everything here happens in one transaction and answers with an end of the step, a wait, or a claim that is held.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from activities import breakers
from activities.actions import Action
from activities.breakers import Open
from activities.step_consent import StepConsent
from contracts.effects import ActResult, Status
from contracts.errors import BadInput, PermanentError, ToolRetry, TransientError
from database import Tx
from ledger import approvals, effects, lineage, steps
from ledger.approvals import Request
from ledger.effects import Effect
from ledger.views import ActionView
from tools.contract import Due, Tool


@dataclass(frozen=True, slots=True)
class Uncertain:
    """An effect whose end nobody saw, and which must be looked up before anything else."""

    action: Action


class Admission(StepConsent):
    """Lets the actions of one run's bundle run, or says what they wait for."""

    async def admit(self, tx: Tx, view: ActionView, due: Due | None) -> ActResult | Action | Uncertain:
        """Let a step run, or say what it waits for or how it ended. Raises: TransientError where another attempt may be at work."""
        if view.step.ended_at is not None:
            return ActResult(status=_status(view.step.status), detail=view.step.detail)
        if view.run_status != "running":
            return await self.end(tx, view, "skipped", f"the run is {view.run_status}")
        if view.paused:
            return ActResult(status="paused")
        try:
            action = self.action(tx.tenant, view)
        except (BadInput, ToolRetry) as error:
            return await self.fail(tx, view, str(error))
        if view.effect is not None:
            return await self._again(tx, action, view.effect)
        if action.judgement.outcome == "deny":
            return await self.end(tx, view, "denied", action.judgement.because, because=action.because)
        if due is not None and due.missed == "skip" and _late(due):
            return await self.end(tx, view, "skipped", f"its slot was {due.at:%Y-%m-%d %H:%M:%S} UTC and nobody was there")
        if question := await self._question(tx, action, due):
            action = await self.approved(tx, action, due, *question)
            if isinstance(action, ActResult):
                return await self.end(tx, view, "refused", action.detail) if action.status == "refused" else action
        if due is not None and due.at > datetime.now(UTC):
            await steps.mark(tx, view.lineage, view.step.step, "waiting", f"for its slot at {due.at:%Y-%m-%d %H:%M:%S} UTC")
            return ActResult(status="wait", at=int(due.at.timestamp() * 1000))
        return await self._claimed(tx, action)

    async def _through(self, tx: Tx, action: Action) -> Action:
        """Let an action through its tool's breaker. Raises: Open."""
        seconds = (action.claim.until - datetime.now(UTC)).total_seconds()
        return replace(action, passage=await breakers.passage(tx, action.passage.breaker, action.passage.threshold, seconds))

    async def _claimed(self, tx: Tx, action: Action) -> Action:
        """Claim the effect's row, with its approval used up and its price booked.

        Raises: TransientError where another was faster; Open where the tool is left alone for a while.
        """
        action = await self._through(tx, action)
        if not action.writes:
            return action
        request = action.view.request
        key, used = action.claim.key, action.because.get("approval")
        if request and used == request.id and not await approvals.consume(tx, request, key, action.digest, self.bundle.hash):
            raise TransientError("the approval ran out at this moment; asking again", retry_after=0.1)
        price = action.tool.cost_micros
        if price and await effects.spend(tx, action.claim.lineage, price) is None:
            raise PermanentError(f"{action.tool.name} costs {price} micro-dollars, more than this run's budget has left")
        return await self._held(tx, action)

    async def _held(self, tx: Tx, action: Action) -> Action:
        claim = await effects.claim(tx, action.claim)
        if claim is None:
            raise TransientError("another attempt holds this effect", retry_after=1.0)
        return replace(action, claim=claim)

    async def _question(self, tx: Tx, action: Action, due: Due | None) -> tuple[str, str] | None:
        """Return what a person must be asked, and why; None where nobody must."""
        if due is not None and due.missed == "ask" and _late(due):
            return "late", f"its slot was {due.at:%Y-%m-%d %H:%M:%S} UTC: run it now?"
        # What a fork's family did must not happen twice unseen, whatever the rules allow.
        shared = action.writes and action.view.ancestors
        known = await lineage.done_in_family(tx, action.claim.lineage, action.tool.name, action.claim.digest) if shared else None
        if action.judgement.outcome == "require_approval":
            return "run", "; ".join(filter(None, (action.judgement.because, known)))
        if known:
            return "run", known
        # The first plan has nothing before it that a re-plan could repeat.
        repeats = action.writes and action.view.step.decision != "d1"
        if repeats and (found := await effects.same(tx, action.claim.lineage, action.tool.name, action.claim.digest, action.claim.key)):
            key, surely = found
            return "run", f"this run {'has done' if surely else 'may have done'} the same already ({key})"
        return None

    async def _again(self, tx: Tx, action: Action, effect: Effect) -> ActResult | Action | Uncertain:
        """Decide on a step whose effect was claimed before: the row of the same key and digest needs no second approval."""
        if effect.digest != action.claim.digest:
            raise PermanentError(f"the effect {effect.key} was claimed with other arguments; a key is for one action only")
        if effect.state in ("done", "compensated"):
            return await self.end(tx, action.view, "done", effect.detail, output=effect.output)
        if effect.state == "failed":
            return await self.end(tx, action.view, "failed", effect.detail)
        if (wait := action.view.wait) > 0:
            raise TransientError(f"an earlier attempt may be at work until {effect.deadline:%H:%M:%S} UTC", retry_after=wait + 0.1)
        if effect.released or remembered(action.tool, effect):
            return await self._held(tx, await self._through(tx, action))
        if action.tool.lookup is not None:
            if (breaker := action.passage.breaker).wait > 0:
                raise Open(breaker)
            return Uncertain(action)
        return await self.ask_again(tx, action)

    async def ask_again(self, tx: Tx, action: Action) -> ActResult | Action:
        """Let a person say what nobody else can: whether to do again what may have been done."""
        view = action.view
        why = f"{action.tool.name} may have happened ({view.effect.detail if view.effect else ''}): do it again?"
        asked = await self.approved(tx, replace(action, because={}), None, "again", why)
        if isinstance(asked, ActResult):
            if asked.status != "refused":
                return asked
            if view.request and (said := view.request.ruling or {}).get("happened"):
                return await self._testified(tx, action, view.request, said)
            await self._settled(tx, view, "unknown", asked.detail)
            return await self.end(tx, view, "unknown", f"nobody knows whether it happened; {asked.detail}")
        return await self.next_attempt(tx, asked, f"{asked.because.get('approver')} allowed another attempt", happened="unknown")

    async def _testified(self, tx: Tx, action: Action, request: Request, said: dict[str, Any]) -> ActResult:
        """End a step as done because a person says that it did happen, with the output that this person knows of, if any."""
        who, output = request.ruled_by, said.get("output")
        detail = f"{who} says that it happened: {said.get('reason', '')}"
        await self._settled(tx, action.view, "done", detail, output=output)
        because = {"key": action.claim.key, "testified_by": who, "approval": request.id, "output_known": output is not None}
        return await self.end(tx, action.view, "done", detail, output=output, because=because)

    async def _settled(self, tx: Tx, view: ActionView, state: str, detail: str, *, output: Any = None) -> None:
        """Settle the attempt that was asked about, and no later one. Raises: TransientError where another holds the effect."""
        effect = view.effect
        if effect and not await effects.resolve(tx, effect.key, state, output=output, detail=detail, attempt=effect.attempts):
            raise TransientError("another attempt holds this effect", retry_after=1.0)

    async def next_attempt(self, tx: Tx, action: Action, why: str, *, happened: str = "failed") -> Action:
        """Raise the step's ``n`` and claim its new key; the attempt before it is settled.

        happened: as what; `unknown` where nobody proved that it did not, so that undo looks at it too.
        """
        claim, effect = action.claim, action.view.effect
        if not await effects.resolve(tx, claim.key, happened, detail=why, attempt=effect.attempts if effect else None):
            raise TransientError("another attempt holds this effect", retry_after=1.0)
        n = claim.n + 1
        await steps.again(tx, claim.lineage, claim.step, n)
        return await self._claimed(tx, replace(action, claim=replace(claim, n=n, key=effects.key(claim.lineage, claim.step, n))))


def remembered(tool: Tool, effect: Effect) -> bool:
    """Return whether whoever dedupes still knows the key when a call that begins now has ended."""
    if tool.guarantee != "idempotent" or tool.key_ttl is None:
        return False
    return effect.claimed_at + tool.key_ttl > datetime.now(UTC) + timedelta(seconds=tool.seconds)


def _late(due: Due) -> bool:
    return due.at + due.grace < datetime.now(UTC)


def _status(value: str) -> Status:
    return value  # pyright: ignore[reportReturnType]
