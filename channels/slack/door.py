"""The door: what Slack signed comes in, once; all else is refused and put on record."""

import asyncio
import hashlib
import hmac
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import parse_qs

import asyncpg
import structlog
from slack_bolt import BoltResponse
from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from activities import metrics
from channels.refusals import Refusals
from channels.slack import postings, who
from channels.slack.parts import ANSWER_SECONDS
from channels.slack.work import Work
from database import Database

LOG = structlog.get_logger(__name__)
SKEW = 300
"""Seconds by which Slack's time and ours may differ, either way. Source: Slack's reference on verifying requests."""
MOST_BYTES = 1_000_000
MOST_ANSWERS = 1000
PATH = "/slack/events"
Answering = Callable[[], Coroutine[Any, Any, BoltResponse]]


class Once:
    """Takes each delivery once. One that comes again while the first is known here gets the first's answer."""

    def __init__(self, database: Database, tenant: str, work: Work) -> None:
        self._database = database
        self._tenant = tenant
        self._work = work
        self._answers: OrderedDict[str, asyncio.Task[BoltResponse]] = OrderedDict()

    async def taken(self, ids: list[str]) -> frozenset[str]:
        """Take a delivery by its ids; return those that nobody, in any process, had taken."""
        # All that an answer waits for beside the signature: one statement, in one round trip.
        async with asyncio.timeout(ANSWER_SECONDS), self._database.once(self._tenant) as tx:
            return await postings.take(tx, ids)

    async def answer(self, id: str, *, fresh: bool, work: Answering) -> BoltResponse:
        """Answer a delivery: do the work for the first, repeat its answer for another."""
        if fresh:
            self._answers[id] = self._work.start(work(), "a delivery")
            while len(self._answers) > MOST_ANSWERS:
                self._answers.popitem(last=False)
        before = self._answers.get(id)
        return await asyncio.shield(before) if before else BoltResponse(status=200, body="")


class Door:
    """Deliveries over HTTP. secret: returns the signing secret, read anew each time so that it may be rotated."""

    def __init__(self, database: Database, tenant: str, app: AsyncApp, once: Once, secret: Callable[[], str | None]) -> None:
        self._database = database
        self._tenant = tenant
        self._app = app
        self._once = once
        self._secret = secret
        self._refusals = Refusals(database, who.CHANNEL)

    @property
    def application(self) -> Starlette:
        """The routes."""
        return Starlette(routes=[Route(PATH, self.enter, methods=["POST"]), Route("/healthz", self.health, methods=["GET"])])

    async def enter(self, request: Request) -> Response:
        """Let a delivery in, or refuse it: 401 where Slack did not send it now, 503 where we cannot take it."""
        body = await _read(request)
        if body is None:
            return PlainTextResponse("too large", 413)
        try:
            return await self._entered(request, body)
        except Exception as error:
            # Most often Postgres: nobody can tell whether it came before, so nothing is done, and Slack shows that it failed.
            LOG.error("a delivery could not be taken", error=f"{type(error).__name__}: {error}")
            return PlainTextResponse("unavailable", 503)

    async def health(self, request: Request) -> Response:
        """Tell whether deliveries can be taken."""
        try:
            await self._database.check()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            return PlainTextResponse(f"{type(error).__name__}\n", 503)
        return PlainTextResponse("ok\n")

    async def _entered(self, request: Request, body: bytes) -> Response:
        stamp, signature = (request.headers.get(f"x-slack-{name}", "") for name in ("request-timestamp", "signature"))
        if why := problem(self._secret(), stamp, signature, body, time.time()):
            return await self._refuse(why)
        try:
            text = body.decode()
            id = delivery(text)
        except ValueError:
            return await self._refuse("it is signed, and no text")
        mark = f"signature {hashlib.sha256(signature.encode()).hexdigest()}"
        fresh = await self._once.taken([mark, id] if id else [mark])
        if mark not in fresh:
            return await self._again(request, id or mark)
        given = AsyncBoltRequest(body=text, query=str(request.query_params), headers=dict(request.headers))
        answer = await self._once.answer(id or mark, fresh=(id or mark) in fresh, work=lambda: self._app.async_dispatch(given))
        return Response(answer.body, answer.status, answer.first_headers_without_set_cookie())

    async def _again(self, request: Request, id: str) -> Response:
        """Refuse a replay. Where it says that it is Slack's own repetition, of the same second, it gets the first's answer once more."""
        refused = await self._refuse("it is a replay: this signature was taken before")
        if "x-slack-retry-num" not in request.headers:
            return refused
        # Nobody signs that header: whoever sends it learns what the first was told, and nothing is done.
        answer = await self._once.answer(id, fresh=False, work=lambda: self._app.async_dispatch(AsyncBoltRequest(body="")))
        return Response(answer.body, answer.status, answer.first_headers_without_set_cookie())

    async def _refuse(self, why: str) -> Response:
        metrics.REFUSALS.labels(who.CHANNEL).inc()
        body = {"event": "refused", "signal": "slack delivery", "by": "somebody over HTTP", "why": why, "channel": who.CHANNEL}
        # Counted by the reason, which is one of a few; what goes with it is anybody's.
        await self._refusals.put(self._tenant, why.partition(":")[0], body)
        return PlainTextResponse("not from Slack", 401)


def problem(secret: str | None, stamp: str, signature: str, body: bytes, now: float) -> str | None:
    """Say why a delivery is not Slack's own of this moment, or None.

    Source: Slack's reference on verifying requests (`v0:{timestamp}:{raw body}`, HMAC-SHA256).
    """
    if not secret:
        return "there is no signing secret here"
    if not (stamp.isascii() and stamp.isdecimal() and len(stamp) <= 12):
        return "its time is no number"
    if abs(off := int(stamp) - now) > SKEW:
        said = f"{abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} this machine's clock"
        return f"its time is more than five minutes off: {said}; where all that comes from Slack is so, this clock is wrong"
    right = "v0=" + hmac.new(secret.encode(), b"v0:" + stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    # Bytes, since a text that is not ASCII cannot be compared in constant time.
    return None if hmac.compare_digest(right.encode(), signature.encode()) else "its signature is wrong"


def delivery(text: str) -> str:
    """Return what a delivery and its repetitions share, empty where it has nothing of the kind. Raises: ValueError."""
    if text.lstrip()[:1] in ("{", "["):
        return of_payload(json.loads(text))
    form = parse_qs(text, keep_blank_values=True)
    if "payload" in form:
        return of_payload(json.loads(form["payload"][0]))
    return f"trigger {form['trigger_id'][0][:100]}" if "trigger_id" in form else ""


def of_payload(payload: Any) -> str:
    """Return the same of a payload."""
    if not isinstance(payload, dict):
        raise ValueError("it is no object")
    for name, word in (("event_id", "event"), ("trigger_id", "trigger")):
        if isinstance(found := payload.get(name), str) and found:
            return f"{word} {found[:100]}"
    return ""


async def _read(request: Request) -> bytes | None:
    """Return the body, None where it is larger than any of Slack's."""
    parts, size = list[bytes](), 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            return None
        parts.append(part)
    return b"".join(parts)
