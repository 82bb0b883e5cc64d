"""One call of a tool, wherever it runs: its arguments checked, its time bounded, every end told apart."""

import socket
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx2
import structlog
from pydantic import ValidationError

from contracts.errors import ToolFailed, ToolRetry, ToolUnknown, TransientError
from tools.bounds import MOST_ARGUMENTS, Answer, Overdue, fitted, heavier, within
from tools.contract import Due, Lookup, Tool, ToolContext

LOG = structlog.get_logger(__name__)
WIRE = (ConnectionError, TimeoutError, socket.gaierror, httpx2.TransportError)
"""What breaks between here and a service. A tool that only reads is called again after it."""
STORE = (*WIRE, asyncpg.PostgresError, asyncpg.InterfaceError)
"""Whoever says when it is due reads documents, whose database may be away for a moment."""


class NotStarted(TransientError):
    """The call was not made, for a reason of our own."""


class Incapable(ToolFailed):
    """The call was not made, since this worker cannot make it."""


class Broke(ToolFailed):
    """The tool's own code broke, or answered what it does not declare."""


def parsed(tool: Tool, arguments: Mapping[str, Any]) -> Any:
    """Return the arguments as the tool's model. Raises: ToolRetry naming the fields that do not fit."""
    if heavier(arguments, MOST_ARGUMENTS):
        raise ToolRetry(f"the arguments of {tool.name} have more than {MOST_ARGUMENTS // 2**20} MB: refer to less of what was read")
    try:
        return tool.arguments.model_validate(dict(arguments))
    except ValidationError as error:
        said = "; ".join(_said(dict(item)) for item in error.errors(include_url=False)[:5])
        raise ToolRetry(f"the arguments do not fit {tool.name}: {said}") from None


def _said(item: dict[str, Any]) -> str:
    where = ".".join(map(str, item["loc"]))
    return f"`{where}`: {item['msg']}" if where else item["msg"]


async def call(tool: Tool, arguments: Any, context: ToolContext) -> dict[str, Any]:
    """Call a tool once and return its output. Raises: as `answer`."""
    return (await answer(tool, arguments, context)).output


async def answer(tool: Tool, arguments: Any, context: ToolContext) -> Answer:
    """Call a tool once and return its output, cut where it is too large to be kept.

    A cancel reaches the tool, which has a moment to say how it ended; where it does, that is how the call ended.
    Raises: ToolRetry, ToolFailed, ToolUnknown where it may have acted, TransientError where it surely did nothing; nothing else.
    """
    try:
        if missing := [name for name in tool.secrets if name not in context.secrets]:
            raise Incapable(f"{tool.name} needs the secret {missing[0]}, which is not set where it runs: set PERDURE_SECRET_{missing[0]}")
        found = await _called(tool, arguments, context)
        return Answer(struck(found.output, context.secrets), struck(found.note, context.secrets))
    except (ToolRetry, ToolFailed, ToolUnknown, TransientError) as error:
        error.args = tuple(struck(list(error.args), context.secrets))
        raise


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


async def _called(tool: Tool, arguments: Any, context: ToolContext) -> Answer:
    writes = tool.effect != "read"
    seconds = (context.deadline - datetime.now(UTC)).total_seconds()
    if seconds <= 0:
        raise NotStarted(f"{tool.name} was not started: its time was over")
    try:
        result = await within(seconds, lambda: tool.call(arguments, context), tool.name)
        if not isinstance(result, tool.result):
            raise TypeError(f"it answered a {type(result).__name__} and not the {tool.result.__name__} it declares")
        return fitted(result.model_dump(mode="json"), cut=writes)
    except (ToolRetry, ToolFailed, ToolUnknown, TransientError):
        raise
    except Overdue:
        message = f"{tool.name} did not end within {seconds:.0f} s"
        raise (ToolUnknown(f"{message}; it may have acted") if writes else TransientError(message)) from None
    except Exception as error:
        LOG.error("tool broke", tool=tool.name, trace=struck(traceback.format_exc(), context.secrets))
        message = f"{tool.name} broke ({type(error).__name__}: {str(error)[:200]})"
        if writes:
            raise ToolUnknown(f"{message}; it may have acted") from error
        raise (TransientError(message) if isinstance(error, WIRE) else Broke(message)) from error


async def slot(tool: Tool, arguments: Any, context: ToolContext) -> Due | None:
    """Ask a tool when its action is due; None for at once. Raises: ToolRetry, ToolFailed, or TransientError; nothing else."""
    assert tool.due is not None
    ask = tool.due
    seconds = max(0.0, (context.deadline - datetime.now(UTC)).total_seconds())
    try:
        found = await within(seconds, lambda: ask(arguments, context), tool.name)
        if not isinstance(found, Due | None):  # pyright: ignore[reportUnnecessaryIsInstance] - code of an automation says what it likes
            raise TypeError(f"it answered a {type(found).__name__} and no Due")
        return found
    except (ToolRetry, ToolFailed, TransientError) as error:
        error.args = tuple(struck(list(error.args), context.secrets))
        raise
    except Overdue:
        raise TransientError(f"{tool.name} did not say within {seconds:.0f} s when it is due") from None
    except Exception as error:
        LOG.error("tool broke", tool=tool.name, trace=struck(traceback.format_exc(), context.secrets))
        message = f"{tool.name} broke ({type(error).__name__}) when it was asked when it is due"
        raise (TransientError(message) if isinstance(error, STORE) else Broke(message)) from None


async def looked_up(tool: Tool, key: str, context: ToolContext) -> Lookup | None:
    """Ask a tool what became of the call with this key; None where nobody can tell. Raises: TransientError where it could not be asked."""
    assert tool.lookup is not None
    look = tool.lookup
    seconds = (context.deadline - datetime.now(UTC)).total_seconds()
    try:
        found = await within(max(0.0, seconds), lambda: look(key, context), tool.name)
    except TransientError as error:
        error.args = tuple(struck(list(error.args), context.secrets))
        raise
    except Exception as error:
        said = struck(f"{type(error).__name__}: {str(error)[:200]}", context.secrets)
        raise TransientError(f"{tool.name} could not be asked what became of it ({said})") from error
    if found is None or not found.happened:
        return found
    return Lookup(happened=True, output=fitted(struck(found.output, context.secrets), cut=True).output)
