"""A decision's journal as one attempt works through it: what an earlier attempt finished is read, not done again."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from activities import metrics
from activities.model import Model, ModelFault, Reply
from activities.services import digest
from contracts.errors import PermanentError
from database import Database
from ledger import decisions
from ledger.decisions import Entry, Hold
from policies.automation import Route
from policies.prices import Tokens, cost, worst_case


@dataclass(frozen=True, slots=True)
class Said:
    """One finished model call. ``booked`` is False while its journal entry waits for the decision's own transaction."""

    text: str
    model: str
    cost: int


@dataclass
class Notebook:
    """The journal of one decision under one hold; entries are numbered in the order in which they are made."""

    database: Database
    tenant: str
    hold: Hold
    entries: dict[int, Entry]
    automation: str
    idx: int = 0
    calls: list[Said] = field(default_factory=list[Said])
    left: int | None = None
    """Micro-dollars left after the last reservation."""

    def known(self, name: str, digest_of: str) -> dict[str, Any] | None:
        """Return the reply that an earlier attempt journaled at this place, if it was to the same question."""
        entry = self.entries.get(self.idx)
        if entry is None or entry.digest != digest_of or entry.name != name:
            return None
        self.idx += 1
        return entry.reply

    async def note_look_up(self, tool: str, digest_of: str, reply: dict[str, Any]) -> None:
        """Journal one look-up in a commit of its own."""
        async with self.database.transaction(self.tenant) as tx:
            await decisions.note_look_up(tx, self.hold, self.idx, tool, digest_of, reply)
        self.idx += 1

    async def ask(self, model: Model, route: Route, messages: Sequence[dict[str, Any]], schema: dict[str, Any]) -> Said:
        """Return the model's answer: the journaled one, or one that is reserved, made, settled and journaled now.

        Raises: BudgetExceeded, Superseded, ModelFault, PermanentError.
        """
        name = await model.name(route)
        asked = digest({"model": name, "messages": list(messages), "schema": schema})
        if known := self.known(name, asked):
            said = Said(known["text"], known["model"], known["cost"])
        else:
            said = await self._made(model, route, name, asked, messages, schema)
        self.calls.append(said)
        return said

    async def _made(
        self, model: Model, route: Route, name: str, asked: str, messages: Sequence[dict[str, Any]], schema: dict[str, Any]
    ) -> Said:
        reserve = worst_case(route, name, "".join(str(message["content"]) for message in messages), free=model.free)
        async with self.database.transaction(self.tenant) as tx:
            self.left = await decisions.begin_call(tx, self.hold, self.idx, name, asked, reserve)
        try:
            reply = await model.complete(route, name, messages, schema)
        except (ModelFault, PermanentError) as error:
            metrics.MODEL_CALLS.labels(name, type(error).__name__).inc()
            billed = reserve if isinstance(error, ModelFault) and error.billed else 0
            async with self.database.transaction(self.tenant) as tx:
                await decisions.end_call(tx, self.hold, self.idx, reply=None, cost=billed)
            raise
        metrics.MODEL_CALLS.labels(name, "done").inc()
        spent = _price(route, name, reply, reserve, free=model.free)
        metrics.COST_MICROS.labels(self.automation, name).inc(spent)
        journaled = {"text": reply.text, "model": reply.model, "cost": spent}
        async with self.database.transaction(self.tenant) as tx:
            await decisions.end_call(tx, self.hold, self.idx, reply=journaled, cost=spent)
        self.idx += 1
        return Said(reply.text, reply.model, spent)


def _price(route: Route, name: str, reply: Reply, reserve: int, *, free: bool) -> int:
    # An endpoint that does not count is believed to have used all it could.
    return cost(route, name, Tokens(reply.tokens.input, reply.tokens.output), free=free) if reply.tokens else reserve
