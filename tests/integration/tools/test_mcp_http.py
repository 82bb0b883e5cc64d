"""MCP tools over streamable HTTP: what HTTP itself says, who may be called, and which secret goes where."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from contracts.errors import BadInput
from tests.mcp_servers import Desk, desk, listening, moody
from tests.servers import free_port, until
from tools import ToolFailed, ToolUnknown, TransientError
from tools.executors.executor import Access, Place
from tools.executors.mcp import McpSource
from tools.executors.mcp_door import Hardened
from tools.lock import Definition, Lock
from tools.reach import Reach

LISTED: dict[str, Any] = {
    "do.read": {"tool": "act", "effect": "read", "guarantee": "pure"},
    "do.write": {"tool": "act", "effect": "write", "guarantee": "guarded", "irreversible": True},
}
FOUND: dict[str, Definition] = {}


def source(**given: Any) -> McpSource:
    return McpSource.model_validate({"url": "moody", "tools": LISTED, **given})


@pytest.fixture
async def url(tmp_path: Path) -> AsyncGenerator[str]:
    port = free_port()
    async with listening(moody(tmp_path, str(port)), port) as address:
        yield address


@pytest.fixture
async def at(url: str, tmp_path: Path) -> AsyncGenerator[Desk]:
    made = await desk(source(), tmp_path, endpoints={"moody": url}, found=FOUND)
    yield made
    await made.executor.close()


def mood(at: Desk, **now: Any) -> None:
    (at.folder / "mood").write_text(json.dumps(now))


def lines(at: Desk) -> list[dict[str, Any]]:
    path = at.folder / "calls"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def test_a_tool_is_called_at_an_endpoint_with_the_key(at: Desk, url: str) -> None:
    assert await at.call("do.write", {"what": "hi"}, endpoints={"moody": url}) == {"said": "hi"}
    assert lines(at)[0]["meta"]["perdure/effect-key"] == "lineage/step/1"


async def test_an_endpoint_that_is_not_set_is_named(at: Desk) -> None:
    with pytest.raises(ToolFailed, match="the MCP server server stands at the endpoint 'moody'; PERDURE_ENDPOINTS has shop"):
        await at.call("do.read", {"what": "hi"}, endpoints={"shop": "https://shop.example"})


async def test_an_address_of_a_private_network_must_be_an_endpoint(url: str, tmp_path: Path) -> None:
    literal = source(url=url)
    with pytest.raises(BadInput, match="is not public, and no endpoint of this installation names it"):
        await literal.discover(Place("server", tmp_path, Lock({})), Access({}, lambda name: None))


@pytest.mark.parametrize(
    ("address", "private", "said"),
    [
        ("http://169.254.169.254/latest", False, "is not public"),
        ("http://[::ffff:10.0.0.1]/mcp", False, "is not public"),
        ("http://93.184.215.14/mcp", False, "a secret is not sent over http"),
        ("http://127.0.0.1:1/mcp", True, "is not public"),
    ],
)
async def test_nothing_is_sent_to_where_it_may_not_go(address: str, private: bool, said: str) -> None:
    named = frozenset({"127.0.0.1:2"})
    transport = Hardened(Reach(private=named) if private else Reach())
    with pytest.raises(httpx2.ConnectError, match=said):
        await transport.handle_async_request(httpx2.Request("POST", address, headers={"authorization": "Bearer t0ken"}))
    await transport.aclose()


@pytest.mark.parametrize(
    ("status", "headers", "read", "write", "said"),
    [
        (429, {"retry-after": "7"}, TransientError, TransientError, "act was not run: the server says 429"),
        (503, {"retry-after": "7"}, TransientError, ToolUnknown, "the server says 503"),
        (403, {}, ToolFailed, ToolFailed, "act was refused: the server says 403"),
        (302, {"location": "http://169.254.169.254/"}, ToolFailed, ToolUnknown, "not followed"),
    ],
)
async def test_what_http_says_of_a_call_is_told_apart(
    at: Desk, url: str, status: int, headers: dict[str, str], read: type[Exception], write: type[Exception], said: str
) -> None:
    mood(at, status=status, headers=headers)
    for name, kind in (("do.read", read), ("do.write", write)):
        with pytest.raises(kind, match=said) as caught:
            await at.call(name, {"what": "hi"}, endpoints={"moody": url})
        if isinstance(caught.value, TransientError):
            assert caught.value.retry_after == 7
    assert lines(at) == []


async def test_a_server_that_cannot_be_reached_was_surely_not_called(at: Desk) -> None:
    with pytest.raises(TransientError, match="cannot be used"):
        await at.call("do.write", {"what": "hi"}, endpoints={"moody": f"http://127.0.0.1:{free_port()}/mcp"})


async def test_a_server_that_dies_in_the_middle_may_have_acted(at: Desk, url: str) -> None:
    with pytest.raises(ToolUnknown, match="it may have acted"):
        await at.call("do.write", {"what": "die"}, endpoints={"moody": url})
    # The session still stands; what is sent over it now surely does not arrive.
    with pytest.raises(TransientError):
        await at.call("do.write", {"what": "hi"}, endpoints={"moody": url})


async def test_a_cancel_reaches_the_server_and_ends_within_two_seconds(at: Desk, url: str) -> None:
    task = asyncio.create_task(at.call("do.write", {"what": "wait"}, endpoints={"moody": url}))
    await until(lambda: _holds(len(lines(at)) == 1))
    started = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - started < 2
    await until(lambda: _holds(lines(at)[-1] == {"cancelled": True}))


async def test_a_change_that_the_server_announces_is_looked_at_before_the_next_call(at: Desk, url: str) -> None:
    assert await at.call("do.read", {"what": "change"}, endpoints={"moody": url}) == {"said": "change"}

    async def quarantined() -> bool:
        try:
            await at.call("do.read", {"what": "hi"}, endpoints={"moody": url})
        except ToolFailed as error:
            return "is in quarantine: it has changed" in str(error)
        return False

    await until(quarantined)


async def test_the_token_is_a_named_secret_and_a_wrong_one_is_refused(at: Desk, url: str) -> None:
    mood(at, token="t0ken")
    made = await desk(source(auth={"bearer": "SHOP_TOKEN"}), at.folder, found=FOUND)
    assert made.tools["do.read"].secrets == ("SHOP_TOKEN",)
    try:
        given = {"endpoints": {"moody": url}, "secrets": {"SHOP_TOKEN": "t0ken"}}
        assert await made.call("do.read", {"what": "hi"}, **given) == {"said": "hi"}
        assert "t0ken" not in (at.folder / "calls").read_text()
        with pytest.raises(ToolFailed, match="the MCP server server cannot be used: the server says 401"):
            await made.call("do.read", {"what": "hi"}, **{**given, "secrets": {"SHOP_TOKEN": "stolen"}})
    finally:
        await made.executor.close()


async def test_a_server_that_hangs_costs_its_time_and_no_more(at: Desk, url: str) -> None:
    with pytest.raises(ToolUnknown, match="did not end within"):
        await at.call("do.write", {"what": "freeze"}, endpoints={"moody": url}, seconds=2)
    started = time.monotonic()
    await at.executor.close()
    assert time.monotonic() - started < 20


async def _holds(it: bool) -> bool:
    return it
