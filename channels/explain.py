"""Why a run is as it is: its records as a timeline, from the ledger alone."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from database import Tx
from ledger import approvals, lineage, records, runs, steps
from ledger.approvals import Request
from ledger.runs import RunRow
from ledger.steps import StepRow

SHOWN = 200  # characters of a free text


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment of the timeline. ``text`` is a sentence, ``body`` the whole record."""

    at: datetime
    kind: str
    step: str | None
    text: str
    body: dict[str, Any]
    notes: tuple[str, ...] = ()
    """What stands below the sentence, line by line: what a decision read, and each step of its plan."""


@dataclass(frozen=True, slots=True)
class Explained:
    """All that is known of a run. Money is in micro-dollars."""

    run: RunRow
    limit: int
    reserved: int
    spent: int
    steps: list[StepRow]
    requests: list[Request]
    timeline: list[Moment]
    original: RunRow | None = None
    """The run that a fork was forked from."""
    forks: list[RunRow] = field(default_factory=list[RunRow])

    @property
    def waiting(self) -> list[Request]:
        """The requests that wait for a person."""
        return [request for request in self.requests if request.state == "pending"]

    @property
    def refusals(self) -> list[Moment]:
        """What was said to the run and refused."""
        return [moment for moment in self.timeline if moment.kind == "access"]


async def explain(tx: Tx, run: RunRow) -> Explained:
    """Read all that is known of a run."""
    limit, reserved, spent = await runs.spending(tx, run.lineage)
    found = await records.of_run(tx, run.lineage)
    planned, requests = await steps.of_run(tx, run.lineage), await approvals.of_run(tx, run.lineage)
    published = {step.step: step.output["ref"] for step in planned if step.output and isinstance(step.output.get("ref"), str)}
    timeline = [moment(row, published) for row in found]
    original, forks = await lineage.original(tx, run), await lineage.forks(tx, run.lineage)
    return Explained(run, limit, reserved, spent, planned, requests, timeline, original, forks)


def moment(row: Mapping[str, Any], published: Mapping[str, str]) -> Moment:
    """Say one record in words. published: step -> where what it made can be found."""
    kind, body = row["kind"], row["body"]
    made = kind == "effect" and body.get("event") == "done" and published.get(row["step"])
    text = f"{SENTENCES[kind](body)}{f' → {made}' if made else ''}"
    notes = _notes(body) if kind == "decision" else _kept(body) if body.get("event") == "forked" else ()
    return Moment(row["at"], kind, row["step"], text, body, tuple(notes))


def dollars(micros: int) -> str:
    """Write micro-dollars as people do."""
    return f"${micros / 1_000_000:.6f}".rstrip("0").rstrip(".") if micros else "$0"


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _because(body: dict[str, Any]) -> str:
    rules = ", ".join(body.get("rules", ()))
    said = f" because {body['because']}" if body.get("because") else ""
    word = f" ({_short(body['reason'])})" if body.get("reason") else ""
    approver = f"; approved by {body['approver']}{word}" if body.get("approver") else ""
    return f"{said}{f' [{rules}]' if rules else ''}{approver}"


def _decision(body: dict[str, Any]) -> str:
    count, prompt, repairs = len(body["actions"]), body["prompt"], body["repairs"]
    steps = f"{count} step{'s' if count != 1 else ''}" if count else "nothing more"
    again = f" after {', '.join(body['failed'])} failed" if body["failed"] else ""
    mended = f", {repairs} of them to mend an answer" if repairs else ""
    calls = f"{body['model_calls']} model call{'s' if body['model_calls'] != 1 else ''}{mended}"
    summary = f": {_short(body['summary'])}" if body.get("summary") else ""
    asked = f"{body['model']} by {prompt['name']} {prompt['version']}"
    return f"{body['agent']} decided{again} on {steps}{summary}; {asked}, {calls}; cost {dollars(body['cost_micros'])}"


def _notes(body: dict[str, Any]) -> Iterator[str]:
    for read in body["reads"]:
        given = ", ".join(f"{name} {_short(value)}" for name, value in read["arguments"].items())
        asked = " (the model asked)" if read["by"] == "model" else ""
        yield f"read {read['tool']} {read['digest']}: {given or 'no arguments'}{asked}"
    for memory in body.get("memories", ()):
        yield from _remembered(memory)
    for wrong in body.get("sent_back", ()):
        yield f"an answer was sent back: {_short(wrong)}"
    said = ""
    for action in body["actions"]:
        # A recipe gives all its steps the reason of the one that was planned.
        reason = f": {_short(action['why'])}" if action.get("why") and action["why"] != said else ""
        said = action.get("why", "")
        rules = f" [{', '.join(action['rules'])}]" if action.get("rules") else ""
        yield f"{action['step']} {action['tool']}, {OUTCOMES.get(action['outcome'], action['outcome'])}{rules}{reason}"


def _remembered(memory: dict[str, Any]) -> Iterator[str]:
    """Name each fact that a decision was shown, and where it comes from; its text is where it can be forgotten."""
    how = "by words only" if memory["mode"] == "keywords" else f"by words and meaning ({memory['mode']})"
    worse = f", since {_short(memory['degraded'])}" if memory["degraded"] else ""
    left = f", {len(memory['left_out'])} more did not fit" if memory["left_out"] else ""
    yield f"recalled {len(memory['hits'])} facts for {_short(memory['query'])} {how}{worse}{left}"
    for hit in memory["hits"]:
        about = f" about {_short(hit['subject'])}" if hit["subject"] else ""
        source = f"run {hit['lineage']} {hit['step']}" if hit["lineage"] else f"episodes {', '.join(hit['sources'][:3]) or 'unknown'}"
        yield f"  {hit['kind']} {hit['id']}{about}, of {hit['at'][:10]}, from {source} (score {hit['score']}, {hit['via']})"


