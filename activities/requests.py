"""How a person is asked: the ladder of a request, its terms, and a request about an undo."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from activities.services import digest
from contracts.approvals import Rung, Stage, Terms
from ledger import approvals
from ledger.approvals import Request
from ledger.effects import Effect
from policies.approvals import Approvals
from policies.bundles import Bundle
from policies.rules import Judgement
from tools.contract import Tool

HOLDS = timedelta(hours=1)
"""How long a word on an undo holds after the request's own deadline: it is waited for, so it is used at once."""


def rungs(asking: Approvals, now: datetime) -> list[dict[str, Any]]:
    """Return what happens while nobody rules, in the order of its time: reminders, wider circles, the safe end."""
    found = [_rung(now + after, "remind") for after in asking.remind]
    found += [_rung(now + asking.escalate, "escalate")] if asking.escalate else []
    end = now + asking.deadline
    if asking.silence == "escalate":
        for one in asking.escalation[1 if asking.escalate else 0 :]:
            found.append(_rung(end, "escalate"))
            end += one.within
    found.append(_rung(end, "end"))
    return [rung.model_dump() for rung in sorted(found, key=lambda rung: rung.at)]


def terms(bundle: Bundle, matched: Collection[str], cost_micros: int, *, one_machine: bool) -> Terms:
    """Return what a request about an action binds. matched: ids of the rules that matched it; all their stages must agree."""
    asking = bundle.settings.approvals
    asks = [rule for rule in bundle.settings.rules if rule.id in matched and rule.outcome == "require_approval"]
    stages = tuple(dict.fromkeys(stage for rule in asks for stage in rule.stages)) or asking.chain
    dear = asking.edit_threshold_micros is not None and cost_micros > asking.edit_threshold_micros
    return Terms(
        stages=tuple(Stage(groups=stage.groups, quorum=stage.quorum) for stage in stages),
        escalation=tuple(one.groups for one in asking.escalation),
        silence=asking.silence,
        # Where many share a machine, or a database, a starter's name is only what a client said.
        self_approval=asking.self_approval and one_machine,
        delegation=asking.delegation,
        above=dear or any(rule.above for rule in asks),
        break_glass=asking.break_glass,
    )


def about(tool: Tool, judgement: Judgement | None = None, question: str = "run") -> dict[str, Any]:
    """Return what a request keeps of its tool and of what the rules said, for cards and for judging edits.

    One that asks whether to do something again keeps the schema of its result: who knows that it happened may say with what.
    """
    said = judgement.as_json() if judgement else {}
    if question == "again":
        said["result"] = tool.result.model_json_schema()
    return {
        "effect": tool.effect,
        "guarantee": tool.guarantee,
        "reversible": tool.reversible,
        "cost_micros": tool.cost_micros,
        "version": tool.version,
        **said,
    }


def undo_request(
    tenant: str,
    bundle: Bundle,
    effect: Effect,
    back: Tool,
    arguments: dict[str, Any],
    nth: int,
    now: datetime,
    *,
    why: str,
    asker: str,
    starter: str = "",
    one_machine: bool = False,
) -> Request:
    """Return the request whether ``back`` shall (again) take back an effect. The same attempt gives the same request.

    now: by the database's clock. asker: the workflow that waits for the answer. Approve runs it with these arguments, edit with others,
    reject leaves the effect, unless it comes with the word that the effect is undone already.
    """
    bound = {"tool": back.name, "version": back.version, "arguments": arguments, "tenant": tenant, "undoes": effect.key, "nth": nth}
    return Request(
        id=approvals.request_id(effect.lineage, effect.step, effect.n, digest(bound), "undo"),
        lineage=effect.lineage,
        workflow_id=asker,
        step=effect.step,
        n=effect.n,
        tool=back.name,
        digest=digest(bound),
        arguments=arguments,
        schema=back.arguments.model_json_schema(),
        question="undo",
        reason=f"to undo {effect.tool}: {why}"[:500],
        about=about(back),
        starter=starter,
        **asked(bundle, terms(bundle, (), back.cost_micros, one_machine=one_machine), now),
    )


def asked(bundle: Bundle, bound: Terms, now: datetime) -> dict[str, Any]:
    """Return what a request about something else than a planned step takes from its bundle: who is asked, and for how long.

    now: by the database's clock, which all rungs and deadlines go by.
    """
    asking = bundle.settings.approvals
    ladder = rungs(asking, now)
    return {
        "bundle": bundle.hash,
        "groups": list(bound.stages[0].groups),
        "unsigned": asking.unsigned,
        "state": "pending",
        "rungs": ladder,
        "created_at": now,
        "expires_at": ends(ladder) + HOLDS,
        "terms": bound.model_dump(mode="json"),
    }


def ends(ladder: list[dict[str, Any]]) -> datetime:
    """Return when a ladder's last rung is reached."""
    return datetime.fromtimestamp(ladder[-1]["at"] / 1000, UTC)


def _rung(at: datetime, kind: Literal["remind", "escalate", "end"]) -> Rung:
    return Rung(at=int(at.timestamp() * 1000), kind=kind)
