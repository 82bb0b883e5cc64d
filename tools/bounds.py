"""What bounds one call of a tool: its time, and the size of what goes in and comes out."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from contracts.errors import ToolFailed, ToolRetry, ToolUnknown, TransientError

LOG = structlog.get_logger(__name__)
Said = TypeVar("Said")
MOST_OUTPUT = 8 * 2**20
"""Bytes of JSON that a call may answer with: they are kept for good, and read by every step that refers to them."""
MOST_ARGUMENTS = 16 * 2**20
"""About as many bytes may go in: a plan that refers to one output again and again could fill any memory."""
LEFT = 256 * 2**10
"""Bytes that are kept of an output that was cut: its small fields, among them what names the thing that was made."""
GRACE = 0.5
"""Seconds in which a call that is stopped may still say how it ended."""


class Overdue(Exception):
    """The call did not end in time, and was stopped."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call gave. ``note`` says what of it is not kept, if anything."""

    output: dict[str, Any] = field(default_factory=dict[str, Any])
    note: str = ""


async def within(seconds: float, call: Callable[[], Awaitable[Said]], name: str) -> Said:
    """Await a call for so long. Stopped by the clock or by a cancel, it may still say how it ended; one that ignores that is left alone.

    Raises: Overdue; CancelledError where the caller was cancelled; what the call raises.
    """

    async def called() -> Said:
        return await call()

    task = asyncio.create_task(called())
    try:
        await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        if await _said(task, name):
            return task.result()
        raise
    if not task.done() and not await _said(task, name):
        raise Overdue
    if task.cancelled():
        raise RuntimeError("it cancelled itself")
    return task.result()


async def _said(task: asyncio.Task[Any], name: str) -> bool:
    """Stop a call; return whether it told how it ended. What breaks while it is stopped tells nothing."""
    task.cancel()
    await asyncio.wait({task}, timeout=GRACE)
    if not task.done():
        LOG.error("a tool does not stop", tool=name)
        task.add_done_callback(lambda task: task.cancelled() or task.exception())
        return False
    if task.cancelled():
        return False
    return isinstance(task.exception(), ToolRetry | ToolFailed | ToolUnknown | TransientError | None)


def heavier(value: Any, most: int) -> bool:
    """Tell whether a value has more bytes than that, about, as JSON. What stands in it several times counts as often."""
    rest, total = [value], 0
    while rest and total <= most:
        match rest.pop():
            case str() as text:
                total += len(text)
            case dict() as named:
                total += sum(map(len, named))
                rest += named.values()
            case list() as items:
                total += len(items)
                rest += items
            case _:
                total += 4
    return total > most


def fitted(output: dict[str, Any], *, cut: bool) -> Answer:
    """Return an output as it is kept. cut: leave out the largest fields of one that is too large, for what has acted has acted.

    Raises: ToolFailed where it is too large and may not be cut; ValueError for what JSON cannot say.
    """
    size = _size(output)
    if size <= MOST_OUTPUT:
        return Answer(output)
    said = f"its output has {size / 2**20:.1f} MB, and {MOST_OUTPUT // 2**20} MB is the most"
    if not cut:
        raise ToolFailed(f"{said}: ask for less of it")
    kept, left = _smallest(output)
    return Answer(kept, f"{said}: without {', '.join(left[:5])}{f' and {len(left) - 5} more' if len(left) > 5 else ''}")


def _smallest(output: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    sizes = {name: _size(value) + len(name) for name, value in output.items()}
    kept: dict[str, Any] = {}
    room = LEFT
    for name in sorted(sizes, key=lambda name: sizes[name]):
        room -= sizes[name]
        if room >= 0:
            kept[name] = output[name]
    return kept, [name[:80] for name in output if name not in kept]


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, allow_nan=False).encode(errors="replace"))
