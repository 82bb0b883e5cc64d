"""The card of a request: what would happen, rendered from the action itself and never from the model's words about it."""

import json
from collections.abc import Iterator

from rich.console import Group
from rich.panel import Panel
from rich.text import Text

from channels.card import needed, silence
from channels.cli import link, screen
from ledger.approvals import Request

BRIEF = 90  # characters of one argument where the card is not the matter


def card(request: Request) -> Panel:
    """Show all of it."""
    lines = [Text.assemble((f"{screen.line(name)}: ", "bold"), screen.styled(value)) for name, value in _arguments(request)]
    head = screen.styled(f"{request.tool} — {screen.line(request.step)}")
    return Panel(Group(*lines, *(screen.styled(line, "dim") for line in _foot(request))), title=head, title_align="left")


def brief(request: Request, tenant: str) -> Group:
    """Show its essentials, and the commands that rule on it."""
    head = Text.assemble((request.id, "yellow"), f" {screen.line(request.tool)} — {screen.line(request.step)} of {request.workflow_id}")
    lines = [screen.indented(screen.styled(f"{screen.line(name)}: {_cut(value)}")) for name, value in _arguments(request)]
    lines += [screen.indented(screen.styled(line, "dim")) for line in _foot(request)]
    lines += [screen.indented(screen.styled(command), whole=True) for command in commands(request, tenant)]
    return Group(head, *lines)


def commands(request: Request, tenant: str) -> tuple[str, ...]:
    """Return what to type to approve, to reject and, where it is asked whether to do something again or to undo it, to say that it is so.

    It did happen, with its output; or it is undone already, which has none.
    """
    reject = link.command("reject", request.id, "--reason", '"…"', tenant=tenant)
    said = {"again": (f"{reject} --happened --output '{{…}}'",), "undo": (f"{reject} --happened",)}
    return link.command("approve", request.id, tenant=tenant), reject, *said.get(request.question, ())


def _arguments(request: Request) -> list[tuple[str, str]]:
    """Return names and values, the short ones first."""
    values = {name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for name, value in request.arguments.items()}
    return sorted(values.items(), key=lambda item: (len(item[1]) > BRIEF or "\n" in item[1], item[0]))


def _foot(request: Request) -> Iterator[str]:
    asked = "because" if request.question == "run" else "asked because"
    yield f"{asked} {screen.line(request.reason)}"
    yield f"for {', '.join(request.groups)} until {request.deadline:%Y-%m-%d %H:%M} UTC, then silence refuses; digest {request.digest[:12]}"
    if effect := request.about.get("effect"):
        yield f"effect {effect}, {'can be undone' if request.about.get('reversible') else 'cannot be undone'}"
    if not request.ended and sum(stage.quorum for stage in request.chain) > 1:
        yield f"needs {needed(request)}"
    if not request.ended and request.bound.silence == "escalate":
        yield silence(request)
    if request.ended:
        by = f" by {screen.line(request.ruled_by)} at {request.ruled_at:%Y-%m-%d %H:%M:%S} UTC" if request.ruled_by else ""
        yield f"{request.state}{by}"


def _cut(value: str) -> str:
    short = screen.line(value, BRIEF)
    return f"{short} ({len(value):,} characters)" if short.endswith("…") else short
