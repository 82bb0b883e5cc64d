"""Every server of the stage as a process that can be killed: Temporal, Postgres, and whoever the tools call."""

import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from database import migrate
from devstack import postgres, temporal_program, temporal_server
from devstack.postgres import Logins
from devstack.processes import Process, port_free, python_module
from devstack.progress import silent
from settings import ROOT, Settings
from tests.chaos import proxy
from tests.chaos.proxy import Proxy
from tests.servers import free_port, run

OUTSIDE = {"receiver": "tests.chaos.receiver", "social": "devstack.receiver", "mail": "devstack.mail"}
"""Who the tools call: name -> program."""


@dataclass
class Servers:
    """What runs beside the workers. A killed one is started again on its old data and its old port."""

    folder: Path
    program: Path
    temporal_port: int
    logins: Logins
    ports: dict[str, int]
    proxies: dict[str, Proxy] = field(default_factory=dict[str, Proxy])

    async def kill_temporal(self) -> None:
        """Kill the Temporal server, and start it again."""
        Process(self.folder / "temporal").kill()
        await temporal_server.serve(self.program, self.folder / "temporal", self.temporal_port)

    async def kill_postgres(self) -> None:
        """Kill Postgres with all its backends, and start it again, which recovers from its log."""
        found = postgres.pid(self.folder / "postgres")
        assert found is not None
        server = psutil.Process(found)
        for process in (server, *server.children()):
            if process.is_running():
                os.kill(process.pid, signal.SIGKILL)
        await postgres.start(self.folder / "postgres", root=ROOT)

    async def kill_executor(self) -> None:
        """Kill everything that tools call, and start it again."""
        for name in OUTSIDE:
            Process(self.folder / name).kill()
        for name in OUTSIDE:
            await self.start(name)

    async def start(self, name: str) -> None:
        """Start one of those that tools call."""
        process, port = Process(self.folder / name), self.ports[name]
        process.start(python_module(OUTSIDE[name], "--port", str(port), "--folder", str(self.folder / name)), cwd=ROOT)

        async def answers() -> bool:
            return not port_free(port)

        await process.ready(answers, seconds=30)

    @property
    def kills(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """What can be killed, by name."""
        return {"temporal": self.kill_temporal, "postgres": self.kill_postgres, "executor": self.kill_executor}


@asynccontextmanager
async def opened(folder: Path, seed: int) -> AsyncGenerator[Servers]:
    """Start all of them in a folder that other system users may enter."""
    async with AsyncExitStack() as stack:
        program = await temporal_program.find(Settings().cache, silent)
        (folder / "temporal").mkdir()
        temporal_port = free_port()
        await temporal_server.serve(program, folder / "temporal", temporal_port)
        stack.callback(lambda: Process(folder / "temporal").kill())
        logins = await postgres.start(folder / "postgres", root=ROOT)
        stack.push_async_callback(postgres.stop, folder / "postgres")
        # A killed server loses nothing without these; a power cut would, and there is none here.
        await run(logins.owner, "ALTER SYSTEM SET fsync = off", "ALTER SYSTEM SET full_page_writes = off", "SELECT pg_reload_conf()")
        await migrate(logins.owner)
        servers = Servers(folder, program, temporal_port, logins, {name: free_port() for name in OUTSIDE})
        for nth, name in enumerate(OUTSIDE):
            await servers.start(name)
            stack.callback(Process(folder / name).kill)
            servers.proxies[name] = await stack.enter_async_context(proxy.between(servers.ports[name], seed + nth))
        yield servers
