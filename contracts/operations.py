"""What people do to a whole run: pause it, resume it, try a step again; and what the workflow then reads of its row."""

from typing import Literal

from pydantic import Field

from contracts.message import Message, Strict


class Word(Strict):
    """A person's word on a run; as a raw signal it is a claim until the ledger has looked at it."""

    by: str = Field(min_length=1, max_length=200)
    reason: str = Field(default="", max_length=2000)


class StepWord(Word):
    """The same on one step."""

    step: str = Field(min_length=1, max_length=80)


class Paused(Message):
    """Who holds a run, since when (ISO, UTC) and why. Nothing new is begun until it is resumed."""

    by: str
    since: str
    reason: str = ""


class LookRequest(Message):
    """Read what people want of a run."""

    tenant: str
    lineage: str


class Standing(Message):
    """What people want of a run, as its row says."""

    paused: Paused | None = None
    ending: Literal["undo", "keep"] | None = None
    """What a cancel said about what the run did; None leaves it to the bundle."""
    retries: dict[str, int] = {}
    """How often each step was opened again after it had ended, where it was."""


class Operated(Message):
    """What became of a word. ``changed`` is false where the run was so already, or where the word was refused.

    open: the step that is to be retried has not ended; a call of it that waits for its next attempt may be tried at once.
    """

    accepted: bool
    message: str
    changed: bool = True
    open: bool = False
