"""A note: a Markdown, text or HTML file, as far as it can be quoted."""

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from bs4 import BeautifulSoup
from markdown_it import MarkdownIt
from markdown_it.token import Token

from .text import clean, one_line

MAX_BYTES, MAX_TAGS = 2_000_000, 20_000


class UnreadableNote(Exception):
    """A file that is left out; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A paragraph, and the line of the file on which it begins."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Note:
    """A source file as far as it can be quoted. ``id`` is its path below the folder."""

    id: str
    title: str
    sha256: str
    passages: tuple[Passage, ...]


def read_note(folder: Path, path: Path) -> Note:
    """Read one file. Raises: UnreadableNote or OSError."""
    name = path.relative_to(folder).as_posix()
    if one_line(name) != name:
        raise UnreadableNote("its name has characters that cannot be shown")
    # A link may point out of the folder, and a pipe would never end.
    if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
        raise UnreadableNote("it is not a file of this folder")
    if (size := path.stat().st_size) > MAX_BYTES:
        raise UnreadableNote(f"it has {size / 1e6:.1f} MB; {MAX_BYTES / 1e6:.0f} MB is the most")
    data = path.read_bytes()
    if b"\0" in data:
        raise UnreadableNote("it is a binary file")
    try:
        text = clean(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise UnreadableNote("it is not UTF-8 text") from None
    read = _markdown if path.suffix.lower() in (".md", ".markdown") else _plain if path.suffix.lower() == ".txt" else _html
    try:
        title, passages = read(text)
    except RecursionError:
        raise UnreadableNote("it is nested too deeply") from None
    if not passages:
        raise UnreadableNote("it has no prose")
    return Note(name, one_line(title)[:120] or path.stem, hashlib.sha256(data).hexdigest(), tuple(passages))


def _markdown(text: str) -> tuple[str, list[Passage]]:
    if text.startswith("---\n") and (end := text.find("\n---\n", 3)) > 0:
        # Front matter is no prose; its lines stay counted.
        text = "\n" * (text.count("\n", 0, end) + 2) + text[end + 5 :]
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    inlines = [(before.type, _inline(token), token.map) for before, token in pairwise(tokens) if token.type == "inline"]
    title = next((words for kind, words, _ in inlines if kind == "heading_open"), "")
    return title, [Passage(at[0] + 1, words) for kind, words, at in inlines if kind == "paragraph_open" and at and words.strip()]


def _inline(token: Token) -> str:
    # Raw HTML, images and the targets of links are dropped: what is quoted is text.
    said = {"softbreak": "\n", "hardbreak": "\n"}
    spoken = ("text", "text_special")
    return "".join(
        child.content if child.type in spoken else f"`{child.content}`" if child.type == "code_inline" else said.get(child.type, "")
        for child in token.children or ()
    )


def _plain(text: str) -> tuple[str, list[Passage]]:
    passages: list[Passage] = []
    begun = 0
    lines = text.split("\n")
    for nth, line in enumerate([*lines, ""]):
        if not line.strip():
            if nth > begun:
                passages.append(Passage(begun + 1, "\n".join(lines[begun:nth])))
            begun = nth + 1
    first = passages[0].text if passages else ""
    is_title = "\n" not in first and len(first) <= 80 and not first.rstrip().endswith((".", ":"))
    return (first, passages[1:] or passages) if is_title else ("", passages)


def _html(text: str) -> tuple[str, list[Passage]]:
    if text.count("<") > MAX_TAGS:
        # The parser's time grows with the square of the depth.
        raise UnreadableNote(f"it has more than {MAX_TAGS:,} tags")
    soup = BeautifulSoup(text, "html.parser")
    unseen = "script, style, template, noscript, nav, [hidden], [aria-hidden=true], [style*='display:none' i], [style*='display: none' i]"
    heading = soup.find("h1") or soup.title
    title = heading.get_text(" ") if heading else ""
    for element in soup.select(unseen):
        element.extract()
    blocks = ["p", "li", "blockquote", "dd"]
    found = soup.find_all(blocks)
    # Only the innermost say something of their own. Looked at from below: from above it takes the square of the depth.
    outer = {id(block.find_parent(blocks)) for block in found}
    found = [block for block in found if id(block) not in outer and block.get_text().strip()]
    return title, [Passage(block.sourceline or 1, block.get_text()) for block in found]


def prose(note: Note) -> str:
    """Return all that a note says."""
    return "\n".join(passage.text for passage in note.passages)
