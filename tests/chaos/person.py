"""The scripted person: approves what it is asked, edits where told to, and looks outside before it lets anything be done again."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from temporalio.client import Client

from contracts import names
from contracts.approvals import Ruling
from database import Database
from ledger import approvals, records
from ledger.approvals import Request
from tests.chaos.shapes import Shape

HAPPENED = "it happened: I looked"
LEFT = "it may stay as it is"
"""What it says where a run has ended, and something is left that only a person could take back."""
LOOK_EVERY = 0.2
HOLDS_FOR = 10.0
"""Seconds after which a word that changed nothing is said again: it may have been lost with a server."""


class Person:
    """Answers every request of every run. ``happened`` looks whether an effect's key has acted outside."""

    def __init__(
        self, client: Client, database: Database, tenant: str, shapes: Callable[[str], Shape], happened: Callable[[str], bool]
    ) -> None:
        self._client, self._database, self._tenant = client, database, tenant
        self._shapes, self._happened = shapes, happened
        self._said: dict[str, float] = {}
        self.confirmed: set[str] = set()
        """Lineages of runs in which it said that something need not be done again."""

    async def run(self) -> None:
        """Answer until cancelled; a server that is down is asked again."""
        while True:
            # Whatever a client makes of a server that was killed: a person who gave up here would leave every run waiting.
            with suppress(Exception):
                await self._answer_all()
            await asyncio.sleep(LOOK_EVERY)

    async def _answer_all(self) -> None:
        now = asyncio.get_running_loop().time()
        async with self._database.transaction(self._tenant) as tx:
            found = await approvals.open_requests(tx)
            waits = {request.id for request in found if not await self._ready(tx, request)}
        for request in found:
            if request.id not in waits and now - self._said.get(request.id, -HOLDS_FOR) >= HOLDS_FOR:
                await self._answer(request, self._ruling(request))
                self._said[request.id] = now

    async def _ready(self, tx: Any, request: Request) -> bool:
        if request.question != "run" or request.step not in self._shapes(request.workflow_id).patient:
            return True
        return any(record["body"]["event"] == "reminded" for record in await records.of_run(tx, request.lineage))

    def _ruling(self, request: Request) -> Ruling:
        verdict, reason, arguments = "approve", "looks right", None
        if request.question == "undo":
            verdict, reason = "reject", LEFT
        elif request.question == "again" and self._happened(f"{request.lineage}/{request.step}/{request.n}"):
            verdict, reason = "reject", HAPPENED
            self.confirmed.add(request.lineage)
        elif request.question == "run" and request.step in (edits := self._shapes(request.workflow_id).edits):
            verdict, arguments = "edit", edits[request.step]
        return Ruling.model_validate({"request": request.id, "verdict": verdict, "by": "ann", "reason": reason, "arguments": arguments})

    async def _answer(self, request: Request, ruling: Ruling) -> None:
        if request.question != "undo" and self._shapes(request.workflow_id).by_signal:
            said = ruling.model_dump(mode="json", exclude_none=True)
            await self._client.get_workflow_handle(request.workflow_id).signal(names.DECIDE, said)
            return
        async with self._database.transaction(self._tenant) as tx:
            # Its wake-up lies in the outbox, where a worker finds it.
            await approvals.rule(tx, ruling, channel="chaos", trusted=True)
