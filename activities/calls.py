"""One call of a tool: its arguments checked, its time bounded, every end told apart."""

import asyncio
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from pydantic import ValidationError
from temporalio import activity

from activities import metrics
from contracts.errors import ToolFailed, ToolRetry, ToolUnknown, TransientError
from tools.contract import Tool, ToolContext

LOG = structlog.get_logger(__name__)
MARGIN = timedelta(seconds=1)
"""Kept of an attempt's time for recording how its call ended."""


def deadline(tool: Tool) -> datetime:
    """Return when a call that starts now must have ended, UTC: within the tool's own limit and the attempt's."""
    own = datetime.now(UTC) + timedelta(seconds=tool.seconds)
    info = activity.info()
    limit = info.start_to_close_timeout
    return min(own, info.started_time + limit - MARGIN) if limit else own


def parsed(tool: Tool, arguments: Mapping[str, Any]) -> Any:
    """Return the arguments as the tool's model. Raises: ToolRetry naming the fields that do not fit."""
    try:
        return tool.arguments.model_validate(dict(arguments))
    except ValidationError as error:
        said = "; ".join(_said(dict(item)) for item in error.errors(include_url=False)[:5])
        raise ToolRetry(f"the arguments do not fit {tool.name}: {said}") from None


def _said(item: dict[str, Any]) -> str:
    where = ".".join(map(str, item["loc"]))
    return f"`{where}`: {item['msg']}" if where else item["msg"]


async def call(tool: Tool, arguments: Any, context: ToolContext) -> dict[str, Any]:
    """Call a tool once and return its output.

    Raises: ToolRetry, ToolFailed, ToolUnknown where it may have acted, TransientError where it surely did nothing; nothing else.
    """
    result = "done"
    try:
        if missing := [name for name in tool.secrets if name not in context.secrets]:
            raise ToolFailed(f"{tool.name} needs the secret {missing[0]}, which this worker has not: set PERDURE_SECRET_{missing[0]}")
        output = struck(await _called(tool, arguments, context), context.secrets)
    except (ToolRetry, ToolFailed, ToolUnknown, TransientError) as error:
        result = type(error).__name__
        error.args = tuple(struck(list(error.args), context.secrets))
        raise
    except asyncio.CancelledError:
        result = "cancelled"
        raise
    finally:
        metrics.TOOL_CALLS.labels(tool.name, result).inc()
    return output


def struck(value: Any, secrets: Mapping[str, str]) -> Any:
    """Return a value with every secret in it struck out: what a tool answers is kept for good."""
    match value:
        case str():
            for name, secret in secrets.items():
                value = value.replace(secret, f"[{name}]")
            return value
        case dict():
            return {struck(key, secrets): struck(child, secrets) for key, child in value.items()} if secrets else value
        case list():
            return [struck(child, secrets) for child in value] if secrets else value
        case _:
            return value


async def _called(tool: Tool, arguments: Any, context: ToolContext) -> dict[str, Any]:
    writes = tool.effect != "read"
    seconds = (context.deadline - datetime.now(UTC)).total_seconds()
    if seconds <= 0:
        raise TransientError(f"{tool.name} was not started: its time was over")
    try:
        async with asyncio.timeout(seconds):
            result = await tool.call(arguments, context)
    except (ToolRetry, ToolFailed, ToolUnknown, TransientError):
        raise
    except TimeoutError:
        message = f"{tool.name} did not end within {seconds:.0f} s"
        raise (ToolUnknown(f"{message}; it may have acted") if writes else TransientError(message)) from None
    except Exception as error:
        LOG.error("tool broke", tool=tool.name, trace=struck(traceback.format_exc(), context.secrets))
        message = f"{tool.name} broke ({type(error).__name__}: {str(error)[:200]})"
        raise (ToolUnknown(f"{message}; it may have acted") if writes else ToolFailed(message)) from error
    if not isinstance(result, tool.result):
        message = f"{tool.name} answered a {type(result).__name__} and not the {tool.result.__name__} it declares"
        raise ToolUnknown(f"{message}; it may have acted") if writes else ToolFailed(message)
    return result.model_dump(mode="json")
