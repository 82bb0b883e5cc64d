"""The state machine of an approval, driven at random against a model of the table: who may move it, and where it goes.

The suite runs some hundreds of sequences; `PERDURE_TEST_SEQUENCES=5000` is the long form.
"""

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.approvals import Rung
from database import Database, Tx
from ledger import approvals, directory
from ledger.approvals import Request
from ledger.directory import Person
from tests.integration.ledger.people import asked
from tests.integration.ledger.rows import DIGEST, in_seconds, ruling

SEQUENCES = int(os.environ.get("PERDURE_TEST_SEQUENCES", "300"))
PEOPLE = {
    "ann": ("finance",), "bob": ("finance", "owner"), "cat": ("owner",), "dan": ("lead",), "eve": ("finance", "owner"), "fay": ("ops",),
    "gus": ("ops",), "hal": (),
}  # fmt: skip
STARTER, DELEGATES = "eve", {"hal": ("ann", "finance")}
REASON = "long enough to be a reason"
EVENTS = st.one_of(
    st.tuples(st.sampled_from(["approve", "reject", "edit", "glass"]), st.sampled_from(sorted(PEOPLE))),
    st.tuples(st.sampled_from(["escalate", "end", "cancel", "consume", "consume", "consume-other", "stale"]), st.just("")),
)
CHAINS = st.sampled_from([(("finance", 1),), (("finance", 2),), (("finance", 1), ("owner", 1)), (("finance", 2), ("owner", 2))])


@dataclass
class Model:
    """What should be so: written apart from the code, from the table of states and transitions."""

    chain: Sequence[tuple[str, int]]
    self_approval: bool
    state: str = "pending"
    stage: int = 0
    escalated: bool = False
    voted: dict[str, int] = field(default_factory=dict[str, int])
    spoken_for: set[str] = field(default_factory=set[str])
    glass: set[str] = field(default_factory=set[str])
    key: str | None = None

    @property
    def groups(self) -> set[str]:
        return {self.chain[self.stage][0], *(("lead",) if self.escalated else ())}

    def _behalf(self, who: str, verdict: str) -> str | None:
        giver, group = DELEGATES.get(who, ("", ""))
        free = giver not in self.voted and giver not in self.spoken_for
        return giver if group in self.groups and free and not (giver == STARTER and verdict != "reject") else None

    def may(self, who: str, verdict: str) -> bool:
        if self.state != "pending":
            return False
        if verdict == "glass":
            return "ops" in PEOPLE[who] and who not in self.glass and who != STARTER
        if who in self.voted or who in self.spoken_for:
            return False
        if who == STARTER and verdict != "reject" and not self.self_approval:
            return False
        return bool(self.groups & set(PEOPLE[who])) or self._behalf(who, verdict) is not None

    def say(self, who: str, verdict: str) -> None:
        if verdict == "glass":
            self.glass.add(who)
            self.state = "approved" if len(self.glass) == 2 else "pending"
            return
        if verdict != "approve":
            self.state = {"reject": "rejected", "edit": "superseded"}[verdict]
            return
        if not self.groups & set(PEOPLE[who]) and (behalf := self._behalf(who, verdict)):
            self.spoken_for.add(behalf)
        self.voted[who] = self.stage
        if list(self.voted.values()).count(self.stage) < self.chain[self.stage][1]:
            return
        if self.stage == len(self.chain) - 1:
            self.state = "approved"
        else:
            self.stage += 1

    def happen(self, event: str) -> bool | None:
        """Do what no person says; return what `consume` should answer."""
        if event == "escalate" and self.state == "pending":
            self.escalated = True
        elif event == "end" and self.state == "pending":
            self.state = "expired"
        elif event == "cancel" and self.state in ("pending", "approved"):
            self.state = "cancelled"
        elif event == "stale" and self.state in ("pending", "approved"):
            self.state = "stale" if self.state == "approved" else "cancelled"
        elif event.startswith("consume"):
            holds = self.state == "approved" or (self.state == "consumed" and self.key == event)
            if holds:
                self.state, self.key = "consumed", event
            return holds
        return None


async def happen(tx: Tx, request: Request, event: str) -> bool | None:
    """Do to the row what no person says."""
    if event in ("escalate", "end"):
        await approvals.climb(tx, request, Rung.model_validate({"at": 5 if event == "escalate" else 9, "kind": event}))
    elif event == "cancel":
        await approvals.cancel_open(tx, request.lineage)
    elif event == "stale":
        await approvals.make_stale(tx, request.id)
    else:
        return await approvals.consume(tx, request, event, DIGEST, "b" * 64)
    return None


async def said(tx: Tx, people: dict[str, Person], id: str, who: str, verdict: str) -> bool:
    """Say it, whatever the model thinks of it; return whether it was taken."""
    given: dict[str, Any] = {"arguments": {"title": "other"}} if verdict == "edit" else {}
    word = ruling("approve" if verdict == "glass" else verdict, request=id, reason=REASON, break_glass=verdict == "glass", **given)
    return (await approvals.rule(tx, word, channel="test", trusted=True, who=people[who])).accepted


async def crowd(database: Database) -> dict[str, Person]:
    """Put everybody into the directory, once."""
    people = {id: Person(id, id, "approver", frozenset(groups)) for id, groups in PEOPLE.items()}
    async with database.transaction("default") as tx:
        if not await directory.people(tx):
            for person in people.values():
                await directory.put(tx, person, "tester")
            for taker, (giver, group) in DELEGATES.items():
                await directory.delegate(tx, giver, taker, [group], in_seconds(86_400), "tester")
    return people


@settings(max_examples=SEQUENCES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(chain=CHAINS, self_approval=st.booleans(), events=st.lists(EVENTS, min_size=1, max_size=12))
async def test_whatever_happens_the_row_goes_where_the_table_says(
    database: Database, chain: Sequence[tuple[str, int]], self_approval: bool, events: Sequence[tuple[str, str]]
) -> None:
    people, id = await crowd(database), f"apr-{secrets.token_hex(6)}"
    terms = {"escalation": [["lead"]], "break_glass": ["ops"], "self_approval": self_approval}
    wanted = replace(asked(*chain, id=id, starter=STARTER, **terms), lineage=id)
    wanted.rungs.insert(0, {"at": 5, "kind": "escalate"})
    model = Model(chain, self_approval)
    async with database.transaction("default") as tx:
        await approvals.ask(tx, wanted)
        for event, who in events:
            found = await approvals.read(tx, id)
            assert found is not None
            if who:
                expected = model.may(who, event)
                assert await said(tx, people, id, who, event) is expected, (event, who, model)
                if expected:
                    model.say(who, event)
            else:
                assert await happen(tx, found, event) == model.happen(event), (event, model)
            found = await approvals.read(tx, id)
            assert found is not None and (found.state, found.stage) == (model.state, model.stage), (event, who, model)
            assert model.state != "pending" or set(found.groups) == model.groups
            assert found.consumed_by == model.key
