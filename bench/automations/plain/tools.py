"""The same as the loop's tools, but none of them is quick."""

from datetime import timedelta

from pydantic import BaseModel

from tools import ToolContext, tool

KILOBYTE = "x" * 1000


class Note(BaseModel):
    text: str


class Kept(BaseModel):
    text: str


class Nothing(BaseModel):
    pass


@tool("loop.note", effect="write", guarantee="idempotent", key_ttl=timedelta(days=1), compensate_with="loop.forget", seconds=10)
async def note(arguments: Note, context: ToolContext) -> Kept:
    """Keep a note."""
    return Kept(text=KILOBYTE)


@tool("loop.forget", effect="write", guarantee="idempotent", key_ttl=timedelta(days=1), irreversible=True, seconds=10)
async def forget(arguments: Nothing, context: ToolContext) -> Nothing:
    """Forget a note."""
    return Nothing()


class Page(BaseModel):
    page: str


@tool("loop.read", effect="read", guarantee="pure", seconds=10)
async def read(arguments: Page, context: ToolContext) -> Kept:
    """Read a page."""
    return Kept(text=KILOBYTE)
