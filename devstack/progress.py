"""How a part that takes its time says what it is doing."""

from collections.abc import Callable

Progress = Callable[[str, str], None]
"""Called with the part's name and what it does now; an empty text means that it is done."""


def silent(part: str, doing: str) -> None:
    """Say nothing."""
