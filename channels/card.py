"""The card of a request: what would happen, rendered from the bound action itself and never from the model's words about it.

Pure, and plain text: each view escapes for its own markup.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ledger.approvals import Request
from tools.invisible import hidden, visible

SHOWN = 2000
"""Characters of one value that a card shows; the digest is over the whole."""
MOST_ROWS = 50
DIGEST = 12
TESTIMONIES = {"again": "It did happen: the step is done", "undo": "It is undone already: nothing is called"}
"""question -> what a person may say of it instead of yes or no."""
SINCE = {"again": "it did happen", "undo": "it is undone already"}


@dataclass(frozen=True, slots=True)
class Row:
    """One argument. shortened: the value is longer than what is shown; ``size`` is its length in characters."""

    name: str
    value: str
    shortened: bool = False
    size: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """One argument that an edit changed; None where it has it on one side only."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Said:
    """One vote that was cast."""

    person: str
    verdict: str
    stage: int
    at: datetime
    behalf: str | None = None


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a card needs beside the request. Money is in micro-dollars; see `channels.desk.Desk.facts`.

    sources: what was read before this was decided. before: the request of which this one is the edit.
    """

    spent: int = 0
    limit: int = 0
    sources: tuple[str, ...] = ()
    votes: tuple[Said, ...] = ()
    before: Request | None = None
    workflow_id: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """All that a person must see to rule. Texts are plain; money is in micro-dollars; times are UTC."""

    request: str
    tool: str
    step: str
    run: str
    question: str
    rows: tuple[Row, ...]
    changes: tuple[Change, ...]
    effect: str
    reversible: bool | None
    """None where the request is too old to say."""
    spent: int
    cost: int
    after: int
    limit: int
    rules: tuple[str, ...]
    because: str
    sources: tuple[str, ...]
    groups: tuple[str, ...]
    agreed: tuple[str, ...]
    """Who has agreed so far."""
    needed: str
    """Who else must agree, as a sentence."""
    silence: str
    digest12: str
    deadline: datetime
    warnings: tuple[str, ...]
    state: str
    outcome: str
    """How it ended, as a sentence; empty while it waits."""
    testimony: str
    """What may be said instead of yes or no; empty where that is all."""
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])


def card(request: Request, extra: CardFacts | None = None) -> Card:
    """Return the card of a request. It depends on nothing but what is given."""
    facts = extra or CardFacts()
    about: Mapping[str, Any] = request.about
    cost = int(about.get("cost_micros", 0))
    return Card(
        request=request.id,
        tool=visible(request.tool),
        step=visible(request.step),
        run=visible(request.workflow_id),
        question=request.question,
        rows=_rows(request.arguments),
        changes=tuple(_changes(facts.before.arguments, request.arguments)) if facts.before else (),
        effect=str(about.get("effect", "")),
        reversible=about.get("reversible"),
        spent=facts.spent,
        cost=cost,
        after=facts.spent + cost,
        limit=facts.limit,
        rules=tuple(about.get("rules", ())),
        because=visible(request.reason),
        sources=tuple(map(visible, facts.sources)),
        groups=tuple(request.groups),
        agreed=tuple(_agreed(facts.votes)),
        needed=needed(request, facts.votes),
        silence=silence(request),
        digest12=request.digest[:DIGEST],
        deadline=request.deadline,
        warnings=tuple(_warnings(request)),
        state=request.state,
        outcome=outcome(request),
        testimony=TESTIMONIES.get(request.question, ""),
    )


def needed(request: Request, votes: Sequence[Said] = ()) -> str:
    """Say who else must agree."""
    if request.ended:
        return ""
    stages = request.chain
    have = sum(vote.verdict == "approve" and vote.stage == request.stage for vote in votes)
    here = stages[min(request.stage, len(stages) - 1)]
    missing = max(here.quorum - have, 1)
    said = f"{missing} more of {_any(request.groups)}" if have else f"{missing} of {_any(request.groups)}"
    later = [f"{stage.quorum} of {_any(stage.groups)}" for stage in stages[request.stage + 1 :]]
    return ", then ".join([said, *later])


def silence(request: Request) -> str:
    """Say what silence does."""
    ahead = request.terms.get("escalation", ())[request.escalated :]
    end = f"at {request.deadline:%Y-%m-%d %H:%M} UTC silence refuses it"
    if ahead:
        return f"where nobody rules, {', then '.join(_any(groups) for groups in ahead)} may rule too; {end}"
    return end


def outcome(request: Request) -> str:
    """Say how a request ended; empty while it waits."""
    if not request.ended:
        return ""
    by = f" by {visible(request.ruled_by)} at {request.ruled_at:%Y-%m-%d %H:%M:%S} UTC" if request.ruled_by and request.ruled_at else ""
    reason = visible(str((request.ruling or {}).get("reason", "")))
    happened = f", since {SINCE.get(request.question, SINCE['again'])}" if (request.ruling or {}).get("happened") else ""
    return f"{request.state}{by}{happened}{f': {reason}' if reason else ''}"


def text(value: Any) -> str:
    """Return a value as a card shows it, without what a reader cannot see."""
    return visible(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True))


def _rows(arguments: Mapping[str, Any]) -> tuple[Row, ...]:
    rows = [_row(name, text(value)) for name, value in arguments.items()]
    rows.sort(key=lambda row: (row.size > 90 or "\n" in row.value, row.name))
    return tuple(rows[:MOST_ROWS])


def _row(name: str, whole: str) -> Row:
    if len(whole) <= SHOWN:
        return Row(visible(name), whole, size=len(whole))
    digest = hashlib.sha256(whole.encode()).hexdigest()[:DIGEST]
    return Row(visible(name), f"{whole[:SHOWN]}… ({len(whole):,} characters, SHA-256 begins {digest})", shortened=True, size=len(whole))


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for name in sorted({*before, *after}):
        old, new = (text(side[name]) if name in side else None for side in (before, after))
        if before.get(name) != after.get(name) or (name in before) != (name in after):
            yield Change(visible(name), old and _row(name, old).value, new and _row(name, new).value)


def _agreed(votes: Sequence[Said]) -> Iterator[str]:
    for vote in votes:
        if vote.verdict == "approve":
            yield f"{vote.person} for {vote.behalf}" if vote.behalf else vote.person


def _warnings(request: Request) -> Iterator[str]:
    if count := hidden(request.arguments):
        yield f"{count} invisible or direction-changing characters are left out here, and would be in what runs"
    if (more := len(request.arguments) - MOST_ROWS) > 0:
        yield f"{more} arguments are not shown"
    if not request.about:
        yield "its effect is not known: it was asked before this was kept"


def _any(groups: Sequence[str]) -> str:
    return groups[0] if len(groups) == 1 else f"one of {', '.join(groups)}"
