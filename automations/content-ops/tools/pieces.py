"""What all tools of a piece share: how long they take and are remembered, its documents, and the services it goes to."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel

from tools import ToolContext, ToolFailed

# A document refuses a second write of the same key for as long as it exists.
KEPT = timedelta(days=3650)
# What a service that takes Idempotency-Key can be expected to remember.
REMEMBERED = timedelta(hours=24)
# After a crash a claim waits until its attempt must have ended, so these are as short as their work allows.
QUICK, CALLS = 10.0, 20.0
Channel = Literal["blog", "newsletter", "social"]


class Nothing(BaseModel):
    """An undo has no output."""


def id_of(context: ToolContext) -> str:
    """Return the id of the document that this step makes."""
    # Run ids that begin alike are common (they begin with the time), so the whole id and the step are hashed.
    return f"{context.lineage[:8]}-{hashlib.sha256(f'{context.lineage}/{context.step}'.encode()).hexdigest()[:10]}"


async def own(context: ToolContext, kind: str, id: str) -> dict[str, Any]:
    """Return a document that this run made, or that a fork took over: an edit may not point at another run's."""
    found = await document(context, kind, id)
    if found["lineage"] not in (context.lineage, *context.ancestors):
        raise ToolFailed(f"the {kind} {id!r} belongs to another run: keep the one that the step had")
    return found


async def document(context: ToolContext, kind: str, id: str) -> dict[str, Any]:
    """Return a document's body. Raises: ToolFailed where there is none."""
    found = await context.documents.get(kind, id)
    if found is None:
        raise ToolFailed(f"there is no {kind} {id!r}")
    return found.body


def digest(key: str) -> str:
    """Return what names a key where its own signs cannot stand."""
    return hashlib.sha256(key.encode()).hexdigest()


def endpoint(context: ToolContext, name: str) -> str:
    """Return the address of a service. Raises: ToolFailed where this worker has none."""
    if not context.endpoints.get(name):
        raise ToolFailed(f"no endpoint {name!r} is configured on this worker; there are: {', '.join(sorted(context.endpoints)) or 'none'}")
    return context.endpoints[name].rstrip("/")


def patience(context: ToolContext) -> float:
    """Return for how many seconds a service may be waited for."""
    return max(0.5, min(30.0, (context.deadline - datetime.now(UTC)).total_seconds() - 1))
