"""Rows as the tests of the ledger need them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts.approvals import Ruling
from database import Database
from ledger import approvals, effects, runs
from ledger.breakers import Threshold

LINEAGE = "0199aaaa-0000-7000-8000-000000000001"
DIGEST = "d1" * 32
NOBODY = datetime(2000, 1, 1, tzinfo=UTC)
THRESHOLD = Threshold(failures=3, within=timedelta(minutes=1), open=timedelta(seconds=30), longest=timedelta(seconds=100))


def in_seconds(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def run(lineage: str = LINEAGE, **given: Any) -> runs.RunRow:
    row = runs.RunRow(lineage, "wf-1", "content-ops", "orchestrator", "b" * 64, "ann", {"theme": "t"}, "running", "", NOBODY, None)
    return replace(row, **given)


async def open_run(database: Database, *, limit: int = 1_000_000, tenant: str = "default") -> None:
    async with database.transaction(tenant) as tx:
        await runs.open_run(tx, run(), limit_micros=limit)


def claim(seconds: float = 60.0, **given: Any) -> effects.Claim:
    key = effects.key(LINEAGE, "s1", 1)
    made = effects.Claim(key, LINEAGE, "s1", 1, "blog.publish", "v1", "idempotent", DIGEST, {"text": "x"}, in_seconds(seconds))
    return replace(made, **given)


def request(id: str = "apr-1", *, seconds: float = 3600.0, **given: Any) -> approvals.Request:
    schema = {"type": "object", "required": ["title"], "properties": {"title": {"type": "string", "maxLength": 20}}}
    made = approvals.Request(
        id=id, lineage=LINEAGE, workflow_id="wf-1", step="s1", n=1, tool="blog.publish", digest=DIGEST, bundle="b" * 64,
        arguments={"title": "x"}, schema=schema, question="run", reason="a person vets it", groups=["editor"], unsigned=True,
        state="pending", rungs=[{"at": int(in_seconds(seconds).timestamp() * 1000), "kind": "end"}], created_at=NOBODY,
        expires_at=in_seconds(seconds + 60),
    )  # fmt: skip
    return replace(made, **given)


def ruling(verdict: str = "approve", **given: Any) -> Ruling:
    return Ruling.model_validate({"request": "apr-1", "verdict": verdict, "by": "ann", **given})
