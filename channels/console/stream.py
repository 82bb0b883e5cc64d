"""Server-sent events: what happens, as it happens. Source: HTML, section 9.2."""

import json
import time
from collections.abc import AsyncGenerator

from starlette.responses import Response, StreamingResponse

from channels import events, explain
from channels.console.doors import known
from channels.console.templates import iso, plain
from channels.console.visit import Visit
from channels.events import Missed
from contracts.errors import BadInput
from ledger import runs
from ledger.feed import Entry

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
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_told(visit, lineage, after), media_type="text/event-stream", headers=headers)


async def _told(visit: Visit, lineage: str | None, after: str) -> AsyncGenerator[str]:
    yield AGAIN
    asked = time.monotonic()
    try:
        async for entry in events.entries(visit.house.publisher, visit.house.database, visit.tenant, lineage, after):
            yield told(entry) if entry else ALIVE
            if time.monotonic() - asked > ASKED_EVERY:
                # A session may have ended since, and a person may have been disabled.
                if not await known(visit):
                    return
                asked = time.monotonic()
    except Missed:
        yield RELOAD


def told(entry: Entry) -> str:
    """Write one event. Its text is for eyes: the page shows it as text, never as markup."""
    moment = explain.moment({"kind": entry.kind, "body": entry.body, "step": entry.step, "at": entry.at}, {})
    data = {
        "seq": entry.seq, "kind": entry.kind, "event": entry.body.get("event"), "lineage": entry.lineage, "step": entry.step,
        "at": iso(entry.at), "text": plain(moment.text), "notes": [plain(note) for note in moment.notes],
        "request": entry.body.get("request"),
    }  # fmt: skip
    return f"id: {entry.id}\nevent: record\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
