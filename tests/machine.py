"""One machine for end-to-end tests: the whole stack in a folder of its own, used through the programs that people use."""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from channels import explain
from channels.explain import Explained
from database import Database
from devstack.processes import Process, port_free, python_module
from ledger import runs
from settings import ROOT, Settings
from tests import arrivals
from tests.arrivals import Arrived
from tests.servers import free_port, until

PORTS = ("temporal_port", "temporal_ui_port", "model_port", "smtp_port", "receiver_port", "metrics_port", "console_port")
NOW = {"first_slot_seconds": 0, "slot_every_seconds": 0}
NOTES = ROOT / "automations" / "content-ops" / "examples" / "notes"


def piece(channel: str, source: str, title: str, **more: Any) -> dict[str, Any]:
    """Return one step of a scripted plan."""
    return {"tool": channel, "arguments": {"source": source, "title": title}, "why": "scripted", **more}


BLOG = piece("blog", "retries.md", "A retry changes nothing")
NEWSLETTER = piece("newsletter", "backups.html", "Practise the restore")
SOCIAL = piece("social", "on-call.txt", "Fewer pages at night")


@dataclass(frozen=True)
class Said:
    """What a program printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The last line of its output, as data."""
        return json.loads(self.out.strip().splitlines()[-1])


@dataclass
class Machine:
    """What a test can do with it."""

    state: Path
    environment: dict[str, str]
    temporal_program: Path
    model: Process
    model_port: int
    automations: Path
    database: Database = field(init=False)

    @property
    def settings(self) -> Settings:
        """The settings as a program of this machine reads them now."""
        ports = {name: int(self.environment[f"PERDURE_{name.upper()}"]) for name in PORTS}
        return Settings(state=self.state, automations=self.automations, **ports)  # pyright: ignore[reportArgumentType]

    async def starter(self, *words: str, **environment: str | None) -> Said:
        """Run `starter.py`; a variable that is None is left out."""
        changed = {**self.environment, **environment}
        return await _run([sys.executable, "starter.py", *words], {name: value for name, value in changed.items() if value is not None})

    async def starters(self, *commands: Sequence[str], **environment: str | None) -> list[Said]:
        """Run several commands at once, and return what they said in the same order."""
        return await asyncio.gather(*(self.starter(*words, **environment) for words in commands))

    async def temporal(self, *words: str, code: int = 0) -> Said:
        """Run the plain Temporal CLI."""
        address = f"127.0.0.1:{self.environment['PERDURE_TEMPORAL_PORT']}"
        said = await _run([str(self.temporal_program), *words, "--address", address], self.environment)
        assert said.code == code, said
        return said

    async def signal(self, id: str, name: str, *inputs: Any) -> None:
        """Signal a run with the Temporal CLI; each input is sent as JSON."""
        given = [word for value in inputs for word in ("--input", json.dumps(value))]
        await self.temporal("workflow", "signal", "--workflow-id", id, "--name", name, *given)

    async def script(self, *entries: dict[str, Any]) -> None:
        """Set what the model answers."""
        async with httpx2.AsyncClient(trust_env=False) as client:
            (await client.put(f"http://127.0.0.1:{self.model_port}/script", json=list(entries))).raise_for_status()

    async def plan(self, *steps: dict[str, Any]) -> None:
        """Let the model answer with one plan, however often it is asked."""
        await self.script({"answer": {"steps": list(steps)}, "times": 1000})

    async def start(
        self, id: str, *, automation: str = "content-ops", sources: Path | str = NOTES, wait: bool = False, **input: Any
    ) -> Said:
        """Start a run of content-ops. wait: until it has ended."""
        given = {"sources": str(sources), "theme": "running services", **NOW, **input}
        said = await self.starter("run", automation, "--id", id, "--input", json.dumps(given), *(["--wait"] if wait else []))
        assert said.code == 0, said
        return said

    async def until(self, id: str, holds: Callable[[Explained], bool], seconds: float = 60.0) -> Explained:
        """Wait until something holds of a run, as the ledger knows it."""
        seen: list[Explained] = []

        async def check() -> bool:
            async with self.database.transaction("default") as tx:
                found = await runs.find(tx, id)
                seen[:] = [await explain.explain(tx, found)] if found else []
            return bool(seen) and holds(seen[0])

        await until(check, seconds)
        return seen[0]

    async def waiting(self, id: str, count: int) -> dict[str, Any]:
        """Wait until so many requests wait for a person, and return them by tool."""
        found = await self.until(id, lambda found: len(found.waiting) == count)
        return {request.tool: request for request in found.waiting}

    async def ended(self, id: str) -> Explained:
        """Wait for the end of a run."""
        return await self.until(id, lambda found: found.run.status != "running")

    async def closed(self, id: str) -> None:
        """Wait until Temporal has closed a run, one that never opened too."""

        async def check() -> bool:
            said = await self.temporal("workflow", "describe", "--workflow-id", id, "-o", "json")
            return "RUNNING" not in json.loads(said.out)["workflowExecutionInfo"]["status"]

        await until(check)

    async def finished(self, id: str) -> tuple[Explained, Arrived]:
        """Wait for the end of a run, and count what it published."""
        found = await self.ended(id)
        return found, arrivals.of_run(self.state, found)

    async def end_all(self) -> None:
        """Terminate every run that is still open, and forget the model's script."""
        await self.script()
        listed = await self.temporal("workflow", "list", "--query", "ExecutionStatus='Running'", "-o", "json")
        for row in json.loads(listed.out or "[]"):
            await self.temporal("workflow", "terminate", "--workflow-id", row["execution"]["workflowId"])

    async def metrics(self) -> str:
        """Return the worker's page."""
        async with httpx2.AsyncClient(trust_env=False) as client:
            return (await client.get(f"http://127.0.0.1:{self.environment['PERDURE_METRICS_PORT']}/metrics")).text


