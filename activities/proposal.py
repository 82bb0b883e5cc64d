"""One decision in the making: what the planner may choose, what it is told, and what its answer comes to."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from activities.notebook import Notebook, Said
from activities.services import digest, facts
from contracts.decisions import Decision, ProposeRequest
from contracts.errors import BadInput
from contracts.plans import Plan, PlanStep, StepRef
from ledger.views import Frame
from memory.sessions import Turn
from policies.agents import Agent
from policies.answers import Answer, Shape, answer_schema
from policies.bundles import Bundle
from policies.plans import PlanCheck
from policies.prompts import render
from policies.references import pick, references
from policies.rules import Judgement
from tools.contract import Tool

RECORDED = ("id", "kind", "subject", "at", "score", "via", "lineage", "step", "sources")
WINDOW = re.compile(r"d\d+\.")
"""How ids of later windows begin."""


@dataclass(frozen=True)
class Menu:
    """What one agent may choose from: the same for every decision under one bundle and one version of its tools."""

    bundle: Bundle
    agent: Agent
    tools: Mapping[str, Tool]

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """What the planner must know of each tool and recipe."""
        shapes = {
            name: Shape(name=name, description=tool.description, parameters=tool.arguments.model_json_schema())
            for name, tool in self.tools.items()
        }
        recipes = self.bundle.settings.recipes.items()
        return shapes | {name: Shape(name=name, description=recipe.description, parameters=recipe.parameters) for name, recipe in recipes}

    @cached_property
    def shown(self) -> dict[str, list[dict[str, Any]]]:
        """The same as a prompt's values."""
        return {
            "tools": [self.shapes[name].model_dump() for name in self.agent.tools],
            "look_ups": [self.shapes[name].model_dump() for name in self.agent.look_ups],
        }

    @cached_property
    def _open_schema(self) -> dict[str, Any]:
        return answer_schema(self.agent, self.shapes, {})

    def schema(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Return the schema of an answer, its choices taken from what was read."""
        if not self.agent.choices:
            return self._open_schema
        return answer_schema(self.agent, self.shapes, {name: pick(context, path) for name, path in self.agent.choices.items()})


@dataclass
class Proposal:
    """A decision under way. ``reads`` names every look-up so far, ``context`` holds those that the configuration wants."""

    request: ProposeRequest
    bundle: Bundle
    menu: Menu
    notebook: Notebook
    frame: Frame
    failed: list[dict[str, Any]]
    turns: list[Turn]
    context: dict[str, Any] = field(default_factory=dict[str, Any])
    reads: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    memories: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """What was recalled: how, and the facts that the prompt carries, without their texts."""
    repairs: list[str] = field(default_factory=list[str])
    """What was wrong with the answers that were sent back."""
    judged: dict[str, Judgement] = field(default_factory=dict[str, Judgement])

    @property
    def agent(self) -> Agent:
        """The planner."""
        return self.menu.agent

    @property
    def taint(self) -> list[str]:
        """The tools whose output the decision has read."""
        return sorted({read["tool"] for read in self.reads})

    @cached_property
    def prompt(self) -> str:
        """The prompt, once everything that belongs in it was read."""
        template, _ = self.bundle.prompt(self.bundle.settings.planner)
        values = {"goal": self.bundle.settings.goal, "input": self.frame.input, "failed": self.failed, "last": self.request.last}
        return render(template, {**values, **self.menu.shown, **self.context, "settings": self.bundle.settings.settings})

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What the model is told: the session's last turns and the prompt."""
        said = [{"role": "user" if turn.role == "tool" else turn.role, "content": turn.body} for turn in self.turns]
        return [*said, {"role": "user", "content": self.prompt}]

    def note_read(self, tool: str, arguments: dict[str, Any], reply: dict[str, Any], by: str) -> None:
        """Note that the decision has read something, because its configuration or the model wanted it."""
        self.reads.append({"tool": tool, "arguments": arguments, "digest": digest(reply)[:12], "by": by})

    def note_recall(self, id: str, arguments: dict[str, Any], reply: dict[str, Any]) -> None:
        """Note what was recalled: the prompt sees it under ``id``, the record names each fact and where it comes from."""
        self.context[id] = reply
        self.note_read("memory.recall", arguments, reply, "configuration")
        found = [{name: hit[name] for name in RECORDED} for hit in reply["hits"]]
        how = {name: reply[name] for name in ("mode", "degraded", "capped", "left_out")}
        self.memories.append({"id": id, "query": arguments["query"], **how, "hits": found})

    def judge(self, tool: Tool, arguments: Mapping[str, Any], *, asked: bool = False) -> Judgement:
        """Judge an action by what is known now."""
        run = self.frame
        known = facts(
            tool,
            arguments,
            tenant=self.request.run.tenant,
            automation=run.automation,
            input=run.input,
            taint=self.taint,
            left=run.left,
        )
        return self.bundle.rules.judge(known, asked=asked)

    def wanted(self, plan: Plan) -> list[str]:
        """Return the steps of earlier windows that a plan builds on."""
        own = {step.id for step in plan.steps}
        return sorted({need for step in plan.steps for need in (*step.needs, *references(step.arguments))} - own)

    def checked(self, answer: Answer, earlier: Sequence[str]) -> list[PlanStep]:
        """Return the plan's steps. Raises: BadInput where one cannot run, or is denied whatever earlier steps give."""
        if self.request.last and not answer.done:
            raise BadInput("this is the last decision the run may take: give the rest of the steps and `done` true")
        first = self.request.step == "d1"
        if first and (taken := [step.id for step in answer.steps if WINDOW.match(step.id)]):
            raise BadInput(f"ids like {taken[0]!r} are for later decisions: begin it with another letter")
        check = PlanCheck(self.bundle.settings, self.agent, self.menu.shapes, earlier)
        planned = check.steps(answer, "" if first else f"{self.request.step}.")
        for step in planned:
            judgement = self.judge(self.menu.tools[step.tool], step.arguments, asked=step.approval)
            # An argument that is still to come may change the outcome: `act` judges what really runs.
            if judgement.outcome == "deny" and not references(step.arguments):
                raise BadInput(f"step {step.id} ({step.tool}) is denied: {judgement.because}")
            self.judged[step.id] = judgement
        return planned

    def decision(self, answer: Answer, planned: list[PlanStep], cost: int) -> Decision:
        """Return what the workflow gets of it."""
        return Decision(
            seq=self.request.seq + 2,
            digest=digest([step.model_dump(mode="json") for step in planned])[:16],
            summary=answer.summary[:200],
            steps=tuple(self._skeleton(step) for step in planned),
            done=answer.done,
            cost=cost,
        )

    def _skeleton(self, step: PlanStep) -> StepRef:
        if self.menu.tools[step.tool].quick:
            return StepRef(id=step.id, tool=step.tool, needs=step.needs, quick=True)
        return StepRef(id=step.id, tool=step.tool, needs=step.needs)

    def record(self, decision: Decision, planned: list[PlanStep], said: Said, build: str) -> dict[str, Any]:
        """Return what the ledger keeps of it: who decided, by which prompt and model, on what, and what the rules said."""
        name, agent = self.bundle.settings.planner, self.agent
        _, version = self.bundle.prompt(name)
        actions = [{"step": step.id, "tool": step.tool, "why": step.why, **self.judged[step.id].as_json()} for step in planned]
        return {
            "event": "decided",
            "agent": name,
            "prompt": {"name": agent.prompt, "version": version},
            "route": agent.route,
            "model": said.model,
            "reads": self.reads,
            **({"memories": self.memories} if self.memories else {}),
            "turns": [max(0, self.request.seq - len(self.turns)), self.request.seq],
            "failed": [failure["step"] for failure in self.failed],
            "actions": actions,
            "summary": decision.summary,
            "digest": decision.digest,
            "model_calls": len(self.notebook.calls),
            "repairs": len(self.repairs),
            "sent_back": [wrong[:300] for wrong in self.repairs],
            "cost_micros": decision.cost,
            "budget_before": self.frame.left,
            "budget_after": self.frame.left - decision.cost,
            "bundle": self.bundle.hash[:12],
            "attempt": self.notebook.hold.fence,
            "build": build,
        }
