"""What `reconcile` and `memory expire` are asked and what they answer."""

from typing import Literal

from pydantic import Field

from contracts.message import Message, Strict
from contracts.runs import TENANT


class ReconcileRequest(Strict):
    """Compare the ledger of a tenant with Temporal."""

    tenant: str = Field(pattern=TENANT)
    dry_run: bool = False
    """Say what would be done, and do nothing."""
    lost: bool = False
    """A person says that Temporal's database was lost: without that word, runs are not closed because Temporal knows none of them."""
    restored: bool = False
    """A person says that Postgres is from a backup: what Temporal's histories know beyond it is written down."""


class Finding(Message):
    """One thing that did not agree, and what became of it."""

    kind: Literal["run", "reservation", "request", "effect", "wake", "refused"]
    run: str
    what: str
    done: str


class ReconcileResult(Message):
    """How a comparison ended. ``findings`` are the first hundred of ``count``."""

    runs: int
    """Runs under way that were compared."""
    count: int
    findings: tuple[Finding, ...] = ()


class ExpireRequest(Strict):
    """Take away what is over a tenant's retention policy."""

    tenant: str = Field(pattern=TENANT)


class ExpireResult(Message):
    """How many rows went. ``gone``: what of memory -> rows; empty where the tenant has no policy."""

    gone: dict[str, int] = {}
