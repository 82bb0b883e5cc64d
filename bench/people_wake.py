"""From a person's word to the next step: Perdure beside a bare workflow that gets a signal, in turn, in one process.

The bare workflow's time counts from the sending of a signal to the beginning of its next activity. Perdure's counts from the moment that
the ruling is committed, once to the beginning of the approved step (its activity's first transaction), and once to the call of its tool,
which comes after what was approved has been checked again and the effect's row is claimed.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self
from uuid import uuid4

from temporalio.client import WorkflowHandle

from activities.sweeper import sender
from bench import bare
from bench.model import ACTS
from bench.stage import Stage
from channels.desk import Desk
from contracts import names
from contracts.approvals import Ruling
from contracts.runs import StartRequest
from ledger import directory, outbox
from ledger.directory import Person
from ledger.inbox import Filters

ANN = Person("ann", "Ann", "approver", frozenset({"editor"}))
QUIET = 0.15
"""Seconds for which everybody rests before a word is said and after it, so that nothing else is under way."""
BEGUN = """
SELECT step, extract(epoch FROM claimed_at)::float8 AS begun, (output ->> 'at')::float8 AS called FROM effect
 WHERE tenant = $1 AND lineage = $2 ORDER BY claimed_at
"""


@dataclass
class Way:
    """One way to be woken. begun: seconds from each word to the beginning of the step after it; called: to the call of its tool."""

    name: str
    begun: list[float] = field(default_factory=list[float])
    called: list[float] = field(default_factory=list[float])

    def add(self, other: Self) -> None:
        """Take over what another round measured; the first word of each is not counted."""
        self.begun += other.begun[1:]
        self.called += other.called[1:]


def part(seconds: Sequence[float], share: float) -> float:
    """Return the milliseconds below which this share of them is."""
    return sorted(seconds)[min(len(seconds) - 1, int(len(seconds) * share))] * 1000


class Bare:
    """A workflow that waits for signals."""

    def __init__(self, stage: Stage) -> None:
        self.way = Way("a bare signal")
        self._client, self._said = stage.tuned, list[float]()
        self._handle: WorkflowHandle[object, list[float]]

    async def start(self) -> None:
        """Start it."""
        id = f"gate-{uuid4()}"
        self._handle = await self._client.start_workflow("BareGate", ACTS, id=id, task_queue=bare.TASK_QUEUE, result_type=list[float])

    async def say(self) -> None:
        """Send a signal."""
        await asyncio.sleep(QUIET)
        self._said.append(time.time())
        await self._handle.signal("go")
        await asyncio.sleep(QUIET)

    async def end(self) -> None:
        """Wait for the end and note the times."""
        self.way.begun += [at - said for at, said in zip(await self._handle.result(), self._said, strict=True)]
        self.way.called = self.way.begun


class Asked:
    """A run that asks a person before each of its steps."""

    def __init__(self, stage: Stage, name: str, tool: str) -> None:
        self.way = Way(name)
        self._stage, self._tool, self._said = stage, tool, dict[str, float]()
        self._desk = Desk(stage.database, self._wake)
        self._handle: WorkflowHandle[object, object]

    async def start(self) -> None:
        """Start it."""
        given = StartRequest(automation="asks", input={"tool": self._tool}, tenant="default", starter="bench")
        id = f"asks-{uuid4()}"
        self._handle = await self._stage.tuned.start_workflow(names.ORCHESTRATOR, given, id=id, task_queue="perdure")

    async def say(self) -> None:
        """Approve what waits."""
        # As a person would: nobody tells when the next request is there.
        while not (found := await self._desk.open("default", None, Filters(run=self._handle.id))):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await asyncio.sleep(QUIET)
        ruling = Ruling(request=found[0].id, verdict="approve", by=ANN.id, reason="", digest=found[0].digest)
        result = await self._desk.rule("default", ruling, ANN, channel="bench")
        self._said[found[0].step] = time.time()
        assert result.accepted, result.message
        await asyncio.sleep(QUIET)

    async def end(self) -> None:
        """Wait for the end and note the times."""
        await self._handle.result()
        await self._desk.close()
        async with self._stage.database.transaction("default") as tx:
            begun = await tx.fetch(BEGUN, tx.tenant, self._handle.first_execution_run_id)
        self.way.begun += [row["begun"] - self._said[row["step"]] for row in begun]
        self.way.called += [row["called"] - self._said[row["step"]] for row in begun]

    async def _wake(self, tenant: str) -> None:
        await outbox.deliver(self._stage.database, tenant, sender(self._stage.tuned))


async def measure(stage: Stage, rounds: int = 1) -> list[Way]:
    """Say a word to each in turn, fifty times a round."""
    async with stage.database.transaction("default") as tx:
        await directory.put(tx, ANN, "bench")
    plain, quick = "approved, a tool", "approved, a quick tool"
    ways = [Way("a bare signal"), Way(plain), Way(quick)]
    for _ in range(rounds):
        runs = (Bare(stage), Asked(stage, plain, "begun.kept"), Asked(stage, quick, "begun.beside"))
        for run in runs:
            await run.start()
        for _ in range(ACTS):
            for run in runs:
                await run.say()
        for run, way in zip(runs, ways, strict=True):
            await run.end()
            way.add(run.way)
    return ways
