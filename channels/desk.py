"""The desk: where every view reads, looks at and rules on requests. It keeps nothing; the row is the truth."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable

import structlog

from activities.edits import Edits
from channels.card import Card, CardFacts, Said, card
from contracts.approvals import RuleResult, Ruling
from contracts.errors import BadInput
from database import Database, Tx
from ledger import approvals, directory, inbox, records, surroundings, votes
from ledger.approvals import Request
from ledger.directory import Person
from ledger.inbox import Filters
from ledger.signatures import KEY_NAME
from policies.bundles import Bundles

__all__ = ["Desk", "Filters", "Wake"]
LOG = structlog.get_logger(__name__)
Wake = Callable[[str], Awaitable[object]]
"""Delivers what waits in a tenant's outbox."""


class Desk:
    """Reads and rules for the command line, the console and Slack alike.

    one_machine: whether unsigned rulings may be believed. secret: returns a secret by its name, for signed rulings.
    """

    def __init__(
        self,
        database: Database,
        wake: Wake,
        *,
        one_machine: bool = False,
        secret: Callable[[str], str | None] = lambda name: None,
    ) -> None:
        self._database = database
        self._wake = wake
        self._one_machine = one_machine
        self._secret = secret
        self._edits = Edits(database, Bundles(database))
        self._tasks: set[asyncio.Task[None]] = set()

    async def rule(self, tenant: str, ruling: Ruling, who: Person | None, *, channel: str) -> RuleResult:
        """Rule, put a refusal on record, and wake the run in the background.

        who: whom the channel proved; None where it proved nobody, so that a token or the one-machine stack has to do.
        """
        judge = await self._edits.judge(tenant, ruling)
        async with self._database.transaction(tenant) as tx:
            found = await approvals.read(tx, ruling.request)
            # Read again, since a session or a cache may know someone as they were.
            who = await directory.person(tx, who.id) or who if who else None
            trusted = who is not None or (self._one_machine and found is not None and found.unsigned)
            key = self._secret(KEY_NAME)
            result = await approvals.rule(tx, ruling, channel=channel, trusted=trusted, who=who, key=key, judge=judge)
            if not result.accepted:
                said = ruling if who is None else ruling.model_copy(update={"by": who.id})
                await refused(tx, said, result.message, channel, found.lineage if found else None)
        if result.accepted and result.ended:
            self._deliver(tenant)
        return result

    async def look(self, tenant: str, request: str, who: Person, channel: str) -> None:
        """Note that a person has seen a request, once for each: the time to human counts from the first."""
        async with self._database.transaction(tenant) as tx:
            await inbox.look(tx, request, who, channel)

    async def open(self, tenant: str, who: Person | None, filters: Filters | None = None) -> list[Request]:
        """Return the requests that wait, oldest first. Raises: BadInput where `mine` is asked by nobody."""
        wanted = filters or Filters()
        if wanted.mine and who is None:
            raise BadInput("`mine` is what a person may rule on, and nobody is logged in")
        async with self._database.transaction(tenant) as tx:
            return await inbox.listed(tx, wanted, await groups_of(tx, who) if who else ())

    async def card(self, tenant: str, request: str) -> Card | None:
        """Return the card of a request, None where there is none of that id."""
        async with self._database.transaction(tenant) as tx:
            found = await approvals.read(tx, request)
            return card(found, await self.facts(tx, found)) if found else None

    async def facts(self, tx: Tx, request: Request) -> CardFacts:
        """Read what a card needs beside the request."""
        around = await surroundings.of(tx, request.lineage, request.step)
        cast = await votes.of(tx, request.id)
        return CardFacts(
            spent=around.spent if around else 0,
            limit=around.limit if around else 0,
            sources=(*around.taint, *around.read) if around else (),
            votes=tuple(Said(vote.person, vote.verdict, vote.stage, vote.at, vote.behalf) for vote in cast if vote.at),
            before=await approvals.read(tx, request.supersedes) if request.supersedes else None,
        )

    async def close(self) -> None:
        """Wait for the wake-ups that are under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _deliver(self, tenant: str) -> None:
        # What was ruled is ruled: a slow Temporal delays nobody's answer, and what is not sent now a worker sends.
        task = asyncio.create_task(self._delivered(tenant))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _delivered(self, tenant: str) -> None:
        try:
            await self._wake(tenant)
        except Exception as error:
            LOG.warning("a wake-up was not sent; a worker sends it", error=f"{type(error).__name__}: {error}")


async def groups_of(tx: Tx, who: Person) -> frozenset[str]:
    """Return the groups a person may rule for, their own and those delegated to them."""
    given = await directory.delegations(tx, who.id)
    return who.groups.union(*(one.groups for one in given))


async def refused(tx: Tx, ruling: Ruling, why: str, channel: str, lineage: str | None) -> None:
    """Put a refused ruling on record; neither its token nor what it would have run is kept."""
    said = ruling.model_dump(mode="json", exclude={"token", "arguments"})
    body = {"event": "refused", "signal": "ruling", "why": why, "channel": channel, **said, "digest": (ruling.digest or "")[:64] or None}
    await records.append(tx, f"{ruling.request}/refused/{uuid.uuid4()}", "access", lineage, None, body)
