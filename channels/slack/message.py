"""A card as a message of Slack: what the action would do, what binds it, and the buttons that rule on it."""

from collections.abc import Iterator
from dataclasses import dataclass

from channels.card import Card
from channels.explain import dollars
from channels.slack.markup import Block, actions, button, clipped, confirm, facts, header, leaf, line, mrkdwn, paragraph, verbatim

MOST_ROWS, ROWS_TEXT = 12, 6000
"""Slack takes 50 blocks and about 13,000 characters in a message: what is more is in the details."""
LEAST_TEXT, LINES = 300, 15
FACT = 400
APPROVE, REJECT, EDIT, DETAILS = "approve", "reject", "edit", "details"


@dataclass(frozen=True, slots=True)
class Rendered:
    """A message. ``text`` is what a notification shows."""

    text: str
    blocks: list[Block]


def message(card: Card) -> Rendered:
    """Render a card. The buttons depend on the request's id and state, and on nothing that anybody wrote."""
    blocks = [header(f"{card.tool} — {card.step}"), *_outcome(card), *values(card), facts(*_facts(card)), *_warnings(card)]
    if card.state == "pending":
        blocks.append(buttons(card))
    waits = f"waits for {', '.join(card.groups)}" if card.state == "pending" else card.state
    return Rendered(mrkdwn(f"{card.tool} — {card.step} of {card.run} {waits}", 300), blocks)


def buttons(card: Card) -> Block:
    """Return the row that rules on a request; each button carries its id and nothing else."""
    sure = confirm("It cannot be undone", f"The action whose digest begins {card.digest12} has no undo.", "Approve")
    return actions(
        button("Approve", APPROVE, card.request, style="primary", confirm=sure if card.reversible is False else None),
        button("Reject…", REJECT, card.request, style="danger"),
        button("Edit…", EDIT, card.request),
        button("Details", DETAILS, card.request),
    )


def values(card: Card) -> Iterator[Block]:
    """Yield what the tool would be called with, or what an edit changed of it and then the whole."""
    changes, rows = card.changes[:MOST_ROWS], card.rows[: MOST_ROWS - min(len(card.changes), MOST_ROWS // 2)]
    most = max(LEAST_TEXT, ROWS_TEXT // max(1, len(rows) + 2 * len(changes)))
    for change in changes:
        before = "(was not there)" if change.before is None else clipped(change.before, most, LINES)
        after = "(taken out)" if change.after is None else clipped(change.after, most, LINES)
        yield verbatim(f"{line(change.name, 80)}, edited", f"- {before}\n+ {after}")
    for row in rows:
        yield verbatim(line(row.name, 80), clipped(row.value, most, LINES))
    if left := len(card.rows) - len(rows) + len(card.changes) - len(changes):
        yield paragraph(leaf(f"{left} more arguments or changes are not shown here: Details has them.", bold=True))


def _outcome(card: Card) -> Iterator[Block]:
    if card.outcome or card.state != "pending":
        yield paragraph(leaf(line(card.outcome or card.state, FACT), bold=True))


def _facts(card: Card) -> Iterator[tuple[str, str]]:
    undo = {True: "can be undone", False: "cannot be undone", None: "whether it can be undone is not known"}[card.reversible]
    yield "Run", line(card.run, 200)
    yield "Effect", f"{line(card.effect or 'not known', 40)}; {undo}"
    yield "Cost", f"{dollars(card.spent)} so far, {dollars(card.after)} after it, of {dollars(card.limit)}"
    rules = f" [{line(', '.join(card.rules), 200)}]" if card.rules else ""
    yield "Because" if card.question == "run" else "Asked because", f"{line(card.because, FACT)}{rules}"
    if card.sources:
        yield "Read before", line(", ".join(card.sources), FACT)
    if card.agreed:
        yield "Agreed so far", line(", ".join(card.agreed), FACT)
    if card.needed:
        yield "Must agree", line(card.needed, FACT)
    if card.state == "pending":
        yield "Silence", line(card.silence, FACT)
    yield "Digest", card.digest12


def _warnings(card: Card) -> Iterator[Block]:
    for warning in card.warnings:
        yield paragraph(leaf(f"⚠ {line(warning, FACT)}", bold=True))
