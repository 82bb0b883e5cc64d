"""Sentences of a note that may be quoted, word for word."""

import re

from pydantic import BaseModel

from tools import ToolFailed

from .notes import Note
from .text import words

# Ends of sentences in Latin and in East Asian writing, and the marks that may close around them.
STOPS, WIDE_STOPS, CLOSING = ".!?\u2026", "\u3002\uff01\uff1f", '"\u201d\u2019)`'
SENTENCE = re.compile(rf"\S.*?(?:[{WIDE_STOPS}]|[{STOPS}][{CLOSING}]*(?=\s+[^\sa-z\u00df-\u00ff]|\s*$)|$)", re.DOTALL)
WHOLE = re.compile(rf"[{STOPS}{WIDE_STOPS}][{CLOSING}]*$")
# A link or an address in a note may be bait; a sentence with one is never quoted.
BAIT = re.compile(r"https?:|www\.|\w@\w|javascript:|data:", re.IGNORECASE)

# Legends, versions and code make true quotes, but dull ones: they are taken where there is nothing else.
NO_PROSE = re.compile(r"^[\d\W]|[\[\]{}<>=|*\\]")


class Quote(BaseModel):
    """A sentence of a note, word for word, and the lines it stands on."""

    text: str
    first: int
    last: int


def sentences(note: Note) -> list[Quote]:
    """Return the sentences of a note that may be quoted, in its order."""
    found: list[Quote] = []
    for passage in note.passages:
        for match in SENTENCE.finditer(passage.text[:20_000]):
            first = passage.line + passage.text.count("\n", 0, match.start())
            text = " ".join(match.group().split())
            if len(text) <= 300 and WHOLE.search(text) and not BAIT.search(text):
                found.append(Quote(text=text, first=first, last=first + match.group().count("\n")))
    return found


def pick(note: Note, wanted: set[str], most: int) -> list[Quote]:
    """Return the sentences closest to the wanted words, in the note's order. Raises: ToolFailed where there is none."""
    known = sentences(note)
    if not known:
        raise ToolFailed(f"{note.id} has no whole sentence without a link that could be quoted: choose another source")
    full = [quote for quote in known if 40 <= len(quote.text) <= 240 and not NO_PROSE.search(quote.text)] or known
    best = sorted(range(len(full)), key=lambda i: (-len(wanted & words(full[i].text)), i))[:most]
    return [full[i] for i in sorted(best)]
