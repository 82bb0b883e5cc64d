"""A whole Perdure in one test: real Temporal, real Postgres, a worker in this process, a model that follows a script."""

import secrets
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

import worker
from activities.sweeper import sender
from channels import explain
from channels.cli import automations
from channels.explain import Explained
from contracts import names
from contracts.runs import StartRequest
from database import Database
from devstack.scripted_model import ScriptedModel, serving
from ledger import effects, outbox, runs
from ledger.effects import Effect
from policies import bundles
from settings import Settings
from tests.servers import until
from tools import documents

AUTOMATIONS = Path(__file__).parent / "automations"
Handle = WorkflowHandle[Any, Any]


def step(id: str, tool: str = "probe.write", *needs: str, **arguments: Any) -> dict[str, Any]:
    """Return one step of a scripted plan."""
    return {"id": id, "tool": tool, "arguments": arguments, "needs": list(needs), "why": "scripted"}


def plan(*steps: dict[str, Any], done: bool = True) -> dict[str, Any]:
    """Return one entry of the model's script: an answer that is a plan."""
    return {"answer": {"steps": list(steps), "done": done}}


def statuses(found: Explained) -> dict[str, str]:
    """Return how each step stands."""
    return {row.step: row.status for row in found.steps}


@dataclass
class House:
    """What a test can do with it."""

    settings: Settings
    client: Client
    database: Database
    model: ScriptedModel
    automation: str = "probe"
    tenant: str = "default"
    handles: list[Handle] = field(default_factory=list[Handle])

    async def start(
        self, *script: Any, id: str | None = None, input: dict[str, Any] | None = None, kind: str = names.ORCHESTRATOR
    ) -> Handle:
        """Set the model's script, if one is given, and start a run."""
        if script:
            self.model.set_script(script)
        request = StartRequest(automation=self.automation, input=input or {}, tenant=self.tenant, starter="tester")
        handle = await self.client.start_workflow(
            kind, request, id=id or f"test-{secrets.token_hex(6)}", task_queue=self.settings.task_queue
        )
        self.handles.append(handle)
        return handle

    async def run(self, *script: Any, **options: Any) -> Explained:
        """Start a run, wait for its end, good or bad, and return all that the ledger knows of it."""
        handle = await self.start(*script, **options)
        await self.ended(handle)
        return await self.explained(handle)

    async def ended(self, handle: Handle) -> str:
        """Wait for a run's end and return how Temporal shows it."""

        async def closed() -> bool:
            return (await self.client.get_workflow_handle(handle.id).describe()).close_time is not None

        await until(closed)
        description = await self.client.get_workflow_handle(handle.id).describe()
        assert description.status is not None
        return description.status.name

    async def explained(self, handle: Handle) -> Explained:
        """Return all that the ledger knows of a run."""
        async with self.database.transaction(self.tenant) as tx:
            found = await runs.find(tx, handle.id)
            assert found is not None, "the run did not open"
            return await explain.explain(tx, found)

    async def until(self, handle: Handle, holds: Callable[[Explained], bool], seconds: float = 60.0) -> Explained:
        """Wait until something holds of a run, and return what is then known of it."""
        seen: list[Explained] = []

        async def check() -> bool:
            async with self.database.transaction(self.tenant) as tx:
                found = await runs.find(tx, handle.id)
                seen[:] = [await explain.explain(tx, found)] if found else []
            return bool(seen) and holds(seen[0])

        await until(check, seconds)
        return seen[0]

    async def waiting(self, handle: Handle, count: int = 1) -> Explained:
        """Wait until so many requests wait for a person."""
        return await self.until(handle, lambda found: len(found.waiting) == count)

    async def decide(self, handle: Handle, request: str, verdict: str = "approve", **more: Any) -> None:
        """Say something as the Temporal CLI does: by a raw signal to whichever execution runs now."""
        ruling = {"request": request, "verdict": verdict, "by": "ann", "reason": "because", **more}
        await self.client.get_workflow_handle(handle.id).signal(names.DECIDE, ruling)

    async def calls(self, kind: str = "calls") -> Counter[str]:
        """Return how often each key was called, as the tools themselves counted it."""
        async with self.database.transaction(self.tenant) as tx:
            rows = await tx.fetch("SELECT id, body FROM document WHERE tenant = $1 AND kind = $2", self.tenant, kind)
        return Counter({row["id"]: row["body"]["count"] for row in rows})

    async def effects(self, handle: Handle) -> list[Effect]:
        """Return the effects of a run, compensations too, oldest first."""
        async with self.database.transaction(self.tenant) as tx:
            found = await runs.find(tx, handle.id)
            return await effects.of_run(tx, found.lineage) if found else []

    async def put(self, kind: str, id: str, body: dict[str, Any]) -> None:
        """Write a document of the automation, as a tool or a person would."""
        async with self.database.transaction(self.tenant) as tx:
            await documents.write(tx, self.automation, kind, id, body, writer=secrets.token_hex(4))

    async def notes(self) -> list[str]:
        """Return the notes that exist, sorted."""
        async with self.database.transaction(self.tenant) as tx:
            rows = await tx.fetch("SELECT body FROM document WHERE tenant = $1 AND kind = 'note'", self.tenant)
        return sorted(row["body"]["note"] for row in rows)

    async def deliver(self) -> None:
        """Send what waits in the outbox: a house has no sweeper."""
        await outbox.deliver(self.database, self.tenant, sender(self.client))

    @asynccontextmanager
    async def worker(self, **changes: Any) -> AsyncGenerator[Worker]:
        """Run one (more) worker in this process, with settings changed."""
        settings = self.settings.model_copy(update=changes)
        shared = worker.services(settings, self.database)
        try:
            async with worker.model_of(settings) as model, worker.make(settings, self.client, shared, model, worker.SANDBOX) as made:
                yield made
        finally:
            await shared.registry.close()


@asynccontextmanager
async def opened(
    database: Database, temporal_address: str, state: Path, *, folder: Path = AUTOMATIONS, apply: Sequence[str] = ("probe",), **changes: Any
) -> AsyncGenerator[House]:
    """Open a house on a task queue of its own; its worker is the test's to start."""
    async with AsyncExitStack() as stack:
        model = await stack.enter_async_context(serving())
        settings = Settings(
            state=state, automations=folder, task_queue=f"test-{secrets.token_hex(4)}", temporal_address=temporal_address,
            openai_base_url=model.base_url, openai_api_key="none", model="scripted", one_machine=True, graceful_seconds=1, **changes,
        )  # fmt: skip
        async with database.transaction("default") as tx:
            for name in apply:
                await bundles.apply(tx, automations.load(folder / name), "tester")
        house = House(settings, await worker.connect(settings), database, model, automation=apply[0])
        yield house
        for handle in house.handles:
            await _terminate(house.client, handle.id)


async def _terminate(client: Client, id: str) -> None:
    handle = client.get_workflow_handle(id)
    if (await handle.describe()).close_time is None:
        await handle.terminate("the test is over")
