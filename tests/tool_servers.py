"""Tool servers as processes of their own: Perdure's, and the one in Go."""

import asyncio
import hashlib
import os
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from settings import ROOT, Settings
from tests.servers import until

GO = ROOT / "tests" / "executors" / "go"
SERVER = (sys.executable, "-m", "tools.server")


@asynccontextmanager
async def running(command: Sequence[str | Path], address: str, *, quiet: bool = False, **environment: str) -> AsyncGenerator[Process]:
    """Run a tool server until the block ends, once it says that it serves. quiet: do not ask it, as where it wants certificates."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command), env={**os.environ, **environment}, cwd=ROOT, stdin=DEVNULL, stdout=DEVNULL
    )
    try:
        await until(lambda: _listens(address) if quiet else serves(address, process))
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def serves(address: str, process: Process | None = None) -> bool:
    """Ask a server for its health. Raises: AssertionError where its process has ended."""
    assert process is None or process.returncode is None, f"the server ended with {process and process.returncode}"
    async with grpc.aio.insecure_channel(address) as channel:
        try:
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
        except grpc.aio.AioRpcError:
            return False
        return answer.status == health_pb2.HealthCheckResponse.SERVING


async def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    return True


async def go_program() -> Path:
    """Return the executor in Go, built once for each version of its source. Skips the test where there is no Go toolchain."""
    sources = sorted(path for path in GO.rglob("*") if path.suffix in {".go", ".mod", ".sum"})
    version = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    program = Settings().cache / "executors" / version / "executor"
    if program.exists():
        return program
    go = shutil.which("go")
    if go is None:
        pytest.skip("there is no Go toolchain on PATH: the executor in Go cannot be built")
    program.parent.mkdir(parents=True, exist_ok=True)
    part = program.with_name(f"executor.{os.getpid()}")
    build = await asyncio.create_subprocess_exec(go, "build", "-o", part, ".", cwd=GO, stdout=PIPE, stderr=PIPE)
    _, said = await build.communicate()
    assert build.returncode == 0, said.decode(errors="replace")
    return part.replace(program)
