"""The same write twice, once beside the workflow task, once through the server; each tells when it began."""

import time
from datetime import timedelta

from pydantic import BaseModel

from tools import ToolContext, tool

KEPT = timedelta(days=1)


class Note(BaseModel):
    text: str


class Begun(BaseModel):
    """``at`` is in seconds since the epoch."""

    at: float


class Nothing(BaseModel):
    pass


@tool("begun.kept", effect="write", guarantee="idempotent", key_ttl=KEPT, compensate_with="begun.forget", seconds=10)
async def kept(arguments: Note, context: ToolContext) -> Begun:
    """Say when this began."""
    return Begun(at=time.time())


@tool("begun.beside", effect="write", guarantee="idempotent", key_ttl=KEPT, compensate_with="begun.forget", seconds=10, quick=True)
async def beside(arguments: Note, context: ToolContext) -> Begun:
    """Say when this began, at once."""
    return Begun(at=time.time())


@tool("begun.forget", effect="write", guarantee="idempotent", key_ttl=KEPT, irreversible=True, seconds=10)
async def forget(arguments: Nothing, context: ToolContext) -> Nothing:
    """Forget it."""
    return Nothing()
