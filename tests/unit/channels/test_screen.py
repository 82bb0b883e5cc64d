import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from rich.console import Console

from channels.cli import screen

HOSTILE = "\x1b[31mred\x1b[0m \x1b]0;title\x07 [bold]loud[/] :smile: \u202edesrever \u200bhidden \x9b2J\rover"


def printed(what: object, *, width: int = 60) -> str:
    """Print as on a colour terminal."""
    written = io.StringIO()
    Console(file=written, width=width, force_terminal=True, color_system=None, markup=False, highlight=False, emoji=False).print(what)
    return written.getvalue()


def test_plain_text_keeps_every_visible_character_and_writes_the_rest_out() -> None:
    plain = screen.plain(HOSTILE)
    assert not {"\x1b", "\x07", "\u202e", "\u200b", "\x9b", "\r"} & set(plain)
    assert "\\x1b[31mred\\x1b[0m" in plain
    assert "[bold]loud[/] :smile:" in plain
    assert "\\u202edesrever \\u200bhidden" in plain


def test_lines_and_tabs_stay() -> None:
    assert screen.plain("a\r\nb\tc\u2028d") == "a\nb\tc\nd"


def test_one_line_is_cut_where_it_is_too_long() -> None:
    assert screen.line(" a\n\n b\t c ") == "a b c"
    assert screen.line("abcdef", 4) == "abc…"


@pytest.mark.parametrize("what", [screen.styled(HOSTILE), screen.table(("id", "what"), [("x", HOSTILE), ("y", HOSTILE)])])
def test_hostile_text_is_shown_and_not_obeyed(what: object) -> None:
    shown = printed(what)
    assert "\x1b" not in shown
    assert "[bold]loud[/]" in shown
    assert ":smile:" in shown


def test_an_id_is_whole_in_a_terminal_that_is_too_narrow_for_it() -> None:
    written = io.StringIO()
    id = "an-id-that-is-wider-than-the-terminal"
    Console(file=written, width=20, force_terminal=True).print(screen.table(("id", "what"), [(id, "long words that wrap")]), crop=False)
    assert id in written.getvalue()


def test_long_text_wraps_under_its_own_column() -> None:
    lines = printed(screen.table(("time", "what"), [("12:00", "word " * 30)]), width=40).splitlines()[1:]
    assert len(lines) > 1
    assert all(line.startswith(" " * 7) for line in lines[1:])


@dataclass
class Row:
    name: str
    at: datetime


def test_json_is_one_ascii_line_that_no_terminal_can_misread(capsys: pytest.CaptureFixture[str]) -> None:
    screen.print_json([Row(HOSTILE, datetime(2030, 1, 31, tzinfo=UTC))])
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out) == [{"name": HOSTILE, "at": "2030-01-31 00:00:00+00:00"}]
    assert len(out.splitlines()) == 1


def test_what_is_piped_is_not_wrapped_and_has_no_colours(capsys: pytest.CaptureFixture[str]) -> None:
    screen.show(screen.table(("id", "state", "what"), [("x", screen.colored("done"), "word " * 100)]))
    assert capsys.readouterr().out.splitlines()[1] == f"x   done   {'word ' * 100}".rstrip()
