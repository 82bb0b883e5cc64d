"""Where the `temporal` program comes from: PATH, our cache, the SDK's download, or a Go toolchain.

`python -m devstack.temporal_program` makes sure that there is one and prints where it is.
"""

import asyncio
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from contracts.errors import StackError
from devstack.progress import Progress, to_stderr
from settings import Settings

SOURCE = Path(__file__).resolve().parent / "temporal"
"""A Go module that names what is built, each part with its hash."""
DOWNLOAD_SILENCE = 5.0
"""Seconds without a new byte after which the SDK's download is given up."""

Download = Callable[[Path], Coroutine[Any, Any, None]]


async def find(cache: Path, progress: Progress) -> Path:
    """Return the program; fetch or build it into the cache if it is nowhere yet.

    Raises: StackError with the ways to get one.
    """
    download, build = cache / "temporal", cache / f"temporal-{_version()}"
    for known in (shutil.which("temporal"), shutil.which("temporal", path=build), shutil.which("temporal", path=download)):
        if known:
            return Path(known)
    progress("temporal", "looking for a temporal program to download")
    if found := await downloaded(download / "temporal"):
        return found
    if go := shutil.which("go"):
        return await built(go, build, progress)
    raise StackError(
        "there is no temporal program and none could be downloaded: put `temporal` on PATH (docs.temporal.io/cli), "
        "or a Go toolchain to build it, or set TEMPORAL_ADDRESS to a running server"
    )


def _version() -> str:
    """Name what would be built, so that a cache never gives an older one."""
    return hashlib.sha256((SOURCE / "go.mod").read_bytes()).hexdigest()[:12]


async def downloaded(target: Path, download: Download | None = None, *, silence: float = DOWNLOAD_SILENCE) -> Path | None:
    """Let the SDK download its server program to ``target``; return None if it cannot.

    A slow line may take its time; a download that brings nothing for ``silence`` seconds is given up.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    # In a folder of its own: of a download cut short the SDK leaves a file for which it would wait the next time.
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        task = asyncio.create_task((download or _sdk_download)(Path(name)))
        try:
            await _while_it_grows(task, Path(name), silence)
        finally:
            task.cancel()
            # Waited for, so that it writes no more into the folder, which goes next.
            await asyncio.wait([task])
        if task.cancelled() or isinstance(task.exception(), RuntimeError):
            return None
        task.result()
        return _moved(Path(name), target)


async def _while_it_grows(task: asyncio.Task[None], folder: Path, silence: float) -> None:
    size, silent, pause = 0, 0.0, min(0.25, silence)
    while not task.done() and silent < silence:
        await asyncio.wait([task], timeout=pause)
        grown = _bytes_in(folder)
        size, silent = grown, silent + pause if grown == size else 0.0


def _bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*"))


def _moved(folder: Path, target: Path) -> Path | None:
    for program in folder.glob("temporal-sdk-python-*"):
        return program.replace(target)
    return None


async def _sdk_download(folder: Path) -> None:
    # Imported here: it brings the SDK's whole worker, and every command of `starter.py` would wait for that.
    from temporalio.testing import WorkflowEnvironment

    # The SDK has no call that only downloads, so its server is started on a free port, in memory, and shut down.
    environment = await WorkflowEnvironment.start_local(download_dest_dir=str(folder))  # pyright: ignore[reportUnknownMemberType]
    await environment.shutdown()


async def built(go: str, folder: Path, progress: Progress) -> Path:
    """Build the program with a Go toolchain."""
    progress("temporal", "building the temporal program with Go (about 3 minutes, once)")
    build = await asyncio.create_subprocess_exec(
        *(go, "install", "-ldflags", "-s -w", "tool"),
        cwd=SOURCE,
        env={**os.environ, "GOBIN": str(folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await build.communicate()
    except asyncio.CancelledError:
        with suppress(ProcessLookupError):
            build.terminate()
        raise
    if build.returncode:
        said = output.decode(errors="replace").strip().splitlines()[-1:]
        raise StackError(f"building the temporal program with Go failed ({''.join(said)}): put `temporal` on PATH or set TEMPORAL_ADDRESS")
    return folder / "temporal"


def main() -> None:
    """Make sure that there is a program."""
    try:
        program = asyncio.run(find(Settings().cache, to_stderr))
    except StackError as error:
        sys.exit(str(error))
    sys.stdout.write(f"{program}\n")


if __name__ == "__main__":
    main()
