"""A page of the web as the text that a reader sees.

It is also a program, from HTML on its input to JSON: the parser can be kept busy for hours by a page that was made for it, and a
process can be stopped. So it imports nothing of ours.
"""

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

from bs4 import BeautifulSoup, Tag
from bs4.element import NavigableString

UNREAD = frozenset((
    "script", "title", "style", "noscript", "template", "svg", "math", "iframe", "object", "embed", "canvas", "audio", "video", "head",
    "select", "datalist",
))  # fmt: skip
BLOCKS = frozenset((
    "address", "article", "aside", "blockquote", "br", "caption", "dd", "details", "div", "dl", "dt", "fieldset", "figcaption",
    "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "legend", "li", "main", "nav", "ol", "p",
    "pre", "section", "summary", "table", "tr", "td", "th", "ul",
))  # fmt: skip
HIDING = re.compile(
    r"display:none|visibility:(hidden|collapse)|opacity:0*(\.0*)?%?(;|!|$)|font-size:0*(\.0*)?(px|pt|em|rem|%)?(;|!|$)|"
    r"(text-indent|left|top|right|bottom|margin-left|margin-top):-\d{3,}|(?<![a-z-])(width|height):0(px)?(;|!|$)|"
    r"clip:rect\((0|1px)|clip-path:inset\((50|100)%|transform:scale\(0\)|color:transparent"
)
RULE = re.compile(r"([^{}]{1,2000})\{([^{}]*)\}")
PLAIN_SELECTOR = re.compile(r"([.#]?)([A-Za-z_][\w-]*)")
INSTRUCTION = re.compile(r"<\?[^>]{0,2000}>")
BREAK = "\x1e"


def text_of(html: str) -> tuple[str, str]:
    """Return a page's title and text, a line for each block, without what its page hides from a reader.

    Hidden: what says so by attribute or style, by a rule of the page's own `<style>` for a class, id or tag.
    Text in the colour of its background is not found, nor what a stylesheet elsewhere hides.
    """
    # Without instructions for XML, which the parser takes for a sign of another format, and with a line that is not one of a URL.
    plain = INSTRUCTION.sub("", html)
    soup = BeautifulSoup(f"<!DOCTYPE html>\n{plain}", "html.parser")
    title = soup.title.get_text() if soup.title else ""
    lines = (" ".join(line.split()) for line in "".join(_shown(soup, _hidden_by_rule(soup))).split(BREAK))
    return " ".join(title.split()), "\n".join(line for line in lines if line)


def _shown(soup: BeautifulSoup, rules: set[str]) -> Iterator[str]:
    """Yield the text that is seen, with a mark around each block. No call within a call: a page may be nested deeper than we may."""
    open_tags: list[tuple[Iterator[Any], bool]] = [(iter(soup.contents), False)]
    while open_tags:
        children, block = open_tags[-1]
        child = next(children, None)
        if child is None:
            open_tags.pop()
            if block:
                yield BREAK
        elif isinstance(child, Tag):
            if child.name in UNREAD or _hidden(child, rules):
                continue
            if block := child.name in BLOCKS:
                yield BREAK
            open_tags.append((iter(child.contents), block))
        elif type(child) is NavigableString:
            # Comments and their like are other types.
            yield str(child).replace(BREAK, " ")


def _hidden(tag: Tag, rules: set[str]) -> bool:
    if tag.has_attr("hidden") or str(tag.get("aria-hidden", "")).lower() == "true":
        return True
    if HIDING.search(_squeezed(str(tag.get("style") or ""))):
        return True
    if not rules:
        return False
    classes = tag.get("class") or []
    names = {tag.name, f"#{tag.get('id')}", *(f".{name}" for name in (classes if isinstance(classes, list) else str(classes).split()))}
    return not rules.isdisjoint(names)


def _hidden_by_rule(soup: BeautifulSoup) -> set[str]:
    found: set[str] = set()
    for style in soup.find_all("style"):
        for selectors, body in RULE.findall(re.sub(r"/\*.*?\*/", "", style.get_text(), flags=re.DOTALL)):
            if HIDING.search(_squeezed(body)):
                found |= {one.strip() for one in selectors.split(",") if PLAIN_SELECTOR.fullmatch(one.strip())}
    return found - {"html", "body"}


def _squeezed(style: str) -> str:
    return re.sub(r"\s+|/\*.*?\*/", "", style).lower()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(text_of(sys.stdin.buffer.read().decode("utf-8", "replace"))))