OUTCOMES = {"allow": "allowed", "deny": "denied", "require_approval": "a person is asked"}


def _effect(body: dict[str, Any]) -> str:
    price = f"; cost {dollars(body['cost_micros'])}" if body.get("cost_micros") else ""
    attempt = f" at attempt {body['attempt']}" if body.get("attempt", 1) > 1 else ""
    detail = f": {_short(body['detail'])}" if body.get("detail") else ""
    return f"{body['tool']} {body['event']}{attempt}{detail}{_because(body)}{price}"


def _ruling(body: dict[str, Any]) -> str:
    if body["event"] == "asked":
        given = f" (approved as edited by {body['by']})" if body.get("by") else ""
        return (
            f"asked {', '.join(body['groups'])} about {body['tool']} {body['digest'][:12]}{given} because {body['because']} "
            f"[{body['request']}]"
        )
    if "verdict" not in body:
        return f"{body['event']} [{body['request']}]"
    said = f": {_short(body['reason'])}" if body.get("reason") else ""
    return f"{body['event']} by {body['by']} over {body['channel']}{said} [{body['request']}]"


def _configuration(body: dict[str, Any]) -> str:
    if body["event"] == "opened":
        return f"started by {body['by'] or 'somebody unnamed'} as {body['workflow_id']}: {body['automation']} {body['bundle'][:12]}"
    if body["event"] == "moved":
        return f"{body['by']} moved {_short(body['title'])} on the calendar from {body['from']} to {body['to']} [{body['entry']}]"
    if body["event"] == "undo ended":
        return "nothing of that is left to undo, or to ask"
    if body["event"] == "undo ordered":
        since = f" from {body['since']} on" if body["since"] else ""
        unseen = " where nobody saw it end" if body["unseen"] else ""
        reason = f": {_short(body['reason'])}" if body["reason"] else ""
        shared = ", with what forks share" if body.get("shared") else ""
        return f"{body['by']} ordered that it be undone{since}{unseen}{shared}{reason}"
    if body["event"] in OPERATED:
        return _operated(body)
    if body["event"] == "not remembered":
        return f"what {body['tool']} did is not remembered: {_short(body['why'])}"
    summary = f": {_short(body['summary'])}" if body.get("summary") else ""
    return f"{body['event']}{summary}"


OPERATED = {
    "paused": "paused the run",
    "resumed": "let the run go on",
    "cancel": "cancelled the run",
    "retried": "opened the step again",
    "hastened": "had the step tried again at once",
    "forked": "forked this run",
}


def _operated(body: dict[str, Any]) -> str:
    """Say what a person did to the whole run."""
    ending = {"undo": ", undoing what it did", "keep": ", leaving what it did"}.get(body.get("ending") or "", "")
    ended = f", which had {_short(body['ended'])}" if body.get("ended") else ""
    whence = f" from {body['from']} at {body['at']}" if body["event"] == "forked" else ""
    bundle = f", under bundle {body['bundle'][:12]}" if body.get("bundle_before") != body.get("bundle") else ""
    over = f" over {body['channel']}" if body.get("channel") else ""
    reason = f": {_short(body['reason'])}" if body.get("reason") else ""
    return f"{body['by'] or 'somebody unnamed'} {OPERATED[body['event']]}{ending}{ended}{whence}{bundle}{over}{reason}"


def _kept(body: dict[str, Any]) -> Iterator[str]:
    """Name what a fork took along, and under which key the original did it."""
    yield from (f"{step} is inherited as done and is not run again: {key}" for step, key in body["kept"].items())
    if body["again"]:
        yield f"open again: {', '.join(body['again'])}"


def _access(body: dict[str, Any]) -> str:
    if body["event"] in DIRECTORY:
        return f"{body['by'] or 'somebody unnamed'}: {body['event']}, {DIRECTORY[body['event']](body)}"
    who = f" from {body['by']}" if body.get("by") else ""
    if not body["why"]:
        return f"{body['event']} {body['signal']}{who}"
    return f"{body['event']} {body.get('signal', 'ruling')}{who}: {_short(body['why'])}"


def _spend(body: dict[str, Any]) -> str:
    return f"{body['event']} {body.get('model', '')}: {dollars(body['cost_micros'])}"


def _conflict(body: dict[str, Any]) -> str:
    return _short(body)


def _person(body: dict[str, Any]) -> str:
    groups = f" in {', '.join(body['groups'])}" if body["groups"] else ""
    return f"{body['person']} as {body['role']}{groups}{', disabled' if body['disabled'] else ''}"


DIRECTORY: dict[str, Callable[[dict[str, Any]], str]] = {
    "person added": _person,
    "person changed": _person,
    "delegated": lambda body: f"{body['taker']} for {body['giver']} in {', '.join(body['groups'])} until {body['until']}",
    "delegation revoked": lambda body: body["id"],
    "token minted": lambda body: f"{body['token']} of {body['person']} for {', '.join(body['scopes'])} until {body['expires']}",
    "token revoked": lambda body: body["token"],
}
"""What a change of the directory was about."""
SENTENCES: dict[str, Callable[[dict[str, Any]], str]] = {
    "decision": _decision,
    "effect": _effect,
    "ruling": _ruling,
    "configuration": _configuration,
    "access": _access,
    "spend": _spend,
    "conflict": _conflict,
}
