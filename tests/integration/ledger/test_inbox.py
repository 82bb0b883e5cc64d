"""The inbox on a real Postgres: what its lines and its counts say of what waits."""

from collections import Counter
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from channels.console.answers.requests import Asked
from channels.console.risk import risk
from database import Database
from ledger import approvals, inbox, runs
from ledger.approvals import Request
from ledger.inbox import Filters
from tests.integration.ledger import rows

NEVER = object()
HOSTILE = "\"},\u2028{'\\ \u202e\x01</script>\ud800\0é🎉"


def given(name: str, value: object) -> dict[str, Any]:
    return {} if value is NEVER else {name: value}


@pytest.fixture
async def kinds(database: Database) -> list[Request]:
    """One request of each kind that a list tells apart."""
    made = [
        replace(
            rows.request(f"apr-{nth:03}"), step=f"s{nth}", question=question, groups=["editor", "owner"][nth % 2 :],
            about={**given("reversible", reversible), **given("effect", effect)}, terms=given("above", above),
        )
        for nth, (reversible, effect, above, question) in enumerate(
            product((True, False, None, "true", NEVER), ("read", "write", "egress", NEVER), (True, False, NEVER), ("run", "again"))
        )
    ]  # fmt: skip
    async with database.transaction("default") as tx:
        await runs.open_run(tx, rows.run(), limit_micros=1_000_000)
        for request in made:
            await approvals.ask(tx, request)
    return made


async def test_a_line_says_of_a_request_what_its_row_says(database: Database, kinds: list[Request]) -> None:
    async with database.transaction("default") as tx:
        found = await inbox.lines(tx, Filters(limit=1000))
        listed = {request.id: request for request in await inbox.listed(tx, Filters(limit=1000))}
    said = [Asked.model_validate_json(line, extra="forbid") for line in found]
    assert [one.request for one in said] == list(listed) and len(said) == len(kinds)
    for one in said:
        row = listed[one.request]
        assert one.risk == risk(row) and one.deadline == row.deadline and one.asked_at == row.created_at
        assert (one.tool, one.step, one.run, one.lineage, one.digest) == (row.tool, row.step, row.workflow_id, row.lineage, row.digest)
        assert (one.groups, one.because, one.question, one.state) == (row.groups, row.reason, row.question, "pending")


async def test_a_hostile_text_stays_within_its_line(database: Database) -> None:
    async with database.transaction("default") as tx:
        await runs.open_run(tx, rows.run(), limit_micros=1_000_000)
        await approvals.ask(tx, replace(rows.request("apr-1"), reason=HOSTILE, tool=HOSTILE))
        row = await approvals.read(tx, "apr-1")
        [line] = await inbox.lines(tx, Filters())
    one = Asked.model_validate_json(line, extra="forbid")
    assert row is not None and one.because == row.reason and one.tool == row.tool and "\n" not in line


async def test_the_counts_are_of_all_that_wait_whatever_a_page_holds(database: Database, kinds: list[Request]) -> None:
    async with database.transaction("default") as tx:
        found = await inbox.counts(tx, Filters(limit=1))
        assert found.wanted == len(kinds) and found.risks == Counter(map(risk, kinds))
        assert found.groups == Counter(group for request in kinds for group in request.groups)
        owned = [request for request in kinds if "editor" in request.groups]
        chosen = await inbox.counts(tx, Filters(group="editor", risk="low"))
        assert chosen.wanted == sum(risk(request) == "low" for request in owned) and chosen.risks == Counter(map(risk, owned))
        assert (await inbox.counts(tx, Filters(mine=True), {"editor"})).wanted == len(owned)
        assert (await inbox.counts(tx, Filters(mine=True))).wanted == 0
        listed = await inbox.listed(tx, Filters(group="editor", risk="low", limit=1000))
        assert len(listed) == chosen.wanted and {risk(request) for request in listed} == {"low"}


async def test_pages_hold_each_request_once_even_where_one_is_decided_in_between(database: Database, kinds: list[Request]) -> None:
    seen, after = list[str](), None
    while True:
        async with database.transaction("default") as tx:
            page = [Asked.model_validate_json(line).request for line in await inbox.lines(tx, Filters(limit=17, after=after))]
            if not page:
                break
            await tx.execute("UPDATE approval SET state = 'cancelled' WHERE tenant = $1 AND id = $2", tx.tenant, page[-1])
        seen, after = seen + page, page[-1]
    assert seen == [request.id for request in kinds]


async def test_another_tenants_requests_are_neither_listed_nor_counted(database: Database, kinds: list[Request]) -> None:
    async with database.transaction("other") as tx:
        assert await inbox.lines(tx, Filters()) == [] and (await inbox.counts(tx, Filters())).wanted == 0
