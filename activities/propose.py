"""`propose`: one decision. It reads, asks the model, checks the answer, and records turn, plan and reasons at once."""

import time
from dataclasses import dataclass
from typing import Any

from temporalio import activity

from activities import metrics
from activities.calls import call, deadline, parsed
from activities.model import Model
from activities.notebook import Notebook, Said
from activities.services import Services, digest, facts
from contracts import names
from contracts.decisions import Decision, ProposeRequest
from contracts.errors import BadAnswer, BadInput, PermanentError, ToolFailed, ToolRetry
from contracts.plans import PlanStep, StepRef
from database import Tx
from ledger import decisions, records, runs, steps
from ledger.decisions import Hold
from ledger.runs import RunRow
from memory import sessions
from memory.sessions import Turn
from policies.answers import Answer, Asked, Shape, answer_schema, parse
from policies.automation import Agent
from policies.bundles import Bundle
from policies.plans import PlanCheck
from policies.prompts import render, render_arguments
from policies.references import pick, references
from tools.contract import Tool

MAX_READ = 60_000  # characters of one look-up that the model is shown


@dataclass
class Proposal:
    """One decision in the making: the run, its bundle, and what has been read so far."""

    request: ProposeRequest
    run: RunRow
    bundle: Bundle
    agent_name: str
    agent: Agent
    tools: dict[str, Tool]
    notebook: Notebook
    failed: list[dict[str, Any]]
    earlier: list[str]
    turns: list[Turn]
    position: int
    left: int
    context: dict[str, Any]
    reads: list[dict[str, Any]]
    repairs: int = 0

    @property
    def shapes(self) -> dict[str, Shape]:
        """What the planner must know of each tool and recipe."""
        recipes = self.bundle.settings.recipes.items()
        made = {
            name: Shape(name=name, description=tool.description, parameters=tool.arguments.model_json_schema())
            for name, tool in self.tools.items()
        }
        return made | {name: Shape(name=name, description=recipe.description, parameters=recipe.parameters) for name, recipe in recipes}

    @property
    def prefix(self) -> str:
        """Ids of later windows get their decision in front, so that no two windows share a step's id."""
        return "" if self.request.step == "d1" else f"{self.request.step}."


