"""The parts of this stack: how each is started, asked, stopped, and what it then says of itself in stack.json."""

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from devstack import model, postgres, stack_file, temporal_program, temporal_server
from devstack.part import Daemon, Part
from devstack.processes import port_free, python_module
from devstack.progress import Progress
from settings import ROOT, Settings

PACKAGES = ("contracts", "workflows", "activities", "memory", "ledger", "policies", "tools", "channels")
"""What the worker's code is made of; an automation's tools are loaded anew whenever their file changes."""


@dataclass(frozen=True)
class Postgres:
    """The embedded Postgres, which keeps its own pid file and has no port."""

    name: str = "postgres"
    ports: tuple[str, ...] = ()

    def folder(self, settings: Settings) -> Path:
        """Return where the data lies."""
        # The wheel resolves it too, and the socket's path comes out of it.
        return (settings.state / self.name).resolve()

    def says(self, settings: Settings) -> dict[str, Any]:
        logins = postgres.find(self.folder(settings))
        return {"owner_database_url": logins.owner, "database_url": logins.app} if logins else {}

    def where(self, settings: Settings) -> str:
        return str(self.says(settings).get("owner_database_url", self.folder(settings)))

    def log(self, settings: Settings) -> Path:
        return self.folder(settings) / "log"

    def pid(self, settings: Settings) -> int | None:
        return postgres.pid(self.folder(settings))

    async def running(self, settings: Settings) -> bool:
        logins = postgres.find(self.folder(settings))
        return logins is not None and await postgres.answers(logins.owner)

    def check(self, settings: Settings) -> None:
        postgres.require_plain(self.folder(settings))

    async def start(self, settings: Settings, progress: Progress) -> None:
        progress(self.name, "starting")
        await postgres.start(self.folder(settings), root=ROOT)

    async def stop(self, settings: Settings) -> None:
        await postgres.stop(self.folder(settings))


async def _temporal_command(settings: Settings, progress: Progress) -> list[str]:
    program = await temporal_program.find(settings.cache, progress)
    return temporal_server.command(program, settings.state / "temporal", settings.temporal_port, settings.temporal_ui_port)


async def _model_command(settings: Settings, progress: Progress) -> list[str]:
    return python_module("devstack.model", "--port", str(settings.model_port))


async def _mail_command(settings: Settings, progress: Progress) -> list[str]:
    return python_module("devstack.mail", "--port", str(settings.smtp_port), "--folder", str(settings.state / "mail"))


async def _social_command(settings: Settings, progress: Progress) -> list[str]:
    return python_module("devstack.receiver", "--port", str(settings.receiver_port), "--folder", str(settings.state / "social"))


async def _worker_command(settings: Settings, progress: Progress) -> list[str]:
    # The code is part of the command, so that `up` after a change of the checkout starts the new worker in place of the old.
    return [sys.executable, "worker.py", "--build", code_version(ROOT)]


async def _console_command(settings: Settings, progress: Progress) -> list[str]:
    return python_module("channels.console", "--build", code_version(ROOT))


def code_version(root: Path) -> str:
    """Return the first 12 characters of the SHA-256 of the program's own modules."""
    modules = [*root.glob("*.py"), *(path for folder in PACKAGES for path in (root / folder).rglob("*.py"))]
    whole = hashlib.sha256()
    for path in sorted(modules):
        whole.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()[:12]


async def gets(url: str) -> bool:
    """Tell whether a page answers with 200."""
    async with httpx2.AsyncClient(trust_env=False, timeout=3) as client:
        try:
            return (await client.get(url)).status_code == 200
        except httpx2.HTTPError:
            return False


async def _mail_answers(settings: Settings) -> bool:
    return not port_free(settings.smtp_port)


def _model_says(settings: Settings) -> dict[str, Any]:
    return {"openai_base_url": f"http://127.0.0.1:{settings.model_port}/v1", "openai_api_key": "local", "model": model.NAME}


def _receiver_url(settings: Settings) -> str:
    return f"http://127.0.0.1:{settings.receiver_port}"


TEMPORAL = Daemon(
    name="temporal",
    title="Temporal",
    ports=("temporal_port", "temporal_ui_port"),
    command=_temporal_command,
    answers=lambda settings: temporal_server.answers(settings.temporal_port),
    says=lambda settings: {"temporal_address": f"127.0.0.1:{settings.temporal_port}"},
    seconds=temporal_server.START_SECONDS,
)
POSTGRES = Postgres()
MODEL = Daemon(
    name="model",
    title="the embedded model",
    ports=("model_port",),
    command=_model_command,
    answers=lambda settings: gets(f"http://127.0.0.1:{settings.model_port}/v1/models"),
    says=_model_says,
    require=model.require_packages,
    seconds=60.0,
)
MAIL = Daemon(
    name="mail",
    title="the mail sink",
    ports=("smtp_port",),
    command=_mail_command,
    answers=_mail_answers,
    says=lambda settings: {"smtp_url": f"smtp://127.0.0.1:{settings.smtp_port}"},
)
SOCIAL = Daemon(
    name="social",
    title="the social receiver",
    ports=("receiver_port",),
    command=_social_command,
    answers=lambda settings: gets(f"{_receiver_url(settings)}/posts"),
    says=lambda settings: {"receiver_url": _receiver_url(settings)},
)
WORKER = Daemon(
    name="worker",
    title="the worker's metrics page",
    ports=("metrics_port",),
    command=_worker_command,
    answers=lambda settings: gets(f"http://127.0.0.1:{settings.metrics_port}/healthz"),
    seconds=60.0,
    grace=40.0,
)
CONSOLE = Daemon(
    name="console",
    title="the console",
    ports=("console_port",),
    command=_console_command,
    answers=lambda settings: gets(f"http://127.0.0.1:{settings.console_port}/healthz"),
    seconds=60.0,
)
SERVERS: tuple[Part, ...] = (TEMPORAL, POSTGRES, MODEL, MAIL, SOCIAL)
"""Started together; the worker needs them all."""
PROGRAMS: tuple[Daemon, ...] = (WORKER, CONSOLE)
"""What stands on the servers, started one after another when the tables are laid."""
PARTS: Mapping[str, Part] = {part.name: part for part in (*SERVERS, *PROGRAMS)}


def supplied(part: Part, settings: Settings) -> str | None:
    """Return where the environment says that this part is, or None if the part is ours to start."""
    said = stack_file.read(settings)
    for field in SUPPLIES.get(part.name, ()):
        value = stack_file.plain(getattr(settings, field))
        # Settings reads the file too: the same value means that it came from there.
        if value is not None and value != said.get(field):
            return _without_password(str(value)) if field != "openai_api_key" else "OPENAI_API_KEY"
    if part is TEMPORAL and (target := settings.temporal["target_host"]) != (settings.temporal_address or part.where(settings)):
        # A profile of Temporal's own configuration file names another server.
        return str(target)
    return None


SUPPLIES = {
    "temporal": ("temporal_address",),
    "postgres": ("database_url", "owner_database_url"),
    "model": ("openai_base_url", "openai_api_key"),
    "mail": ("smtp_url",),
    "social": ("receiver_url",),
}


def _without_password(address: str) -> str:
    """Return an address that may be shown."""
    password = urlsplit(address).password
    return address.replace(f":{password}@", ":…@") if password else address
