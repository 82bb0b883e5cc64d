"""`files.*`: text files in a folder of the automation that no path leads out of."""

import asyncio
import base64
import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field

from contracts.errors import ToolFailed, ToolRetry, TransientError
from tools.contract import ToolContext, tool
from tools.library.jail import Jail
from tools.library.options import Options, options

MOST_BYTES = 1_000_000
# What was there before is a document, which stays.
KEPT = timedelta(days=3650)
BEFORE, AFTER = "file-before", "file-after"


class FilesOptions(Options):
    """root: a folder below the automation's own."""

    root: Annotated[str, Field(max_length=500)] = ""


class FilePath(BaseModel):
    path: Annotated[str, Field(max_length=1000)] = Field(description="like `folder/file.txt`")


class FileText(BaseModel):
    path: str
    text: str
    sha256: str


@tool("files.read", effect="read", guarantee="pure", seconds=10)
async def read(arguments: FilePath, context: ToolContext) -> FileText:
    """Read a text file of the automation's folder."""
    data = await asyncio.to_thread(_jail("files.read", context).read, arguments.path, MOST_BYTES)
    if data is None:
        raise ToolFailed(f"there is no file {arguments.path!r}")
    try:
        return FileText(path=arguments.path, text=data.decode(), sha256=_digest(data))
    except UnicodeDecodeError:
        raise ToolFailed(f"{arguments.path!r} is not UTF-8 text") from None


class FilesFolder(BaseModel):
    folder: Annotated[str, Field(max_length=1000)] = Field(default="", description="empty for all files")


class FileShown(BaseModel):
    path: str
    bytes: int


class FilesShown(BaseModel):
    files: list[FileShown]
    more: bool


@tool("files.list", effect="read", guarantee="pure", seconds=10)
async def list_files(arguments: FilesFolder, context: ToolContext) -> FilesShown:
    """List the files of the automation's folder, at most 500."""
    found, more = await asyncio.to_thread(_jail("files.list", context).list, arguments.folder)
    return FilesShown(files=[FileShown(path=one.path, bytes=one.bytes) for one in found], more=more)


class WriteFile(FilePath):
    text: Annotated[str, Field(max_length=MOST_BYTES)]


class ChangedFile(BaseModel):
    path: str
    change: str
    """Names what was there before, for `files.restore`."""
    sha256: str
    """Of what is there now; empty where nothing is."""


@tool("files.write", effect="write", guarantee="idempotent", key_ttl=KEPT, compensate_with="files.restore", seconds=10)
async def write(arguments: WriteFile, context: ToolContext) -> ChangedFile:
    """Write a text file in the automation's folder, over the one that is there."""
    try:
        data = arguments.text.encode()
    except UnicodeEncodeError:
        raise ToolRetry("`text`: it holds half of a character") from None
    return await _change("files.write", arguments.path, data, context)


@tool("files.delete", effect="write", guarantee="idempotent", key_ttl=KEPT, compensate_with="files.restore", seconds=10)
async def delete(arguments: FilePath, context: ToolContext) -> ChangedFile:
    """Delete a file of the automation's folder."""
    return await _change("files.delete", arguments.path, None, context)


class RestoreFile(BaseModel):
    path: str
    change: str


class RestoredFile(BaseModel):
    path: str
    exists: bool


@tool("files.restore", effect="write", guarantee="idempotent", key_ttl=KEPT, irreversible=True, seconds=10)
async def restore(arguments: RestoreFile, context: ToolContext) -> RestoredFile:
    """Take back one change of a file; a file that was changed again since is left as it is."""
    kept = await context.documents.get(BEFORE, arguments.change)
    if kept is None or kept.body["path"] != arguments.path:
        raise ToolFailed(f"no change {arguments.change!r} of {arguments.path!r} is known")
    before, after = _bytes(kept.body["before"]), kept.body["after"]
    # The root is the change's own: the settings of today may name another.
    jail = Jail(context.folder, kept.body["root"])
    now = await asyncio.to_thread(jail.read, arguments.path, MOST_BYTES)
    if now != before:
        if _digest(now) != after:
            raise ToolFailed(f"{arguments.path!r} was changed again since: it is left as it is")
        await _put(jail, arguments.path, before, context)
    return RestoredFile(path=arguments.path, exists=before is not None)


async def _change(name: str, path: str, data: bytes | None, context: ToolContext) -> ChangedFile:
    jail = _jail(name, context)
    if (done := await context.documents.get(AFTER, context.key)) is not None:
        # It was done before, and may have been changed by others since.
        return ChangedFile(**done.body)
    before = await asyncio.to_thread(jail.read, path, MOST_BYTES)
    if data is None and before is None and await context.documents.get(BEFORE, context.key) is None:
        raise ToolFailed(f"there is no file {path!r}")
    body: dict[str, Any] = {"path": path, "root": jail.root, "before": _text(before), "after": _digest(data)}
    # A second attempt, whose first may have written, finds what was there before that: the first word of a key stands.
    await context.documents.put(BEFORE, context.key, body, writer=context.key)
    await _put(jail, path, data, context)
    changed = ChangedFile(path=path, change=context.key, sha256=_digest(data))
    await context.documents.put(AFTER, context.key, changed.model_dump(), writer=context.key)
    return changed


async def _put(jail: Jail, path: str, data: bytes | None, context: ToolContext) -> None:
    if context.deadline <= datetime.now(UTC):
        raise TransientError(f"{path!r} was not changed: the time was over")
    await (asyncio.to_thread(jail.delete, path) if data is None else asyncio.to_thread(jail.write, path, data))


def _jail(name: str, context: ToolContext) -> Jail:
    return Jail(Path(context.folder), options(FilesOptions, name, context).root)


def _digest(data: bytes | None) -> str:
    return "" if data is None else hashlib.sha256(data).hexdigest()


def _text(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
