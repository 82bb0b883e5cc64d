"""The folder of notes: reading those closest to a theme, or one as a whole."""

import asyncio
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, Field

from tools import ToolContext, ToolFailed, ToolRetry, tool

from .notes import Note, UnreadableNote, prose, read_note
from .pieces import QUICK
from .text import Line, one_line, words

KINDS = (".md", ".markdown", ".txt", ".html", ".htm")
MAX_FILES, SHOWN = 200, 8


class ReadSources(BaseModel):
    folder: str
    theme: Line


class NoteShown(BaseModel):
    id: str
    title: str
    excerpt: str
    sha256: str


class Sources(BaseModel):
    notes: list[NoteShown]
    """At most 8, the closest to the theme first."""
    left_out: list[str]


@tool("sources.read", effect="read", guarantee="pure")
async def read_sources(arguments: ReadSources, context: ToolContext) -> Sources:
    """Read the notes of a folder and return those closest to a theme."""
    return await asyncio.to_thread(_read_sources, Path(arguments.folder), arguments.theme, context.deadline - timedelta(seconds=5))


class ReadNote(BaseModel):
    source: str = Field(description="id of the note")


class NoteText(BaseModel):
    title: str
    text: str
    """At most 20,000 characters."""


@tool("note.read", effect="read", guarantee="pure", seconds=QUICK)
async def read_whole(arguments: ReadNote, context: ToolContext) -> NoteText:
    """Read one note as a whole."""
    note = await asyncio.to_thread(source, Path(str(context.input["sources"])), arguments.source)
    return NoteText(title=note.title, text=prose(note)[:20_000])


def _read_sources(folder: Path, theme: str, until: datetime) -> Sources:
    notes, left_out = read_folder(folder, until)
    if not notes:
        why = f"; left out: {'; '.join(left_out[:5])}" if left_out else ""
        raise ToolFailed(f"{folder} has no note that can be read: {', '.join(KINDS)} are{why}")
    wanted = words(theme)
    notes.sort(key=lambda note: (-3 * len(wanted & words(note.title)) - len(wanted & words(prose(note))), note.id))
    shown = [NoteShown(id=note.id, title=note.title, excerpt=_excerpt(note), sha256=note.sha256) for note in notes[:SHOWN]]
    return Sources(notes=shown, left_out=left_out)


def read_folder(folder: Path, until: datetime) -> tuple[list[Note], list[str]]:
    """Return the notes below a folder by path, and what was left out with the reason. Raises: ToolFailed.

    until: when to stop reading, UTC; a thread cannot be stopped from outside.
    """
    if not folder.exists():
        raise ToolFailed(f"the source folder {folder} does not exist: give one as `sources`, by a path the worker can see")
    if not folder.is_dir():
        raise ToolFailed(f"{folder} is not a folder: give the folder that holds the notes as `sources`")
    notes: list[Note] = []
    left_out: list[str] = []
    for nth, path in enumerate(_files(folder)):
        if nth == MAX_FILES or datetime.now(UTC) > until:
            reason = f"{MAX_FILES} files are the most" if nth == MAX_FILES else "there was no time left"
            left_out.append(f"everything after {notes[-1].id if notes else 'the first'}: {reason}")
            break
        try:
            notes.append(read_note(folder, path))
        except (UnreadableNote, OSError) as error:
            reason = str(error) if isinstance(error, UnreadableNote) else error.strerror or type(error).__name__
            left_out.append(f"{ascii(str(path.relative_to(folder)))[1:-1]}: {reason}")
    return notes, left_out


def _files(folder: Path) -> Iterator[Path]:
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(where, name) for name in sorted(files) if not name.startswith(".") and name.lower().endswith(KINDS))


def source(folder: Path, source: str) -> Note:
    """Read the note of an id. Raises: ToolRetry where there is none, ToolFailed where it cannot be read."""
    path = folder / source
    if ".." in Path(source).parts or not path.is_file() or not source.lower().endswith(KINDS):
        known = ", ".join(found.relative_to(folder).as_posix() for _, found in zip(range(SHOWN), _files(folder), strict=False))
        raise ToolRetry(f"there is no note {source!r}; some are {known}")
    try:
        return read_note(folder, path)
    except (UnreadableNote, OSError) as error:
        raise ToolFailed(f"{source} cannot be read: {error}") from None


def _excerpt(note: Note) -> str:
    text = one_line(next((passage.text for passage in note.passages if len(passage.text) >= 60), note.passages[0].text))
    return text if len(text) <= 200 else text[:200].rsplit(" ", 1)[0] + " …"
