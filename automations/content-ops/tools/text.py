"""Text as a reader sees it: nothing that hides, and the words by which two texts are alike."""

import re
import unicodedata
from typing import Annotated

from pydantic import BeforeValidator


def clean(text: str) -> str:
    """Drop what a reader cannot see: controls, zero-width and bidi marks, tag characters, variation selectors, private use."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", " ").replace("\u2029", " ")
    return "".join(
        c for c in text
        if c in "\n\t" or (unicodedata.category(c) not in ("Cc", "Cf", "Co", "Cs", "Cn") and not "\ufe00" <= c <= "\ufe0f"
                           and not "\U000e0100" <= c <= "\U000e01ef")
    )  # fmt: skip


def one_line(text: str) -> str:
    """Return clean text without line breaks, as a title or a mail's header wants it."""
    return " ".join(clean(text).split())


# Before the length is checked: a text that nobody can see is an empty one.
Line = Annotated[str, BeforeValidator(lambda given: one_line(given) if isinstance(given, str) else given)]
Body = Annotated[str, BeforeValidator(lambda given: clean(given) if isinstance(given, str) else given)]


def words(text: str) -> set[str]:
    """Return the beginnings of a text's longer words, so that `publish` meets `publishing`."""
    return {word[:6] for word in re.findall(r"\w{4,}", text.lower())}
