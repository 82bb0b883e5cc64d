"""The stage: servers, workers, runs, the person and the model, put together; and the look at what came of it."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

import worker
from channels.cli import automations
from database import Database
from devstack import scripted_model
from policies import bundles
from settings import Settings
from tests.chaos import checks, crowd, servers, shapes, workers
from tests.chaos.checks import Outcome, Violation
from tests.chaos.crowd import Crowd, Flight
from tests.chaos.outside import Outside
from tests.chaos.person import Person
from tests.chaos.servers import Servers
from tests.chaos.shapes import Author, Shape
from tests.chaos.workers import Workers

TENANT = "default"


@dataclass
class Stage:
    """What a campaign plays on."""

    servers: Servers
    workers: Workers
    crowd: Crowd
    author: Author
    person: Person
    outside: Outside
    database: Database

    async def checked(self, like: dict[str, Outcome]) -> list[Violation]:
        """Wait until every run has ended, and return what is wrong with them. like: shape -> how an undisturbed run ended."""
        await self.crowd.drained()
        hangs = f"it has not ended within {crowd.LOST:.0f} s of the last kill and of the last end of another run"
        found = [Violation(flight.run, "hangs", hangs) for flight in self.crowd.lost]
        arrivals = self.outside.arrivals()
        for flight in self.crowd.ended:
            async with self.database.transaction(TENANT) as tx:
                ledger = await checks.read(tx, flight.lineage)
            arrived = arrivals.get(flight.lineage, []) + arrivals.get(flight.run, [])
            asked = self.author.asked[flight.run]
            found += checks.violations(flight.run, flight.closed, ledger, arrived, asked, like.get(flight.shape.name))
        self.crowd.ended.clear()
        self.crowd.lost.clear()
        return found

    async def outcome(self, flight: Flight) -> Outcome:
        """Return how a run ended."""
        arrivals = self.outside.arrivals()
        async with self.database.transaction(TENANT) as tx:
            ledger = await checks.read(tx, flight.lineage)
        return checks.outcome(ledger, arrivals.get(flight.lineage, []) + arrivals.get(flight.run, []))

    async def undisturbed(self, shape: Shape, times: int) -> tuple[Outcome, list[str], list[Violation]]:
        """Run a shape with nobody in its way; return how it ends, the boundaries it passes in order, and what is wrong already."""
        flights = [await self.crowd.start(shape) for _ in range(times)]
        await self.crowd.drained()
        outcomes = [await self.outcome(flight) for flight in flights]
        journey = self.workers.working.journey
        passed = list(dict.fromkeys(at for flight in flights for at in journey.passed(flight.run)))
        odd = [
            Violation(flight.run, "ended", "undisturbed runs of one shape differ")
            for flight, one in zip(flights, outcomes, strict=True)
            if one != outcomes[0]
        ]
        return outcomes[0], passed, [*odd, *await self.checked({shape.name: outcomes[0]})]

    @asynccontextmanager
    async def crowded(self, kinds: Sequence[Shape], count: int, every: float = 0.15) -> AsyncGenerator[None]:
        """Keep runs in flight for as long as the block runs; those that are left go on to their end."""
        keeping = asyncio.create_task(self.crowd.keep(kinds, count, every))
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)


@asynccontextmanager
async def opened(folder: Path, seed: int = 0) -> AsyncGenerator[Stage]:
    """Open a stage in a folder of its own, which other system users may enter."""
    async with AsyncExitStack() as stack:
        # Postgres may work as another system user.
        folder.chmod(0o755)
        around = await stack.enter_async_context(servers.opened(folder, seed))
        author = Author()
        model = await stack.enter_async_context(scripted_model.serving(author))
        applied = shapes.lay_out(folder / "automations")
        ports = {name: proxy.port for name, proxy in around.proxies.items()}
        named = {
            "PERDURE_STATE": folder, "PERDURE_AUTOMATIONS": folder / "automations", "PERDURE_TASK_QUEUE": "chaos",
            "PERDURE_DATABASE_URL": around.logins.app, "TEMPORAL_ADDRESS": f"127.0.0.1:{around.temporal_port}",
            "OPENAI_BASE_URL": model.base_url, "OPENAI_API_KEY": "none", "PERDURE_MODEL": "scripted", "PERDURE_ONE_MACHINE": "true",
            "PERDURE_SMTP_URL": f"smtp://127.0.0.1:{ports['mail']}", "PERDURE_RECEIVER_URL": f"http://127.0.0.1:{ports['social']}",
            "PERDURE_ENDPOINTS": json.dumps({"receiver": f"http://127.0.0.1:{ports['receiver']}"}),
            "PERDURE_STICKY_SECONDS": 1, "PERDURE_HEARTBEAT_SECONDS": 3, "PERDURE_GRACEFUL_SECONDS": 1,
        }  # fmt: skip
        environment = {name: str(value) for name, value in named.items()}
        database = await Database.connect(around.logins.app, size=4)
        stack.push_async_callback(database.close)
        async with database.transaction(TENANT) as tx:
            await tx.execute("INSERT INTO tenant (tenant) VALUES ($1) ON CONFLICT DO NOTHING", TENANT)
            for name in applied:
                await bundles.apply(tx, automations.load(folder / "automations" / name), "chaos")
        settings = Settings(
            state=folder, temporal_address=environment["TEMPORAL_ADDRESS"], database_url=SecretStr(around.logins.app), task_queue="chaos"
        )
        client = await worker.connect(settings)
        outside = Outside(folder, folder / "files")
        runs = Crowd(client, database, TENANT, "chaos", folder / "notes")
        person = Person(client, database, TENANT, lambda run: author.shapes[run.rpartition("-")[0]], outside.happened)
        hands = await stack.enter_async_context(workers.opened(folder, environment))
        beside = [asyncio.create_task(person.run()), asyncio.create_task(runs.watch())]
        try:
            yield Stage(around, hands, runs, author, person, outside, database)
        finally:
            for task in beside:
                task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*beside, return_exceptions=True)
