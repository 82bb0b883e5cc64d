"""What reaches the terminal: text of models, notes and people is shown and never obeyed."""

import dataclasses
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import Any

import typer
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

# Nothing here is read as markup, whoever wrote it: what is styled is made of Text.
OUT = Console(markup=False, highlight=False, emoji=False)
ERR = Console(stderr=True, soft_wrap=True, markup=False, highlight=False, emoji=False)
UNLIMITED, PANEL = 100_000, 100  # columns, where no terminal sets an end
HIDDEN = frozenset({"Cc", "Cf", "Co", "Cs"})
COLORS = {
    **dict.fromkeys(("done", "completed", "running", "approved", "ok"), "green"),
    **dict.fromkeys(("failed", "denied", "unknown", "refused", "not answering", "no", "rejected"), "red"),
    **dict.fromkeys(("needs_approval", "waiting", "pending", "paused"), "yellow"),
    "supplied": "cyan",
}
Cell = str | Text


def plain(text: object) -> str:
    """Return text in which controls, escape sequences and marks that reorder or hide are written out instead of acting."""
    text = str(text).replace("\r\n", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in HIDDEN else _written(c) for c in text)


def line(text: object, most: int | None = None) -> str:
    """Return the same in one line of at most ``most`` characters."""
    text = re.sub(r"\s+", " ", plain(text)).strip()
    return text if most is None or len(text) <= most else f"{text[: most - 1]}…"


def styled(text: object, style: str = "") -> Text:
    """Return text for the screen, in a style of ours."""
    return Text(plain(text), style)


def colored(word: str) -> Text:
    """Return a state in its colour."""
    return styled(word, COLORS.get(word, "dim"))


def table(headers: Sequence[str], rows: Iterable[Sequence[Cell]], *, whole: int = 1) -> Table:
    """Lay out rows; the first ``whole`` columns hold ids and are never cut or wrapped, others wrap under themselves."""
    cells = [[cell if isinstance(cell, Text) else styled(cell) for cell in row] for row in rows]
    made = Table(box=None, pad_edge=False)
    for nth, header in enumerate(headers):
        widest = max([len(header), *(row[nth].cell_len for row in cells)]) if nth < whole else None
        made.add_column(header, no_wrap=nth < whole, min_width=widest, overflow="fold")
    for row in cells:
        made.add_row(*row)
    return made


def indented(text: Text, *, by: int = 2, whole: bool = False) -> RenderableType:
    """Move text in, wrapped lines too. whole: never wrap, so that it can be copied."""
    if whole:
        text.no_wrap, text.overflow = True, "ignore"
    return Padding(text, (0, 0, 0, by), expand=False)


def show(what: RenderableType) -> None:
    """Print to standard output; a pipe or a file gets lines as long as they are."""
    if isinstance(what, str):
        what = styled(what)
    if OUT.is_terminal:
        OUT.print(what, crop=False)
        return
    written = StringIO()
    Console(file=written, width=PANEL if isinstance(what, Panel) else UNLIMITED).print(what)
    typer.echo("\n".join(each.rstrip() for each in written.getvalue().rstrip("\n").split("\n")))


def warn(text: object) -> None:
    """Print a hint to standard error."""
    ERR.print(styled(text, "yellow"))


def complain(text: object) -> None:
    """Print what went wrong to standard error."""
    ERR.print(styled(text, "red"))


def print_json(value: Any) -> None:
    """Print data for a program: one line, ASCII, so that no terminal or locale stands in its way."""
    typer.echo(json.dumps(value, default=_as_json))


def _as_json(value: Any) -> Any:
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else str(value)


def _written(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
