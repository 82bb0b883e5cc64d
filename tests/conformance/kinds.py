"""Who serves the conformance tools: one entry of `KINDS` for each kind of executor.

A kind is an async context manager that takes a scratch folder and yields `Served`. To add one, serve the tools of
`automations/notes/tools.py` under the same names from a server of that kind, and give its manifest to `listed`, which accepts
what the server has now and loads the tools as a worker would. The token `SECRETS["NOTE_TOKEN"]` is for `note.read` with `how: secret`.
"""

import shutil
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any, cast

import yaml

from devstack.web_server import listening
from tests.fakes import MemoryDocuments
from tests.servers import free_port
from tests.tool_servers import SERVER, go_program, running
from tools import manifest
from tools.contract import Tool, ToolContext
from tools.executors.executor import Access, Place
from tools.lock import Lock
from tools.manifest import Manifest
from tools.registry import Registry
from yaml_files import YamlFile

AUTOMATIONS = Path(__file__).parent / "automations"
NAMES = ("note.write", "note.guarded", "note.erase", "note.read", "note.slow", "note.counts")
SECRETS = {"NOTE_TOKEN": "t0ken-that-nobody-may-see"}
ENVIRONMENT = {f"PERDURE_SECRET_{name}": value for name, value in SECRETS.items()}


@dataclass(frozen=True)
class Served:
    """The tools as a worker has them, and what a call of one may know."""

    tools: Mapping[str, Tool]
    folder: Path
    endpoints: Mapping[str, str] = field(default_factory=dict[str, str])

    def context(self, tool: str, key: str = "", seconds: float | None = None) -> ToolContext:
        """Return the context of one call; without a key it has one of its own."""
        made = self.tools[tool]
        return ToolContext(
            tenant="default",
            automation="notes",
            lineage="lineage",
            step="step",
            key=key or f"lineage/{token_hex(4)}/1",
            deadline=datetime.now(UTC) + timedelta(seconds=made.seconds if seconds is None else seconds),
            input={},
            settings={},
            documents=cast(Any, MemoryDocuments()),
            endpoints=self.endpoints,
            folder=self.folder,
            secrets={name: SECRETS[name] for name in made.secrets if name in SECRETS},
        )


@asynccontextmanager
async def listed(folder: Path, given: Mapping[str, Any], endpoints: Mapping[str, str] | None = None) -> AsyncGenerator[Served]:
    """Accept all that the sources of a `tools.yaml` have now, and yield its tools. given: the file's content."""
    automation = folder / "notes"
    automation.mkdir(parents=True, exist_ok=True)
    (automation / manifest.NAME).write_text(yaml.safe_dump(dict(given)))
    await accept(automation, Access(endpoints or {}, SECRETS.get))
    registry = Registry(folder)
    try:
        yield Served(registry.tools("notes"), folder / "files", endpoints or {})
    finally:
        await registry.close()


async def accept(automation: Path, access: Access) -> None:
    """Accept all that an automation's sources have now."""
    found = YamlFile(automation / manifest.NAME).read(Manifest)
    lock = Lock.read(automation)
    for name, source in {**found.grpc, **found.mcp}.items():
        if definitions := await source.discover(Place(name, automation, lock), access):
            lock = lock.accept(name, definitions)
    lock.write(automation)


@asynccontextmanager
async def python(folder: Path) -> AsyncGenerator[Served]:
    """Functions in this very process."""
    # A copy, so that no other test's calls are counted.
    shutil.copytree(AUTOMATIONS, folder, dirs_exist_ok=True)
    yield Served(Registry(folder).tools("notes"), folder / "files")


@asynccontextmanager
async def grpc(folder: Path) -> AsyncGenerator[Served]:
    """Perdure's own tool server."""
    address = f"127.0.0.1:{free_port()}"
    command = (*SERVER, "--address", address, "--automations", AUTOMATIONS)
    async with (
        running(command, address, **ENVIRONMENT),
        listed(folder, {"grpc": {"notes": {"server": address, "tools": list(NAMES)}}}) as served,
    ):
        yield served


@asynccontextmanager
async def go(folder: Path) -> AsyncGenerator[Served]:
    """A gRPC server in another language."""
    address = f"127.0.0.1:{free_port()}"
    async with (
        running((await go_program(), "-address", address), address, **ENVIRONMENT),
        listed(folder, {"grpc": {"notes": {"server": "notes", "tools": list(NAMES)}}}, {"notes": f"grpc://{address}"}) as served,
    ):
        yield served


@asynccontextmanager
async def http(folder: Path) -> AsyncGenerator[Served]:
    """An HTTP service with an OpenAPI document."""
    from tests.conformance.http_server import MANIFEST, application, document

    async with python(folder / "served") as behind, listening(application(behind)) as url:
        (folder / "notes").mkdir(parents=True)
        (folder / "notes" / "openapi.yaml").write_text(yaml.safe_dump(document(behind)))
        source = {"openapi": "openapi.yaml", "server": "notes", "auth": {"bearer": "NOTE_TOKEN"}, "tools": MANIFEST}
        async with listed(folder, {"http": {"notes": source}}, {"notes": url}) as served:
            yield served


@asynccontextmanager
async def mcp(folder: Path) -> AsyncGenerator[Served]:
    """An MCP server over streamable HTTP."""
    from tests.conformance.mcp_server import manifest

    port = free_port()
    async with (
        running((sys.executable, "-m", "tests.conformance.mcp_server", str(port)), f"127.0.0.1:{port}", quiet=True),
        listed(folder, {"mcp": {"notes": manifest("notes")}}, {"notes": f"http://127.0.0.1:{port}/mcp"}) as served,
    ):
        yield served


KINDS: dict[str, Callable[[Path], AbstractAsyncContextManager[Served]]] = {
    "python": python,
    "http": http,
    "grpc": grpc,
    "go": go,
    "mcp": mcp,
}
