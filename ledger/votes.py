"""Votes: what each person said of a request, and whether one may say it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Self

from contracts.approvals import Terms
from database import Tx
from ledger import directory
from ledger.directory import Delegation, Person
from ledger.wording import folded

OF = """
SELECT person, stage, verdict, channel, behalf, role, reason, claim, at FROM vote WHERE tenant = $1 AND request = $2 ORDER BY at, person
"""
PUT = """
INSERT INTO vote (tenant, request, person, stage, verdict, channel, behalf, role, reason, claim)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING
"""
GLASS = "break_glass"
TWO = 2
"""How many must break the glass together."""


@dataclass(frozen=True, slots=True)
class Vote:
    """One word of one person. behalf: whose delegate spoke. claim: the raw signal or update it came by. at: UTC."""

    person: str
    stage: int
    verdict: str
    channel: str
    behalf: str | None = None
    role: str = ""
    reason: str = ""
    claim: str = ""
    at: datetime | None = None

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """Map one row."""
        return cls(**{field.name: row[field.name] for field in fields(cls)})


@dataclass(frozen=True, slots=True)
class Voice:
    """Who speaks. groups: None where this is the one-machine stack and nobody of that name is in the directory."""

    person: str
    role: str
    groups: frozenset[str] | None
    given: tuple[Delegation, ...] = ()
    problem: str = ""
    """Why this person may rule on nothing."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a vote is checked against: the stage's groups, what the request binds, and what was said before."""

    groups: Sequence[str]
    terms: Terms
    starter: str
    editor: str | None
    said: Sequence[Vote]

    def problem(self, voice: Voice, verdict: str) -> str | None:
        """Say why this person may not say this, or None."""
        if voice.problem:
            return voice.problem
        if verdict == GLASS:
            return self._unbreakable(voice)
        if voted := next((vote for vote in self.chain if voice.person in (vote.person, vote.behalf)), None):
            spoke = f"{voted.person} for {voted.behalf}" if voted.behalf else voted.person
            return f"already voted: {spoke} at {voted.at:%Y-%m-%d %H:%M:%S} UTC"
        if verdict != "reject" and (why := self._conflict(voice.person, verdict)):
            return f"not allowed: {why}"
        if self.own(voice) or self.behalf(voice, verdict) is not None:
            return None
        return f"not allowed: needs {_any(self.groups)}"

    @property
    def chain(self) -> list[Vote]:
        """What was said on the request's own chain; breaking glass is beside it."""
        return [vote for vote in self.said if vote.verdict != GLASS]

    def own(self, voice: Voice) -> bool:
        """Whether a person may rule here without anybody's delegation."""
        return voice.groups is None or not voice.groups.isdisjoint(self.groups)

    def behalf(self, voice: Voice, verdict: str) -> str | None:
        """Return for whom a person speaks: one who has not spoken, and who could have said the same."""
        if self.own(voice) or not self.terms.delegation:
            return None
        spoken = {name for vote in self.chain for name in (vote.person, vote.behalf)}
        for one in voice.given:
            fits = not one.groups.isdisjoint(self.groups) and one.giver not in spoken
            if fits and (verdict == "reject" or not self._conflict(one.giver, verdict)):
                return one.giver
        return None

    def _conflict(self, person: str, verdict: str) -> str:
        if _same(person, self.starter) and not (self.terms.self_approval and not self.terms.above):
            return "who started a run does not approve what it does"
        if self.terms.above and verdict == "approve" and self.editor and _same(person, self.editor):
            return "above the threshold, who edited an action does not approve it"
        return ""

    def _unbreakable(self, voice: Voice) -> str | None:
        if not self.terms.break_glass:
            return "not allowed: nobody may break the glass here (`approvals.break_glass` names the groups)"
        if voice.groups is None or voice.groups.isdisjoint(self.terms.break_glass):
            return f"not allowed: breaking the glass needs {_any(self.terms.break_glass)}"
        if _same(voice.person, self.starter) or _same(voice.person, self.editor or ""):
            return "not allowed: who started the run or edited the action does not break the glass for it"
        if any(vote.verdict == GLASS and vote.person == voice.person for vote in self.said):
            return "already called: another person must agree"
        return None


async def of(tx: Tx, request: str) -> list[Vote]:
    """Return what was said of a request, oldest first."""
    return [Vote.from_row(row) for row in await tx.fetch(OF, tx.tenant, request)]


async def put(tx: Tx, request: str, vote: Vote) -> None:
    """Keep a vote, once."""
    await tx.execute(
        PUT, tx.tenant, request, vote.person, vote.stage, vote.verdict, vote.channel, vote.behalf, vote.role, vote.reason, vote.claim
    )


async def voice(tx: Tx, name: str, who: Person | None) -> Voice:
    """Return who speaks: whom the channel proved, else whom the directory has under the name that an unsigned word gives."""
    # Ids have one spelling: otherwise written, a name would be a second person with every right.
    who = who or await directory.person(tx, folded(name))
    if who is None:
        return Voice(name, "", None)
    if who.disabled or not who.at_least("approver"):
        why = f"{who.id} is disabled" if who.disabled else f"{who.id} is a {who.role}; it takes an approver"
        return Voice(who.id, who.role, who.groups, problem=f"not allowed: {why}")
    return Voice(who.id, who.role, who.groups, tuple(await directory.delegations(tx, who.id)))


def agreed(said: Collection[Vote], stage: int) -> int:
    """Count who has agreed at a stage."""
    return sum(vote.verdict == "approve" and vote.stage == stage for vote in said)


def _same(one: str, other: str) -> bool:
    # A starter is a name that a client gave, so its spelling says nothing.
    return bool(other) and folded(one) == folded(other)


def _any(groups: Sequence[str]) -> str:
    return f"group {groups[0]}" if len(groups) == 1 else f"one of the groups {', '.join(groups)}"
