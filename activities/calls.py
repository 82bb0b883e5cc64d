"""One call of a tool from an activity: within the attempt's time, and counted."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import activity

from activities import metrics
from contracts.errors import ToolFailed, ToolRetry, ToolUnknown, TransientError
from tools import calls
from tools.bounds import Answer
from tools.calls import looked_up, parsed, slot
from tools.contract import Tool, ToolContext

__all__ = ["answer", "call", "deadline", "looked_up", "parsed", "slot"]

MARGIN = timedelta(seconds=1)
"""Kept of an attempt's time for recording how its call ended."""


def deadline(tool: Tool) -> datetime:
    """Return when a call that starts now must have ended, UTC: within the tool's own limit and the attempt's."""
    own = datetime.now(UTC) + timedelta(seconds=tool.seconds)
    info = activity.info()
    limit = info.start_to_close_timeout
    return min(own, info.started_time + limit - MARGIN) if limit else own


async def call(tool: Tool, arguments: Any, context: ToolContext) -> dict[str, Any]:
    """Call a tool once, count how it ended, and return its output. Raises: what `tools.calls.answer` does."""
    return (await answer(tool, arguments, context)).output


async def answer(tool: Tool, arguments: Any, context: ToolContext) -> Answer:
    """Do the same, and return with the output what is to be said of it."""
    result = "done"
    try:
        return await calls.answer(tool, arguments, context)
    except (ToolRetry, ToolFailed, ToolUnknown, TransientError) as error:
        result = type(error).__name__
        raise
    except asyncio.CancelledError:
        result = "cancelled"
        raise
    finally:
        metrics.TOOL_CALLS.labels(tool.name, result).inc()