async def _run(command: list[str], environment: dict[str, str]) -> Said:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
    )
    out, err = await process.communicate()
    return Said(process.returncode or 0, out.decode(), err.decode())


def _automations(folder: Path) -> None:
    """Lay out content-ops, and two variants of it that treat a missed slot otherwise."""
    for name, missed in (("content-ops", "run"), ("late-skip", "skip"), ("late-ask", "ask")):
        shutil.copytree(ROOT / "automations" / "content-ops", folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        path = folder / name / "automation.yaml"
        text = path.read_text().replace("  missed: run\n", f"  missed: {missed}\n")
        path.write_text(text if missed == "run" else text.replace("grace_seconds: 900", "grace_seconds: 0"))


@asynccontextmanager
async def machine(state: Path, temporal_program: Path) -> AsyncGenerator[Machine]:
    """Bring a machine up as a person does, with a scripted model, and take it down again."""
    _automations(state / "automations")
    model_port = free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PERDURE_", "TEMPORAL_", "OPENAI_"))}
    cache = {name: value for name, value in os.environ.items() if name == "PERDURE_CACHE"}
    environment = {
        **kept, **cache, **{f"PERDURE_{name.upper()}": str(free_port()) for name in PORTS}, "TEMPORAL_CONFIG_FILE": os.devnull,
        "PERDURE_STATE": str(state), "PERDURE_AUTOMATIONS": str(state / "automations"),
        "PERDURE_LOG_FORMAT": "json", "PERDURE_STICKY_SECONDS": "1",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{model_port}/v1", "OPENAI_API_KEY": "none", "PERDURE_MODEL": "scripted",
    }  # fmt: skip
    made = Machine(state, environment, temporal_program, Process(state / "scripted"), model_port, state / "automations")
    try:
        await start_model(made)
        said = await made.starter("up", "--json")
        assert said.code == 0, said
        assert {part["name"]: part["state"] for part in said.json}["worker"] == "running"
        url = made.settings.database_url
        assert url is not None
        made.database = await Database.connect(url.get_secret_value(), size=2)
        try:
            yield made
        finally:
            await made.database.close()
    finally:
        said = await made.starter("down")
        await made.model.stop()
        assert said.code == 0, said


async def start_model(made: Machine) -> None:
    """Start the scripted model, and wait until it answers."""

    async def answers() -> bool:
        return not port_free(made.model_port)

    made.model.start(python_module("devstack.scripted_model", "--port", str(made.model_port)), cwd=ROOT, environment=made.environment)
    await made.model.ready(answers, seconds=30)
