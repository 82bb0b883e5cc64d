"""Ten thousand open requests: a page of the inbox with its counts, and all of them in one answer of the API, over HTTP.

Both are asked of a console in a process of its own, among as many decided ones. The baseline is what Postgres alone takes to sort them.
"""

import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
import httpx2

from bench.stage import Stage
from ledger import directory
from ledger.directory import Person

TENANT = "many"
FILL = """
INSERT INTO approval (tenant, id, lineage, workflow_id, step, n, tool, digest, bundle, arguments, schema, question, reason, groups, rungs,
                      expires_at, state, terms, about, starter, created_at)
SELECT $1, 'apr-' || lpad(nth::text, 16, '0'), '0199aaaa-0000-7000-8000-' || lpad((nth / 4)::text, 12, '0'), 'content-ops-' || nth / 4,
       'publish-' || nth % 4, 1, 'blog.publish', encode(sha256(nth::text::bytea), 'hex'), repeat('b', 64),
       jsonb_build_object('title', 'Piece', 'text', (SELECT string_agg(md5((nth * 9 + w)::text), ' ') FROM generate_series(1, 9) w)),
       '{"type": "object", "properties": {"title": {"type": "string"}, "text": {"type": "string"}}}', 'run', 'a person vets what goes out',
       ARRAY[(ARRAY['editor', 'legal', 'owner'])[nth % 3 + 1]],
       jsonb_build_array(jsonb_build_object('at', $3::bigint - 3600000, 'kind', 'remind'), jsonb_build_object('at', $3, 'kind', 'end')),
       now() + interval '2 days', CASE WHEN nth % 2 = 0 THEN 'pending' ELSE 'consumed' END,
       '{"stages": [{"groups": ["editor"], "quorum": 1}], "silence": "deny", "above": false}',
       jsonb_build_object('effect', CASE WHEN nth % 4 = 0 THEN 'write' ELSE 'egress' END, 'reversible', true, 'cost_micros', 0), 'bob',
       now() - make_interval(secs => nth)
  FROM generate_series(1, $2 * 2) AS nth
"""
SORTED = "SELECT count(*) FROM (SELECT id FROM approval WHERE tenant = $1 AND state = 'pending' ORDER BY created_at, id LIMIT 10001) x"


@dataclass(frozen=True, slots=True)
class Listed:
    """One way to list. milliseconds: of each time; cpu: milliseconds that console and Postgres used for one; bytes: of the answer."""

    name: str
    milliseconds: list[float]
    cpu: float
    bytes: int

    @property
    def p50(self) -> float:
        """The median."""
        return statistics.median(self.milliseconds)

    @property
    def p95(self) -> float:
        """The 95th percentile."""
        return sorted(self.milliseconds)[min(len(self.milliseconds) - 1, int(len(self.milliseconds) * 0.95))]


async def measure(stage: Stage, url: str, count: int, times: int) -> list[Listed]:
    """Ask in turn. url: where a console is served, as the process `console`."""
    token = await _fill(stage, count)
    headers = {"authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=60) as client:

        async def get(path: str) -> bytes:
            answer = await client.get(path)
            assert answer.status_code == 200, answer.text
            return answer.content

        async def sort() -> bytes:
            async with stage.database.transaction(TENANT) as tx:
                return b"x" * int(await tx.value(SORTED, tx.tenant))

        whole = await client.get("/api/v1/requests", params={"limit": count})
        assert len(whole.json()["requests"]) == whole.json()["waiting"] == count
        ways: list[tuple[str, Callable[[], Awaitable[bytes]]]] = [
            ("inbox: a page of 100, and how many wait", lambda: get("/inbox")),
            ("API: 100 and how many wait", lambda: get("/api/v1/requests")),
            (f"API: all {count:,} in one answer", lambda: get(f"/api/v1/requests?limit={count}")),
            ("Postgres alone, sorted and counted", sort),
        ]
        taken: dict[str, list[float]] = {name: [] for name, _ in ways}
        sizes, cpu = dict[str, int](), dict.fromkeys(taken, 0.0)
        for nth in range(times + 1):
            for name, way in ways:
                used, begun = stage.cpu("console", "postgres"), time.perf_counter()
                sizes[name] = len(await way())
                # The first time everything is cold, and is not counted.
                taken[name] += [(time.perf_counter() - begun) * 1000] if nth else []
                cpu[name] += (stage.cpu("console", "postgres") - used) * 1000 / times if nth else 0
    return [Listed(name, taken[name], cpu[name], sizes[name]) for name, _ in ways]


async def _fill(stage: Stage, count: int) -> str:
    """Let so many requests wait among as many decided ones; return the token of somebody who may see them."""
    end = int((datetime.now(UTC) + timedelta(days=1)).timestamp() * 1000)
    async with stage.database.transaction(TENANT) as tx:
        await tx.execute("INSERT INTO tenant (tenant) VALUES ($1) ON CONFLICT DO NOTHING", TENANT)
        await tx.execute(FILL, TENANT, count, end)
        await directory.put(tx, Person("ann", "Ann", "approver", frozenset({"editor"})), "bench")
        token = await directory.mint(tx, "ann", ("read",), datetime.now(UTC) + timedelta(hours=1))
    owner = await asyncpg.connect(stage.owner_url)
    try:
        # As autovacuum would in a while.
        await owner.execute("VACUUM ANALYZE perdure.approval")
    finally:
        await owner.close()
    return token
