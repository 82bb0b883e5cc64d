"""Pages from Jinja templates. Everything is escaped, and what a text hides is written out instead of acting."""

import json
import unicodedata
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from channels.explain import dollars

PAGES = Path(__file__).parent / "pages"
HIDDEN = frozenset({"Cc", "Cf", "Co", "Cs"})


class Templates:
    """The templates of this folder, compiled once."""

    def __init__(self) -> None:
        self._pages = Environment(
            loader=FileSystemLoader(PAGES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        self._pages.filters.update(plain=plain, clock=clock, iso=iso, ago=ago, until=until, money=dollars, data=data, short=short)

    def render(self, template: str, **values: Any) -> str:
        """Fill a template."""
        return self._pages.get_template(template).render(**values)


def plain(text: object) -> str:
    """Return text in which controls and marks that reorder or hide are written out."""
    text = str(text).replace("\r\n", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in HIDDEN else f"\\u{ord(c):04x}" for c in text)


def short(text: object, most: int = 120) -> str:
    """Return the same in one line of at most ``most`` characters."""
    line = " ".join(plain(text).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def data(value: Any) -> str:
    """Return JSON for people: indented, keys sorted as they came."""
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)


def clock(at: datetime | None) -> Markup:
    """Return a time as an element that a browser may show in the reader's own zone; without one it is UTC."""
    if at is None:
        return Markup("")
    return Markup('<time datetime="{}">{}</time>').format(iso(at), f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC")


def iso(at: datetime) -> str:
    """Return a time as machines read it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ago(at: datetime) -> str:
    """Say how long ago something was."""
    return length(datetime.now(UTC) - at)


def until(at: datetime) -> str:
    """Say how far away something is; empty where it has passed."""
    left = at - datetime.now(UTC)
    return length(left) if left > timedelta(0) else ""


def length(span: timedelta) -> str:
    """Say how long something takes."""
    seconds = max(0, round(span.total_seconds()))
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h" if seconds < 172_800 else f"{seconds // 86_400} days"
