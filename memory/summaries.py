"""Rolling summaries: what a range of a session's turns comes to, and which range that is."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.errors import BadInput
from database import Tx
from memory import bounds

BELOW = "SELECT first, last, body, model FROM summary WHERE tenant = $1 AND session = $2 AND last <= $3 ORDER BY first, last DESC"
ONE = "SELECT first, last, body, model FROM summary WHERE tenant = $1 AND session = $2 AND first = $3 AND last = $4"
TURNS = "SELECT count(*) FROM turn WHERE tenant = $1 AND session = $2 AND seq BETWEEN $3 AND $4"
ADD = """
INSERT INTO summary (tenant, session, first, last, body, model) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant, session, first, last) DO NOTHING
"""
COPY = """
INSERT INTO summary (tenant, session, first, last, body, model)
SELECT tenant, $3, first, last, body, model FROM summary WHERE tenant = $1 AND session = $2 AND last <= $4
ON CONFLICT (tenant, session, first, last) DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Summary:
    """What turns ``first`` to ``last``, both included, come to. model: who wrote it."""

    first: int
    last: int
    body: str
    model: str


async def add(tx: Tx, session: str, summary: Summary) -> Summary:
    """Keep a summary; of one range there is one, and who comes second is given the first.

    Raises: BadInput where the range is none, or has turns that are not there: a summary tells nothing that was not said.
    """
    if not 0 < summary.first <= summary.last:
        raise BadInput(f"a summary covers turns first to last, counted from 1, not {summary.first} to {summary.last}")
    body = bounds.text(summary.body, f"the summary of turns {summary.first} to {summary.last}")
    if await one(tx, session, summary.first, summary.last) is None:
        await _require_turns(tx, session, summary)
        await tx.execute(ADD, tx.tenant, session, summary.first, summary.last, body, bounds.name(summary.model, "the summary's model"))
    found = await one(tx, session, summary.first, summary.last)
    assert found is not None, "a summary that was just added"
    return found


async def one(tx: Tx, session: str, first: int, last: int) -> Summary | None:
    """Return the summary of exactly this range."""
    row = await tx.row(ONE, tx.tenant, session, first, last)
    return Summary(**dict(row)) if row else None


async def cover(tx: Tx, session: str, upto: int) -> list[Summary]:
    """Return summaries that follow each other from turn 1 on, up to ``upto`` at most, the widest there are, oldest first.

    The turns behind the last one are the reader's to read word by word.
    """
    return chain([Summary(**dict(row)) for row in await tx.fetch(BELOW, tx.tenant, session, upto)])


async def due(tx: Tx, session: str, upto: int, *, recent: int, every: int) -> tuple[int, int] | None:
    """Return the range of turns to be summarised next, or None.

    recent: so many of the last turns stay word for word; every: a range has so many turns.
    """
    covered = await cover(tx, session, upto)
    first = covered[-1].last + 1 if covered else 1
    last = first + every - 1
    return (first, last) if last <= upto - recent else None


async def copy(tx: Tx, session: str, into: str, upto: int) -> None:
    """Begin another session with this one's summaries of turns up to ``upto``; a repeated copy changes nothing."""
    await tx.execute(COPY, tx.tenant, session, into, upto)


def chain(summaries: Sequence[Summary]) -> list[Summary]:
    """Return, of summaries up to some turn, those that follow each other from turn 1 and reach furthest with the fewest links."""
    best: dict[int, list[Summary]] = {0: []}
    # In the order of their beginnings, every chain that a summary could continue is known when it comes.
    for summary in sorted(summaries, key=lambda one: (one.first, one.last)):
        if (before := best.get(summary.first - 1)) is None:
            continue
        if summary.last not in best or len(before) + 1 < len(best[summary.last]):
            best[summary.last] = [*before, summary]
    return best[max(best)]


async def _require_turns(tx: Tx, session: str, summary: Summary) -> None:
    found = await tx.value(TURNS, tx.tenant, session, summary.first, summary.last)
    if found != (wanted := summary.last - summary.first + 1):
        raise BadInput(
            f"session {session[: bounds.SHOWN]!r} has {found} of the {wanted} turns from {summary.first} to {summary.last}:"
            " a summary covers turns that are there"
        )
