"""The same write twice: once beside the workflow task, once through the server."""

from datetime import timedelta

from pydantic import BaseModel

from tools import ToolContext, tool

KILOBYTE = "x" * 1000
KEPT = timedelta(days=1)


class Note(BaseModel):
    text: str


class Kept(BaseModel):
    text: str


class Nothing(BaseModel):
    pass


@tool("note.kept", effect="write", guarantee="idempotent", key_ttl=KEPT, compensate_with="note.forget", seconds=10)
async def kept(arguments: Note, context: ToolContext) -> Kept:
    """Keep a note."""
    return Kept(text=KILOBYTE)


@tool("note.beside", effect="write", guarantee="idempotent", key_ttl=KEPT, compensate_with="note.forget", seconds=10, quick=True)
async def beside(arguments: Note, context: ToolContext) -> Kept:
    """Keep a note at once."""
    return Kept(text=KILOBYTE)


@tool("note.forget", effect="write", guarantee="idempotent", key_ttl=KEPT, irreversible=True, seconds=10)
async def forget(arguments: Nothing, context: ToolContext) -> Nothing:
    """Forget a note."""
    return Nothing()
