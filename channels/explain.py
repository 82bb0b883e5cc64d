"""Why a run is as it is: its records as a timeline, from the ledger alone."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from database import Tx
from ledger import approvals, records, runs, steps
from ledger.approvals import Request
from ledger.runs import RunRow
from ledger.steps import StepRow

SHOWN = 200  # characters of a free text


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of the timeline. ``text`` is a sentence, ``body`` the whole record."""

    at: datetime
    kind: str
    step: str | None
    text: str
    body: dict[str, Any]


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
    timeline = [Moment(row["at"], row["kind"], row["step"], sentence(row["kind"], row["body"]), row["body"]) for row in found]
    planned, requests = await steps.of_run(tx, run.lineage), await approvals.of_run(tx, run.lineage)
    return Explained(run, limit, reserved, spent, planned, requests, timeline)


def sentence(kind: str, body: dict[str, Any]) -> str:
    """Say one record in words."""
    return SENTENCES[kind](body)


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
    reads = ", ".join(f"{read['tool']} {read['digest']}" for read in body["reads"]) or "nothing"
    prompt, repairs = body["prompt"], body["repairs"]
    steps = ", ".join(f"{action['step']} {action['tool']}" for action in body["actions"][:12])
    more = f" and {len(body['actions']) - 12} more" if len(body["actions"]) > 12 else ""
    again = f" after {', '.join(body['failed'])} failed" if body["failed"] else ""
    return (
        f"{body['agent']} decided{again} on {steps or 'nothing more'}{more}; {body['model']} by {prompt['name']} "
        f"{prompt['version']}, read {reads}{f', {repairs} repairs' if repairs else ''}; cost {dollars(body['cost_micros'])}"
    )


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
    summary = f": {_short(body['summary'])}" if body.get("summary") else ""
    return f"{body['event']}{summary}"


def _access(body: dict[str, Any]) -> str:
    who = f" from {body['by']}" if body.get("by") else ""
    return f"{body['event']} {body.get('signal', 'ruling')}{who}: {_short(body['why'])}"


def _spend(body: dict[str, Any]) -> str:
    return f"{body['event']} {body.get('model', '')}: {dollars(body['cost_micros'])}"


def _conflict(body: dict[str, Any]) -> str:
    return _short(body)


SENTENCES: dict[str, Callable[[dict[str, Any]], str]] = {
    "decision": _decision,
    "effect": _effect,
    "ruling": _ruling,
    "configuration": _configuration,
    "access": _access,
    "spend": _spend,
    "conflict": _conflict,
}
