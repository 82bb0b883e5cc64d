"""A decision's journal as one attempt works through it: what an earlier attempt finished is read, not done again."""

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from temporalio import activity

from activities import breakers, metrics
from activities.breakers import Passage
from activities.calls import call
from activities.model import Model, ModelFault, Reply
from activities.voice import Voice
from contracts.errors import PermanentError
from database import Database, Tx
from ledger import decisions
from ledger.breakers import Breaker, Kind, Threshold
from ledger.decisions import Entry, Hold, LastCall
from policies.agents import Route
from policies.prices import Tokens, cost, worst_case
from tools.contract import Tool, ToolContext

QUICK_SECONDS = 8.0
"""How long a quick model may take beside the workflow task, whose time is short; through the server it has all the time there is."""
ENVELOPE = 64  # bytes that the API puts around one message, at most


@dataclass(frozen=True, slots=True)
class Said:
    """One answer of the model, and its price in micro-dollars."""

    text: str
    model: str
    cost: int


@dataclass(frozen=True, slots=True)
class Question:
    """One call of the model: to whom, what, and the most it may cost."""

    route: Route
    model: str
    messages: Sequence[dict[str, Any]]
    schema: dict[str, Any]
    digest: str
    reserve: int
    seconds: float
    """How long it may take."""


