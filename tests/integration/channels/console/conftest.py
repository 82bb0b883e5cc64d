"""Consoles for tests: served on a port of this machine, with people in the directory and requests in the ledger."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from temporalio.client import Client

from channels.console.app import application
from channels.console.house import House, opened
from contracts.errors import StackError
from database import Database
from devstack.web_server import listening
from ledger import approvals, directory, logins, runs
from ledger.approvals import Request
from ledger.directory import Person
from settings import Settings
from tests.integration.ledger import rows
from tests.servers import free_port

PEOPLE = (
    Person("vera", "Vera", "viewer", frozenset({"editor"})),
    Person("ann", "Ann", "approver", frozenset({"editor"})),
    Person("otto", "Otto", "operator", frozenset()),
    Person("ada", "Ada", "admin", frozenset({"editor", "owner"})),
)


async def nowhere() -> Client:
    """Answer as where Temporal is down."""
    raise StackError("Temporal cannot be reached")


@dataclass
class Console:
    """A console that is served, and ways in."""

    house: House
    url: str
    database: Database

    async def link(self, person: str = "ann") -> str:
        """Return the path of a link that logs a person in once."""
        async with self.database.transaction("default") as tx:
            return f"/login/link?key={await logins.offer(tx, person)}"

    @asynccontextmanager
    async def visitor(self, person: str | None = "ann") -> AsyncGenerator["Visitor"]:
        """Visit it with a browser's cookies; None is nobody."""
        async with httpx2.AsyncClient(base_url=self.url, trust_env=False, timeout=30) as client:
            visitor = Visitor(client)
            if person:
                answer = await client.get(await self.link(person))
                assert answer.status_code == 303, answer.text
                await visitor.load("/inbox")
            yield visitor

    async def token(self, person: str = "ada", *scopes: str) -> str:
        """Return an API token."""
        async with self.database.transaction("default") as tx:
            wanted = scopes or ("read", "decide", "operate", "admin")
            return await directory.mint(tx, person, wanted, rows.in_seconds(3600))

    async def asked(self, id: str = "apr-1", **given: Any) -> Request:
        """Put a request into the ledger."""
        request = asked(id, **given)
        async with self.database.transaction("default") as tx:
            await runs.open_run(tx, rows.run(), limit_micros=1_000_000)
            await approvals.ask(tx, request)
        return request

    async def read(self, id: str = "apr-1") -> Request:
        """Return a request as it stands."""
        async with self.database.transaction("default") as tx:
            found = await approvals.read(tx, id)
        assert found is not None
        return found

    async def refusals(self) -> list[dict[str, Any]]:
        """Return what was refused, as it is on record."""
        async with self.database.transaction("default") as tx:
            found = await tx.fetch("SELECT body FROM record WHERE tenant = 'default' AND kind = 'access' ORDER BY seq")
        return [row["body"] for row in found if row["body"].get("event") == "refused"]


class Visitor:
    """A browser, as far as HTTP goes."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client
        self.csrf = ""

    async def load(self, path: str, **headers: str) -> httpx2.Response:
        """Load a page, and keep what its forms have to say."""
        answer = await self.client.get(path, headers=headers)
        if 'name="csrf" value="' in answer.text:
            self.csrf = answer.text.split('name="csrf" value="')[1].split('"')[0]
        return answer

    async def send(self, path: str, **fields: str) -> httpx2.Response:
        """Send a form of a page."""
        return await self.client.post(path, data={"csrf": self.csrf, **fields})


def asked(id: str = "apr-1", **given: Any) -> Request:
    """Return a request that a person may rule on, of a tool whose effect can be undone."""
    about = {"effect": "write", "reversible": True, "cost_micros": 0, "rules": ["ask"], **given.pop("about", {})}
    return replace(rows.request(id), about=about, digest=given.pop("digest", rows.DIGEST), **given)


Served = Callable[..., Any]


@pytest.fixture
async def served(database: Database, database_url: str, tmp_path: Path) -> AsyncGenerator[Served]:
    """Serve a console; what is given changes its settings."""

    @asynccontextmanager
    async def serve(connect: Callable[[], Awaitable[Client]] = nowhere, **changes: Any) -> AsyncGenerator[Console]:
        port = free_port()
        settings = Settings(**{"state": tmp_path, "one_machine": True, "console_port": port, **changes})
        async with database.transaction("default") as tx:
            for person in PEOPLE:
                await directory.put(tx, person, "tester")
        watch = await Database.connect(database_url, size=1)
        try:
            async with opened(settings, database, watch, connect) as house, listening(application(house), port) as url:
                yield Console(house, url, database)
        finally:
            await watch.close()

    yield serve


@pytest.fixture
async def console(served: Served) -> AsyncGenerator[Console]:
    """A console of the one-machine stack, without Temporal."""
    async with served() as made:
        yield made