class Proposing:
    """The activity that makes decisions."""

    def __init__(self, services: Services, model: Model) -> None:
        self._services = services
        self._database = services.database
        self._model = model

    @activity.defn(name=names.PROPOSE)
    async def propose(self, request: ProposeRequest) -> Decision:
        """Make one decision. Safe to retry: a recorded decision is returned, and what an earlier attempt journaled is read.

        Raises: BadAnswer where the model's answers stay useless; ToolFailed where the agent's own look-ups cannot be made.
        """
        started = time.perf_counter()
        bundle = await self._services.bundles.get(request.run.tenant, request.run.bundle)
        async with self._database.transaction(request.run.tenant) as tx:
            hold, result, entries = await decisions.take(tx, request.run.lineage, request.step)
            if result is not None:
                return Decision.model_validate(result)
            proposal = await self._begun(tx, request, bundle, hold, entries)
        await self._read_context(proposal)
        answer, planned, said = await self._answered(proposal)
        decision = await self._recorded(proposal, answer, planned, said)
        metrics.DECISION_SECONDS.labels(bundle.automation).observe(time.perf_counter() - started)
        return decision

    async def _begun(self, tx: Tx, request: ProposeRequest, bundle: Bundle, hold: Hold, entries: dict[int, Any]) -> Proposal:
        lineage = request.run.lineage
        run = await runs.read(tx, lineage)
        assert run is not None
        agent = bundle.settings.agents[bundle.settings.planner]
        first = request.step == "d1"
        known = [] if first else await steps.of_run(tx, lineage)
        failed = [{"step": row.step, "tool": row.tool, "detail": row.detail} for row in known if row.step in request.failed]
        if failed:
            await steps.skip_open(tx, lineage, "another plan took its place")
        limit, reserved, spent = await runs.spending(tx, lineage)
        return Proposal(
            request=request,
            run=run,
            bundle=bundle,
            agent_name=bundle.settings.planner,
            agent=agent,
            tools=self._services.registry.tools(bundle.automation),
            notebook=Notebook(self._database, request.run.tenant, hold, entries, bundle.automation),
            failed=failed,
            earlier=[row.step for row in known if row.status == "done"],
            turns=await sessions.latest(tx, lineage, request.seq, limit=agent.turns),
            position=0 if first else await steps.last_position(tx, lineage),
            left=limit - reserved - spent,
            context={},
            reads=[],
        )

    async def _read_context(self, proposal: Proposal) -> None:
        """Make the look-ups that the agent's configuration always wants."""
        values = {"input": proposal.run.input, "settings": proposal.bundle.settings.settings}
        for wanted in proposal.agent.context:
            arguments = render_arguments(wanted.arguments, values)
            try:
                proposal.context[wanted.id] = await self._look_up(proposal, wanted.tool, arguments, "configuration")
            except (ToolRetry, ToolFailed) as error:
                raise PermanentError(str(error)) from error

    async def _look_up(self, proposal: Proposal, name: str, arguments: dict[str, Any], by: str) -> dict[str, Any]:
        """Make one look-up, journaled, judged by the rules like any action. Raises: ToolFailed, ToolRetry."""
        tool = proposal.tools[name]
        asked = digest(arguments)
        reply = proposal.notebook.known(name, asked)
        if reply is None:
            typed = parsed(tool, arguments)
            judgement = proposal.bundle.rules.judge(self._facts(proposal, tool, arguments))
            if judgement.outcome != "allow":
                raise ToolFailed(f"{name} may not be looked up: {judgement.because}")
            hold, run = proposal.notebook.hold, proposal.request.run
            key = f"{hold.lineage}/{hold.step}/{proposal.notebook.idx}"
            context = self._services.context(
                proposal.bundle,
                tenant=run.tenant,
                lineage=run.lineage,
                step=hold.step,
                key=key,
                deadline=deadline(tool),
                input=proposal.run.input,
            )
            reply = await call(tool, typed, context)
            await proposal.notebook.note_look_up(name, asked, reply)
        proposal.reads.append({"tool": name, "arguments": arguments, "digest": digest(reply)[:12], "by": by})
        return reply

    def _facts(self, proposal: Proposal, tool: Tool, arguments: dict[str, Any]) -> dict[str, Any]:
        taint = sorted({read["tool"] for read in proposal.reads})
        run = proposal.run
        return facts(
            tool,
            arguments,
            tenant=proposal.request.run.tenant,
            automation=run.automation,
            input=run.input,
            taint=taint,
            left=proposal.left,
        )

    async def _answered(self, proposal: Proposal) -> tuple[Answer, list[PlanStep], Said]:
        """Talk with the model until it gives a plan that can run. Raises: BadAnswer."""
        agent, shapes = proposal.agent, proposal.shapes
        choices = {name: pick(proposal.context, path) for name, path in agent.choices.items()}
        schema = answer_schema(agent, shapes, choices)
        messages = [{"role": "user" if turn.role == "tool" else turn.role, "content": turn.body} for turn in proposal.turns]
        messages.append({"role": "user", "content": self._prompt(proposal)})
        look_ups = 0
        while True:
            said = await proposal.notebook.ask(self._model, proposal.bundle.settings.models[agent.route], messages, schema)
            try:
                answer = parse(said.text)
                if not answer.look_ups:
                    return answer, self._checked(proposal, answer), said
                look_ups += len(answer.look_ups)
                if look_ups > agent.max_look_ups:
                    raise BadInput(f"{agent.max_look_ups} look-ups are the most: answer with the steps now")
                found = [await self._asked(proposal, asked) for asked in answer.look_ups]
            except BadInput as error:
                proposal.repairs += 1
                if proposal.repairs > agent.repairs:
                    raise BadAnswer(f"the model's answer could not be used, after {agent.repairs} repairs: {error}") from None
                found = f"That cannot be used: {error}. Answer again, with JSON only."
            text = found if isinstance(found, str) else "\n".join(found)
            messages += [{"role": "assistant", "content": said.text}, {"role": "user", "content": text}]

    def _prompt(self, proposal: Proposal) -> str:
        template, _ = proposal.bundle.prompt(proposal.agent_name)
        shown = [proposal.shapes[name].model_dump() for name in proposal.agent.tools]
        values = {"goal": proposal.bundle.settings.goal, "input": proposal.run.input, "tools": shown, "failed": proposal.failed}
        values |= {"look_ups": [proposal.shapes[name].model_dump() for name in proposal.agent.look_ups], "last": proposal.request.last}
        return render(template, {**values, **proposal.context, "settings": proposal.bundle.settings.settings})

    async def _asked(self, proposal: Proposal, asked: Asked) -> str:
        """Make a look-up that the model asked for; what it cannot have is told, not raised."""
        if asked.tool not in proposal.agent.look_ups:
            known = ", ".join(proposal.agent.look_ups) or "none"
            raise BadInput(f"there is no look-up {asked.tool!r}; there are: {known}")
        try:
            found = str(await self._look_up(proposal, asked.tool, asked.arguments, "model"))
        except (ToolFailed, ToolRetry) as error:
            found = f"it failed: {error}"
        return f"{asked.tool}: {found[:MAX_READ]}"

    def _checked(self, proposal: Proposal, answer: Answer) -> list[PlanStep]:
        """Return the plan's steps. Raises: BadInput where one cannot run, or is denied whatever earlier steps give."""
        if proposal.request.last and not answer.done:
            raise BadInput("this is the last decision the run may take: give the rest of the steps and `done` true")
        check = PlanCheck(proposal.bundle.settings, proposal.agent, proposal.shapes, proposal.earlier)
        planned = check.steps(answer, proposal.prefix)
        for step in planned:
            judged = self._judged(proposal, step)
            # An argument that is still to come may change the outcome: `act` judges what really runs.
            if judged["outcome"] == "deny" and not references(step.arguments):
                raise BadInput(f"step {step.id} ({step.tool}) is denied: {judged['because']}")
        return planned

    def _judged(self, proposal: Proposal, step: PlanStep) -> dict[str, Any]:
        tool = proposal.tools[step.tool]
        return proposal.bundle.rules.judge(self._facts(proposal, tool, step.arguments), asked=step.approval).as_json()

    async def _recorded(self, proposal: Proposal, answer: Answer, planned: list[PlanStep], said: Said) -> Decision:
        """Record the decision whole or not at all."""
        request, hold = proposal.request, proposal.notebook.hold
        turns = [Turn("user", request.step, self._prompt(proposal)), Turn("assistant", proposal.agent_name, said.text)]
        async with self._database.transaction(request.run.tenant) as tx:
            seq = await sessions.append(tx, hold.lineage, request.seq, turns)
            await decisions.plan(tx, hold, proposal.position, planned)
            decision = Decision(
                seq=seq,
                digest=digest([step.model_dump(mode="json") for step in planned])[:16],
                summary=answer.summary[:200],
                steps=tuple(StepRef(id=step.id, tool=step.tool, needs=step.needs) for step in planned),
                done=answer.done,
                cost=await decisions.cost(tx, hold),
            )
            taint = sorted({read["tool"] for read in proposal.reads})
            await decisions.finish(tx, hold, {**decision.model_dump(mode="json"), "taint": taint})
            await records.append(
                tx, f"{hold.lineage}/{hold.step}", "decision", hold.lineage, hold.step, self._body(proposal, decision, planned, said)
            )
        return decision

    def _body(self, proposal: Proposal, decision: Decision, planned: list[PlanStep], said: Said) -> dict[str, Any]:
        _, version = proposal.bundle.prompt(proposal.agent_name)
        judged = [{"step": step.id, "tool": step.tool, "why": step.why, **self._judged(proposal, step)} for step in planned]
        return {
            "event": "decided",
            "agent": proposal.agent_name,
            "prompt": {"name": proposal.agent.prompt, "version": version},
            "route": proposal.agent.route,
            "model": said.model,
            "reads": proposal.reads,
            "turns": [max(0, proposal.request.seq - len(proposal.turns)), proposal.request.seq],
            "failed": [failure["step"] for failure in proposal.failed],
            "actions": judged,
            "summary": decision.summary,
            "digest": decision.digest,
            "model_calls": len(proposal.notebook.calls),
            "repairs": proposal.repairs,
            "cost_micros": decision.cost,
            "budget_before": proposal.left,
            "budget_after": proposal.left - decision.cost,
            "bundle": proposal.bundle.hash[:12],
            "attempt": proposal.notebook.hold.fence,
            "build": self._services.build,
        }
