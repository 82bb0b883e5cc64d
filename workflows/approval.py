"""The gate: what waits for a person or a time, and what people say meanwhile."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RawValue

from contracts import names
from contracts.approvals import Claim, ClimbRequest, Gate, Pending, RuleRequest, RuleResult, Ruling, Wake
from contracts.effects import ActResult
from contracts.message import complaint
from contracts.operations import StepWord, Word
from contracts.runs import Carried, RunRef
from workflows import steps
from workflows.control import Control

PENDING_SHOWN = 100
CLAIM_BYTES = 64_000
"""The longest signal that is read: one as long as the server takes could not be handed on, and would stop the run."""
CLAIMS_CARRIED = 16
"""With their length above, what one payload of the server (2 MB) surely holds."""
AGAIN = 1000
"""Milliseconds until a slot is looked at again that is past here and not yet there: clocks differ."""


class Gates:
    """The steps of one run that wait, and the claims that came in by signal."""

    def __init__(self, carried: Carried | None) -> None:
        self.gates = {gate.step: gate for gate in carried.gates} if carried else {}
        self.slots = dict(carried.slots) if carried else {}
        self.claims = list(carried.claims) if carried else []
        self.claimed = carried.claimed if carried else 0
        self.leaving = False
        self.control = Control(carried, lambda: self.leaving)
        self._ended: set[str] = set()
        self.wakes = 0
        self._seen: dict[str, int] = {}
        self._answers: dict[int, RuleResult | None] = {}
        # By function and not by decorator, so that every pattern's workflow has the same ears.
        workflow.set_dynamic_signal_handler(self._on_signal)
        workflow.set_dynamic_update_handler(self._on_update)
        workflow.set_query_handler(names.PENDING, self._pending)

    def note(self, step: str, result: ActResult) -> None:
        """Take over what `act` said the step has to wait for."""
        if result.gate:
            self.gates[step] = result.gate
        elif result.at is not None:
            now = int(workflow.now().timestamp() * 1000)
            self.slots[step] = result.at if result.at > now else now + AGAIN

    async def passed(self, step: str, run: RunRef) -> bool:
        """Wait for what the step waits for; False where the run goes on elsewhere first, and takes the wait along."""
        if step in self.gates and not await self._ruled(step, run):
            return False
        if step in self.slots and not await self._slot_came(step):
            return False
        # A wake that is heard from here on may tell of something newer than what `act` is about to read.
        self._seen[step] = self.wakes
        return True

    async def _ruled(self, step: str, run: RunRef) -> bool:
        # The request's row is the truth and a signal only wakes us: `act` reads it again, so a false wake costs a look.
        while (gate := self.gates[step]).rungs and gate.request not in self._ended:
            if self.leaving:
                return False
            # Rungs (reminder, escalation, the safe end) are absolute times, so continue-as-new keeps them.
            if await self._came_before(gate.rungs[0].at, lambda: gate.request in self._ended, gate.request):
                continue
            state = await steps.climb(ClimbRequest(tenant=run.tenant, request=gate.request, rung=gate.rungs[0]))
            self.gates[step] = gate.model_copy(update={"rungs": gate.rungs[1:]})
            if state.ended:
                break
        self._ended.discard(self.gates.pop(step).request)
        return True

    async def _slot_came(self, step: str) -> bool:
        def moved() -> bool:
            return self.wakes > self._seen.get(step, 0)

        if await self._came_before(self.slots[step], moved, step) and not moved():
            return False
        # Its time has come, or somebody moved an entry: `act` reads the slot again and answers with the new time.
        del self.slots[step]
        return True

    async def _came_before(self, at: int, something: Callable[[], bool], name: str) -> bool:
        """Wait until ``at`` (epoch milliseconds) and return whether ``something``, or the end of this execution, came first."""
        seconds = at / 1000 - workflow.now().timestamp()
        if seconds <= 0:
            return False
        with suppress(asyncio.TimeoutError):
            await workflow.wait_condition(lambda: self.leaving or something(), timeout=timedelta(seconds=seconds), timeout_summary=name)
            return True
        return False

    async def hand_over(self, run: RunRef) -> None:
        """Hand claims to the ledger, one after another, until the run leaves."""
        while True:
            await workflow.wait_condition(lambda: bool(self.claims) or self.leaving)
            if self.leaving:
                return
            await self._hand_over_one(run)

    async def hand_over_rest(self, run: RunRef, *, but: int = 0) -> None:
        """Hand over what is left, so that a late claim is answered too. but: how many may stay; an update's never does."""
        while len(self.claims) > but or self._answers:
            while len(self.claims) > but or None in self._answers.values():
                await self._hand_over_one(run)
            # Its sender hears the answer from this execution, or never.
            await workflow.wait_condition(lambda: None in self._answers.values() or not self._answers)

    async def dismiss(self, why: str) -> None:
        """Answer the updates of an execution that hands over nothing any more."""
        for nth, answer in self._answers.items():
            self._answers[nth] = answer or RuleResult(accepted=False, message=why)
        if self._answers:
            await workflow.wait_condition(lambda: not self._answers)

    def carried(self) -> dict[str, Any]:
        """Return what the next execution needs of this, as fields of `Carried`."""
        # Whose request ended while this execution was leaving need not wait there for what was heard here.
        gates = tuple(gate for gate in self.gates.values() if gate.request not in self._ended)
        slots = {step: at for step, at in self.slots.items() if self.wakes == self._seen.get(step, 0)}
        claims = {"claims": tuple(self.claims), "claimed": self.claimed}
        return {"gates": gates, "slots": slots, **claims, **self.control.carried()}

    async def _hand_over_one(self, run: RunRef) -> None:
        # Taken off after the call: should the run leave in between, the claim goes along; the row takes it once.
        request = RuleRequest(tenant=run.tenant, lineage=run.lineage, nth=self.claimed, claim=self.claims[0])
        result = await steps.rule(request)
        if self.claimed in self._answers:
            self._answers[self.claimed] = result
        claim = self.claims.pop(0)
        self.claimed += 1
        if result.ended:
            self._ended.add(result.request)
        if claim.word and result.accepted:
            self.control.wake()

    def _on_signal(self, name: str, inputs: Sequence[RawValue]) -> None:
        heard = _heard(name, inputs)
        if isinstance(heard, Claim):
            self.claims.append(heard)
        elif heard.run:
            self.control.wake()
        elif heard.request:
            self._ended.add(heard.request)
        else:
            self.wakes += 1

    async def _on_update(self, name: str, inputs: Sequence[RawValue]) -> RuleResult:
        """Answer what a signal only says: what became of it. It is a claim like that, handed over in its turn and recorded."""
        heard = _heard(name, inputs)
        if isinstance(heard, Wake):
            heard = Claim(signal=name, why=f"`{name}` is a signal: there is nothing to answer")
        nth = self.claimed + len(self.claims)
        self.claims.append(heard)
        self._answers[nth] = None
        await workflow.wait_condition(lambda: self._answers[nth] is not None)
        answer = self._answers.pop(nth)
        assert answer is not None
        return answer

    def _pending(self) -> list[Pending]:
        waiting = sorted(self.gates.values(), key=lambda gate: gate.request)[:PENDING_SHOWN]
        held = self.control.paused
        return [Pending(request=gate.request, step=gate.step, tool=gate.tool, deadline=_end(gate), paused=held) for gate in waiting]


