"""Drafts: a template arranges a brief's quotes for its channel, unless a text is given."""

import asyncio
import hashlib
import re
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined, TemplateError, TemplateNotFound, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, Field

from tools import ToolContext, ToolFailed, ToolRetry, tool

from .pieces import KEPT, QUICK, Nothing, document, id_of
from .quotes import BAIT
from .text import Body


class WriteDraft(BaseModel):
    brief: str
    text: Body | None = Field(None, min_length=1, max_length=20_000, description="the piece in your own words, instead of the template")


class Draft(BaseModel):
    draft: str
    title: str
    text: str


class DeleteDraft(BaseModel):
    draft: str


@tool("draft.write", effect="write", guarantee="idempotent", key_ttl=KEPT, compensate_with="draft.delete", seconds=QUICK, quick=True)
async def write_draft(arguments: WriteDraft, context: ToolContext) -> Draft:
    """Write the draft of a brief: a template arranges its quotes for its channel, unless a text is given."""
    brief = await document(context, "brief", arguments.brief)
    name = "" if arguments.text else str(context.settings["templates"][brief["channel"]])
    if arguments.text:
        text, template = _own_words(arguments.text), ""
    else:
        text, template = await asyncio.to_thread(_render, name, {**brief, "settings": context.settings})
    most = int(context.settings["most_characters"][brief["channel"]])
    if len(text) > most:
        raise ToolFailed(f"the {brief['channel']} draft has {len(text)} characters; {most} is the most: give it a shorter title")
    lines = [[quote["first"], quote["last"]] for quote in brief["quotes"] if quote["text"] in text or _markdown_safe(quote["text"]) in text]
    body = {
        "title": brief["title"],
        "channel": brief["channel"],
        "text": text,
        "brief": arguments.brief,
        "source": {**brief["source"], "lines": lines},
        "template": {"name": name, "sha256": template},
        "lineage": context.lineage,
    }
    kept = await context.documents.put("draft", id_of(context), body, writer=context.key)
    return Draft(draft=kept.id, title=kept.body["title"], text=kept.body["text"])


def _own_words(text: str) -> str:
    if found := BAIT.search(text):
        raise ToolRetry(f"`text`: leave out links and addresses, like the one at character {found.start()}: a note's may be bait")
    return text.strip() + "\n"


def _markdown_safe(text: str) -> str:
    """Escape what Markdown would read as markup; whole code spans stay as they are."""
    # Where backticks do not pair plainly, a reader of Markdown may pair them otherwise than we do.
    plain = "``" not in text and text.count("`") % 2 == 0
    parts = text.split("`") if plain else [text.replace("`", "'")]
    return "`".join(part if nth % 2 else re.sub(r"([\\*\[\]])", r"\\\1", part).replace("<", "&lt;") for nth, part in enumerate(parts))


def _render(name: str, values: dict[str, Any]) -> tuple[str, str]:
    """Render a template of this automation; return the text and the template's SHA-256."""
    folder = Path(__file__).parent.parent / "templates"
    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(folder), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
    environment.filters["markdown"] = _markdown_safe
    try:
        text = environment.get_template(name).render(values).strip() + "\n"
    except TemplateNotFound:
        raise ToolFailed(f"{folder} has no template {name!r}; settings.templates names it") from None
    except TemplateError as error:
        line = f":{error.lineno}" if isinstance(error, TemplateSyntaxError) else ""
        raise ToolFailed(f"{folder / name}{line}: {error.message or type(error).__name__}") from None
    return text, hashlib.sha256((folder / name).read_bytes()).hexdigest()


@tool("draft.delete", effect="write", guarantee="idempotent", key_ttl=KEPT, irreversible=True, seconds=QUICK)
async def delete_draft(arguments: DeleteDraft, context: ToolContext) -> Nothing:
    """Delete a draft."""
    await context.documents.delete("draft", arguments.draft)
    return Nothing()
