"""The home tab: one's own queue."""

from channels.card import Card, card
from channels.desk import Filters
from channels.slack import who
from channels.slack.markup import Block, header, leaf, line, paragraph
from channels.slack.message import buttons
from channels.slack.parts import Parts
from channels.slack.who import CHANNEL
from ledger.directory import Person

MOST = 30
"""Requests on one tab; each takes two of a view's hundred blocks."""


async def opened(parts: Parts, payload: dict[str, object]) -> None:
    """Show their queue to whoever opened the tab."""
    sender = await who.sender(parts.database, parts.tenant, payload)
    if (person := who.known(sender)) is None:
        await parts.workspace.publish(sender.user, {"type": "home", "blocks": [paragraph(leaf(line(sender.stranger, 500)))]})
        return
    await show(parts, sender.user, person, seen=True)


async def show(parts: Parts, user: str, person: Person, *, seen: bool) -> None:
    """Set a person's tab to what they may rule on now. seen: they look at it."""
    found = await parts.desk.open(parts.tenant, person, Filters(mine=True, limit=MOST + 1))
    cards = [card(request) for request in found[:MOST]]
    await parts.workspace.publish(user, view(cards, more=len(found) > MOST))
    for each in cards if seen else ():
        await parts.desk.look(parts.tenant, each.request, person, CHANNEL)


def view(cards: list[Card], *, more: bool) -> Block:
    """Render a queue."""
    blocks = [header("Waits for you" if cards else "Nothing waits for you")]
    for each in cards:
        blocks.append(brief(each))
        blocks.append({**buttons(each), "block_id": f"decide-{each.request}"})
    if more:
        blocks.append(paragraph(leaf(f"These are the oldest {MOST}; there are more.", italic=True)))
    return {"type": "home", "blocks": blocks}


def brief(shown: Card) -> Block:
    """Render a request in a few lines: the shortest of its values are said, all of them are named."""
    said = "; ".join(f"{line(row.name, 40)}: {line(row.value, 100)}" for row in shown.rows[:5])
    more = f"; and {len(shown.rows) - 5} more" if len(shown.rows) > 5 else ""
    undo = "; cannot be undone" if shown.reversible is False else ""
    whose = f"for {line(', '.join(shown.groups), 100)} until {shown.deadline:%Y-%m-%d %H:%M} UTC"
    foot = f"{whose}{undo}; {shown.request}; digest {shown.digest12}"
    head = leaf(f"{line(shown.tool, 60)} — {line(shown.step, 60)} of {line(shown.run, 100)}\n", bold=True)
    return paragraph(head, leaf(f"{said or 'no arguments'}{more}\n"), leaf(foot, italic=True))
