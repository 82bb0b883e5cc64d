"""Briefs: the title of a piece, its channel and the sentences it will quote."""

import asyncio
from pathlib import Path

from pydantic import BaseModel, Field

from tools import ToolContext, tool

from .notes import Note, prose
from .pieces import KEPT, QUICK, Channel, Nothing, id_of
from .quotes import pick
from .sources import source
from .text import Line, one_line, words

QUOTES = {"blog": 5, "newsletter": 4, "social": 3}
# Words that any note has, so that a title made of them says nothing about this one.
FILLER = words(
    "about after again always another anything because been before being both down each even ever every everything first from have here "
    "into just last like made make many more most much must never next once only open other over said same should some such take than that "
    "their them then there these they thing things this those through time under very want well were what when where which while will with "
    "without would your yourself"
)


class WriteBrief(BaseModel):
    source: str = Field(description="id of the note")
    title: Line = Field(min_length=1, max_length=120)
    channel: Channel


class Brief(BaseModel):
    brief: str
    title: str
    quotes: int


class DeleteBrief(BaseModel):
    brief: str


@tool("brief.write", effect="write", guarantee="idempotent", key_ttl=KEPT, compensate_with="brief.delete", seconds=QUICK, quick=True)
async def write_brief(arguments: WriteBrief, context: ToolContext) -> Brief:
    """Write the brief of one piece: its title, its channel and the sentences of the note it will quote."""
    folder, theme = Path(str(context.input["sources"])), one_line(str(context.input["theme"]))
    note = await asyncio.to_thread(source, folder, arguments.source)
    title = headline(arguments.title, note)
    quotes = pick(note, words(title) | words(theme), QUOTES[arguments.channel])
    body = {
        "title": title,
        "channel": arguments.channel,
        "theme": theme,
        "source": {"path": note.id, "title": note.title, "sha256": note.sha256},
        "quotes": [quote.model_dump() for quote in quotes],
        "lineage": context.lineage,
    }
    kept = await context.documents.put("brief", id_of(context), body, writer=context.key)
    return Brief(brief=kept.id, title=kept.body["title"], quotes=len(kept.body["quotes"]))


def headline(title: str, note: Note) -> str:
    """Return the title cut at a word, or the note's own where most words of the given one are not in the note."""
    title = title if len(title) < 70 or " " not in title else title[:70].rsplit(" ", 1)[0]
    title = title.strip(" ,;:-\u2013\u2014\"\u201c\u201d'")
    # A small model likes to copy the title of its example.
    said = words(title) - FILLER
    return title if said and 2 * len(said & (words(prose(note)) | words(note.title))) >= len(said) else note.title


@tool("brief.delete", effect="write", guarantee="idempotent", key_ttl=KEPT, irreversible=True, seconds=QUICK)
async def delete_brief(arguments: DeleteBrief, context: ToolContext) -> Nothing:
    """Delete a brief."""
    await context.documents.delete("brief", arguments.brief)
    return Nothing()
