"""People as the tests of approvals need them."""

from datetime import timedelta
from typing import Any

from contracts.approvals import RuleResult, Terms
from database import Database
from ledger import approvals, directory
from ledger.approvals import Request
from ledger.directory import Person, Role
from tests.integration.ledger.rows import in_seconds, request, ruling

DAY = timedelta(days=1)


async def put(database: Database, id: str, *groups: str, role: Role = "approver", **given: Any) -> Person:
    """Add a person."""
    person = Person(id, id.title(), role, frozenset(groups), **given)
    async with database.transaction("default") as tx:
        await directory.put(tx, person, "tester")
    return person


async def delegate(database: Database, giver: str, taker: str, *groups: str) -> str:
    """Let one person rule for another, for a day."""
    async with database.transaction("default") as tx:
        return (await directory.delegate(tx, giver, taker, groups, in_seconds(DAY.total_seconds()), "tester")).id


def asked(*stages: tuple[str, int], id: str = "apr-1", starter: str = "eve", seconds: float = 3600.0, **terms: Any) -> Request:
    """Return a request of these stages, each a group and a quorum, that believes nobody unsigned."""
    chain = [{"groups": [group], "quorum": quorum} for group, quorum in stages or (("finance", 1),)]
    bound = Terms.model_validate({"stages": chain, **terms}).model_dump(mode="json")
    return request(id, seconds=seconds, terms=bound, groups=[chain[0]["groups"][0]], starter=starter, unsigned=False)


async def ask(database: Database, wanted: Request) -> None:
    """Insert a request."""
    async with database.transaction("default") as tx:
        await approvals.ask(tx, wanted)


async def say(database: Database, who: Person | None, verdict: str = "approve", id: str = "apr-1", **given: Any) -> RuleResult:
    """Rule as somebody whom a channel proved."""
    options = {name: given.pop(name) for name in ("key", "judge", "claim") if name in given}
    said = ruling(verdict, request=id, **{"reason": "because it is so", **given})
    async with database.transaction("default") as tx:
        return await approvals.rule(tx, said, channel="test", trusted=who is not None, who=who, **options)


async def read(database: Database, id: str = "apr-1") -> Request:
    """Return a request."""
    async with database.transaction("default") as tx:
        found = await approvals.read(tx, id)
    assert found is not None
    return found
