"""Tools whose effects happen in another process, one for each way in which a tool can be made safe."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx2
from pydantic import BaseModel

from tools import Lookup, ToolContext, ToolFailed, ToolUnknown, TransientError, tool

KEPT = timedelta(days=1)
SECONDS = 2.0


class Errand(BaseModel):
    what: str = ""
    ask: bool = False
    fail: str = ""
    """failed, busy, unknown or broken: how the call ends; `unknown` and `broken` act first. With `:N` only the first N tries do."""


class Run(BaseModel):
    id: str


class Nothing(BaseModel):
    pass


async def _send(context: ToolContext, method: str, path: str, body: Mapping[str, Any] | None = None, **query: str) -> dict[str, Any]:
    """Call the receiver once. Raises: TransientError where it surely did nothing, ToolUnknown where nobody saw its answer."""
    try:
        async with httpx2.AsyncClient(timeout=httpx2.Timeout(SECONDS, connect=1.0), trust_env=False) as client:
            url = context.endpoints["receiver"] + path
            reply = await client.request(method, url, json=body, params=query, headers={"Idempotency-Key": context.key})
            return reply.raise_for_status().json()
    except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
        raise TransientError(f"the receiver cannot be reached ({type(error).__name__})", retry_after=0.2) from None
    except (httpx2.HTTPError, ValueError) as error:
        raise ToolUnknown(f"the receiver did not answer ({type(error).__name__})") from None


async def _told(fail: str, context: ToolContext) -> str:
    """Return how this call was told to end."""
    how, _, times = fail.partition(":")
    if not how:
        return ""
    nth = (await _send(context, "POST", f"/tries/{context.lineage}/{context.step}"))["nth"]
    return how if nth <= int(times or 1_000_000) else ""


async def _run(arguments: Errand, context: ToolContext, path: str) -> Run:
    told = await _told(arguments.fail, context)
    if told == "failed":
        raise ToolFailed("told to fail")
    if told == "busy":
        raise TransientError("told to be busy")
    body = {"run": context.lineage, "step": context.step, "what": arguments.what}
    reply = await _send(context, "POST", path, body)
    if told == "unknown":
        raise ToolUnknown("told to lose its answer")
    if told == "broken":
        raise ValueError("told to break")
    return Run(id=reply["id"])


@tool("errand.kept", effect="write", guarantee="idempotent", key_ttl=KEPT, compensate_with="errand.drop", seconds=SECONDS)
async def kept(arguments: Errand, context: ToolContext) -> Run:
    """Run an errand for somebody who remembers the key."""
    return await _run(arguments, context, "/kept")


@tool("errand.quick", effect="write", guarantee="idempotent", key_ttl=KEPT, compensate_with="errand.drop", seconds=SECONDS, quick=True)
async def quick(arguments: Errand, context: ToolContext) -> Run:
    """Run an errand beside the workflow task."""
    return await _run(arguments, context, "/kept")


@tool("errand.plain", effect="write", guarantee="guarded", compensate_with="errand.drop", seconds=SECONDS)
async def plain(arguments: Errand, context: ToolContext) -> Run:
    """Run an errand for somebody who remembers nothing and cannot be asked."""
    return await _run(arguments, context, "/plain")


async def _find(key: str, context: ToolContext) -> Lookup:
    try:
        happened = (await _send(context, "GET", "/effects", key=key))["happened"]
    except ToolUnknown as error:
        raise TransientError(str(error)) from None
    return Lookup(happened=happened, output={"id": key} if happened else {})


@tool("errand.found", effect="write", guarantee="guarded", compensate_with="errand.drop", lookup=_find, seconds=SECONDS)
async def found(arguments: Errand, context: ToolContext) -> Run:
    """Run an errand for somebody who remembers nothing and can be asked."""
    return await _run(arguments, context, "/plain")


@tool("errand.final", effect="write", guarantee="idempotent", key_ttl=KEPT, irreversible=True, seconds=SECONDS, cost_micros=7)
async def final(arguments: Errand, context: ToolContext) -> Run:
    """Run an errand that costs something and cannot be taken back."""
    return await _run(arguments, context, "/kept")


@tool("errand.dear", effect="write", guarantee="idempotent", key_ttl=KEPT, irreversible=True, seconds=SECONDS, cost_micros=10_000_000)
async def dear(arguments: Errand, context: ToolContext) -> Run:
    """Run an errand that costs more than any run has."""
    return await _run(arguments, context, "/kept")


@tool("errand.drop", effect="write", guarantee="idempotent", key_ttl=KEPT, irreversible=True, seconds=SECONDS)
async def drop(arguments: Run, context: ToolContext) -> Nothing:
    """Take an errand back."""
    await _send(context, "POST", "/kept", {"run": context.lineage, "step": context.step, "drops": arguments.id})
    return Nothing()


class Look(BaseModel):
    what: str = ""


class Seen(BaseModel):
    happened: bool


@tool("errand.look", effect="read", guarantee="pure", seconds=SECONDS)
async def look(arguments: Look, context: ToolContext) -> Seen:
    """Look whether something has happened."""
    try:
        return Seen(happened=(await _send(context, "GET", "/effects", key=arguments.what))["happened"])
    except ToolUnknown as error:
        raise TransientError(str(error)) from None
