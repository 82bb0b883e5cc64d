"""Posts of the site folder."""

import asyncio
import os
import re
import tempfile
import unicodedata
from pathlib import Path

import yaml
from pydantic import BaseModel

from tools import ToolContext, ToolFailed, tool

from .pieces import KEPT, QUICK, Nothing, digest, own
from .publishing import Publish, Published, slot


class UnpublishPost(BaseModel):
    ref: str


@tool("blog.publish", effect="egress", guarantee="idempotent", key_ttl=KEPT, compensate_with="blog.unpublish", due=slot, seconds=QUICK)
async def publish_post(arguments: Publish, context: ToolContext) -> Published:
    """Publish a draft in the site folder, as Markdown with front matter."""
    draft, entry = await own(context, "draft", arguments.draft), await own(context, "calendar", arguments.entry)
    head = {
        "title": arguments.title,
        "date": entry["at"],
        "site": context.settings["site"]["title"],
        "source": draft["source"],
        "key": context.key,
    }
    # The key is part of the name: two runs may have the same title, and neither may overwrite the other's post.
    slug = re.sub(r"[^a-z0-9]+", "-", unicodedata.normalize("NFKD", arguments.title).encode("ascii", "ignore").decode().lower()).strip("-")
    ref = f"site/posts/{slug[:60].rstrip('-') or 'post'}-{digest(context.key)[:8]}.md"
    text = f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---\n\n{arguments.text}"
    await asyncio.to_thread(_write_once, context.folder / ref, text)
    return Published(channel="blog", ref=ref)


def _write_once(path: Path, text: str) -> None:
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # The whole file appears at once or not at all, whenever the process dies.
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".", suffix=".part", encoding="utf-8", delete=False) as part:
        part.write(text)
        part.flush()
        os.fsync(part.fileno())
    Path(part.name).chmod(0o644)
    Path(part.name).replace(path)


@tool("blog.unpublish", effect="egress", guarantee="idempotent", key_ttl=KEPT, irreversible=True, seconds=QUICK)
async def unpublish_post(arguments: UnpublishPost, context: ToolContext) -> Nothing:
    """Take a post off the site folder."""
    site = (context.folder / "site").resolve()
    path = (context.folder / arguments.ref).resolve()
    if not path.is_relative_to(site):
        raise ToolFailed(f"{arguments.ref} is not a post of the site")
    await asyncio.to_thread(path.unlink, missing_ok=True)
    return Nothing()
