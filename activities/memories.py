"""Memory as a decision sees it: the session's turns at hand, and what is recalled of everything else."""

from collections.abc import Sequence
from typing import Any

from activities.asking import Asking
from database import Database, Tx
from memory import sessions
from memory.context import Part, assemble
from memory.embedding import Embedder
from memory.filters import Filter
from memory.search import Answer, Hit
from memory.sessions import Turn
from memory.working import Working
from policies.agents import Recall

HELD_TURNS = 200
"""The most that a prompt may carry; see `policies.agents.Agent.turns`."""


class Memories:
    """The three tiers behind one small face. embedders: what gives queries their vectors; with none, recall goes by words only."""

    def __init__(self, database: Database, embedders: Sequence[Embedder]) -> None:
        self._asking = Asking(database, embedders)
        self._working = Working()

    async def turns(self, tx: Tx, session: str, seq: int, limit: int) -> list[Turn]:
        """Return the session's last ``limit`` turns up to ``seq``, oldest first, from hand where this process said them."""
        held: list[Turn] | None = self._working.get(tx.tenant, session, seq)
        if held is not None and limit and (len(held) >= limit or len(held) == seq):
            return held[-limit:]
        return await sessions.latest(tx, session, seq, limit=limit)

    def said(self, tenant: str, session: str, before: int, turns: list[Turn], held: list[Turn]) -> None:
        """Keep at hand what was just said behind ``before``. held: the turns before it that this process knows, up to there."""
        known = [*held, *turns][-HELD_TURNS:]
        self._working.put(tenant, session, before + len(turns), known, sum(len(turn.body) for turn in known))

    async def recall(self, tenant: str, wanted: Recall, query: str, target: float) -> dict[str, Any]:
        """Return what is recalled, as the prompt and the record keep it: hits that fit, best first, and how they were found.

        target: the share of the true nearest that the bundle wants found.

        A model of embeddings that fails costs meaning, not the answer: words find what they find, and the reply says so.
        """
        answer = await self._asking.ask(tenant, query, Filter(scopes=wanted.scopes, kinds=wanted.kinds), k=wanted.k, target=target)
        return _reply(answer, wanted)


def _reply(answer: Answer, wanted: Recall) -> dict[str, Any]:
    parts = [Part(hit.id, hit.body, rank=nth) for nth, hit in enumerate(answer.hits)]
    context = assemble(parts, wanted.tokens)
    fits = {part.name for part in context.parts}
    return {
        "hits": [_hit(hit) for hit in answer.hits if hit.id in fits],
        "left_out": [left.name for left in context.left_out],
        "mode": answer.mode,
        "degraded": answer.degraded,
        "capped": answer.capped,
    }


def _hit(hit: Hit) -> dict[str, Any]:
    return {
        "id": hit.id,
        "body": hit.body,
        "scope": hit.scope,
        "kind": hit.kind,
        "subject": hit.subject,
        "speaker": hit.speaker,
        "at": hit.at.isoformat(),
        "score": round(hit.score, 4),
        "via": hit.via,
        "lineage": hit.lineage,
        "step": hit.step,
        "sources": list(hit.sources),
    }
