"""Where a run stands, in sentences: what it does or waits for, why it failed, and what to do next."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from channels.explain import Explained, Moment, dollars
from channels.under_way import Call, UnderWay
from ledger import operations

UNTAKEN = timedelta(seconds=5)
"""How long a task may lie before the lack of a worker is worth a word."""


def standing(found: Explained, seen: UnderWay | None) -> list[str]:
    """Explain a run that opened. ``seen`` is None where Temporal knows no execution of it or cannot be asked."""
    if found.run.status != "running":
        return [*_ended(found), *_family(found)]
    lines = [*_operated(found), *(_under_way(seen) if seen else ())]
    waits = [f"{step.step} ({step.tool}) waits {step.detail}{_in(step.detail)}" for step in found.steps if step.status == "waiting"]
    people = f"{len(found.waiting)} wait for a person" if found.waiting else ""
    lines += waits + ([people] if people else [])
    if not found.steps and not lines:
        lines.append("deciding: its planner has not answered yet")
    return [*lines, *_family(found)]


def unopened(seen: UnderWay) -> list[str]:
    """Explain a run that the ledger does not know."""
    if seen.closed_at is None:
        return [f"{seen.workflow_id} is starting and has not opened yet", *_under_way(seen)]
    why = f": {seen.failure}" if seen.failure else ""
    return [f"{seen.workflow_id} {seen.status} at {_at(seen.closed_at)} and never opened{why}"]


def later(seen: UnderWay) -> str:
    """Explain an execution that came after the one that the ledger knows, and did not open."""
    why = f": {seen.failure}" if seen.failure else ""
    return f"a later start of the same workflow ID {'is ' if seen.closed_at is None else ''}{seen.status} and never opened{why}"


def _ended(found: Explained) -> Iterator[str]:
    run = found.run
    if run.ended_at:
        yield f"{run.status} at {_at(run.ended_at)}, after {_length(run.ended_at - run.started_at)}"
    for step in found.steps:
        if step.status in ("failed", "denied", "unknown", "refused") and step.detail:
            yield f"{step.step} ({step.tool}) {step.status}: {step.detail}"
    if run.status != "completed" and not found.steps:
        yield "no plan was made, so nothing was run"
    undone = [moment for moment in found.timeline if moment.kind == "effect" and moment.body.get("event") == "undone"]
    if undone:
        yield f"{len(undone)} effects were undone" if len(undone) > 1 else "1 effect was undone"
    for moment in found.timeline:
        if moment.body.get("event") in ("undo failed", "undo unknown"):
            yield f"not undone: {moment.text}"


def _under_way(seen: UnderWay) -> Iterator[str]:
    if seen.closed_at is not None:
        why = f" ({seen.failure})" if seen.failure else ""
        yield f"Temporal says that it {_word(seen.status)} at {_at(seen.closed_at)}{why}, before the run could end itself in the ledger"
        return
    if seen.stuck:
        yield f"its own code fails and is tried again: {seen.stuck}"
    yield from (_called(call) for call in seen.calls if call.started or call.said)
    if seen.untaken and datetime.now(UTC) - seen.untaken > UNTAKEN:
        yield f"no worker has taken it up since {_at(seen.untaken)}: `starter.py status` tells whether one is running"


def _word(status: str) -> str:
    return f"was {status}" if status in ("terminated", "cancelled", "canceled") else status.replace("_", " ")


def _called(call: Call) -> str:
    name = f"{call.activity} {call.step}".rstrip()
    said = f"attempt {call.attempt - 1} failed: {call.said}" if call.said else ""
    if call.started:
        doing = f"{name} is at work since {_at(call.since)}"
        return f"{doing}, attempt {call.attempt}; {said}" if said else doing
    when = f"attempt {call.attempt} begins at {_at(call.next_at)}" if call.next_at else f"attempt {call.attempt} begins"
    return f"{name} is tried again, {when}; {said}"


def _operated(found: Explained) -> Iterator[str]:
    """Say what people want of a run under way."""
    run = found.run
    if run.cancelled_at:
        yield f"is being cancelled by {run.cancelled_by} since {_at(run.cancelled_at)}"
    elif held := operations.held(run):
        yield f"{held}; `starter.py resume {run.workflow_id}` lets it go on"


def _family(found: Explained) -> Iterator[str]:
    """Name the run it was forked from, and those forked from it."""
    if found.original:
        kept = [step.step for step in found.steps if step.inherited and step.status == "done"]
        shared = f"; inherited and not run again: {', '.join(kept)}" if kept else ""
        yield f"forked from {found.original.workflow_id} at {found.run.parent_step}{shared}"
    if found.forks:
        yield f"forks: {', '.join(f'{fork.workflow_id} (at {fork.parent_step}, {fork.status})' for fork in found.forks)}"


def refused(moment: Moment) -> str:
    """Say what somebody told the run that was not taken."""
    return f"{moment.text} (at {_at(moment.at)})"


def spent(found: Explained) -> str:
    """Say what it cost."""
    reserved = f", {dollars(found.reserved)} reserved" if found.reserved else ""
    return f"{dollars(found.spent)} of {dollars(found.limit)} spent{reserved}"


def _in(detail: str) -> str:
    """Return how far away the slot is that a step's detail names."""
    try:
        at = datetime.strptime(detail.removeprefix("for its slot at "), "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
    except ValueError:
        return ""
    left = at - datetime.now(UTC)
    return f", in {_length(left)}" if left > timedelta(0) else ", which is now"


def _at(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S} UTC"


def _length(span: timedelta) -> str:
    seconds = max(0, round(span.total_seconds()))
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds // 86_400} days"
