"""What people write: what of it is there to read, and one spelling of a name."""

import unicodedata

SEEN = "LNPS"
"""Categories of characters that show something: letters, digits, punctuation, signs. Marks belong to what they stand on."""
BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and a sign that show nothing."""


def written(text: str) -> str:
    """Return what of a text is there to read, with one space between words: a reason that nobody sees is none."""
    return " ".join("".join(c if _seen(c) else " " if c.isspace() else "" for c in text).split())


def folded(name: str) -> str:
    """Return a name as an id of the directory would have it: however it is written, it is the same person's."""
    return "".join(c for c in unicodedata.normalize("NFKC", name) if _seen(c)).casefold()


def _seen(character: str) -> bool:
    return unicodedata.category(character)[0] in SEEN and character not in BLANK
