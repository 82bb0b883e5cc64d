"""Row-level security, whatever the library's queries say: no tenant sees, changes or makes another's rows."""

import asyncpg
import pytest

from channels.slack import alerts, postings
from contracts.plans import PlanStep
from database import Database
from ledger import (
    approvals,
    breakers,
    directory,
    effects,
    inbox,
    logins,
    outbox,
    records,
    refusals,
    reviews,
    said_so_far,
    signatures,
    votes,
)
from ledger.decisions import begin_call, finish, take
from ledger.directory import Person
from ledger.signatures import Word
from ledger.votes import Vote
from memory.sessions import Turn, append
from policies import bundles
from tests.integration.ledger.rows import LINEAGE, THRESHOLD, claim, in_seconds, open_run, request
from tests.integration.memory.test_isolation import MEMORY
from tests.integration.policies.test_bundles import bundle
from tools.documents import write

TABLES = [
    "bundle",
    "alias",
    "run",
    "turn",
    "decision",
    "journal",
    "plan_step",
    "effect",
    "approval",
    "budget",
    "record",
    "outbox",
    "document",
    "breaker",
    "person",
    "delegation",
    "api_token",
    "vote",
    "look",
    "nonce",
    "review",
    "slack_message",
    "slack_delivery",
    "console_link",
    "console_session",
    "slack_alert",
    "refusal",
    "console_try",
    "said_so_far",
]
# Partitions can be reached by their table only, which another test sees to.
WHOLE = """
SELECT relname FROM pg_class WHERE relnamespace = 'perdure'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
"""
KEPT = ("bundle", "turn", "record", "vote", "look", "nonce", "slack_delivery")
"""What the program may not change at all."""


@pytest.fixture(autouse=True)
async def _rows(database: Database) -> None:
    """Put a row of the tenant `default` into every table."""
    await open_run(database)
    async with database.transaction("default") as tx:
        await bundles.apply(tx, bundle(), "ann")
        await append(tx, "s", 0, [Turn("user", "user", "hello")])
        taken = await take(tx, LINEAGE, "plan-1")
        assert taken is not None
        hold = taken.hold
        await said_so_far.write(tx, hold, 0, "saying", 1, "x")
        await begin_call(tx, hold, 0, "model", "digest", 1)
        await finish(tx, hold, {}, {}, steps=[PlanStep(id="s1", tool="blog.publish")])
        await effects.claim(tx, claim())
        await approvals.ask(tx, request())
        await outbox.put(tx, "wf-1", outbox.Wake())
        await records.append(tx, "r1", "effect", LINEAGE, None, {})
        await write(tx, "content-ops", "brief", "b1", {}, writer="key-1")
        await breakers.fail(tx, breakers.Breaker("tool", "content-ops", "blog.publish"), THRESHOLD, "down")
        for id in ("ann", "bob"):
            await directory.put(tx, Person(id, id, "approver", frozenset({"owner"})), "tester")
        await directory.delegate(tx, "ann", "bob", ["owner"], in_seconds(60), "tester")
        await directory.mint(tx, "ann", ["read"], in_seconds(60))
        await votes.put(tx, "apr-1", Vote("ann", 0, "approve", "test"))
        await inbox.look(tx, "apr-1", Person("ann", "Ann", "approver"), "test")
        await signatures.use(tx, Word("default", "apr-1", "d", "approve", "ann", int(in_seconds(60).timestamp()), "n"))
        await reviews.open_review(tx, "apr-1", LINEAGE, "s1", ["ann", "bob"])
        await logins.offer(tx, "ann")
        await logins.begin(tx, "ann", "link")
        await postings.claim(tx, "apr-1", "C1")
        await postings.take(tx, ["x"])
        await tx.execute(alerts.BEGIN, tx.tenant, "glass/apr-1", "C1", "review/apr-1")
        await refusals.add(tx, "web", {"127.0.0.1": [refusals.Refused({})]})
        await logins.wait(tx, "127.0.0.1", tries=1, per_minute=1)


@pytest.mark.parametrize("table", TABLES)
async def test_no_tenant_sees_anothers_rows(database: Database, table: str) -> None:
    async with database.transaction("default") as tx:
        assert await tx.value(f"SELECT count(*) FROM {table}") >= 1  # noqa: S608
    async with database.transaction("other") as tx:
        assert await tx.value(f"SELECT count(*) FROM {table}") == 0  # noqa: S608


@pytest.mark.parametrize("table", [table for table in TABLES if table not in KEPT])
async def test_no_tenant_changes_or_gives_away_rows(database: Database, table: str) -> None:
    async with database.transaction("other") as tx:
        assert await tx.execute(f"UPDATE {table} SET tenant = tenant") == 0  # noqa: S608
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        async with database.transaction("default") as tx:
            await tx.execute(f"UPDATE {table} SET tenant = 'other'")  # noqa: S608


async def test_every_table_is_tried(database: Database) -> None:
    async with database.transaction("default") as tx:
        tables = {row["relname"] for row in await tx.fetch(WHOLE)}
    assert tables == {*TABLES, *MEMORY, "tenant"}
