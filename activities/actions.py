"""A step as it would run now: its arguments resolved, its digest, its claim, and what the rules say of it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from activities import breakers
from activities.breakers import Passage
from activities.calls import deadline, parsed
from activities.services import Services, digest, facts
from contracts.effects import ActResult, Status
from database import Tx
from ledger import effects, records, steps
from ledger.breakers import Breaker
from ledger.effects import Claim
from ledger.views import ActionView
from policies.bundles import Bundle
from policies.references import resolve
from policies.rules import Judgement
from tools.contract import Tool


@dataclass(frozen=True, slots=True)
class Action:
    """One step as it would run now. ``digest`` binds all of it; ``claim`` is what its effect's row would say."""

    view: ActionView
    tool: Tool
    arguments: dict[str, Any]
    parsed: Any
    digest: str
    claim: Claim
    judgement: Judgement
    because: dict[str, Any]
    """Rules, outcome and approver, as the effect's record will name them."""
    passage: Passage

    @property
    def writes(self) -> bool:
        """Whether it needs an effect's row."""
        return self.tool.effect != "read"

    @property
    def doubt(self) -> bool:
        """Whether an earlier attempt may have acted under this key."""
        effect = self.view.effect
        return effect is not None and effect.key == self.claim.key and not effect.released


class Actions:
    """Makes the actions of one run's bundle, and ends those that do not run."""

    def __init__(self, services: Services, bundle: Bundle) -> None:
        self._services = services
        self.bundle = bundle

    def tool(self, view: ActionView) -> Tool:
        """Return the step's tool. Raises: ToolFailed where the automation has none of that name."""
        return self._services.registry.tool(self.bundle.automation, view.step.tool)

    def action(self, tenant: str, view: ActionView) -> Action:
        """Return the step as it would run now. Raises: BadInput or ToolRetry where its arguments cannot run."""
        tool = self.tool(view)
        arguments = resolve(view.step.arguments, view.outputs)
        typed = parsed(tool, arguments)
        # As the tool will get them: what a person sees and the digest binds is what runs, cleaned and complete.
        arguments = typed.model_dump(mode="json")
        judgement = self.bundle.rules.judge(
            facts(
                tool,
                arguments,
                tenant=tenant,
                automation=view.automation,
                input=view.input,
                taint=view.taint,
                left=view.left,
            ),
            asked=view.step.approval,
        )
        bound = {
            "tool": tool.name,
            "version": tool.version,
            "arguments": arguments,
            "tenant": tenant,
            "run": view.lineage,
            "step": view.step.step,
        }
        claim = claim_of(view, tool, arguments, deadline(tool))
        breaker = view.breaker or Breaker("tool", view.automation, tool.name)
        way = Passage(breaker, breakers.threshold(self.bundle))
        return Action(view, tool, arguments, typed, digest(bound), claim, judgement, judgement.as_json(), way)

    async def end(
        self, tx: Tx, view: ActionView, status: Status, detail: str, *, output: Any = None, because: dict[str, Any] | None = None
    ) -> ActResult:
        """End a step that does not run (any more), with a record of why."""
        lineage, step = view.lineage, view.step.step
        await steps.end(tx, lineage, step, status, detail, output)
        body = {"event": status, "tool": view.step.tool, "detail": detail[:2000], **(because or {})}
        retried = f"/{view.step.retries}" if view.step.retries else ""
        await records.append(tx, f"{lineage}/{step}/{view.step.n}/{status}{retried}", "effect", lineage, step, body)
        return ActResult(status=status, detail=detail[:200])

    async def fail(self, tx: Tx, view: ActionView, why: str) -> ActResult:
        """End a step that cannot run: as failed or, where an attempt before may have acted, as unknown."""
        effect = view.effect
        if effect is None or effect.released or effect.state == "failed":
            if effect is not None:
                await effects.resolve(tx, effect.key, "failed", detail=why, attempt=effect.attempts)
            return await self.end(tx, view, "failed", why)
        await effects.resolve(tx, effect.key, "unknown", detail=why, attempt=effect.attempts)
        return await self.end(tx, view, "unknown", f"nobody knows whether {effect.tool} happened: {why}")


def claim_of(view: ActionView, tool: Tool, arguments: dict[str, Any], until: datetime) -> Claim:
    """Return the claim of a step's effect by an attempt that has until then."""
    step, n = view.step.step, view.step.n
    return Claim(
        key=effects.key(view.lineage, step, n),
        lineage=view.lineage,
        step=step,
        n=n,
        tool=tool.name,
        tool_version=tool.version,
        guarantee=tool.guarantee,
        digest=digest(arguments),
        arguments=arguments,
        until=until,
        undo_with=tool.compensate_with,
    )
