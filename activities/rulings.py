"""What people say to a run by signal, and what time says: both go to the approval's row."""

from datetime import timedelta
from typing import Any

from temporalio import activity

from activities import metrics, operations
from activities.edits import Edits
from activities.services import Services
from contracts import names
from contracts.approvals import ClimbRequest, RequestState, RuleRequest, RuleResult
from contracts.errors import TransientError
from contracts.operations import StepWord, Word
from database import Tx
from ledger import approvals, refusals, runs
from ledger.approvals import Judge
from ledger.refusals import RULINGS, Refused
from ledger.signatures import KEY_NAME

CHANNEL = "signal"
CLOCKS = timedelta(minutes=1)
"""By which the server's clock, which rings, and the database's may differ."""
AGAIN = 5.0
"""Seconds after which one that differs by more is asked again; a ruling that came meanwhile is seen then."""


class Ruling:
    """The activities of the gate."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._database = services.database
        self._edits = Edits(services.database, services.bundles)

    @activity.defn(name=names.RULE)
    async def rule(self, request: RuleRequest) -> RuleResult:
        """Hand one claim to the approval's row, or to the run's, and record a refusal.

        Safe to retry: a request is ruled once, a step is opened once for each claim, and a refusal has the claim's number as its id.
        """
        if request.claim.word:
            return await self._operated(request, request.claim.word)
        judge = await self._edits.judge(request.tenant, request.claim.ruling) if request.claim.ruling else None
        async with self._database.transaction(request.tenant) as tx:
            result = await self._ruled(tx, request, judge)
            if not result.accepted:
                # What it would have run, or is said to have given, may be long, and does not count.
                unsaid = {"token", "arguments", "output"}
                ruling = request.claim.ruling.model_dump(mode="json", exclude=unsaid) if request.claim.ruling else {}
                await _refused(tx, request, result.message, ruling)
        return result

    async def _operated(self, request: RuleRequest, word: Word) -> RuleResult:
        async with self._database.transaction(request.tenant) as tx:
            result = await operations.heard(self._services, tx, request, word)
            run = await runs.read(tx, request.lineage)
        if result.open and run and isinstance(word, StepWord):
            # Temporal is asked outside of any transaction.
            where = (self._database, activity.client(), request.tenant)
            result = await operations.at_once(*where, run, word, result, channel=CHANNEL, claim=f"claim-{request.nth}")
        if not result.accepted:
            async with self._database.transaction(request.tenant) as tx:
                await _refused(tx, request, result.message, word.model_dump())
        return RuleResult(accepted=result.accepted, message=result.message)

    async def _ruled(self, tx: Tx, request: RuleRequest, judge: Judge | None) -> RuleResult:
        ruling = request.claim.ruling
        if ruling is None:
            return RuleResult(accepted=False, message=request.claim.why)
        found = await approvals.read(tx, ruling.request)
        if found and found.lineage != request.lineage:
            return RuleResult(accepted=False, message=f"{ruling.request} is a request of another run", request=ruling.request)
        trusted = self._services.one_machine and found is not None and found.unsigned
        claim, key = f"{request.lineage}/{request.nth}", self._services.secret(KEY_NAME)
        return await approvals.rule(tx, ruling, channel=CHANNEL, trusted=trusted, claim=claim, key=key, judge=judge)

    @activity.defn(name=names.CLIMB)
    async def climb(self, request: ClimbRequest) -> RequestState:
        """Do what one rung says. Safe to retry: its record has the rung's time as id, and an ended request stays as it is."""
        async with self._database.transaction(request.tenant) as tx:
            found = await approvals.read(tx, request.request)
            if found is None:
                return RequestState(state="unknown", ended=True)
            # Whoever may start a workflow could name any rung: only one of the row's own, whose time has come, is climbed.
            if found.ended or request.rung.model_dump() not in found.rungs:
                return RequestState(state=found.state, ended=found.ended)
            early = request.rung.at / 1000 - (await approvals.now(tx) + CLOCKS).timestamp()
            if early > 0:
                raise TransientError("this rung's time has not come by the database's clock", retry_after=min(early, AGAIN))
            ended = await approvals.climb(tx, found, request.rung)
            return RequestState(state=found.state, ended=ended)


async def _refused(tx: Tx, request: RuleRequest, why: str, said: dict[str, Any]) -> None:
    """Put a refused claim on record, or count it: a run that is told too much in a minute has no room for each."""
    metrics.REFUSALS.labels(CHANNEL).inc()
    body = {"event": "refused", "signal": request.claim.signal, "why": why, "channel": CHANNEL, **said}
    one = Refused(body, lineage=request.lineage, id=f"{request.lineage}/claim/{request.nth}")
    await refusals.add(tx, CHANNEL, {request.lineage: [one]}, RULINGS)
