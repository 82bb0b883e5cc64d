"""A run whose tool is an operation of an HTTP service: it writes once, however its attempts end."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import yaml

from database import Database
from devstack.receiver import Faults, Receiver, receiving
from tests.house import House, opened, plan, statuses, step
from tests.probes import copied

SECRET = "t0ken-that-nobody-may-see"
POST = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}, "url": {"type": "string"}, "content": {}}}
NEW = {"type": "object", "required": ["title"], "properties": {"title": {"type": "string"}}}
DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Posts", "version": "1"},
    "paths": {
        "/posts": {
            "post": {
                "operationId": "createPost",
                "summary": "Post a title.",
                "requestBody": {"required": True, "content": {"application/json": {"schema": NEW}}},
                "responses": {"201": {"description": "ok", "content": {"application/json": {"schema": POST}}}},
            }
        },
        "/posts/{id}": {
            "delete": {
                "operationId": "deletePost",
                "summary": "Take a post down.",
                "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
                "responses": {"204": {"description": "gone"}},
            }
        },
    },
}
TOOLS = {
    "post.write": {
        "operation": "createPost",
        "effect": "write",
        "guarantee": "idempotent",
        "key_ttl": "P1D",
        "compensate_with": "post.delete",
        "seconds": 2,
    },
    "post.delete": {
        "operation": "deletePost",
        "effect": "write",
        "guarantee": "idempotent",
        "key_ttl": "P1D",
        "irreversible": True,
        "seconds": 2,
    },
}


@pytest.fixture
async def receiver(tmp_path: Path) -> AsyncGenerator[Receiver]:
    async with receiving(tmp_path / "receiver") as made:
        yield made


@pytest.fixture
async def house(
    database: Database, temporal_address: str, tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[House]:
    """A house whose probe posts to the receiver; its worker is the test's to start."""
    monkeypatch.setenv("PERDURE_SECRET_POSTS_TOKEN", SECRET)
    rule = {"id": "back", "when": 'tool == "post.delete"', "outcome": "allow", "irreversible": ["post.delete"], "because": "a post may go"}
    folder = copied(tmp_path / "automations", rules=[rule], agents={"planner": {"tools": ["probe.write", *TOOLS]}}, limits={"replans": 0})
    (folder / "probe" / "posts.yaml").write_text(yaml.safe_dump(DOCUMENT))
    source = {"openapi": "posts.yaml", "server": "posts", "auth": {"bearer": "POSTS_TOKEN"}, "tools": TOOLS}
    (folder / "probe" / "tools.yaml").write_text(yaml.safe_dump({"http": {"posts": source}}))
    async with opened(database, temporal_address, tmp_path, folder=folder, endpoints={"posts": receiver.base_url}) as made:
        yield made


TABLES = """
SELECT relname AS t FROM pg_class WHERE relnamespace = 'perdure'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
"""


async def kept(house: House) -> str:
    """Return all that is kept of runs, as text."""
    async with house.database.transaction("default") as tx:
        tables = [row["t"] for row in await tx.fetch(TABLES)]
        return "".join([str(await tx.fetch(f'SELECT to_jsonb(x)::text FROM "{table}" AS x')) for table in tables])  # noqa: S608


@pytest.mark.parametrize(
    "faults",
    [{"drop_reply": 1}, {"times": 1, "status": 503, "retry_after": 0}, {"times": 2, "status": 500}],
    ids=["reply cut", "refused for now", "broken twice"],
)
async def test_a_first_attempt_that_fails_is_followed_by_one_with_the_same_key(
    house: House, receiver: Receiver, faults: dict[str, Any]
) -> None:
    receiver.faults = Faults.model_validate(faults)
    async with house.worker():
        found = await house.run(plan(step("a", "post.write", title="Hello")))
    assert statuses(found) == {"a": "done"}
    deliveries = receiver.deliveries.read()
    assert len(deliveries) == 1 + faults.get("times", 1) and len(receiver.posts) == 1
    assert {one["key"] for one in deliveries} == {effect.key for effect in await house.effects(house.handles[0])}
    assert len({one["sha256"] for one in deliveries}) == 1
    assert SECRET not in await kept(house) and SECRET not in json.dumps(deliveries)


async def test_a_worker_that_dies_after_the_call_leaves_one_post(house: House, receiver: Receiver) -> None:
    receiver.faults = Faults.model_validate({"drop_reply": 1})
    async with house.worker():
        handle = await house.start(plan(step("a", "post.write", title="Hello")))
        # Stored there, and nobody here knows: the first worker ends before it may try again.
        await house.until(handle, lambda _: len(receiver.deliveries.read()) > 0)
    async with house.worker():
        await house.ended(handle)
    found = await house.explained(handle)
    assert statuses(found) == {"a": "done"} and len(receiver.posts) == 1
    assert len({one["key"] for one in receiver.deliveries.read()}) == 1


async def test_a_run_that_fails_takes_its_post_back(house: House, receiver: Receiver) -> None:
    async with house.worker():
        found = await house.run(plan(step("a", "post.write", title="Hello"), step("b", "probe.write", "a", fail="failed")))
    post = next(iter(receiver.posts.values()))
    assert found.run.status == "failed" and receiver.deleted == {post["id"]}
