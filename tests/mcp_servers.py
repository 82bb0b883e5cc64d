"""MCP servers for tests: those of the protocol's own makers, and one that changes, hangs and breaks as it is told."""

import asyncio
import hashlib
import os
import shutil
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from settings import Settings
from tests.contexts import context
from tests.servers import until
from tools.contract import Tool
from tools.executors.executor import Access, Place
from tools.executors.mcp import McpExecutor, McpSource
from tools.lock import Definition, Lock

HERE = Path(__file__).parent / "mcp"
MOODY = Path(__file__).parent / "mcp_moody.py"


async def installed() -> Path:
    """Return the folder of the npm packages that `tests/mcp/package-lock.json` names, fetched once for each version of it.

    Skips the test where there is no Node.
    """
    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node:
        pytest.skip("there is no Node on this machine: the MCP servers that nobody here wrote need it")
    lock = (HERE / "package-lock.json").read_bytes()
    folder = Settings().cache / "mcp" / hashlib.sha256(lock).hexdigest()[:16]
    if not (folder / "ready").exists():
        unready = folder.with_name(f"{folder.name}.{os.getpid()}")
        unready.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, unready)
        # What it says is said when it fails; a package's own scripts are not run.
        fetch = await asyncio.create_subprocess_exec(
            *(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"), cwd=unready, stdout=-1, stderr=asyncio.subprocess.STDOUT
        )
        said, _ = await fetch.communicate()
        assert fetch.returncode == 0, f"npm ci failed: {said.decode(errors='replace')[-2000:]}"
        (unready / "ready").touch()
        if not (folder / "ready").exists():
            shutil.rmtree(folder, ignore_errors=True)
            unready.rename(folder)
        else:
            shutil.rmtree(unready)
    return folder / "node_modules" / "@modelcontextprotocol"


def moody(folder: Path, *arguments: str) -> list[str]:
    """Return the command of the server that reads its mood from the file `mood` in a folder."""
    return [sys.executable, str(MOODY), str(folder / "mood"), *arguments]


@dataclass
class Desk:
    """A source of one test, its tools as they are accepted, and calls of them."""

    source: McpSource
    folder: Path
    place: Place
    executor: McpExecutor
    tools: Mapping[str, Tool]

    async def call(self, name: str, arguments: dict[str, Any] | None = None, **of_context: Any) -> dict[str, Any]:
        """Call a tool as `act` does: its arguments checked, its result too."""
        tool = self.tools[name]
        result = await tool.call(tool.arguments.model_validate(arguments or {}), context(self.folder, **of_context))
        return result.model_dump(mode="json")

    async def again(self, *, endpoints: Mapping[str, str] | None = None, secrets: Mapping[str, str] | None = None) -> "Desk":
        """Accept what the server has now, as a person does by `tools pin`, and close what is open."""
        await self.executor.close()
        return await desk(self.source, self.folder, endpoints=endpoints, secrets=secrets)

    def processes(self) -> list[psutil.Process]:
        """Return the processes of this test's servers, and what they started."""
        return [one for one in psutil.process_iter(["cmdline"]) if any(str(self.folder) in part for part in one.info["cmdline"] or ())]


async def desk(
    source: McpSource,
    folder: Path,
    *,
    endpoints: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
    found: dict[str, Definition] | None = None,
) -> Desk:
    """Accept the tools of a source as they are now. found: what is known of them; what is not is asked for and put there."""
    found = {} if found is None else found
    place = Place("server", folder / "probe", Lock({}))
    place.folder.mkdir(exist_ok=True)
    if not source.allowed <= set(found):
        found |= {one.name: one for one in await source.discover(place, Access(endpoints or {}, (secrets or {}).get))}
    place = Place("server", place.folder, Lock({}).accept("server", list(found.values())))
    executor = source.executor(place)
    assert isinstance(executor, McpExecutor)
    return Desk(source, folder, place, executor, source.tools(place, executor))


@asynccontextmanager
async def listening(command: Sequence[str], port: int, environment: Mapping[str, str] | None = None) -> AsyncGenerator[str]:
    """Run a server that listens on a port of loopback, and yield its address."""
    child = await asyncio.create_subprocess_exec(*command, env={**os.environ, **(environment or {})}, stdout=-3, stderr=-3)
    try:
        await until(lambda: _answers(port))
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
