"""Intake: what comes in leaves behind whom we were told to forget."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from database import Tx
from memory import tombstones


class Told(NamedTuple):
    """What is said, of whom, and by whom."""

    body: str
    subject: str
    speaker: str


@dataclass(frozen=True, slots=True)
class Incoming:
    """One thing that comes in. keys: names that cannot lose a part, such as its id and session."""

    told: Told
    keys: tuple[str, ...]


async def clean(tx: Tx, given: Sequence[Incoming]) -> list[Told | None]:
    """Return each without the names that were to be forgotten; None where it is one's own, or a key of it names one.

    No one is erased until the transaction ends, so what is let in here is either found by an erasure or was asked after it.
    """
    buried = await tombstones.buried(tx, sorted({name for one in given for name in one.told[1:] if name}))
    texts = list({text for one in given for text in (*one.told, *one.keys)})
    scrubbed = await tombstones.scrubbed(tx, texts)
    if not buried and scrubbed == texts:
        return [one.told for one in given]
    left = dict(zip(texts, scrubbed, strict=True))
    return [
        None if buried & {*one.told[1:]} or any(left[key] != key for key in one.keys) else Told(*(left[text] for text in one.told))
        for one in given
    ]
