"""Live pages: so many browsers on one run's page while records are written, beside a bare server that hands events to as many streams."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx2
from starlette.responses import Response

from bench.stage import Stage, environment
from channels.console import cookies
from channels.console.cookies import Carried, Cookies
from database import Database
from devstack.parts import gets
from devstack.processes import Process, python_module
from ledger import directory, feed, logins, records, runs
from ledger.directory import Person
from ledger.runs import RunRow
from settings import ROOT, Settings
from worker import free_port

TENANT = "live"
LINEAGE, RUN = "0199aaaa-0000-7000-8000-0000000011fe", "live-1"
SETTLED = 3.0
"""Seconds for which the last event may take its time."""
Write = Callable[[int], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the browsers saw. cpu: the server's seconds of CPU a second. Latencies in milliseconds, from before an event was written."""

    name: str
    browsers: int
    written: int
    lost: int
    twice: int
    cpu: float
    latencies: list[float]

    def part(self, share: float) -> float:
        """Return the milliseconds within which this share had come."""
        return self.latencies[min(len(self.latencies) - 1, int(len(self.latencies) * share))] if self.latencies else float("inf")


async def bare(stage: Stage, browsers: int, per_second: float, seconds: float) -> Seen:
    """Watch a server that only hands events on."""
    command = python_module("bench.people_fan", "--port", "{port}")
    async with served(stage, "fan", command) as url, httpx2.AsyncClient(base_url=url, trust_env=False) as client:

        async def put(nth: int) -> None:
            await client.post("/put", content=f"id: {nth}\nevent: record\ndata: {_data(nth)}\n\n")

        return await _watched(lambda: stage.cpu("fan"), "a bare fan", f"{url}/events", [""] * browsers, put, per_second, seconds)


async def measure(stage: Stage, url: str, browsers: int, per_second: float, seconds: float) -> Seen:
    """Watch a run's page. url: where a console is served, as the process `console`."""
    database = stage.database
    given = await _people(database, stage.settings, browsers)

    async def write(nth: int) -> None:
        async with database.transaction(TENANT) as tx:
            body = {"event": f"{nth}:{time.time_ns()}", "by": "bench", "summary": "what a step did, in a sentence of some length"}
            await records.append(tx, f"live/{nth}", "configuration", LINEAGE, "s1", body)

    async with database.transaction(TENANT) as tx:
        path = f"{url}/events?run={RUN}&after={await feed.mark(tx)}"
    return await _watched(lambda: stage.cpu("console"), "the console", path, given, write, per_second, seconds)


def _data(nth: int) -> str:
    data = {"seq": nth, "kind": "configuration", "event": f"{nth}:{time.time_ns()}", "lineage": LINEAGE, "step": "s1", "text": "x" * 120}
    return json.dumps(data)


@asynccontextmanager
async def served(stage: Stage, name: str, command: list[str]) -> AsyncGenerator[str]:
    """Start a server in a process of its own."""
    port, process = free_port(), Process(stage.settings.state / name)
    url = f"http://127.0.0.1:{port}"
    given = [part.format(port=port) for part in command]
    process.start(given, cwd=ROOT, environment={**environment(stage.settings), "PERDURE_CONSOLE_PORT": str(port)})
    stage.processes[name] = process
    try:
        await process.ready(lambda: gets(f"{url}/healthz"), seconds=60)
        yield url
    finally:
        process.kill()


async def _people(database: Database, settings: Settings, count: int) -> list[str]:
    """Log in so many people and return what their browsers carry."""
    signed = Cookies(cookies.key(settings), secure=False)
    async with database.transaction(TENANT) as tx:
        await tx.execute("INSERT INTO tenant (tenant) VALUES ($1) ON CONFLICT DO NOTHING", TENANT)
        row = RunRow(LINEAGE, RUN, "content-ops", "orchestrator", "b" * 64, "bob", {}, "running", "", datetime.now(UTC), None)
        await runs.open_run(tx, row, limit_micros=1_000_000)
        found = list[str]()
        for nth in range(count):
            await directory.put(tx, Person(f"p{nth}", f"Person {nth}", "viewer", frozenset()), "bench")
            answer = Response()
            signed.give(answer, Carried(TENANT, await logins.begin(tx, f"p{nth}", "link")))
            found.append(answer.headers["set-cookie"].partition(";")[0])
    return found


async def _watched(
    used: Callable[[], float], name: str, url: str, given: list[str], write: Write, per_second: float, seconds: float
) -> Seen:
    count = int(per_second * seconds)
    browsers = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.people_watchers", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=ROOT, limit=2**28
    )
    assert browsers.stdin and browsers.stdout
    try:
        browsers.stdin.write(json.dumps({"url": url, "cookies": given}).encode() + b"\n")
        assert (await asyncio.wait_for(browsers.stdout.readline(), 60)).strip() == b"ready", "no browser could watch"
        begun, before = time.monotonic(), used()
        writing = list[asyncio.Task[None]]()
        for nth in range(count):
            await asyncio.sleep(max(0.0, begun + nth / per_second - time.monotonic()))
            writing.append(asyncio.create_task(write(nth)))
        await asyncio.gather(*writing)
        cpu = (used() - before) / (time.monotonic() - begun)
        await asyncio.sleep(SETTLED)
        browsers.stdin.write(b"\n")
        found: dict[str, Any] = json.loads(await asyncio.wait_for(browsers.stdout.readline(), 60))
    finally:
        if browsers.returncode is None:
            browsers.kill()
        await browsers.wait()
    lost = sum(count - came for came in found["counts"])
    return Seen(name, found["open"], count, lost, found["twice"], cpu, found["milliseconds"])
