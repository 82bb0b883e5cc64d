"""The parts of a worker with a boundary on both sides of everything they do, and the mutations that the kit must catch."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from temporalio import activity
from temporalio.client import Interceptor as ClientInterceptor
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor, WorkflowRunner

from activities.model import Model, Reply
from contracts import names
from contracts.errors import ToolUnknown
from database import Database, Tx
from tests.chaos.boundaries import HERE, Watch
from tools.contract import Lookup, Tool, ToolContext
from tools.registry import Registry

RELEASE = """
UPDATE effect SET state = 'claimed', deadline = now() - interval '1 s', ended_at = now()
 WHERE tenant = $1 AND lineage = $2 AND step = $3 AND state IN ('claimed', 'unknown')
"""
FAULTS = ("unknown", "broken", "late", "killed")


class WatchedDatabase(Database):
    """Boundaries before and after every COMMIT."""

    watch: Watch

    @asynccontextmanager
    async def transaction(self, tenant: str) -> AsyncGenerator[Tx, None]:
        """Open a transaction as ever."""
        async with super().transaction(tenant) as tx:
            yield tx
            self.watch.passed("commit.before")
        self.watch.passed("commit.after")


class WatchedModel(Model):
    """Boundaries before and after every model call."""

    def __init__(self, model: Model, watch: Watch) -> None:
        vars(self).update(vars(model))
        self._watch = watch

    async def complete(self, *arguments: Any, **named: Any) -> Reply:
        """Ask as ever."""
        self._watch.passed("model.before")
        reply = await super().complete(*arguments, **named)
        self._watch.passed("model.after")
        return reply


class Watching(ClientInterceptor, Interceptor):
    """Boundaries before and after every execution of an activity. Given to the client, so that it is the outermost of a worker."""

    def __init__(self, watch: Watch, database: Database) -> None:
        self._watch, self._database = watch, database

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Wrap one."""
        return _Activity(next, self._watch, self._database)


class _Activity(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, watch: Watch, database: Database) -> None:
        super().__init__(next)
        self._watch, self._database = watch, database

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info, message = activity.info(), input.args[0]
        if self._watch.orders.current().get("mutation") == "no-claim" and info.activity_type == names.ACT:
            await self._unclaim(message)
        HERE.set(self._watch.enter(info.workflow_id or "", info.activity_type, getattr(message, "step", "")))
        self._watch.passed("enter")
        try:
            return await super().execute_activity(input)
        finally:
            self._watch.passed("leave")

    async def _unclaim(self, message: Any) -> None:
        """Forget that an earlier attempt was at work, as a ledger without claims would."""
        async with self._database.transaction(message.run.tenant) as tx:
            await tx.execute(RELEASE, tx.tenant, message.run.lineage, message.step)


class WatchedRegistry(Registry):
    """Boundaries around every call and look-up of a tool; faults after the tool has acted; wrong keys and blind look-ups on order."""

    def __init__(self, folder: Path, watch: Watch) -> None:
        super().__init__(folder)
        self._watch = watch
        self._watched: dict[int, tuple[Mapping[str, Tool], dict[str, Tool]]] = {}

    def tools(self, automation: str) -> dict[str, Tool]:
        """Return the tools as ever, each with its calls watched."""
        tools = super().tools(automation)
        held = self._watched.get(id(tools))
        if held is None or held[0] is not tools:
            held = self._watched[id(tools)] = tools, {name: self._wrapped(tool) for name, tool in tools.items()}
        return held[1]

    def _wrapped(self, tool: Tool) -> Tool:
        async def call(arguments: Any, context: ToolContext) -> Any:
            orders = self._watch.orders.current()
            if orders.get("mutation") == "random-key":
                context = replace(context, key=f"{context.key}~{secrets.token_hex(4)}")
            self._watch.passed("tool.before")
            result = await tool.call(arguments, context)
            self._watch.passed("tool.acted")
            if tool.effect != "read":
                await self._fail(orders.get("faults"), context)
            return result

        async def lookup(key: str, context: ToolContext) -> Lookup | None:
            assert tool.lookup is not None
            if self._watch.orders.current().get("mutation") == "blind-lookup":
                return Lookup(happened=False)
            self._watch.passed("lookup.before")
            found = await tool.lookup(key, context)
            self._watch.passed("lookup.after")
            return found

        return replace(tool, call=call, lookup=lookup if tool.lookup else None)

    async def _fail(self, faults: Mapping[str, Any] | None, context: ToolContext) -> None:
        """Lose the answer of a tool that has acted: once for each key, and in a way that the seed draws from the key."""
        # A key that a person or a look-up let be tried again is left alone, so that every run ends.
        first = context.key.removesuffix("/undo").rpartition("/")[2].partition("~")[0] == "1"
        if not faults or not first or activity.info().attempt > 1:
            return
        drawn = hashlib.sha256(f"{faults['seed']}{context.key.partition('~')[0]}".encode()).digest()
        if drawn[0] >= 256 * faults["share"]:
            return
        allowed: Sequence[str] = faults.get("kinds", FAULTS)
        fault = allowed[drawn[1] % len(allowed)]
        self._watch.said(f"fault {fault} {context.key}")
        match fault:
            case "unknown":
                raise ToolUnknown("the answer was lost on purpose")
            case "broken":
                raise ValueError("broken on purpose")
            case "late":
                await asyncio.sleep(60)
            case _:
                self._watch.die()


class WatchedRunner(WorkflowRunner):
    """Boundaries before and after every workflow task, outside of the sandbox, where a process may kill itself."""

    def __init__(self, inner: WorkflowRunner, watch: Watch) -> None:
        self._inner, self._watch = inner, watch

    def prepare_workflow(self, defn: Any) -> None:
        """Prepare as ever."""
        self._inner.prepare_workflow(defn)

    def set_worker_level_failure_exception_types(self, types: Sequence[type[BaseException]]) -> None:
        """Hand on."""
        self._inner.set_worker_level_failure_exception_types(types)

    def create_instance(self, det: Any) -> Any:
        """Return an instance whose `activate` is watched."""
        instance = self._inner.create_instance(det)
        activate = instance.activate

        def watched(act: Any) -> Any:
            place = self._watch.enter(det.info.workflow_id, "workflow", "")
            self._watch.passed("task.before", place)
            completion = activate(act)
            self._watch.passed("task.after", place)
            return completion

        instance.activate = watched
        return instance
