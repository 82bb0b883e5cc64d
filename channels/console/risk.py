"""How much could go wrong with a request, from what its tool declares; and which requests ask the same."""

import hashlib
import json
from collections.abc import Sequence
from typing import Literal

from ledger.approvals import Request

Risk = Literal["low", "medium", "high"]
RISKS: tuple[Risk, ...] = ("low", "medium", "high")


def risk(request: Request) -> Risk:
    """Return high for what cannot be undone or is not known, medium for what leaves the house or is about what failed, else low.

    `ledger.inbox.RISK` says the same of many.
    """
    if request.about.get("reversible") is not True or request.terms.get("above"):
        return "high"
    return "low" if request.about.get("effect") in ("read", "write") and request.question == "run" else "medium"


def sameness(request: Request) -> str:
    """Return a name that requests share which ask for the same, whatever run and step they are of."""
    asked = [request.tool, request.arguments, request.groups, request.reason, request.question]
    return hashlib.sha256(json.dumps(asked, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]


def together(requests: Sequence[Request]) -> str | None:
    """Say why requests cannot be approved with one word, or None where they can: identical ones of low risk."""
    if len({sameness(request) for request in requests}) > 1:
        return "these are not identical: only requests for the same action with the same arguments can be approved together"
    if any(risk(request) != "low" for request in requests):
        return "only what is of low risk can be approved together: it can be undone, and stays in the house"
    return None
