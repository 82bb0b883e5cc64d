"""The postmaster: the process that serves a folder of Postgres's data, as its pid file names it."""

import time
from contextlib import suppress
from pathlib import Path

import psutil

# A server writes its pid file in one go; an empty one that old was left by a crash of the machine.
HALF_WRITTEN_SECONDS = 10.0
ORPHAN_SECONDS = 10.0


def lines(folder: Path) -> list[str]:
    """Return the lines of `postmaster.pid`. Source: PostgreSQL, src/include/utils/pidfile.h."""
    try:
        return (folder / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def running(folder: Path) -> psutil.Process | None:
    """Return the server of this data if it runs or is coming up."""
    said = lines(folder)
    if len(said) < 5:
        return None
    with suppress(psutil.Error, ValueError):
        process = psutil.Process(int(said[0]))
        # It works in its data: that tells it from another process which has its pid now, whatever was done to the clock.
        return process if _works_in(process, folder) else None
    return None


def forget_recycled(folder: Path) -> None:
    """Remove what a server that was killed has left: its pid file, once nothing of it runs, and the lock of its socket."""
    # The wheel believes in any process of that pid; after a crash or a restart of the machine it may be another's.
    file, said = folder / "postmaster.pid", lines(folder)
    with suppress(FileNotFoundError):
        whole = len(said) >= 5
        if running(folder) is None and (whole or time.time() - file.stat().st_mtime > HALF_WRITTEN_SECONDS):
            _await_orphans(folder)
            if whole:
                # Postgres believes in it for as long as nobody has asked for the exit code of the process of its pid.
                (Path(said[4].strip() or folder) / f".s.PGSQL.{said[3].strip()}.lock").unlink(missing_ok=True)
            file.unlink()


def _await_orphans(folder: Path) -> None:
    # The children of a killed server outlive it a moment, and a new one refuses to start beside them.
    deadline = time.monotonic() + ORPHAN_SECONDS
    while any(_works_in(process, folder) for process in psutil.process_iter()) and time.monotonic() < deadline:
        time.sleep(0.1)


def _works_in(process: psutil.Process, folder: Path) -> bool:
    with suppress(psutil.Error):
        return Path(process.cwd()) == folder.resolve()
    return False
