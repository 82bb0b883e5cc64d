"""Shared state in a run: every conflict is on record, and one that no rule decides is asked of a person."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from activities.requests import asked, terms
from activities.services import digest
from contracts.approvals import Rung
from contracts.errors import BadInput
from database import Tx
from ledger import approvals, records
from ledger.approvals import Request
from memory.shared import conflicts, documents, fields
from memory.shared.conflicts import Conflict, Verdict
from memory.shared.documents import Answer
from memory.shared.edits import Edit
from memory.writes import WriteKey
from policies.bundles import Bundle

TOOL = "shared.write"
"""What a request about a conflict would run: the one action of this module that waits for people."""
SETTLED_AT_ONCE = 50
MOST_SIDE = 1_048_576
"""Bytes of one side of a conflict as canonical JSON: more than any merge keeps."""


@dataclass(frozen=True, slots=True)
class Asker:
    """The run on whose behalf a document is edited, and its bundle, which says whom to ask. ``workflow_id`` is woken by a ruling."""

    lineage: str
    workflow_id: str
    bundle: Bundle
    starter: str
    one_machine: bool = False


async def write(tx: Tx, asker: Asker, key: WriteKey, edit: Edit) -> Answer:
    """Edit a shared document, record its conflicts, and ask a person about the one that no rule decides.

    Safe to retry: the key gives the first answer, records and requests have the conflict's id. Raises: BadInput.
    """
    await _catch_up(tx, edit)
    answer = await documents.edit(tx, key, edit)
    for conflict in answer.conflicts:
        if conflict.state == "open" and conflict.request is None:
            request = _request(tx.tenant, asker, conflict, await approvals.now(tx))
            await approvals.ask(tx, request)
            await conflicts.asked(tx, conflict.id, request.id)
        await _record(tx, conflict, answer.outcome)
    return answer


async def settle(tx: Tx, id: str) -> list[Conflict]:
    """Let a ruling, or silence, take its effect on an open conflict; return what changed, nothing while a person may still rule.

    Safe to retry: a settled conflict stays as it is, and an approval is used up once.
    """
    conflict = await conflicts.read(tx, id)
    if conflict is None or conflict.state != "open":
        return []
    request = await _ended(tx, conflict.request) if conflict.request else None
    if request is None or await _asked_on(tx, conflict, request):
        return []
    settled = await _settled(tx, conflict, await _verdict(tx, conflict, request))
    for one in settled:
        await _record(tx, one, "settled")
    return settled


async def settle_ended(tx: Tx, *, limit: int = SETTLED_AT_ONCE) -> list[Conflict]:
    """Settle the open conflicts whose requests have ended; return what changed."""
    return [one for conflict in await conflicts.open_ones(tx, limit=limit) for one in await settle(tx, conflict.id)]


async def _catch_up(tx: Tx, edit: Edit) -> None:
    # An edit finds the field as the last ruling left it, even where nobody has come by since.
    field = (await documents.read(tx, edit.document)).get(edit.field)
    if field and field.waits:
        await settle(tx, field.waits)


async def _settled(tx: Tx, conflict: Conflict, verdict: Verdict) -> list[Conflict]:
    try:
        return await conflicts.settle(tx, conflict.id, verdict)
    except BadInput as error:
        # What a person wrote cannot be kept: then nothing changes, and that is on record too.
        return await conflicts.settle(tx, conflict.id, Verdict("standing", verdict.by, f"{verdict.reason} ({error})"))


async def _ended(tx: Tx, id: str) -> Request | None:
    """Return a request that no ruling can change any more, or None. One whose time is over is ended here."""
    request = await approvals.read(tx, id)
    if request and request.state == "pending" and request.deadline <= await approvals.now(tx):
        end = next(rung for rung in map(Rung.model_validate, reversed(request.rungs)) if rung.kind == "end")
        await approvals.climb(tx, request, end)
        # A person may have ruled in between, and that stands.
        request = await approvals.read(tx, id)
    return request if request and request.ended else None


async def _asked_on(tx: Tx, conflict: Conflict, edited: Request) -> bool:
    """Ask about an editor's value, where others have to agree to it too; return whether they are asked."""
    alone = [stage.quorum for stage in edited.chain] == [1] and not edited.bound.above
    if edited.state != "superseded" or alone or edited.expires_at <= (now := await approvals.now(tx)):
        return False
    arguments = {"standing": conflict.kept, **(edited.ruling or {})["arguments"]}
    bound = _digest(tx.tenant, conflict, arguments)
    later = now - edited.created_at
    request = replace(
        edited,
        id=approvals.request_id(edited.lineage, edited.step, edited.n, bound, f"run{edited.id}"),
        digest=bound,
        arguments=arguments,
        groups=list(edited.chain[0].groups),
        state="pending",
        rungs=[{**rung, "at": rung["at"] + int(later.total_seconds() * 1000)} for rung in edited.rungs],
        created_at=now,
        expires_at=edited.expires_at + later,
        ruled_by=None,
        ruled_at=None,
        ruling=None,
        stage=0,
        escalated=0,
        editor=edited.ruled_by,
        supersedes=edited.id,
    )
    await approvals.ask(tx, request)
    await conflicts.asked(tx, conflict.id, request.id)
    return True


