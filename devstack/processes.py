"""Processes that outlive the command which started them, known again by pid file."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from contracts.errors import StackError

# A process's start time is computed from the wall clock, so a clock that was set a little must not orphan our process.
CLOCK_SLACK = 2.0


@dataclass(frozen=True)
class Process:
    """One detached process: its folder holds `pid` and `log`."""

    folder: Path

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def pid(self) -> int | None:
        """Return the pid if the process that was started here still runs."""
        found = self._found()
        return found.pid if found else None

    def runs(self, command: Sequence[str]) -> bool:
        """Tell whether it runs and was started by exactly this command."""
        return self.pid is not None and self._recorded().get("command") == list(command)

    def start(self, command: Sequence[str], *, cwd: Path | None = None, environment: Mapping[str, str] | None = None) -> int:
        """Start the command in a session of its own and return its pid; the former log is kept as `log.old`.

        environment: added to what the process inherits from us.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".old"))
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                command,
                cwd=cwd,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        record = {"pid": child.pid, "started": psutil.Process(child.pid).create_time(), "command": list(command)}
        write_atomically(self.folder / "pid", json.dumps(record))
        # Disowned: at collection Popen would warn that it still runs, which is what we want of it.
        child.returncode = 0
        return child.pid

    async def ready(self, answers: Callable[[], Awaitable[bool]], *, seconds: float) -> None:
        """Wait until it answers.

        Raises: StackError if it ended or did not answer in time, with the last lines of its log.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        while not await answers():
            if self.pid is None:
                raise StackError(f"{self.folder.name} ended as soon as it was started; {self.last_words()}")
            if asyncio.get_running_loop().time() > deadline:
                raise StackError(f"{self.folder.name} did not answer within {seconds:g} s; {self.last_words()}")
            await asyncio.sleep(0.05)

    async def stop(self, grace: float = 10.0) -> None:
        """Ask it to end, and kill what is left of its session after ``grace`` seconds."""
        if found := self._found():
            with suppress(psutil.NoSuchProcess):
                found.terminate()
            if not await ended(found, grace):
                self.kill()
                await ended(found, 5.0)
        (self.folder / "pid").unlink(missing_ok=True)

    def kill(self) -> None:
        """End it and all of its session at once, as a crash would; the pid file stays, as after a crash."""
        if found := self._found():
            with suppress(ProcessLookupError):
                os.killpg(found.pid, signal.SIGKILL)
            with suppress(psutil.TimeoutExpired):
                found.wait(5)

    def last_words(self, lines: int = 3) -> str:
        """Say where the log is and how it ends."""
        text = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        return f"its log {self.log} ends: " + (" | ".join(text[-lines:]) or "(empty)")

    def _recorded(self) -> dict[str, Any]:
        try:
            return json.loads((self.folder / "pid").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}

    def _found(self) -> psutil.Process | None:
        recorded = self._recorded()
        return found_again(recorded["pid"], recorded["started"], recorded["command"]) if recorded else None


def found_again(pid: int, started: float, command: Sequence[str]) -> psutil.Process | None:
    """Return the running process of this pid if it began when it should have, or runs this command: else the pid is another's now."""
    try:
        process = psutil.Process(pid)
        if _gone(process):
            return None
        # The command also knows it again after the clock was set by more than the slack, as when a machine wakes up.
        return process if abs(process.create_time() - started) <= CLOCK_SLACK or process.cmdline() == list(command) else None
    except psutil.Error:
        return None


def _gone(process: psutil.Process) -> bool:
    """Tell whether it has ended, even if its parent has not asked for its exit code, and some init processes never do."""
    try:
        # While others of its threads are still ending, it holds its ports and files.
        if process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1:
            return False
    except psutil.NoSuchProcess:
        return True
    # Asking is what takes an ended child of ours off the list of processes.
    with suppress(psutil.TimeoutExpired):
        process.wait(0)
    return True


async def ended(process: psutil.Process, seconds: float) -> bool:
    """Wait for the end without holding up the event loop."""
    deadline = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < deadline:
        if _gone(process):
            return True
        await asyncio.sleep(0.02)
    return False


def require_free(port: int, *, wanted_by: str, variable: str) -> None:
    """Raises: StackError if the port is taken, with its holder and the variable that moves it."""
    if not port_free(port):
        raise StackError(f"port {port} is taken{_holder(port)}, and {wanted_by} needs it: stop that or set {variable}")


def port_free(port: int) -> bool:
    """Tell whether a server could listen on this port of 127.0.0.1."""
    with socket.socket() as probe:
        # As servers do: connections that linger after a stop do not make the port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _holder(port: int) -> str:
    # Other users' sockets have no pid for us, and macOS shows none at all: the message then names the port only.
    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port and connection.pid:
                return f" by pid {connection.pid} ({psutil.Process(connection.pid).name()})"
    return ""


def python_module(name: str, *arguments: str) -> list[str]:
    """Return the command that runs one of our modules as a program; it needs the checkout as working folder."""
    return [sys.executable, "-m", name, *arguments]


def write_atomically(path: Path, text: str) -> None:
    """Replace a file so that a reader sees the old or the new one, and nobody but its owner can read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f"{path.name}.{os.getpid()}")
    written.touch(mode=0o600)
    written.write_text(text)
    written.replace(path)
