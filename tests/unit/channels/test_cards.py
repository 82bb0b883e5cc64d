import io
from dataclasses import replace
from datetime import UTC, datetime

from rich.console import Console, RenderableType

from channels.cli import cards
from ledger.approvals import Request

AT = datetime(2030, 1, 31, 9, tzinfo=UTC)
TEXT = "first line\n" + "word " * 400 + "\x1b[2J[red]last[/]"
REQUEST = Request(
    id="apr-1", lineage="lineage", workflow_id="my-run", step="s1.publish", n=1, tool="blog.publish", digest="abcdef" * 10, bundle="b",
    arguments={"text": TEXT, "title": "A [bold]title[/]\x07", "recipients": ["ann"]}, schema={}, question="run", reason="\x1b[31mrules",
    groups=["editor"], unsigned=True, state="pending", rungs=[], created_at=AT, expires_at=AT,
)  # fmt: skip


def printed(what: RenderableType) -> str:
    written = io.StringIO()
    Console(file=written, width=120, force_terminal=True, color_system=None).print(what)
    return written.getvalue()


def test_a_card_shows_all_of_the_action_and_obeys_none_of_it() -> None:
    shown = printed(cards.card(REQUEST))
    assert "\x1b" not in shown.replace("\x1b[1m", "").replace("\x1b[0m", "").replace("\x1b[2m", "")
    assert "\\x1b[2J[red]last[/]" in shown
    assert shown.count("word") == 400
    assert "title: A [bold]title[/]\\x07" in shown
    assert "because \\x1b[31mrules" in shown


def test_a_brief_card_has_the_essentials_and_what_to_type() -> None:
    shown = printed(cards.brief(REQUEST, "default"))
    assert "apr-1 blog.publish — s1.publish of my-run" in shown
    assert f"({len(TEXT):,} characters)" in shown
    assert "starter.py approve apr-1\n" in shown
    assert 'starter.py reject apr-1 --reason "…"\n' in shown
    assert shown.index("recipients:") < shown.index("text:")


def test_a_command_for_another_tenant_names_it() -> None:
    assert cards.commands(REQUEST, "acme")[0].endswith("approve apr-1 --tenant acme")


def test_whoever_is_asked_whether_to_do_it_again_is_told_how_to_say_that_it_happened() -> None:
    assert len(cards.commands(REQUEST, "acme")) == 2
    again = cards.commands(replace(REQUEST, question="again"), "acme")
    assert again[2].endswith("reject apr-1 --reason \"…\" --tenant acme --happened --output '{…}'")


def test_whoever_is_asked_about_an_undo_is_told_how_to_say_that_it_is_undone_already() -> None:
    undo = cards.commands(replace(REQUEST, question="undo"), "acme")
    assert undo[2].endswith('reject apr-1 --reason "…" --tenant acme --happened')
    assert undo[2] in " ".join(printed(cards.brief(replace(REQUEST, question="undo"), "acme")).split())
