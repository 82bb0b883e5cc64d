"""`web.page`: a page of the web as text, where its robots.txt lets us."""

import asyncio
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from urllib.robotparser import RobotFileParser

import httpx2
from pydantic import BaseModel, Field

from contracts.errors import ToolFailed, TransientError
from tools.contract import ToolContext, tool
from tools.fetch import AGENT, FETCHER, Request
from tools.invisible import visible
from tools.library.options import Hosts, Options, options
from tools.reach import Reach, Refused, origin, where
from tools.replies import settled

MOST_BYTES, MOST_ROBOTS = 1_000_000, 500_000
PAGES = Path(__file__).with_name("pages.py")
MOST_SECONDS = 10.0
"""Of reading one page."""
READ = ("text/html", "application/xhtml+xml", "text/plain", "text/markdown")


class PageOptions(Options):
    """hosts: those that may be read; without them, every public one. private: hosts in a private network that may be read too."""

    hosts: Hosts | None = None
    private: Hosts = Field(default=frozenset(), validate_default=False)
    characters: Annotated[int, Field(ge=100, le=200_000)] = 20_000
    """Of a page's text, at most."""

    @property
    def reach(self) -> Reach:
        """Whom a fetch may call."""
        return Reach(only=None if self.hosts is None else self.hosts | self.private, private=self.private)


class ReadPage(BaseModel):
    url: Annotated[str, Field(max_length=4000)]


class Page(BaseModel):
    url: str
    """The page that answered, which may be another than was asked for."""
    title: str
    text: str
    cut: bool


@tool("web.page", effect="read", guarantee="pure", seconds=30)
async def page(arguments: ReadPage, context: ToolContext) -> Page:
    """Read a page of the web and return its title and text."""
    chosen = options(PageOptions, "web.page", context)
    known: dict[tuple[str, bytes, int], RobotFileParser | None] = {}

    async def welcome(url: httpx2.URL) -> None:
        if origin(url) not in known:
            known[origin(url)] = await _robots(url, chosen.reach, context)
        robots = known[origin(url)]
        if robots is not None and not robots.can_fetch(AGENT, str(url)):
            raise Refused(f"{where(url)} does not want that page read by programs (robots.txt)")

    asked = Request("GET", arguments.url, context.deadline, chosen.reach, most_bytes=MOST_BYTES, before=welcome)
    answer = settled(await FETCHER.fetch(asked), "the page", acts=False, secrets={})
    kind = answer.headers.get("content-type", "text/html").partition(";")[0].strip().lower()
    if kind not in READ:
        raise ToolFailed(f"the page is {kind[:60]}; what is read is {', '.join(READ)}")
    title, text = map(visible, await _read(answer.text, context) if kind.endswith(("html", "xml")) else ("", answer.text))
    return Page(url=answer.url, title=title[:300], text=text[: chosen.characters], cut=len(text) > chosen.characters)


async def _read(html: str, context: ToolContext) -> tuple[str, str]:
    """Return a page's title and text, by a process that knows nothing of ours and is stopped when it takes long."""
    reader = await asyncio.create_subprocess_exec(
        sys.executable, "-I", PAGES, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={}
    )
    seconds = min(MOST_SECONDS, (context.deadline - datetime.now(UTC)).total_seconds() - 0.5)
    try:
        said, _ = await asyncio.wait_for(reader.communicate(html.encode("utf-8", "replace")), max(0.1, seconds))
        title, text = json.loads(said)
    except TimeoutError:
        raise ToolFailed("the page is built in such a way that it cannot be read in time") from None
    except ValueError:
        raise ToolFailed("the page cannot be read") from None
    finally:
        if reader.returncode is None:
            reader.kill()
            await reader.wait()
    return title, text


async def _robots(url: httpx2.URL, reach: Reach, context: ToolContext) -> RobotFileParser | None:
    """Return the rules of a site, None where it has none. Source: RFC 9309, 2.3.1.

    Raises: TransientError where they cannot be read now: until they can, everything is forbidden.
    """
    asked = Request("GET", str(url.join("/robots.txt")), context.deadline, reach, most_bytes=MOST_ROBOTS)
    answer = await FETCHER.fetch(asked)
    if answer.status == 429 or answer.status >= 500:
        raise TransientError(f"{where(url)} said {answer.status} when asked for its robots.txt")
    if answer.status >= 400:
        return None
    found = RobotFileParser()
    found.parse(answer.text.splitlines())
    return found
