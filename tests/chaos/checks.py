"""What must hold of a run, whatever was killed under it: it ends as an undisturbed one, and nothing happened twice or never."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from database import Tx
from ledger import approvals, effects, records, runs, steps
from ledger.effects import Effect
from tests.chaos.outside import Arrival
from tests.chaos.person import HAPPENED
from tests.chaos.shapes import PRICE

CALLS = "SELECT state, cost, reserved FROM journal WHERE tenant = $1 AND lineage = $2 AND kind = 'model'"
ACTED = ("done", "compensated")
CLOSED = {"completed": "COMPLETED", "failed": "FAILED", "cancelled": "CANCELED"}
COSTS = {"errand.final": 7}
"""Micro-dollars of the tools that cost something, for each key they were called with."""


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must not be. kind: duplicate, lost, ended, records, spend or hangs."""

    run: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """All that the ledger says of one run."""

    status: str
    steps: dict[str, str]
    details: dict[str, str]
    effects: list[Effect]
    records: list[dict[str, Any]]
    requests: list[Any]
    calls: list[dict[str, Any]]
    reserved: int
    spent: int


async def read(tx: Tx, lineage: str) -> Ledger:
    """Read it."""
    run = await runs.read(tx, lineage)
    assert run is not None
    _, reserved, spent = await runs.spending(tx, lineage)
    planned = await steps.of_run(tx, lineage)
    return Ledger(
        status=run.status,
        steps={step.step: step.status for step in planned},
        details={step.step: step.detail for step in planned},
        effects=await effects.of_run(tx, lineage),
        records=await records.of_run(tx, lineage),
        requests=await approvals.of_run(tx, lineage),
        calls=[dict(row) for row in await tx.fetch(CALLS, tx.tenant, lineage)],
        reserved=reserved,
        spent=spent,
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended, without what a disturbance may leave: attempts, times, losses that were booked, and questions they raised."""

    status: str
    steps: dict[str, str]
    effects: Counter[tuple[str, str, str]]
    records: Counter[tuple[str, ...]]
    arrivals: Counter[str]


def outcome(ledger: Ledger, arrived: Sequence[Arrival]) -> Outcome:
    """Return what two runs of one shape must have in common."""
    return Outcome(
        status=ledger.status,
        steps=ledger.steps,
        effects=Counter((effect.step, effect.tool, effect.state) for effect in ledger.effects if effect.state in ACTED),
        records=Counter(_named(record) for record in ledger.records if not _of_a_disturbance(record)),
        arrivals=Counter(arrival.step for arrival in arrived),
    )


def _named(record: dict[str, Any]) -> tuple[str, ...]:
    body = record["body"]
    actions = [f"{action['step']} {action['tool']} {action['outcome']}" for action in body.get("actions", ())]
    said = [str(body.get(name, "")) for name in ("event", "tool", "verdict", "by", "question")]
    return record["kind"], record["step"] or "", *said, *actions, *sorted(read["tool"] for read in body.get("reads", ()))


def _of_a_disturbance(record: dict[str, Any]) -> bool:
    body = record["body"]
    match record["kind"]:
        case "spend":
            return body["event"] == "lost"
        case "effect":
            # An attempt whose answer was lost, or that waited for the breaker of a tool that lost many: the steps say how it ended.
            return body["event"] in ("unknown", "undo unknown", "held")
        case "ruling":
            return body.get("question") == "again" or body.get("reason") == HAPPENED or body["event"] == "reminded"
        case "access":
            return body["why"].startswith("already decided")
        case _:
            return False


def violations(run: str, closed: str, ledger: Ledger, arrived: Sequence[Arrival], asked: int, like: Outcome | None) -> list[Violation]:
    """Return what is wrong with a run. asked: the model's own count of its calls. like: how an undisturbed run ended."""
    found = [*_duplicates(arrived), *_lost(ledger, arrived), *_spend(ledger, asked), *_ended(ledger, closed)]
    if like is not None:
        found += _differences(outcome(_told_to_go_on(ledger), arrived), like, ledger.details) if not confirmed(ledger) else _kept(ledger)
    return [Violation(run, kind, text) for kind, text in found]


def confirmed(ledger: Ledger) -> list[str]:
    """Return the steps of which a person said that they need not be done again; such a run may end with them as unknown."""
    return [request.step for request in ledger.requests if (request.ruling or {}).get("reason") == HAPPENED]


def _told_to_go_on(ledger: Ledger) -> Ledger:
    """Leave out the approvals that a person gave to do again what had not happened."""
    again = {request.id for request in ledger.requests if request.question == "again"}
    if again:
        # Nobody proved that the first attempt did not happen, so an undo asks about it: the person looks, and leaves it.
        again |= {request.id for request in ledger.requests if request.question == "undo" and request.state == "rejected"}
    left_out = ("undo ordered", "undo ended") if again else ()
    kept = [record for record in ledger.records if record["body"].get("request") not in again]
    return replace(ledger, records=[record for record in kept if record["body"].get("event") not in left_out])


def _duplicates(arrived: Sequence[Arrival]) -> Iterator[tuple[str, str]]:
    for what, counts in (("key", Counter(one.key for one in arrived)), ("body", Counter(one.body for one in arrived))):
        for value, count in counts.items():
            if count > 1:
                yield "duplicate", f"the {what} {value} arrived {count} times"


def _lost(ledger: Ledger, arrived: Sequence[Arrival]) -> Iterator[tuple[str, str]]:
    keys = {arrival.key for arrival in arrived}
    for effect in ledger.effects:
        there = effect.key in keys or sha256(effect.key.encode()).hexdigest()[:32] in keys
        # What content-ops only keeps in Postgres does not arrive anywhere, and a post that is undone is gone.
        counted = effect.tool.startswith("errand.") or (effect.tool in ("newsletter.send", "social.post", "blog.publish"))
        if counted and effect.state == "done" and not there:
            yield "lost", f"{effect.key} ({effect.tool}) is done, and never arrived"
        if effect.state == "failed" and there:
            yield "lost", f"{effect.key} ({effect.tool}) counts as failed, and arrived"
        if effect.state == "claimed":
            yield "ended", f"{effect.key} ({effect.tool}) is still claimed"


def _spend(ledger: Ledger, asked: int) -> Iterator[tuple[str, str]]:
    states = Counter(call["state"] for call in ledger.calls)
    if not states["done"] <= asked <= states["done"] + states["lost"] + states["failed"]:
        yield "spend", f"the model was asked {asked} times, and the journal has {dict(states)}"
    noted = sum(record["kind"] == "spend" and record["body"]["event"] == "lost" for record in ledger.records)
    if noted != states["lost"]:
        yield "spend", f"{states['lost']} calls are lost, and {noted} are on record as lost"
    if wrong := [
        call for call in ledger.calls if call["cost"] != {"done": PRICE, "lost": call["reserved"]}.get(call["state"], call["cost"])
    ]:
        yield "spend", f"calls are booked at another price than they had: {wrong}"
    booked = sum(call["cost"] for call in ledger.calls) + sum(COSTS.get(effect.tool, 0) for effect in ledger.effects)
    if (ledger.spent, ledger.reserved) != (booked, 0):
        yield "spend", f"spent {ledger.spent} and reserved {ledger.reserved}, and the entries say {booked} and 0"


def _ended(ledger: Ledger, closed: str) -> Iterator[tuple[str, str]]:
    if closed != CLOSED.get(ledger.status):
        yield "ended", f"the ledger says {ledger.status}, and Temporal {closed}"
    if waiting := [request.id for request in ledger.requests if request.state in ("pending", "approved")]:
        yield "ended", f"requests still wait: {waiting}"


def _differences(found: Outcome, like: Outcome, details: dict[str, str]) -> Iterator[tuple[str, str]]:
    if found.status != like.status:
        yield "ended", f"it is {found.status}, and an undisturbed run is {like.status}"
    if changed := {step: (found.steps.get(step), status) for step, status in like.steps.items() if found.steps.get(step) != status}:
        yield "ended", f"steps ended otherwise (here, undisturbed): {changed}, because {[details.get(step) for step in changed]}"
    for what, here, there in _counted(found, like):
        if more := here - there:
            yield "duplicate", f"{what} that an undisturbed run has not: {dict(more)}"
        if fewer := there - here:
            yield "lost", f"{what} that only an undisturbed run has: {dict(fewer)}"
    if found.records != like.records:
        yield "records", f"only here {dict(found.records - like.records)}; only undisturbed {dict(like.records - found.records)}"


def _counted(found: Outcome, like: Outcome) -> Iterator[tuple[str, Counter[str], Counter[str]]]:
    yield "arrivals", found.arrivals, like.arrivals
    here, there = (Counter({" ".join(effect): count for effect, count in one.effects.items()}) for one in (found, like))
    yield "effects", here, there


def _kept(ledger: Ledger) -> Iterator[tuple[str, str]]:
    """Check a run whose person knew that a step had happened: all else is undone."""
    named = confirmed(ledger)
    if ledger.status != "failed" or any(ledger.steps[step] not in ("unknown", "done") for step in named):
        yield "ended", f"a person confirmed {named}, and the run is {ledger.status} with {ledger.steps}"
    if kept := [effect.key for effect in ledger.effects if effect.state == "done" and not effect.undoes and effect.tool not in COSTS]:
        yield "ended", f"the run failed, and these stay done: {kept}"
