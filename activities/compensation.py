"""One compensation: what an effect did is taken back once, under a key of its own, or a person is asked."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from activities import breakers
from activities.admission import remembered
from activities.breakers import Passage
from activities.calls import call, deadline, looked_up, parsed
from activities.services import Services, digest, facts
from activities.undo_consent import Consent, Left, undo_key
from contracts.errors import ToolFailed, ToolRetry, ToolUnknown, TransientError
from database import Tx
from ledger import effects, lineage, records, testimonies
from ledger.approvals import Request
from ledger.effects import Claim, Effect
from ledger.runs import RunRow
from memory import revisions
from policies.bundles import Bundle
from policies.rules import Judgement
from tools.calls import Incapable
from tools.contract import Tool

UNSEEN = ("claimed", "unknown")
TRIES = 5
"""Attempts of its own, not of the activity that takes back many, after which a compensation that keeps losing its answer is a person's."""


@dataclass(frozen=True)
class Compensation:
    """Takes back effects of one run. asker: the workflow that waits for people's answers; None asks nobody."""

    services: Services
    run: RunRow
    bundle: Bundle
    tenant: str
    asker: str | None
    since: datetime | None = None
    """When it was last ordered: a question that ended without an answer before that is asked anew."""
    shared: frozenset[str] = frozenset()
    """Keys of what may be taken back although a fork shares it."""

    async def find_out(self, effect: Effect) -> Left | None:
        """Find out whether an effect happened, and let it stay as it is. Raises: TransientError."""
        tool = self.services.registry.tools(self.bundle.automation).get(effect.tool)
        effect = await self._certain(effect, tool, knows=False) if effect.state in UNSEEN else effect
        return Left(f"{effect.tool} may have happened ({effect.detail})") if effect.state == "unknown" else None

    async def take_back(self, effect: Effect) -> Left | None:
        """Take one effect back; None where that is done.

        Raises: TransientError where it is to be tried again; Open where a tool is left alone for a while, which is waited for.
        """
        async with self.services.database.transaction(self.tenant) as tx:
            earlier = await effects.undoes(tx, effect.key)
            last = earlier[-1] if earlier else None
            if word := await testimonies.of_undo(tx, effect.lineage, effect.step, effect.n):
                return await self._testified(tx, effect, last, word)
        tools = self.services.registry.tools(self.bundle.automation)
        tool = tools.get(effect.tool)
        back = tools.get(effect.undo_with or (tool.compensate_with if tool else None) or "")
        if effect.state in UNSEEN:
            effect = await self._certain(effect, tool, knows=back is not None)
        if effect.state == "failed":
            return None
        doubt = f"{effect.tool} may have happened ({effect.detail})" if effect.state == "unknown" else ""
        if back is None:
            return Left(doubt or ("it cannot be undone" if tool else "its tool is gone"))
        if last and last.state in UNSEEN:
            last = await self._certain(last, back, knows=True)
        if last and last.state == "done":
            return await self._settled(effect)
        held = await self._claimed(effect, back, last, len(earlier) + 1, doubt)
        if isinstance(held, Left):
            return held
        if held and (await self._called(back, *held)).state == "done":
            return await self._settled(effect)
        # What failed or stays unseen is a person's now, who is asked by the same way; what one says is undone is found there too.
        return await self.take_back(effect)

    async def _settled(self, effect: Effect) -> None:
        async with self.services.database.transaction(self.tenant) as tx:
            await effects.resolve(tx, effect.key, "done", detail=effect.detail)
            await self._compensated(tx, effect)

    async def _compensated(self, tx: Tx, effect: Effect) -> None:
        await effects.compensated(tx, effect.key)
        await revisions.withdraw(tx, effect.lineage, effect.step)

    async def _testified(self, tx: Tx, effect: Effect, last: Effect | None, word: Request) -> None:
        """Believe the person who says that an effect is undone: nothing is called. Raises: TransientError while it may be at work.

        last: its newest compensation. word: the request that was answered so.
        """
        detail = f"{word.ruled_by} says that it is undone: {(word.ruling or {}).get('reason', '')}"
        for row in (effect, last):
            if row and row.state in UNSEEN and not row.released:
                await self._idle(tx, row)
                if not await effects.resolve(tx, row.key, "done", detail=detail, attempt=row.attempts):
                    raise TransientError("another attempt holds this effect", retry_after=1.0)
        await self._compensated(tx, effect)
        told = {"event": "undone", "tool": effect.tool, "undoes": effect.key, "detail": detail, "build": self.services.build}
        because = {"testified_by": word.ruled_by, "approval": word.id}
        await records.append(tx, f"{word.id}/undone", "effect", effect.lineage, effect.step, {**told, **because})

    async def _idle(self, tx: Tx, row: Effect) -> None:
        if (wait := await effects.wait(tx, row.key)) > 0:
            raise TransientError(f"{row.tool} may be at work still", retry_after=wait + 0.1)

    async def _certain(self, row: Effect, tool: Tool | None, *, knows: bool) -> Effect:
        """Find out what became of a call whose end nobody saw; what nobody can tell comes back as `unknown`.

        knows: its answer would be of use, so an idempotent call may be made again with its own key to get it.
        """
        async with self.services.database.transaction(self.tenant) as tx:
            await self._idle(tx, row)
        if row.released and row.undoes is None:
            return await self._resolved(row, "failed", None, row.detail)
        if tool and tool.lookup is not None and not row.released:
            async with self.services.database.transaction(self.tenant) as tx:
                await breakers.not_open(tx, self.bundle, tool.name)
            found = await looked_up(tool, row.key, self._context(tool, row.step, row.key, deadline(tool)))
            if found is not None:
                return await self._resolved(row, "done" if found.happened else "failed", found.output, "found by a look-up")
        if tool and knows and (row.released or (row.attempts <= TRIES and remembered(tool, row))):
            async with self.services.database.transaction(self.tenant) as tx:
                claim = replace(_claim(row, tool, row.arguments, row.key), undoes=row.undoes)
                held = await self._held(tx, tool, claim, "another attempt holds this effect")
            found = await self._called(tool, *held, doubt=not row.released)
            return replace(row, state=found.state, output=found.output, detail=found.detail)
        return await self._resolved(row, "unknown", None, row.detail or "the run ended before anybody saw how it ended")

    async def _resolved(self, row: Effect, state: str, output: dict[str, Any] | None, detail: str) -> Effect:
        async with self.services.database.transaction(self.tenant) as tx:
            if not await effects.resolve(tx, row.key, state, output=output, detail=detail, attempt=row.attempts):
                raise TransientError("another attempt holds this effect", retry_after=1.0)
        return replace(row, state=state, output=output, detail=detail)

    async def _held(self, tx: Tx, tool: Tool, claim: Claim, otherwise: str) -> tuple[Claim, Passage]:
        """Let a call through its tool's breaker and claim it. Raises: Open, or TransientError where somebody else holds it."""
        passage = await breakers.through(tx, self.bundle, tool.name, tool.seconds)
        held = await effects.claim(tx, claim)
        if held is None:
            raise TransientError(otherwise, retry_after=1.0)
        return held, passage

    async def _claimed(self, effect: Effect, back: Tool, last: Effect | None, nth: int, doubt: str) -> tuple[Claim, Passage] | Left | None:
        """Judge the next attempt, and claim it in the same transaction; None where a person says that it is undone already."""
        arguments = last.arguments if last else back.undo_arguments(effect.output or {})
        failed = f"{back.name} {'failed' if last.state == 'failed' else 'may have happened'}: {last.detail}" if last else ""
        async with self.services.database.transaction(self.tenant) as tx:
            if effect.key not in self.shared and (why := await self._used(tx, effect)):
                return Left(why)
            judgement = self._judged(back, arguments)
            if judgement.outcome == "deny":
                return Left(f"{back.name}: {judgement.because}")
            if asks := failed or doubt or (judgement.because if judgement.outcome != "allow" else ""):
                said = await self._consent.given(tx, effect, back, arguments, nth, asks)
                if not isinstance(said, dict):
                    return said
                arguments = said
                # An edit takes the same path: what the rules deny, nobody's word allows.
                if (edited := self._judged(back, arguments)).outcome == "deny":
                    return Left(f"{back.name}, as edited: {edited.because}")
                if last and last.state in UNSEEN:
                    await effects.resolve(tx, last.key, "unknown", detail="a person allowed another attempt", attempt=last.attempts)
            claim = replace(_claim(effect, back, arguments, undo_key(effect, nth)), undoes=effect.key)
            return await self._held(tx, back, claim, "an earlier undo may be at work")

    @property
    def _consent(self) -> Consent:
        return Consent(self.services, self.run, self.bundle, self.tenant, self.asker, self.since)

    async def _used(self, tx: Tx, effect: Effect) -> str:
        """Say which fork goes on from an effect, which is then left, or nothing. Until this transaction ends no fork begins."""
        await lineage.one_by_one(tx, effect.lineage)
        used = (await lineage.sharers(tx, effect.lineage)).get(effect.key)
        return f"{used}: only an undo with `--shared` takes it back" if used else ""

    def _judged(self, back: Tool, arguments: dict[str, Any]) -> Judgement:
        # Undo is never stopped by an empty budget.
        known = facts(back, arguments, tenant=self.tenant, automation=self.run.automation, input=self.run.input, taint=[], left=0)
        return self.bundle.rules.judge(known)

    async def _called(self, tool: Tool, claim: Claim, passage: Passage, *, doubt: bool = False) -> Effect:
        """Call a tool under a claim and record how that ended. Raises: TransientError, with what may be tried again given back.

        doubt: an earlier call with this key may have acted, which one that was not made says nothing of.
        """
        state, output, ended = "done", None, None
        try:
            output = await call(tool, _parsed(tool, claim.arguments), self._context(tool, claim.step, claim.key, claim.until))
        except (ToolFailed, ToolRetry) as error:
            state, ended = "unknown" if doubt and isinstance(error, Incapable | ToolRetry) else "failed", error
        except ToolUnknown as error:
            state, ended = "unknown", error
        except TransientError as error:
            async with self.services.database.transaction(self.tenant) as tx:
                await passage.ended(tx, error, claim.lineage, claim.step)
                await effects.release(tx, claim, str(error), doubt=doubt)
            raise
        detail = str(ended) if ended else ""
        async with self.services.database.transaction(self.tenant) as tx:
            await passage.ended(tx, ended, claim.lineage, claim.step)
            if not await effects.record(tx, claim, state, output=output, detail=detail):
                raise TransientError("another attempt holds this effect")
            if claim.undoes:
                id = f"{claim.key}/{state}" + (f"/{claim.attempt}" if state == "unknown" else "")
                await records.append(tx, id, "effect", claim.lineage, claim.step, self._body(tool, claim, state, detail))
            found = await effects.read(tx, claim.key)
        assert found is not None
        if state == "unknown" and tool.guarantee == "idempotent" and claim.attempt <= TRIES:
            raise TransientError(detail, retry_after=max(0.0, (claim.until - datetime.now(UTC)).total_seconds()) + 0.1)
        return found

    def _context(self, tool: Tool, step: str, key: str, until: datetime) -> Any:
        return self.services.context(
            self.bundle, tool, tenant=self.tenant, lineage=self.run.lineage, step=step, key=key, deadline=until, input=self.run.input
        )

    def _body(self, back: Tool, claim: Claim, state: str, detail: str) -> dict[str, Any]:
        event = {"done": "undone", "failed": "undo failed", "unknown": "undo unknown"}[state]
        named = {"tool": back.name, "key": claim.key, "undoes": claim.undoes, "detail": detail}
        return {"event": event, **named, "attempt": claim.attempt, "build": self.services.build}


def _parsed(tool: Tool, arguments: dict[str, Any]) -> Any:
    try:
        return parsed(tool, arguments)
    except ToolRetry as error:
        # The call is not made, so it says nothing of its tool.
        raise Incapable(str(error)) from None


def _claim(row: Effect, tool: Tool, arguments: dict[str, Any], key: str) -> Claim:
    return Claim(
        key=key,
        lineage=row.lineage,
        step=row.step,
        n=row.n,
        tool=tool.name,
        tool_version=tool.version,
        guarantee=tool.guarantee,
        digest=digest(arguments),
        arguments=arguments,
        until=deadline(tool),
        undo_with=tool.compensate_with,
    )
