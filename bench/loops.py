"""The loops that are compared, and what is measured of each."""

import asyncio
import json
import statistics
import time
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import asyncpg
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client

from bench import bare
from bench.model import ACTS
from bench.stage import Stage
from contracts import names
from contracts.runs import StartRequest

DECISIONS = 10


@dataclass(frozen=True)
class Loop:
    """One way to run the job. ``steps`` are durable steps of one run; ``cpu`` names the processes that work for it."""

    name: str
    steps: int
    kind: str
    task_queue: str
    argument: Any
    cpu: tuple[str, ...]
    stock: bool = False

    def client(self, stage: Stage) -> Client:
        """Return the server it runs on."""
        return stage.stock if self.stock else stage.tuned

    async def run(self, stage: Stage) -> tuple[float, int, int]:
        """Run once; return seconds, history bytes and history events."""
        client, started = self.client(stage), time.perf_counter()
        handle = await client.start_workflow(self.kind, self.argument, id=f"{self.name}-{uuid4()}", task_queue=self.task_queue)
        await handle.result()
        seconds = time.perf_counter() - started
        info = (await handle.describe()).raw_description.workflow_execution_info
        return seconds, info.history_size_bytes, info.history_length


def _bare(name: str, *, stock: bool = False, reads: int = 0, model: bool = True) -> Loop:
    given = bare.Loop(decisions=DECISIONS, reads=reads, model=model).model_dump()
    cpu = ("stock", "bare-stock") if stock else ("tuned", "bare")
    return Loop(name, DECISIONS * (2 + reads), "BareLoop", bare.TASK_QUEUE, given, cpu, stock)


def _perdure(name: str, automation: str, steps: int) -> Loop:
    given = StartRequest(automation=automation, input={}, tenant="default", starter="bench")
    return Loop(name, steps, names.ORCHESTRATOR, "perdure", given, ("tuned", "perdure", "postgres"))


def _acts(name: str, tool: str) -> Loop:
    given = StartRequest(automation="acts", input={"tool": tool}, tenant="default", starter="bench")
    return Loop(name, ACTS, names.ORCHESTRATOR, "perdure", given, ("tuned", "perdure", "postgres"))


BARE_ACTS = Loop(
    "bare, 50 activities", ACTS, "BareLoop", bare.TASK_QUEUE, bare.Loop(decisions=0, acts=ACTS).model_dump(), ("tuned", "bare")
)
ACT, QUICK_ACT = _acts("50 acts", "note.kept"), _acts("50 acts of a quick tool", "note.beside")
BARE, PERDURE = _bare("bare"), _perdure("perdure", "loop", DECISIONS * 2)
PLAIN = _perdure("perdure, nothing quick", "plain", DECISIONS * 2)
EMPTY, STOCK = _bare("bare, no model", model=False), _bare("bare on a stock server", stock=True)
BARE_READS, PERDURE_READS = _bare("bare, 5 look-ups", reads=5), _perdure("perdure, 5 look-ups", "reads", DECISIONS * 2)


@dataclass
class Measured:
    """What was measured of a loop. Times in milliseconds."""

    loop: Loop
    runs: list[float]
    bytes: float = 0
    events: float = 0
    cpu: float = 0
    per_second: float = 0
    commits: float = 0

    @property
    def run_p50(self) -> float:
        """Median milliseconds of a run."""
        return statistics.median(self.runs) * 1000

    @property
    def p50(self) -> float:
        """Median milliseconds of a durable step."""
        return self.run_p50 / self.loop.steps

    @property
    def p95(self) -> float:
        """95th percentile of the same."""
        return sorted(self.runs)[min(len(self.runs) - 1, int(len(self.runs) * 0.95))] * 1000 / self.loop.steps


async def in_turn(stage: Stage, loops: list[Loop], rounds: int) -> dict[str, Measured]:
    """Run the loops one after another, in turn, so that the machine's moods meet all of them."""
    found = {loop.name: Measured(loop, []) for loop in loops}
    for loop in loops:
        await loop.run(stage)
    for _ in range(rounds):
        for loop in loops:
            written, used = await _writes(stage), stage.cpu(*loop.cpu)
            seconds, size, events = await loop.run(stage)
            measured = found[loop.name]
            measured.runs.append(seconds)
            measured.bytes, measured.events = size / DECISIONS, events / DECISIONS
            measured.cpu += (stage.cpu(*loop.cpu) - used) * 1000 / loop.steps / rounds
            measured.commits += (await _writes(stage) - written) / DECISIONS / rounds
    return found


async def at_once(stage: Stage, loop: Loop, total: int, concurrency: int) -> float:
    """Run ``total`` runs, so many at once, and return runs per second."""
    gate = asyncio.Semaphore(concurrency)

    async def one() -> None:
        async with gate:
            await loop.run(stage)

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(total)))
    return total / (time.perf_counter() - started)


async def _writes(stage: Stage) -> int:
    """Return how many writing transactions Postgres has begun: only those take an id."""
    connection = await asyncpg.connect(stage.owner_url)
    try:
        return int(await connection.fetchval("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"))
    finally:
        await connection.close()


async def growth(stage: Stage, automation: str) -> list[int]:
    """Run a thousand decisions and return the history bytes of each, over all executions of the run."""
    handle = await stage.tuned.start_workflow(
        names.ORCHESTRATOR, _perdure("long", automation, 0).argument, id=f"long-{uuid4()}", task_queue="perdure"
    )
    await handle.result()
    sizes: list[int] = []
    run: str | None = handle.first_execution_run_id
    while run:
        history = await stage.tuned.get_workflow_handle(handle.id, run_id=run).fetch_history()
        begun = False
        for event in history.events:
            if _decides(event):
                sizes.append(0)
                begun = True
            if begun:
                sizes[-1] += event.ByteSize()
        run = history.events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id or None
    return sizes


def _decides(event: HistoryEvent) -> bool:
    """Tell the event with which a decision begins: its activity's, or the marker of one that was made beside the workflow task."""
    if event.activity_task_scheduled_event_attributes.activity_type.name == names.PROPOSE:
        return True
    data = event.marker_recorded_event_attributes.details["data"].payloads if event.HasField("marker_recorded_event_attributes") else ()
    return bool(data) and json.loads(data[0].data).get("activity_type") == names.PROPOSE
