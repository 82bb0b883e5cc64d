"""`propose`: one decision. It reads, asks the model, checks the answer, and records turn, plan and reasons at once."""

import asyncio
import time
from typing import Any

from temporalio import activity

from activities import breakers, metrics
from activities.breakers import Open
from activities.calls import deadline, parsed
from activities.memories import Memories
from activities.model import Model
from activities.notebook import Notebook, Question, Said
from activities.proposal import Menu, Proposal
from activities.services import Services, digest
from contracts import names
from contracts.decisions import Decision, ProposeRequest
from contracts.errors import BadAnswer, BadInput, PermanentError, ToolFailed, ToolRetry
from contracts.plans import PlanStep
from database import Tx
from ledger import decisions, steps
from ledger.decisions import Taken
from memory import sessions
from memory.sessions import Turn
from policies.answers import Answer, Asked, parse
from policies.bundles import Bundle
from policies.prompts import render, render_arguments

MAX_READ = 60_000  # characters of one look-up that the model is shown
MENUS = 64
RECALL = "memory.recall"
"""What recalls are called in the journal, in the record, and as a taint."""


class Proposing:
    """The activity that makes decisions."""

    def __init__(self, services: Services, model: Model) -> None:
        self._services = services
        self._database = services.database
        self._model = model
        self._memories = Memories(services.database, services.embedders)
        self._menus: dict[tuple[str, str], Menu] = {}

    @activity.defn(name=names.PROPOSE)
    async def propose(self, request: ProposeRequest) -> Decision:
        """Make one decision. Safe to retry: a recorded decision is returned, and what an earlier attempt journaled is read.

        Two transactions, where nothing is looked up and the first answer can be used: one takes the decision and reserves the
        call, one settles the call and records the decision. Every other call and every look-up is a commit of its own.
        Raises: BadAnswer where the model's answers stay useless; PermanentError where the agent's own look-ups cannot be made;
        Open where the model or a look-up's tool is left alone for a while.
        """
        try:
            return await self._decision(request)
        except Open as error:
            async with self._database.transaction(request.run.tenant) as tx:
                await breakers.held(tx, error.breaker, request.run.lineage, request.step)
            raise

    async def _decision(self, request: ProposeRequest) -> Decision:
        started = time.perf_counter()
        bundle = await self._services.bundles.get(request.run.tenant, request.run.bundle)
        question = None
        async with self._database.transaction(request.run.tenant) as tx:
            taken = await decisions.take(tx, request.run.lineage, request.step)
            if taken is None:
                return Decision(seq=request.seq, digest="", paused=True)
            if taken.result is not None:
                return Decision.model_validate(taken.result)
            proposal = await self._begun(tx, request, bundle, taken)
            if not (proposal.agent.context or proposal.agent.recall or taken.entries):
                question = await self._question(proposal, proposal.messages)
                await proposal.notebook.reserve(tx, question)
        async with proposal.notebook.voice:
            await self._read_context(proposal)
            await self._recall(proposal)
            decision = await self._recorded(proposal, *await self._answered(proposal, question))
        metrics.DECISION_SECONDS.labels(bundle.automation).observe(time.perf_counter() - started)
        return decision

    async def _begun(self, tx: Tx, request: ProposeRequest, bundle: Bundle, taken: Taken) -> Proposal:
        lineage, menu = request.run.lineage, self._menu(bundle)
        failed = await steps.failures(tx, lineage, list(request.failed))
        if failed:
            await steps.skip_open(tx, lineage, "another plan took its place")
        frame, threshold = taken.frame, breakers.threshold(bundle)
        return Proposal(
            request=request,
            bundle=bundle,
            menu=menu,
            notebook=Notebook(self._database, request.run.tenant, taken.hold, taken.entries, bundle.automation, frame.breakers, threshold),
            frame=frame,
            failed=failed,
            turns=await self._memories.turns(tx, lineage, request.seq, menu.agent.turns),
        )

    def _menu(self, bundle: Bundle) -> Menu:
        tools = self._services.registry.tools(bundle.automation)
        key = bundle.hash, "".join(tool.version for tool in tools.values())
        if key not in self._menus:
            if len(self._menus) >= MENUS:
                self._menus.clear()
            self._menus[key] = Menu(bundle, bundle.settings.agents[bundle.settings.planner], tools)
        return self._menus[key]

    async def _question(self, proposal: Proposal, messages: list[dict[str, Any]]) -> Question:
        route = proposal.bundle.settings.models[proposal.agent.route]
        return await proposal.notebook.question(self._model, route, messages, proposal.menu.schema(proposal.context))

    async def _read_context(self, proposal: Proposal) -> None:
        """Make the look-ups that the agent's configuration always wants, side by side: none may build on another."""
        values = {"input": proposal.frame.input, "settings": proposal.bundle.settings.settings}
        wanted = proposal.agent.context
        try:
            given = [render_arguments(look_up.arguments, values) for look_up in wanted]
            asked = [self._look_up(proposal, one.tool, arguments) for one, arguments in zip(wanted, given, strict=True)]
            found = await asyncio.gather(*asked)
        except (BadInput, ToolRetry, ToolFailed) as error:
            raise PermanentError(str(error)) from error
        for look_up, arguments, reply in zip(wanted, given, found, strict=True):
            proposal.context[look_up.id] = reply
            proposal.note_read(look_up.tool, arguments, reply, "configuration")

    async def _recall(self, proposal: Proposal) -> None:
        """Recall what the agent's configuration wants to know of earlier work, journaled: a retry is shown the same."""
        notebook, values = proposal.notebook, {"input": proposal.frame.input, "settings": proposal.bundle.settings.settings}
        target = proposal.bundle.settings.memory.recall_target
        for wanted in proposal.agent.recall:
            try:
                query = render(wanted.query, values)
            except BadInput as error:
                raise PermanentError(f"recall {wanted.id}: {error}") from error
            arguments = {"query": query, "scopes": list(wanted.scopes), "kinds": list(wanted.kinds), "k": wanted.k}
            idx, asked = notebook.turn(), digest({**arguments, "tokens": wanted.tokens})
            reply = notebook.known(idx, RECALL, asked)
            if reply is None:
                reply = await self._memories.recall(proposal.request.run.tenant, wanted, query, target)
                await notebook.note_look_up(idx, RECALL, asked, reply)
            proposal.note_recall(wanted.id, arguments, reply)

    async def _look_up(self, proposal: Proposal, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Make one look-up, journaled, judged by the rules like any action. Raises: ToolFailed, ToolRetry."""
        notebook, tool, asked = proposal.notebook, proposal.menu.tools[name], digest(arguments)
        idx = notebook.turn()
        if (known := notebook.known(idx, name, asked)) is not None:
            return known
        typed = parsed(tool, arguments)
        judgement = proposal.judge(tool, arguments)
        if judgement.outcome != "allow":
            raise ToolFailed(f"{name} may not be looked up: {judgement.because}")
        hold, run = notebook.hold, proposal.request.run
        context = self._services.context(
            proposal.bundle,
            tool,
            tenant=run.tenant,
            lineage=run.lineage,
            step=hold.step,
            key=f"{hold.lineage}/{hold.step}/{idx}",
            deadline=deadline(tool),
            input=proposal.frame.input,
        )
        reply = await notebook.look_up(tool, typed, context)
        await notebook.note_look_up(idx, name, asked, reply)
        return reply

    async def _answered(self, proposal: Proposal, question: Question | None) -> tuple[Answer, list[PlanStep], Said]:
        """Talk with the model until it gives a plan that can run. Raises: BadAnswer."""
        reserved = question is not None
        question = question or await self._question(proposal, proposal.messages)
        look_ups = 0
        while True:
            said = await proposal.notebook.ask(self._model, question, reserved=reserved)
            try:
                answer = parse(said.text)
                if not answer.look_ups:
                    return answer, await self._checked(proposal, answer), said
                await proposal.notebook.settle_now()
                look_ups += len(answer.look_ups)
                if look_ups > proposal.agent.max_look_ups:
                    raise BadInput(f"{proposal.agent.max_look_ups} look-ups are the most: answer with the steps now")
                told = "\n".join([await self._asked(proposal, asked) for asked in answer.look_ups])
            except BadInput as error:
                await proposal.notebook.settle_now()
                proposal.repairs.append(str(error))
                if len(proposal.repairs) > proposal.agent.repairs:
                    raise BadAnswer(f"the model's answer could not be used, after {proposal.agent.repairs} repairs: {error}") from None
                told = f"That cannot be used: {error}. Answer again, with JSON only."
            exchange = [{"role": "assistant", "content": said.text}, {"role": "user", "content": told}]
            reserved, question = False, await self._question(proposal, [*question.messages, *exchange])

    async def _asked(self, proposal: Proposal, asked: Asked) -> str:
        """Make a look-up that the model asked for; what it cannot have is told, not raised."""
        if asked.tool not in proposal.agent.look_ups:
            known = ", ".join(proposal.agent.look_ups) or "none"
            raise BadInput(f"there is no look-up {asked.tool!r}; there are: {known}")
        try:
            reply = await self._look_up(proposal, asked.tool, asked.arguments)
            proposal.note_read(asked.tool, asked.arguments, reply, "model")
            found = str(reply)
        except (ToolFailed, ToolRetry) as error:
            found = f"it failed: {error}"
        return f"{asked.tool}: {found[:MAX_READ]}"

    async def _checked(self, proposal: Proposal, answer: Answer) -> list[PlanStep]:
        earlier: list[str] = []
        if wanted := proposal.wanted(answer):
            async with self._database.transaction(proposal.request.run.tenant) as tx:
                earlier = await steps.done_among(tx, proposal.request.run.lineage, wanted)
        return proposal.checked(answer, earlier)

    async def _recorded(self, proposal: Proposal, answer: Answer, planned: list[PlanStep], said: Said) -> Decision:
        """Record the decision whole or not at all."""
        request, hold, notebook = proposal.request, proposal.notebook.hold, proposal.notebook
        turns = [Turn("user", request.step, proposal.prompt), Turn("assistant", proposal.bundle.settings.planner, said.text)]
        async with self._database.transaction(request.run.tenant) as tx:
            last = await notebook.last(tx)
            await sessions.append(tx, hold.lineage, request.seq, turns)
            decision = proposal.decision(answer, planned, await notebook.cost(tx))
            result = {**decision.model_dump(mode="json"), "taint": proposal.taint}
            body = proposal.record(decision, planned, said, self._services.build)
            await decisions.finish(tx, hold, result, body, after=proposal.frame.position, steps=planned, last=last)
        self._memories.said(request.run.tenant, hold.lineage, request.seq, turns, proposal.turns)
        return decision
