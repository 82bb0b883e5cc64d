"""A folder out of which no path leads: every part of one is opened by itself, and a link is never followed."""

import errno
import os
import secrets
import stat
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import ToolFailed, ToolRetry

MOST_PARTS, MOST_LISTED = 16, 500
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Not to wait for whoever writes into a pipe that somebody laid here.
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
PART = ".perdure-part-"
ENDS = (errno.ELOOP, errno.ENOTDIR)


@dataclass(frozen=True, slots=True)
class Listed:
    """A file of the jail: its path from the root, and its size."""

    path: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Jail:
    """``base`` is trusted, ``root`` a path below it that is not."""

    base: Path
    root: str = ""

    def read(self, path: str, most: int) -> bytes | None:
        """Return a file's bytes, None where there is none. Raises: ToolRetry, ToolFailed."""
        *folders, name = _parts(path)
        try:
            with self._folder(folders) as folder, _opened(name, FILE, folder) as file:
                found = os.fstat(file)
                if not stat.S_ISREG(found.st_mode):
                    raise ToolFailed(f"{path} is not a file")
                if found.st_size > most:
                    raise ToolFailed(f"{path} has {found.st_size} bytes; {most} is the most")
                return _all(file, most)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _meant(path, error) from None

    def write(self, path: str, data: bytes) -> None:
        """Write a file, which appears as a whole or not at all. Raises: ToolRetry, ToolFailed."""
        *folders, name = _parts(path)
        try:
            with self._folder(folders, make=True) as folder:
                _replace(folder, name, data)
        except OSError as error:
            raise _meant(path, error) from None

    def delete(self, path: str) -> None:
        """Delete a file; one that is gone is fine. Raises: ToolRetry, ToolFailed."""
        *folders, name = _parts(path)
        try:
            with suppress(FileNotFoundError), self._folder(folders) as folder:
                os.unlink(name, dir_fd=folder)
        except OSError as error:
            raise _meant(path, error) from None

    def list(self, path: str) -> tuple[list[Listed], bool]:
        """Return the files below a folder, by path, and whether there are more. Links are left out."""
        parts = _parts(path) if path not in ("", ".", "/") else []
        found: list[Listed] = []
        try:
            with self._folder(parts) as folder:
                _walk(folder, "/".join(parts), len(parts), found)
        except FileNotFoundError:
            raise ToolFailed(f"there is no folder {path!r}") from None
        except OSError as error:
            raise _meant(path, error) from None
        return sorted(found, key=lambda one: one.path)[:MOST_LISTED], len(found) > MOST_LISTED

    @contextmanager
    def _folder(self, parts: Sequence[str], *, make: bool = False) -> Generator[int]:
        """Open a folder, part by part from the one before it, so that nobody can put a link in the way meanwhile."""
        if make:
            self.base.mkdir(parents=True, exist_ok=True)
        folder = os.open(self.base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in (*(_parts(self.root) if self.root else ()), *parts):
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(part, 0o755, dir_fd=folder)
                below = os.open(part, FOLDER, dir_fd=folder)
                os.close(folder)
                folder = below
            yield folder
        finally:
            os.close(folder)


def _parts(path: str) -> list[str]:
    parts = path.split("/")
    wrong = (
        not path or len(parts) > MOST_PARTS or any(part in ("", ".", "..") or len(part.encode(errors="replace")) > 200 for part in parts)
    )
    if wrong or not path.isprintable() or "\\" in path or any(part.startswith(PART) for part in parts):
        raise ToolRetry(f"{path[:200]!r} is not a path like `folder/file.txt`: without `..`, without a `/` in front")
    return parts


@contextmanager
def _opened(name: str, flags: int, folder: int) -> Generator[int]:
    file = os.open(name, flags, 0o644, dir_fd=folder)
    try:
        yield file
    finally:
        os.close(file)


def _all(file: int, most: int) -> bytes:
    data = bytearray()
    # It may grow while it is read.
    while len(data) <= most and (part := os.read(file, min(1_000_000, most + 1 - len(data)))):
        data += part
    if len(data) > most:
        raise ToolFailed(f"the file grew beyond {most} bytes while it was read")
    return bytes(data)


def _replace(folder: int, name: str, data: bytes) -> None:
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise ToolFailed(f"{name} is there already, and is not a file")
    part = f"{PART}{secrets.token_hex(8)}"
    try:
        with _opened(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, folder) as file:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(file, rest) :]
            os.fsync(file)
        os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(part, dir_fd=folder)
        raise


def _walk(folder: int, path: str, depth: int, found: list[Listed]) -> None:
    # By name, so that what is left out of a long list is the same each time.
    with os.scandir(folder) as entries:
        names = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries if not entry.name.startswith(PART))
    for name, is_folder in names:
        if len(found) > MOST_LISTED:
            return
        below = f"{path}/{name}" if path else name
        # Gone, or swapped for a link, since it was listed: then it is left out.
        with suppress(OSError):
            if is_folder and depth < MOST_PARTS:
                with _opened(name, FOLDER, folder) as inner:
                    _walk(inner, below, depth + 1, found)
            elif stat.S_ISREG((state := os.stat(name, dir_fd=folder, follow_symlinks=False)).st_mode):
                found.append(Listed(below, state.st_size))


def _meant(path: str, error: OSError) -> ToolFailed:
    if error.errno in ENDS:
        return ToolFailed(f"{path!r} leads over a link, or over what is not a folder")
    return ToolFailed(f"{path!r}: {error.strerror}")
