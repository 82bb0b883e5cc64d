"""`python -m bench.slack`: how long Slack waits for its answer while every call of Temporal takes five seconds.

Slack gives up after three; the aim is a p99 under 300 ms. The fake Slack, Perdure and Postgres share this machine. The baseline, in turn
with it and in the same process, is a door that does the least that any must: it checks the signature and commits one row.
"""

import argparse
import asyncio
import hashlib
import hmac
import os
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx2
import structlog
import uvloop
from rich.console import Console
from starlette import requests as web
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from temporalio.client import Client

from channels.slack import door, postings, program
from channels.slack.program import Slack
from contracts.converter import DATA_CONVERTER
from database import Database, migrate
from devstack import fake_slack, postgres, web_server
from devstack.fake_slack import FakeSlack, Reply
from devstack.fake_slack.server import BOT_TOKEN, SIGNING_SECRET
from devstack.fake_slack.workspace import TEAM
from ledger import approvals, directory, runs
from ledger.approvals import Request
from ledger.directory import Person
from ledger.runs import RunRow
from settings import ROOT, Settings

OUT = Console(width=120)
SLOW_SECONDS = 5.0
SIGNED = ("x-slack-request-timestamp", "x-slack-signature")
HOUR = timedelta(hours=1)
LINEAGE, CHANNEL, ANN = "0199aaaa-0000-7000-8000-000000000001", "C0OWNERS", "U0ANN"


class Slow(grpc.GenericRpcHandler):
    """A Temporal of which every call takes five seconds and then fails."""

    def __init__(self) -> None:
        self.calls = 0

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Answer whatever is called."""
        return grpc.unary_unary_rpc_method_handler(self._wait)

    async def _wait(self, request: bytes, context: Any) -> bytes:
        self.calls += 1
        await asyncio.sleep(SLOW_SECONDS)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "slow on purpose")
        return b""


@asynccontextmanager
async def slow_temporal() -> AsyncGenerator[tuple[Client, Slow]]:
    """Open a client of the slow Temporal."""
    server, slow = grpc.aio.server(), Slow()
    server.add_generic_rpc_handlers([slow])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield await Client.connect(f"127.0.0.1:{port}", lazy=True, data_converter=DATA_CONVERTER), slow
    finally:
        await server.stop(None)


@asynccontextmanager
async def opened(folder: Path, client: Client) -> AsyncGenerator[tuple[FakeSlack, Slack, Database]]:
    """Start Postgres, the fake Slack, and Perdure in it over HTTP."""
    # Postgres may work as another system user, who must be able to enter.
    folder.chmod(0o755)  # noqa: ASYNC240
    logins = await postgres.start(folder / "postgres", root=ROOT)
    await migrate(logins.owner)
    database = await Database.connect(logins.app, size=10)
    secrets = folder / "secrets"
    secrets.mkdir()
    (secrets / "SLACK_BOT_TOKEN").write_text(BOT_TOKEN)
    (secrets / "SLACK_SIGNING_SECRET").write_text(SIGNING_SECRET)

    async def connect() -> Client:
        return client

    try:
        async with fake_slack.serving() as fake:
            settings = Settings(state=folder, secrets=secrets, slack_api=fake.api_url, slack_channel=CHANNEL)
            async with program.opened(settings, database, connect) as slack, web_server.listening(slack.door.application) as url:
                fake.people.request_url = f"{url}/slack/events"
                yield fake, slack, database
    finally:
        await database.close()
        await postgres.stop(folder / "postgres")


async def prepare(fake: FakeSlack, database: Database, count: int) -> None:
    """Let so many requests wait, and one person who may rule on them."""
    fake.workspace.add_channel(CHANNEL)
    fake.workspace.add_user(ANN)
    now = datetime.now(UTC)
    first = Request(
        id="apr-0", lineage=LINEAGE, workflow_id="wf-1", step="s", n=1, tool="blog.publish", digest="d1" * 32, bundle="b" * 64,
        arguments={"title": "x", "text": "word " * 200}, schema={"properties": {"title": {"type": "string"}, "text": {"type": "string"}}},
        question="run", reason="a person vets it", groups=["editor"], unsigned=False, state="pending",
        rungs=[{"at": int((now + HOUR).timestamp() * 1000), "kind": "end"}], created_at=now, expires_at=now + 2 * HOUR,
    )  # fmt: skip
    async with database.transaction("default") as tx:
        await tx.execute("INSERT INTO tenant (tenant) VALUES ('default') ON CONFLICT DO NOTHING")
        run = RunRow(LINEAGE, "wf-1", "content-ops", "orchestrator", "b" * 64, "bob", {}, "running", "", now, None)
        await runs.open_run(tx, run, limit_micros=1_000_000)
        await directory.put(tx, Person("ann", "Ann", "approver", frozenset({"editor"}), TEAM, ANN), "bench")
        for nth in range(count):
            await approvals.ask(tx, replace(first, id=f"apr-{nth}", step=f"s{nth}"))


class BareDoor:
    """Checks a signature, commits one row and answers."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.application = Starlette(routes=[Route("/", self.enter, methods=["POST"])])

    async def enter(self, request: web.Request) -> Response:
        """Take a delivery."""
        body, stamp, signature = await request.body(), *(request.headers[name] for name in SIGNED)
        assert door.problem(SIGNING_SECRET, stamp, signature, body, time.time()) is None
        async with self._database.once("bare") as tx:
            await postings.take(tx, [signature])
        return Response()


