"""Doubt: what may have happened although the ledger does not know it is claimed as by an attempt whose time is over."""

from datetime import UTC, datetime

from activities.actions import claim_of
from activities.calls import parsed
from contracts.errors import BadInput, ToolFailed, ToolRetry
from ledger.effects import Claim
from ledger.views import ActionView
from policies.references import resolve
from tools.registry import Registry


def claim(registry: Registry, automation: str, view: ActionView) -> Claim | None:
    """Return the claim by which a person is asked before a step is done again; None where that need not be.

    A key may be called again, and a look-up answers, whatever the ledger has lost. What cannot run does not run again either.
    """
    try:
        tool = registry.tool(automation, view.step.tool)
        arguments = parsed(tool, resolve(view.step.arguments, view.outputs)).model_dump(mode="json")
    except (BadInput, ToolRetry, ToolFailed):
        return None
    if tool.guarantee != "guarded" or tool.lookup is not None:
        return None
    return claim_of(view, tool, arguments, datetime.now(UTC))
