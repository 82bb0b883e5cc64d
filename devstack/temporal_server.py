"""The Temporal dev server on this machine, tuned, with its runs kept in a file."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from temporalio.client import Client
from temporalio.service import RPCError

from devstack.processes import Process, port_free, require_free

TUNED = {
    # A stock server lets each queue read only 20 times a second, so every hop of a run waits up to 50 ms.
    "history.transferProcessorMaxPollRPS": "2000",
    "history.timerProcessorMaxPollRPS": "2000",
    "history.visibilityProcessorMaxPollRPS": "100",
    # One worker polls here: with four partitions tasks would be forwarded between them.
    "matching.numTaskqueueReadPartitions": "1",
    "matching.numTaskqueueWritePartitions": "1",
    # Off before server 1.32, and the SDK's request for it is then refused silently.
    "system.enableActivityEagerExecution": "true",
    "system.enableEagerWorkflowStart": "true",
    # Priority and fairness need the new matcher.
    "matching.useNewMatcher": "true",
    "matching.enableFairness": "true",
    # After three deaths under it a workflow task is given more and more time, up to 10 minutes, in which nobody else may take it.
    "history.workflowTaskRetryMaxInterval": '"10s"',
}
# WAL with NORMAL survives a killed process; a power cut may lose the last moments, which one machine can bear.
PRAGMAS = ("journal_mode=wal", "synchronous=normal")
START_SECONDS = 60.0


def command(program: Path, folder: Path, port: int, ui_port: int | None = None, *, tuned: bool = True) -> list[str]:
    """Return the command that runs a dev server with its database in ``folder``.

    ui_port: None leaves the web page out. tuned: False gives the stock server that benchmarks compare with.
    """
    words = [str(program), "server", "start-dev", "--ip", "127.0.0.1", "--port", str(port)]
    words += ["--ui-port", str(ui_port)] if ui_port else ["--headless"]
    words += ["--db-filename", str(folder / "temporal.db"), "--log-format", "json", "--log-level", "warn"]
    if tuned:
        words += [word for pragma in PRAGMAS for word in ("--sqlite-pragma", pragma)]
        words += [word for key, value in TUNED.items() for word in ("--dynamic-config-value", f"{key}={value}")]
    return words


async def serve(program: Path, folder: Path, port: int, ui_port: int | None = None, *, tuned: bool = True) -> Process:
    """Start a dev server and return it once its namespace can be used.

    Raises: StackError if a port is taken or the server does not come up.
    """
    for taken in (port, ui_port) if ui_port else (port,):
        require_free(taken, wanted_by="Temporal", variable="another port for it")
    process = Process(folder)
    process.start(command(program, folder, port, ui_port, tuned=tuned))
    try:
        await process.ready(lambda: answers(port), seconds=START_SECONDS)
    except BaseException:
        # Nobody would get it to stop it.
        process.kill()
        raise
    return process


async def answers(port: int) -> bool:
    """Tell whether the server of this machine is up and its namespace can be used."""
    if port_free(port):
        return False
    try:
        async with asyncio.timeout(3):
            client = await Client.connect(f"127.0.0.1:{port}")
            # The port is open before the frontend knows the namespace, and a start would fail in between.
            await client.count_workflows()
    except (RPCError, RuntimeError, TimeoutError):
        return False
    return True


def untuned(words: Sequence[str]) -> list[str]:
    """Return the tuned settings that a server's command line lacks."""
    return [key for key, value in TUNED.items() if f"{key}={value}" not in words]