def _end(gate: Gate) -> int:
    return gate.rungs[-1].at if gate.rungs else 0


def _heard(name: str, inputs: Sequence[RawValue]) -> Claim | Wake:
    """Decode a signal. It must not raise: what leaves a handler would fail the workflow or stop it."""
    model = _MODELS.get(name)
    if model is None:
        return Claim(signal=name[:80], why=f"there is no signal {name[:80]!r}; `{names.DECIDE}` is the one for people")
    if len(inputs) != 1:
        return Claim(signal=name, why=f"{len(inputs)} inputs were given; one is right: {_FORMS[name]}")
    if (length := len(inputs[0].payload.data)) > CLAIM_BYTES:
        return Claim(signal=name, why=f"it has {length} bytes; {CLAIM_BYTES} is the most")
    try:
        value = workflow.payload_converter().from_payload(inputs[0].payload)
        heard = model.model_validate(value)
    except Exception as error:
        return Claim(signal=name, why=f"{complaint(error)[:400]}; right is {_FORMS[name]}")
    if isinstance(heard, Wake):
        return heard
    return Claim(signal=name, ruling=heard) if isinstance(heard, Ruling) else Claim(signal=name, word=heard)


_MODELS: Mapping[str, type[Ruling | Wake | Word]] = {
    names.DECIDE: Ruling,
    names.WAKE: Wake,
    names.PAUSE: Word,
    names.RESUME: Word,
    names.RETRY: StepWord,
}
_FORMS = {
    names.DECIDE: '{"request": "…", "verdict": "approve", "by": "…", "reason": "…"}, with `arguments` where the verdict is "edit"',
    names.WAKE: '{"request": "…"}, {} for every timer, or {"run": true}',
    names.PAUSE: '{"by": "…", "reason": "…"}',
    names.RESUME: '{"by": "…", "reason": "…"}',
    names.RETRY: '{"step": "…", "by": "…", "reason": "…"}',
}
