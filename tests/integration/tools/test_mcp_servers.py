"""MCP tools against servers that nobody here wrote: `server-everything` and `server-filesystem` of the protocol's own makers."""

import asyncio
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import BadInput
from tests.contexts import context
from tests.mcp_servers import Desk, desk, installed, listening
from tests.servers import free_port
from tools import ToolFailed, ToolRetry
from tools.executors.mcp import McpSource

READ: dict[str, Any] = {"effect": "read", "guarantee": "pure"}
WRITE: dict[str, Any] = {"effect": "write", "guarantee": "guarded", "irreversible": True}
EVERYTHING = {
    "echo": {"tool": "echo", **READ},
    "sum": {"tool": "get-sum", **READ},
    "weather": {"tool": "get-structured-content", **READ},
    "picture": {"tool": "get-tiny-image", **READ},
    "environment": {"tool": "get-env", **READ},
    "long": {"tool": "trigger-long-running-operation", **READ},
}


@pytest.fixture(scope="module")
async def packages() -> Path:
    return await installed()


async def opened(source: dict[str, Any], folder: Path, **given: Any) -> AsyncGenerator[Desk]:
    made = await desk(McpSource.model_validate(source), folder, **given)
    yield made
    await made.executor.close()
    assert not made.processes()


@pytest.fixture
async def files(packages: Path, tmp_path: Path) -> AsyncGenerator[Desk]:
    command = ["node", str(packages / "server-filesystem" / "dist" / "index.js"), "{folder}"]
    tools = {"files.write": {"tool": "write_file", **WRITE}, "files.read": {"tool": "read_text_file", **READ}}
    async for made in opened({"command": command, "tools": tools}, tmp_path):
        yield made


@pytest.fixture
async def everything(packages: Path, tmp_path: Path) -> AsyncGenerator[Desk]:
    command = ["node", str(packages / "server-everything" / "dist" / "index.js"), "stdio"]
    async for made in opened({"command": command, "tools": EVERYTHING}, tmp_path):
        yield made


async def test_files_are_written_and_read_in_the_folder_of_the_automation(files: Desk) -> None:
    path = files.folder / "note.txt"
    await files.call("files.write", {"path": str(path), "content": "hello"})
    assert path.read_text() == "hello"
    assert (await files.call("files.read", {"path": str(path)}))["content"] == "hello"


async def test_a_path_outside_is_refused_by_the_server_and_the_call_has_failed(files: Desk) -> None:
    with pytest.raises(ToolFailed, match="Access denied"):
        await files.call("files.read", {"path": "/etc/hostname"})


async def test_wrong_arguments_go_back_to_the_model(everything: Desk) -> None:
    # Past our own check of the schema, which the model's arguments meet first.
    with pytest.raises(ToolRetry, match="message"):
        await everything.executor.invoke("echo", {"message": 7}, context(everything.folder))


async def test_texts_pictures_and_structured_content_come_back(everything: Desk) -> None:
    assert (await everything.call("echo", {"message": "hi"}))["text"] == "Echo: hi"
    assert "5" in (await everything.call("sum", {"a": 2, "b": 3}))["text"]
    weather = await everything.call("weather", {"location": "New York"})
    assert set(weather) >= {"temperature", "conditions"}
    (picture,) = (await everything.call("picture"))["content"]
    assert picture["type"] == "image" and picture["mimeType"] == "image/png"


async def test_a_tool_that_would_ask_our_model_or_our_people_is_not_even_offered(packages: Path, tmp_path: Path) -> None:
    command = ["node", str(packages / "server-everything" / "dist" / "index.js"), "stdio"]
    for tool in ("trigger-sampling-request", "trigger-elicitation-request", "get-roots-list"):
        with pytest.raises(BadInput, match=f"has no tool '{tool}'"):
            await desk(McpSource.model_validate({"command": command, "tools": {"it": {"tool": tool, **READ}}}), tmp_path)


async def test_a_foreign_server_sees_nothing_of_the_workers_environment(everything: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_SECRET_SHOP_TOKEN", "s3cret")
    said = (await everything.call("environment"))["text"]
    assert "PATH" in said and "s3cret" not in said and "PERDURE" not in said


async def test_a_cancel_ends_a_foreign_servers_call_and_keeps_its_process(everything: Desk) -> None:
    await everything.call("echo", {"message": "hi"})
    before = everything.processes()
    task = asyncio.create_task(everything.call("long", {"duration": 30, "steps": 30}))
    await asyncio.sleep(0.3)
    started = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - started < 2
    assert (await everything.call("echo", {"message": "hi"}))["text"] == "Echo: hi"
    assert everything.processes() == before


async def test_the_same_server_over_http(packages: Path, tmp_path: Path) -> None:
    port = free_port()
    command = ["node", str(packages / "server-everything" / "dist" / "index.js"), "streamableHttp"]
    async with listening(command, port, {"PORT": str(port)}) as url:
        source = {"url": "everything", "tools": EVERYTHING}
        async for at in opened(source, tmp_path, endpoints={"everything": url}):
            assert (await at.call("echo", {"message": "hi"}, endpoints={"everything": url}))["text"] == "Echo: hi"
            calls = (at.call("sum", {"a": n, "b": n}, endpoints={"everything": url}) for n in range(20))
            assert all(str(2 * n) in answer["text"] for n, answer in enumerate(await asyncio.gather(*calls)))
