"""The servers and workers that a benchmark runs on, each a process of its own, so that their CPU can be told apart."""

import os
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from pydantic import SecretStr
from temporalio.client import Client

from channels.cli.automations import Folders
from contracts.converter import DATA_CONVERTER
from contracts.errors import BadConfiguration
from database import Database, migrate
from devstack import postgres, temporal_program, temporal_server
from devstack.parts import gets
from devstack.processes import Process, python_module
from devstack.progress import silent
from settings import ROOT, Settings
from worker import free_port

HERE = Path(__file__).resolve().parent


@dataclass
class Stage:
    """What a benchmark may use. ``stock`` is a server with the settings that it has out of the box."""

    settings: Settings
    tuned: Client
    stock: Client
    database: Database
    owner_url: str
    processes: dict[str, Process]
    postgres_folder: Path

    def cpu(self, *names: str) -> float:
        """Return the CPU seconds that these have used so far: processes by name, or `postgres`."""
        total = 0.0
        for name in names:
            pid = postgres.pid(self.postgres_folder) if name == "postgres" else self.processes[name].pid
            total += _seconds(psutil.Process(pid)) if pid else 0.0
        return total


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    # What a server's ended backends used is in the children's share of their parent.
    total = times.user + times.system + times.children_user + times.children_system
    for child in process.children(recursive=True):
        # One that ends in between, as a vacuum does, is in the children's share by then.
        with suppress(psutil.NoSuchProcess):
            used = child.cpu_times()
            total += used.user + used.system
    return total


@asynccontextmanager
async def opened(folder: Path) -> AsyncGenerator[Stage]:
    """Start two Temporal servers, Postgres, the scripted model, and a worker for each loop."""
    async with AsyncExitStack() as stack:
        program = await temporal_program.find(Settings().cache, silent)
        ports = {name: free_port() for name in ("tuned", "stock")}
        processes: dict[str, Process] = {}
        # Postgres may work as another system user, who must be able to enter.
        folder.chmod(0o755)  # noqa: ASYNC240
        for name in ("tuned", "stock"):
            (folder / name).mkdir()
            processes[name] = await temporal_server.serve(program, folder / name, ports[name], tuned=name == "tuned")
            stack.callback(processes[name].kill)
        # Looked for when the servers, which take some ports as they please, have taken theirs.
        ports |= {name: free_port() for name in ("model", "metrics")}
        logins = await postgres.start(folder / "postgres", root=ROOT)
        stack.push_async_callback(postgres.stop, folder / "postgres")
        await migrate(logins.owner)
        model = f"http://127.0.0.1:{ports['model']}/v1"
        settings = Settings(
            state=folder,
            automations=HERE / "automations",
            database_url=SecretStr(logins.app),
            temporal_address=f"127.0.0.1:{ports['tuned']}",
            openai_base_url=model,
            openai_api_key=SecretStr("none"),
            model="scripted",
            metrics_port=ports["metrics"],
            one_machine=True,
        )
        applied = Folders()
        await applied.apply_all(settings)
        if applied.problems:
            raise BadConfiguration("\n".join(applied.problems.values()))
        commands = {
            "model": python_module("bench.model", "--port", str(ports["model"])),
            "perdure": [sys.executable, "worker.py"],
            "bare": python_module("bench.bare", "--address", f"127.0.0.1:{ports['tuned']}", "--model", model),
            "bare-stock": python_module("bench.bare", "--address", f"127.0.0.1:{ports['stock']}", "--model", model),
        }
        for name, command in commands.items():
            processes[name] = Process(folder / name)
            processes[name].start(command, cwd=ROOT, environment=environment(settings))
            stack.callback(processes[name].kill)
        await processes["model"].ready(lambda: gets(f"{model}/models"), seconds=30)
        await processes["perdure"].ready(lambda: gets(f"http://127.0.0.1:{ports['metrics']}/healthz"), seconds=60)
        database = await Database.connect(logins.app, size=2)
        stack.push_async_callback(database.close)
        tuned = await Client.connect(f"127.0.0.1:{ports['tuned']}", data_converter=DATA_CONVERTER)
        stock = await Client.connect(f"127.0.0.1:{ports['stock']}", data_converter=DATA_CONVERTER)
        yield Stage(settings, tuned, stock, database, logins.owner, processes, folder / "postgres")


def environment(settings: Settings) -> dict[str, str]:
    """Return what tells a process of ours where everything is."""
    assert settings.database_url and settings.temporal_address and settings.openai_base_url
    return {
        **os.environ,
        "PERDURE_STATE": str(settings.state),
        "PERDURE_AUTOMATIONS": str(settings.automations),
        "PERDURE_DATABASE_URL": settings.database_url.get_secret_value(),
        "PERDURE_METRICS_PORT": str(settings.metrics_port),
        "PERDURE_ONE_MACHINE": "true",
        "PERDURE_MODEL": "scripted",
        "TEMPORAL_ADDRESS": settings.temporal_address,
        "OPENAI_BASE_URL": settings.openai_base_url,
        "OPENAI_API_KEY": "none",
    }