async def _verdict(tx: Tx, conflict: Conflict, request: Request) -> Verdict:
    said = request.ruling or {}
    by, reason = request.ruled_by or "nobody", str(said.get("reason", ""))
    if request.state == "approved" and await approvals.consume(tx, request, conflict.id, request.digest, request.bundle):
        return Verdict("other", by, f"approved. {reason}".strip(), request.arguments["value"])
    if request.state == "superseded" and request.expires_at > await approvals.now(tx):
        return Verdict("other", by, f"edited. {reason}".strip(), said["arguments"]["value"])
    if request.state == "rejected":
        return Verdict("standing", by, f"rejected. {reason}".strip())
    # Silence, a cancel or a ruling that came too late never changes what stands.
    return Verdict("standing", by, f"the request is {request.state} and was not used in time")


async def _record(tx: Tx, conflict: Conflict, event: str) -> None:
    """Record a conflict with digests of both sides: the values can be erased, and what the record says stays true."""
    sides = {name: fields.digest(fields.canonical(name, value, most=MOST_SIDE, wrapped=True)) for name, value in _sides(conflict).items()}
    body = {
        "event": event, "conflict": conflict.id, "document": conflict.document, "field": conflict.field, "merge": conflict.merge,
        "state": conflict.state, "kept_by": conflict.kept_by, "lost_by": conflict.lost_by, "version": conflict.version,
        "request": conflict.request, **sides,
    }  # fmt: skip
    suffix = "settled" if event == "settled" else "merged"
    await records.append(tx, f"{conflict.id}/{suffix}", "conflict", conflict.lineage, conflict.step, body)


def _sides(conflict: Conflict) -> dict[str, Any]:
    return {"kept": conflict.kept, "lost": conflict.lost, "reason": conflict.reason}


def _request(tenant: str, asker: Asker, conflict: Conflict, now: datetime) -> Request:
    """Return the request about a conflict: approve puts what is proposed, edit another value, reject and silence keep what stands."""
    arguments = {"document": conflict.document, "field": conflict.field, "value": conflict.lost, "standing": conflict.kept}
    bound, step = _digest(tenant, conflict, arguments), f"{conflict.step}/{conflict.id}"
    return Request(
        id=approvals.request_id(asker.lineage, step, 1, bound, "run"),
        lineage=asker.lineage,
        workflow_id=asker.workflow_id,
        step=step,
        n=1,
        tool=TOOL,
        digest=bound,
        arguments=arguments,
        schema=_schema(conflict),
        question="run",
        reason=f"{conflict.lost_by} and {conflict.kept_by} disagree: {conflict.reason}"[:500],
        about={"effect": "write", "guarantee": "idempotent", "reversible": True, "cost_micros": 0, "version": "1"},
        starter=asker.starter,
        **asked(asker.bundle, terms(asker.bundle, (), 0, one_machine=asker.one_machine), now),
    )


def _digest(tenant: str, conflict: Conflict, arguments: dict[str, Any]) -> str:
    return digest({"tool": TOOL, "arguments": arguments, "tenant": tenant, "conflict": conflict.id, "version": conflict.version})


def _schema(conflict: Conflict) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["document", "field", "value"],
        "properties": {
            "document": {"const": conflict.document},
            "field": {"const": conflict.field},
            "value": {"description": "what is to stand"},
            "standing": {"const": conflict.kept, "description": "what stands now, and stays where this is rejected"},
        },
    }
