"""Blocks made of plain text: nothing here is read as markup, so a text can neither mention, link, format nor press.

Slack reads markup in `mrkdwn` only. Texts that are not ours go into rich text and plain text, which have none.
"""

import unicodedata
from typing import Any

from tools.invisible import INVISIBLE

Block = dict[str, Any]
Leaf = dict[str, Any]
HIDDEN = frozenset({"Cc", "Cf", "Co", "Cs"})
MARKS = frozenset({"Mn", "Me"})
STACKED = 3
"""So many marks may stand over one character; more would paint over the lines beside it."""


def plain(text: object) -> str:
    """Return a text in which what hides, reorders or paints over other text is written out."""
    text = str(text)
    if text.isascii() and text.isprintable():
        return text
    made, marks = [], 0
    for character in text.replace("\r\n", "\n").replace("\u2028", "\n").replace("\u2029", "\n"):
        category = unicodedata.category(character)
        marks = marks + 1 if category in MARKS else 0
        hidden = category in HIDDEN or marks > STACKED or INVISIBLE.match(character) is not None
        made.append(_written(character) if hidden and character not in "\n\t" else character)
    return "".join(made)


def line(text: object, most: int) -> str:
    """Return the same in one line of at most ``most`` characters, never empty."""
    raw = str(text)
    # Only what may be shown is looked at, however long the rest is.
    short = " ".join(plain(raw[: 4 * most]).split())
    if len(short) <= most and len(raw) <= 4 * most:
        return short or "—"
    return f"{short[: most - 1]}…"


def clipped(text: str, most: int, lines: int) -> str:
    """Return at most about so many characters and lines of a text, and say how long it is where that is not all; never empty."""
    return cut(text, most, lines)[0]


def cut(text: str, most: int, lines: int) -> tuple[str, bool]:
    """Return the same, and whether it is all of the text."""
    # Only what is shown is looked at: a text may have a million characters, and who pressed waits.
    shown = plain(text[:most])
    kept = "\n".join(shown[:most].split("\n")[:lines])
    if len(text) <= most and kept == shown:
        return kept or "(empty)", True
    return f"{kept}… ({len(text):,} characters in all)", False


def mrkdwn(text: object, most: int) -> str:
    """Return one line for a place that Slack reads as markup, with its signs escaped."""
    return line(text, most).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def leaf(text: str, *, bold: bool = False, italic: bool = False) -> Leaf:
    """Return a piece of a paragraph; ``text`` is plain already and not empty."""
    style = {name: True for name, on in (("bold", bold), ("italic", italic)) if on}
    return {"type": "text", "text": text} | ({"style": style} if style else {})


def paragraph(*leaves: Leaf) -> Block:
    """Return one paragraph."""
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": list(leaves)}]}


def verbatim(name: str, value: str) -> Block:
    """Return a named value as it is, framed."""
    framed = {"type": "rich_text_preformatted", "elements": [leaf(value)]}
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [leaf(name, bold=True)]}, framed]}


def facts(*pairs: tuple[str, str]) -> Block:
    """Return names and values, one to a line."""
    items = [{"type": "rich_text_section", "elements": [leaf(f"{name}: ", bold=True), leaf(value)]} for name, value in pairs]
    return {"type": "rich_text", "elements": [{"type": "rich_text_list", "style": "bullet", "elements": items}]}


def header(text: str) -> Block:
    """Return a head line."""
    return {"type": "header", "text": words(line(text, 150))}


def words(text: str) -> dict[str, Any]:
    """Return plain text for a place that takes nothing else."""
    return {"type": "plain_text", "text": text, "emoji": False}


def button(label: str, action: str, value: str, *, style: str | None = None, confirm: Block | None = None) -> Block:
    """Return a button; ``value`` is an id and nothing else."""
    made: Block = {"type": "button", "text": words(label), "action_id": action, "value": value}
    return made | ({"style": style} if style else {}) | ({"confirm": confirm} if confirm else {})


def confirm(title: str, text: str, yes: str) -> Block:
    """Return what is asked once more before a press counts."""
    return {"title": words(title), "text": words(text[:300]), "confirm": words(yes), "deny": words("Not now")}


def actions(*buttons: Block, block: str = "decide") -> Block:
    """Return a row of buttons."""
    return {"type": "actions", "block_id": block, "elements": list(buttons)}


def _written(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