async def knock(client: httpx2.AsyncClient, nth: int) -> float:
    """Deliver something to the bare door; return the seconds to its answer."""
    body, stamp = f"payload={nth}".encode() + b"x" * 1000, str(int(time.time()))
    signed = "v0=" + hmac.new(SIGNING_SECRET.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    begun = time.perf_counter()
    answer = await client.post("/", content=body, headers=dict(zip(SIGNED, (stamp, signed), strict=True)))
    assert answer.status_code == 200
    return time.perf_counter() - begun


async def press(fake: FakeSlack, slack: Slack, bare: httpx2.AsyncClient, count: int, every: float) -> tuple[list[Reply], list[float]]:
    """Approve one request after another, and knock at the bare door in between, whether or not the last one was answered."""
    for _ in range(0, count + 1, 20):
        await slack.parts.poster.look()
    presses, knocks = list[asyncio.Task[Reply]](), list[asyncio.Task[float]]()
    first, *cards = fake.workspace.in_channel(CHANNEL)[: count + 1]
    # Not counted: the clients of this benchmark load themselves when they are first used, which takes longer than any answer.
    await fake.people.press(ANN, first, "approve")
    await knock(bare, count)
    for nth, card in enumerate(cards):
        presses.append(asyncio.create_task(fake.people.press(ANN, card, "approve")))
        await asyncio.sleep(every / 2)
        knocks.append(asyncio.create_task(knock(bare, nth)))
        await asyncio.sleep(every / 2)
    return list(await asyncio.gather(*presses)), list(await asyncio.gather(*knocks))


async def late(found: list[float]) -> None:
    """Note for how many seconds longer than it asked for this process was kept from its turn, again and again."""
    while True:
        begun = time.perf_counter()
        await asyncio.sleep(0.005)
        found.append(time.perf_counter() - begun - 0.005)


async def main(count: int = 200, per_second: float = 5.0) -> None:
    """Measure and print."""
    configured = structlog.get_config()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    turns = list[float]()
    with tempfile.TemporaryDirectory(prefix="perdure-bench-") as name:
        async with slow_temporal() as (client, slow), opened(Path(name), client) as (fake, slack, database):
            await prepare(fake, database, count + 1)
            async with (
                web_server.listening(BareDoor(database).application) as url,
                httpx2.AsyncClient(base_url=url, trust_env=False) as bare,
            ):
                waiting = asyncio.create_task(late(turns))
                replies, knocks = await press(fake, slack, bare, count, 1 / per_second)
                waiting.cancel()
            async with database.transaction("default") as tx:
                ruled = await tx.value("SELECT count(*) FROM approval WHERE tenant = 'default' AND state = 'approved'")
    structlog.configure(**configured)
    OUT.print(f"{count} approvals at {per_second:g} a second while a call of Temporal takes {SLOW_SECONDS:g} s ({slow.calls} calls)")
    OUT.print(f"answered: {sum(reply.status == 200 for reply in replies)}, ruled: {ruled - 1}")
    OUT.print(f"load average of this machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
    OUT.print(f"answers: {_said([reply.seconds for reply in replies])} (aim: p99 under 300)")
    OUT.print(f"a bare door's: {_said(knocks)}; this process came late to its turn by: {_said(turns)}")


def _said(seconds: list[float]) -> str:
    ordered = [one * 1000 for one in sorted(seconds)]
    p50, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.99))
    return f"p50 {p50:.0f} ms, p99 [bold]{p99:.0f} ms[/], longest {ordered[-1]:.0f} ms"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--per-second", type=float, default=5)
    given = parser.parse_args()
    uvloop.run(main(given.count, given.per_second))
