"""Escapes: how URLs, HTML and JSON write letters, and a text as it reads without them."""

import html.entities
import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

HEX = "[0-9A-Fa-f]"
# A run of backslashes is looked at from its beginning only: from each of them, a long one would be walked through again and again.
RUN = r"(?<!\\)\\+"
BYTE = rf"(?:%(?:25)*|{RUN}x)"
TAIL = rf"{BYTE}[89ABab]{HEX}"
UNIT = rf"(?:{RUN}|%)"
# Whole letters in UTF-8 before single bytes, and what was escaped twice (`%2520`, `&amp;eacute;`, `\\u00e9`) like what was once.
# `escapes` of migration 0020 has the same.
ESCAPE = "|".join(
    (
        rf"{BYTE}(?:[Cc][2-9A-Fa-f]|[Dd]{HEX}){TAIL}",
        rf"{BYTE}(?:[Ee]0{BYTE}[ABab]{HEX}|[Ee][1-9ABCEFabcef]{TAIL}|[Ee][Dd]{BYTE}[89]{HEX}){TAIL}",
        rf"{BYTE}(?:[Ff]0{BYTE}[9ABab]{HEX}|[Ff][1-3]{TAIL}|[Ff]4{BYTE}8{HEX}){TAIL}{TAIL}",
        rf"{BYTE}{HEX}{HEX}",
        rf"{UNIT}u[Dd][89ABab]{HEX}{HEX}{UNIT}u[Dd][C-Fc-f]{HEX}{HEX}",
        rf"{UNIT}u{HEX}{HEX}{HEX}{HEX}",
        rf"{RUN}U00(?:0{HEX}|10){HEX}{HEX}{HEX}{HEX}",
        rf"{RUN}[nrt]",
        rf"&(?:amp;)*(?:#[0-9]{{1,7}}|#[Xx]{HEX}{{1,6}}|[A-Za-z][0-9A-Za-z]{{1,30}});",
    )
)
OTHER = "\u00b7"
"""What stands for a sign that is part of no name: a quotation mark, a dash, a byte that says nothing."""
ENTITIES = {
    name[:-1]: value
    for name, value in html.entities.html5.items()
    if name.endswith(";") and len(value) == 1 and value < "\u2100" and (unicodedata.category(value)[0] in "LZ" or value in ",.-_@")
} | {name: html.entities.html5[name + ";"] for name in ("shy", "zwj", "zwnj", "lrm", "rlm", "ZeroWidthSpace", "NoBreak")}
"""Those letters and blanks that HTML has names for; `entity` of migration 0020 has the same."""
SIGNS = frozenset("%&\\")
_ESCAPE = re.compile(ESCAPE)
_BYTE = re.compile(rf"{BYTE}({HEX}{HEX})")
_NAMED = re.compile(r"&(?:amp;)*(.+);")
_UNIT = re.compile(rf"{UNIT}u({HEX}{{4}})")


class Plain(NamedTuple):
    """A text as it reads. starts, ends: where in the text as it is written each of its characters begins and ends, where that is known."""

    text: str
    starts: Sequence[int] = ()
    ends: Sequence[int] = ()

    def written(self, first: int, last: int) -> tuple[int, int]:
        """Return from where to where these characters reach in the text as it is written, where that is known."""
        return (self.starts[first], self.ends[last - 1]) if self.starts else (first, last)


def read(text: str) -> str:
    """Return a text as it reads once its escapes are letters again."""
    return _ESCAPE.sub(lambda found: _letter(found.group()), text) if escaped(text) else text


def located(text: str) -> Plain:
    """Return the same, with the place of each character."""
    seen, starts, ends, at = list[str](), list[int](), list[int](), 0
    for found in _ESCAPE.finditer(text):
        first, last = found.span()
        seen += [text[at:first], _letter(found.group())]
        starts += [*range(at, first), first]
        ends += [*range(at + 1, first + 1), last]
        at = last
    return Plain("".join([*seen, text[at:]]), [*starts, *range(at, len(text))], [*ends, *range(at + 1, len(text) + 1)])


def escaped(text: str) -> bool:
    """Tell whether a text may have an escape at all; it costs next to nothing to ask."""
    return any(sign in text for sign in SIGNS)


def _letter(escape: str) -> str:
    # Always one character, so that the places stay in step.
    if escape[0] == "&":
        return _entity(_NAMED.sub(r"\1", escape))
    if escape[-1] in "nrt":
        return " "
    if octets := _BYTE.findall(escape):
        code = bytes.fromhex("".join(octets))
        # A single byte beyond ASCII is what old pages wrote for a letter of Latin-1.
        return code.decode() if len(code) > 1 else _character(code[0])
    if len(units := _UNIT.findall(escape)) == 2:
        high, low = (int(unit, 16) for unit in units)
        return chr(0x10000 + ((high - 0xD800) << 10) + low - 0xDC00)
    return _character(int(units[0] if units else escape[-8:], 16))


def _entity(name: str) -> str:
    if name[0] != "#":
        return ENTITIES.get(name, OTHER)
    return _character(int(name[2:], 16) if name[1] in "Xx" else int(name[1:]))


def _character(code: int) -> str:
    return OTHER if code == 0 or 0xD800 <= code < 0xE000 or code > 0x10FFFF else chr(code)
