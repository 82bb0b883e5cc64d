"""Whether something may be called now, by its breaker; and what the end of the call says of it.

Nothing here costs a healthy call a statement: how its breaker stands is read on the way, and written after a failure only.
"""

import secrets
from dataclasses import dataclass, replace

from contracts.errors import PermanentError, ToolFailed, ToolRetry, ToolUnknown, TransientError
from database import Tx
from ledger import breakers, records
from ledger.breakers import Breaker, Threshold, told
from policies.bundles import Bundle
from tools.calls import Broke, Incapable, NotStarted

LOOK_AGAIN = 1.0
"""Seconds until a call that waits for another's probe looks again: most probes end long before their time."""


class Open(TransientError):
    """What would be called is left alone for a while."""

    def __init__(self, breaker: Breaker) -> None:
        wait = breaker.wait if breaker.state == "open" else min(breaker.wait, LOOK_AGAIN)
        super().__init__(told(breaker), retry_after=wait + 0.05)
        self.breaker = breaker


@dataclass(frozen=True, slots=True)
class Passage:
    """One call that its breaker lets through. lease: that of the probe, where it is one."""

    breaker: Breaker
    threshold: Threshold
    lease: str | None = None

    @property
    def healthy(self) -> bool:
        """Whether a good end has nothing to change."""
        return not self.breaker.failures and not self.lease

    async def ended(self, tx: Tx, error: BaseException | None, lineage: str, step: str) -> None:
        """Note what the end of the call says of what was called. error: None where it went well."""
        counts = error is not None and _counts(error)
        if counts:
            now = await breakers.fail(tx, self.breaker, self.threshold, str(error), probe=self.lease)
            if now.state != "closed":
                await held(tx, now, lineage, step)
        elif counts is None:
            if self.lease:
                await breakers.give_back(tx, self.breaker, self.lease)
        elif self.breaker.failures:
            await breakers.close(tx, self.breaker, probe=self.lease)


def threshold(bundle: Bundle) -> Threshold:
    """Return when breakers open, as a bundle has it."""
    return Threshold(**bundle.settings.breakers.model_dump())


async def passage(tx: Tx, breaker: Breaker, threshold: Threshold, seconds: float) -> Passage:
    """Let a call through. seconds: how long it may take. Raises: Open."""
    if breaker.state == "closed":
        return Passage(breaker, threshold)
    if breaker.wait > 0:
        raise Open(breaker)
    lease = secrets.token_hex(8)
    if not await breakers.probe(tx, breaker, lease, seconds + 1):
        raise Open(replace(breaker, state="half_open", wait=LOOK_AGAIN))
    return Passage(breaker, threshold, lease)


async def through(tx: Tx, bundle: Bundle, tool: str, seconds: float) -> Passage:
    """Let a call of a bundle's tool through, by its breaker as it stands now. Raises: Open."""
    breaker = await breakers.read(tx, "tool", bundle.automation, tool)
    return await passage(tx, breaker, threshold(bundle), seconds)


async def not_open(tx: Tx, bundle: Bundle, tool: str) -> None:
    """Raise Open where a bundle's tool is left alone: it is not asked what became of a call either."""
    breaker = await breakers.read(tx, "tool", bundle.automation, tool)
    if breaker.wait > 0:
        raise Open(breaker)


async def held(tx: Tx, breaker: Breaker, lineage: str, step: str) -> None:
    """Record once for each opening that it holds a step of a run back."""
    until = breaker.opened_until.isoformat() if breaker.opened_until else ""
    body = {"event": "held", "tool": breaker.name, "detail": told(breaker)}
    await records.append(tx, f"{lineage}/{step}/held/{breaker.kind}/{breaker.name}/{until}", "effect", lineage, step, body)


def _counts(error: BaseException) -> bool | None:
    """Tell whether an error is a failure of what was called; None where it says nothing of that."""
    match error:
        case NotStarted() | Incapable():
            return None
        case ToolUnknown() | Broke():
            return True
        case TransientError():
            # Who names a time to come back is well: that time is waited for, by this call alone.
            return error.retry_after is None and not getattr(error, "busy", False)
        case ToolRetry() | ToolFailed() | PermanentError():
            return False
        case _:
            return None
