"""Server-sent events: what happens, as it happens. Source: HTML, section 9.2."""

import json
import random
import time
from collections.abc import AsyncGenerator
from functools import lru_cache
from typing import Any

from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from channels import events, explain
from channels.console.doors import known
from channels.console.templates import iso, plain
from channels.console.visit import Visit
from channels.events import Missed, News
from channels.speech import Progress
from contracts.errors import BadInput
from ledger import runs
from ledger.feed import Entry
from ledger.said_so_far import Saying

EVENTS = "text/event-stream"
AGAIN = "retry: 2000\n\n"
RELOAD = "event: reload\ndata: {}\n\n"
ALIVE = ": still here\n\n"
ASKED_EVERY = 15.0
"""Seconds between two looks whether who watches may."""


async def follow(visit: Visit) -> Response:
    """Stream the records of a tenant, or of one run, from where the page was made or the browser was cut off."""
    after = visit.request.headers.get("last-event-id") or visit.query("after")
    if not after:
        raise BadInput("`after` is missing: the mark that the page was made at")
    events.position(after)
    lineage = None
    if named := visit.query("run"):
        async with visit.house.database.transaction(visit.tenant) as tx:
            found = await runs.find(tx, named)
        if found is None:
            raise BadInput(f"there is no run {named[:80]!r} here")
        lineage = found.lineage
    # Looked at last: from here to the answer's first byte nobody else has a turn, so twenty are twenty.
    if visit.house.streams.full(_whose(visit)):
        why = f"{visit.person.id} has {visit.house.streams.most} live pages open, which is the most: close one and load this page again\n"
        return PlainTextResponse(why, 429)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    if visit.request.method == "HEAD":
        # What has no body would never end, and keep its connection and a seat.
        return Response(media_type=EVENTS, headers=headers)
    return _Stream(visit, _told(visit, lineage, after), media_type=EVENTS, headers=headers)


def _whose(visit: Visit) -> tuple[str, str]:
    return visit.tenant, visit.person.id


class _Stream(StreamingResponse):
    """A stream that takes one of its person's seats for as long as it is open."""

    def __init__(self, visit: Visit, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._visit = visit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._visit.house.streams.taken(_whose(self._visit)):
            await super().__call__(scope, receive, send)


async def _told(visit: Visit, lineage: str | None, after: str) -> AsyncGenerator[str]:
    yield AGAIN
    # Pages that came together do not ask together.
    asked = time.monotonic() - random.uniform(0, ASKED_EVERY)
    try:
        async for news in events.entries(visit.house.publisher, visit.house.database, visit.tenant, lineage, after):
            yield "".join(told(one) for one in news) or ALIVE
            if time.monotonic() - asked > ASKED_EVERY:
                # A session may have ended since, and a person may have been disabled.
                if not await known(visit):
                    return
                asked = time.monotonic()
    except Missed:
        yield RELOAD


def told(one: News) -> str:
    """Write one event. Its text is for eyes: the page shows it as text, never as markup."""
    return _said(one) if isinstance(one, Progress) else _recorded(one)


@lru_cache(1000)
def _recorded(entry: Entry) -> str:
    """Write one record, once for all the pages that watch."""
    moment = explain.moment({"kind": entry.kind, "body": entry.body, "step": entry.step, "at": entry.at}, {})
    data = {
        "seq": entry.seq, "kind": entry.kind, "event": entry.body.get("event"), "lineage": entry.lineage, "step": entry.step,
        "at": iso(entry.at), "text": plain(moment.text), "notes": [plain(note) for note in moment.notes],
        "request": entry.body.get("request"),
    }  # fmt: skip
    return f"id: {entry.id}\nevent: record\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def _said(progress: Progress) -> str:
    """Write what models say. It has no id: who comes back is told the whole, and the last record's id is where the records go on."""
    calls = [saying(call) for call in progress.calls]
    data = {"whole": progress.whole, "calls": calls, "gone": ["/".join(map(str, key[1:])) for key in progress.gone]}
    return f"event: saying\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def saying(call: Saying) -> dict[str, Any]:
    """Return what a page shows of one call. anew: its text takes the place of what was there, of which something was missed."""
    return {
        "id": "/".join(map(str, call.key[1:])), "step": plain(call.step), "attempt": call.fence, "call": call.idx, "state": call.state,
        "anew": call.anew, "text": plain(call.text),
    }  # fmt: skip
