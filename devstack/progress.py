"""How a part that takes its time says what it is doing."""

import sys
from collections.abc import Callable

Progress = Callable[[str, str], None]
"""Called with the part's name and what it does now; an empty text means that it is done."""


def silent(part: str, doing: str) -> None:
    """Say nothing."""


def to_stderr(part: str, doing: str) -> None:
    """Say it in a line, for a log."""
    if doing:
        sys.stderr.write(f"{part}: {doing}\n")
