"""The desk: where every view reads, looks at and rules on requests. It keeps nothing; the row is the truth."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from activities.edits import Edits
from channels.card import Card, CardFacts, Said, card
from channels.refusals import Refusals
from contracts.approvals import RuleResult, Ruling
from contracts.errors import BadInput
from database import Database, Tx
from ledger import approvals, directory, inbox, surroundings, votes
from ledger.approvals import Request
from ledger.directory import Person
from ledger.inbox import Filters
from ledger.refusals import RULINGS
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
        self._refusals = dict[str, Refusals]()
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
            await self._refused(tenant, ruling, who, result.message, channel, found)
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

    async def _refused(self, tenant: str, ruling: Ruling, who: Person | None, why: str, channel: str, found: Request | None) -> None:
        """Put a refused ruling on record, or count it; neither its token nor what it would have run, or is said to have given, is kept."""
        said = ruling.model_dump(mode="json", exclude={"token", "arguments", "output"})
        said |= {"by": who.id if who else ruling.by, "digest": (ruling.digest or "")[:64] or None}
        body = {"event": "refused", "signal": "ruling", "why": why, "channel": channel, **said}
        # Apart from what the same channel refuses of strangers, so that their flood hides nothing here.
        kept = self._refusals.setdefault(channel, Refusals(self._database, f"{channel} rulings", RULINGS))
        source = who.id if who else "nobody proved"
        await kept.put(tenant, source, body, about=ruling.request, lineage=found.lineage if found else None)

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