@dataclass
class Notebook:
    """The journal of one decision under one hold; entries are numbered in the order in which they are made.

    breakers: of what the decision may call, as they stood when it began; those that never failed are left out.
    """

    database: Database
    tenant: str
    hold: Hold
    entries: Mapping[int, Entry]
    automation: str
    breakers: Sequence[Breaker]
    threshold: Threshold
    idx: int = 0
    calls: list[Said] = field(default_factory=list[Said])
    _unsettled: Said | None = None
    _passage: Passage | None = None
    """Of the model call under way."""

    @cached_property
    def voice(self) -> Voice:
        """Who passes on what the model says while it says it."""
        return Voice(self.database, self.tenant, self.hold)

    def turn(self) -> int:
        """Take the next place in the journal. Places are taken in the order of the asking, whatever ends first."""
        self.idx += 1
        return self.idx - 1

    def known(self, idx: int, name: str, digest: str) -> dict[str, Any] | None:
        """Return the reply that an earlier attempt journaled at this place, if it was to the same question."""
        entry = self.entries.get(idx)
        return entry.reply if entry and entry.digest == digest and entry.name == name else None

    async def note_look_up(self, idx: int, tool: str, digest: str, reply: dict[str, Any]) -> None:
        """Journal one look-up in a commit of its own."""
        async with self.database.once(self.tenant) as tx:
            await decisions.note_look_up(tx, self.hold, idx, tool, digest, reply)

    async def look_up(self, tool: Tool, arguments: Any, context: ToolContext) -> dict[str, Any]:
        """Call a tool that only reads, if its breaker lets it through. Raises: what `call` does, Open."""
        breaker = self._breaker("tool", self.automation, tool.name)
        way = Passage(breaker, self.threshold)
        if breaker.state != "closed":
            async with self.database.transaction(self.tenant) as tx:
                way = await breakers.passage(tx, breaker, self.threshold, (context.deadline - datetime.now(UTC)).total_seconds())
        try:
            found = await call(tool, arguments, context)
        except Exception as error:
            await self._ended(way, error)
            raise
        except asyncio.CancelledError as error:
            await self._cut(way, error)
            raise
        if breaker.failures:
            await self._ended(way, None)
        return found

    async def _cut(self, way: Passage | None, error: asyncio.CancelledError) -> None:
        if way and way.lease:
            await self._ended(way, error)

    async def _ended(self, way: Passage, error: BaseException | None) -> None:
        async with self.database.transaction(self.tenant) as tx:
            await self._told(tx, way, error)

    async def _told(self, tx: Tx, way: Passage, error: BaseException | None) -> None:
        await way.ended(tx, error, self.hold.lineage, self.hold.step)
        if error is None:
            self.breakers = [known for known in self.breakers if known.key != way.breaker.key]

    def _breaker(self, kind: Kind, automation: str, name: str) -> Breaker:
        fresh = Breaker(kind, automation, name)
        return next((known for known in self.breakers if known.key == fresh.key), fresh)

    async def question(self, model: Model, route: Route, messages: Sequence[dict[str, Any]], schema: dict[str, Any]) -> Question:
        """Return a call that has yet to be reserved."""
        name, form = await model.name(route), json.dumps(schema, sort_keys=True)
        asked = json.dumps([name, messages], ensure_ascii=False)
        # The schema is billed like the text, and what surrounds each message is too.
        told = "".join(str(message["content"]) for message in messages) + form + " " * ENVELOPE * len(messages)
        reserve = worst_case(route, name, told, free=model.free)
        digest = hashlib.sha256((asked + form).encode(errors="replace")).hexdigest()
        return Question(route, name, tuple(messages), schema, digest, reserve, model.seconds)

    async def reserve(self, tx: Tx, question: Question) -> None:
        """Reserve a call's worst case, if the model's breaker lets it through. Raises: BudgetExceeded, Superseded, Open."""
        self._passage = await breakers.passage(tx, self._breaker("model", "", question.model), self.threshold, question.seconds)
        await decisions.begin_call(tx, self.hold, self.idx, question.model, question.digest, question.reserve)

    async def ask(self, model: Model, question: Question, *, reserved: bool) -> Said:
        """Return the model's answer: the journaled one, or one that is made now and stays to be settled.

        Raises: BudgetExceeded, Superseded, Open, ModelFault, PermanentError.
        """
        if not reserved and (known := self.known(self.idx, question.model, question.digest)):
            said = Said(known["text"], known["model"], known["cost"])
            self.turn()
        else:
            said = await self._made(model, question, reserved=reserved)
        self.calls.append(said)
        return said

    async def _made(self, model: Model, question: Question, *, reserved: bool) -> Said:
        if not reserved:
            closed = self._breaker("model", "", question.model).state == "closed"
            async with (self.database.once if closed else self.database.transaction)(self.tenant) as tx:
                await self.reserve(tx, question)
        try:
            reply = await self._complete(model, question)
        except (ModelFault, PermanentError) as error:
            metrics.MODEL_CALLS.labels(question.model, type(error).__name__).inc()
            billed = question.reserve if isinstance(error, ModelFault) and error.billed else 0
            async with self.database.transaction(self.tenant) as tx:
                await self._passed(tx, error)
                await decisions.end_call(tx, self.hold, self.idx, reply=None, cost=billed)
            raise
        except asyncio.CancelledError as error:
            await self._cut(self._passage, error)
            raise
        metrics.MODEL_CALLS.labels(question.model, "done").inc()
        spent = _price(question, reply, free=model.free)
        metrics.COST_MICROS.labels(self.automation, question.model).inc(spent)
        self._unsettled = Said(reply.text, reply.model, spent)
        return self._unsettled

    async def _complete(self, model: Model, question: Question) -> Reply:
        asked = question.route, question.model, question.messages, question.schema
        if not activity.info().is_local:
            if not question.route.streams:
                return await model.complete(*asked)
            with self.voice.call(self.idx) as hear:
                return await model.complete(*asked, hear)
        try:
            async with asyncio.timeout(QUICK_SECONDS):
                return await model.complete(*asked)
        except TimeoutError:
            raise ModelFault(f"the model did not answer within {QUICK_SECONDS:.0f} s, and its route says `quick`", billed=True) from None

    async def _passed(self, tx: Tx, error: Exception | None) -> None:
        if self._passage:
            await self._told(tx, self._passage, error)
            self._passage = None

    async def settle(self, tx: Tx) -> None:
        """Journal and settle the last call, if it is not: with the decision itself, or before anything else is asked."""
        if said := self._unsettled:
            await self._passed(tx, None)
            await decisions.end_call(tx, self.hold, self.idx, reply=_reply(said), cost=said.cost)
            self._unsettled = None
            self.turn()

    async def last(self, tx: Tx) -> LastCall | None:
        """Return the last call, to be settled with the decision itself, or settle it here where the decision's cost must be summed up."""
        if self.hold.fence > 1 or self._unsettled is None:
            await self.settle(tx)
            return None
        await self._passed(tx, None)
        said = self._unsettled
        self._unsettled = None
        return LastCall(self.turn(), _reply(said), said.cost)

    async def settle_now(self) -> None:
        """Settle in a commit of its own, so that a retry resumes after this call."""
        if self._unsettled:
            async with self.database.transaction(self.tenant) as tx:
                await self.settle(tx)

    async def cost(self, tx: Tx) -> int:
        """Return what the decision has cost so far, lost and failed calls included, in micro-dollars."""
        if self.hold.fence == 1:
            return sum(said.cost for said in self.calls)
        return await decisions.cost(tx, self.hold)


def _reply(said: Said) -> dict[str, Any]:
    return {"text": said.text, "model": said.model, "cost": said.cost}


def _price(question: Question, reply: Reply, *, free: bool) -> int:
    if reply.tokens is None:
        # An endpoint that does not count is believed to have used all it could.
        return question.reserve
    return cost(question.route, question.model, Tokens(reply.tokens.input, reply.tokens.output), free=free)
