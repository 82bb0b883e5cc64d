"""The stand-in for a social network."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from devstack.receiver import Receiver, receiving


@pytest.fixture
async def receiver(tmp_path: Path) -> AsyncGenerator[Receiver]:
    async with receiving(tmp_path) as served:
        yield served


@pytest.fixture
async def http(receiver: Receiver) -> AsyncGenerator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=receiver.base_url, trust_env=False) as client:
        yield client


async def post(http: httpx2.AsyncClient, key: str = "k", content: Any = "hello") -> httpx2.Response:
    return await http.post("/posts", json=content, headers={"idempotency-key": key})


async def test_a_key_used_again_answers_as_the_first_time(http: httpx2.AsyncClient) -> None:
    first, second = await post(http), await post(http)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert len((await http.get("/posts")).json()) == 1


async def test_a_key_used_for_another_post_is_refused(http: httpx2.AsyncClient) -> None:
    await post(http, content="one")
    assert (await post(http, content="two")).status_code == 422


async def test_a_post_without_a_key_is_refused(http: httpx2.AsyncClient) -> None:
    assert (await http.post("/posts", json="hello")).status_code == 400


async def test_a_post_is_found_by_its_key(http: httpx2.AsyncClient) -> None:
    await post(http, "a", "one")
    await post(http, "b", "two")
    assert [found["content"] for found in (await http.get("/posts", params={"key": "b"})).json()] == ["two"]
    assert (await http.get("/posts", params={"key": "c"})).json() == []


async def test_a_deleted_post_is_gone_but_still_known_by_its_key(http: httpx2.AsyncClient) -> None:
    made = (await post(http)).json()
    assert (await http.delete(f"/posts/{made['id']}")).status_code == 204
    assert (await http.delete(f"/posts/{made['id']}")).status_code == 204
    assert (await http.get("/posts")).json() == []
    assert len((await http.get("/posts", params={"key": "k"})).json()) == 1


async def test_a_post_that_never_was_cannot_be_deleted(http: httpx2.AsyncClient) -> None:
    assert (await http.delete("/posts/none")).status_code == 404


async def test_faults_refuse_as_many_posts_as_asked(http: httpx2.AsyncClient) -> None:
    await http.put("/faults", json={"status": 503, "times": 2, "retry_after": 1.5})
    refused = [await post(http), await post(http)]
    assert [response.status_code for response in refused] == [503, 503]
    assert refused[0].headers["retry-after"] == "1.5"
    assert (await post(http)).status_code == 201


async def test_a_dropped_reply_has_stored_the_post(http: httpx2.AsyncClient) -> None:
    await http.put("/faults", json={"drop_reply": 1})
    with pytest.raises(httpx2.HTTPError):
        await post(http)
    assert (await post(http)).status_code == 200


async def test_an_unknown_fault_is_refused(http: httpx2.AsyncClient) -> None:
    assert (await http.put("/faults", json={"statsu": 503})).status_code == 422


async def test_every_delivery_is_logged_the_repeated_and_refused_too(http: httpx2.AsyncClient) -> None:
    await http.put("/faults", json={"times": 1})
    for _ in range(3):
        await post(http)
    assert [(each["key"], each["status"]) for each in (await http.get("/deliveries")).json()] == [("k", 503), ("k", 201), ("k", 200)]


async def test_posts_survive_a_restart(tmp_path: Path) -> None:
    shown: list[Any] = []
    for _ in range(2):
        async with receiving(tmp_path) as served, httpx2.AsyncClient(base_url=served.base_url, trust_env=False) as http:
            kept = (await post(http, "kept")).json()["id"]
            dropped = (await post(http, "dropped")).json()["id"]
            await http.delete(f"/posts/{dropped}")
            shown.append([each["id"] for each in (await http.get("/posts")).json()])
            assert shown[-1] == [kept]
    assert shown[0] == shown[1]


async def test_a_log_that_was_cut_by_a_crash_loses_its_last_line_only(tmp_path: Path) -> None:
    async with receiving(tmp_path) as served, httpx2.AsyncClient(base_url=served.base_url, trust_env=False) as http:
        await post(http, "a")
    with (tmp_path / "posts.jsonl").open("a") as journal:
        journal.write('{"at": "20')
    for times in (1, 2):
        async with receiving(tmp_path) as served, httpx2.AsyncClient(base_url=served.base_url, trust_env=False) as http:
            await post(http, f"b{times}")
            assert len((await http.get("/posts")).json()) == 1 + times


async def test_a_post_may_hold_characters_that_end_a_line_elsewhere(tmp_path: Path) -> None:
    for _ in range(2):
        async with receiving(tmp_path) as served, httpx2.AsyncClient(base_url=served.base_url, trust_env=False) as http:
            assert (await post(http, "k", "one\u2028two\u0085three\n")).json()["content"] == "one\u2028two\u0085three\n"
