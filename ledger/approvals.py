"""Approvals: the row is the truth, and `rule` is the only function that rules on it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from contracts.approvals import RuleResult, Ruling, Wake
from contracts.errors import BadInput
from contracts.schemas import Checker, said
from database import Tx
from ledger import outbox, records, reviews, signatures, testimonies, votes
from ledger.directory import Person
from ledger.endings import cancel_open, climb, consume, make_stale, withdraw
from ledger.requests import COLUMNS, Request, ask, latest, now, of_run, open_requests, read, request_id, waiting
from ledger.signatures import Word
from ledger.votes import GLASS, TWO, Standing, Voice, Vote
from ledger.wording import written

__all__ = [
    "Judge", "Request", "ask", "cancel_open", "climb", "consume", "edit_problem", "latest", "make_stale", "now", "of_run",
    "open_requests", "read", "request_id", "rule", "waiting", "withdraw",
]  # fmt: skip
# Whose clock is right is not asked: what is early, late or run out is so by the database's.
LOCK = f"SELECT {COLUMNS}, clock_timestamp() AS now FROM approval WHERE tenant = $1 AND id = $2 FOR UPDATE"  # noqa: S608
ADVANCE = "UPDATE approval SET stage = $3, groups = $4 WHERE tenant = $1 AND id = $2 AND state = 'pending'"
DECIDE = "UPDATE approval SET state = $3, ruled_by = $4, ruled_at = now(), ruling = $5 WHERE tenant = $1 AND id = $2 AND state = 'pending'"
DIGEST_SEEN = 8  # characters of a digest that say which action was seen; a card shows 12
STATES = {"approve": "approved", "reject": "rejected", "edit": "superseded"}
WORDS = {"approve": "approved", "reject": "rejected", "edit": "edited"}
GLASS_REASON = 20
"""Characters of the reason for which the glass may be broken."""

Judge = Callable[[Tx, Request, Mapping[str, Any]], Awaitable[str | None]]
"""Says why the rules deny an action with these arguments, or None."""


async def rule(
    tx: Tx,
    ruling: Ruling,
    *,
    channel: str,
    trusted: bool,
    who: Person | None = None,
    claim: str = "",
    key: str | None = None,
    judge: Judge | None = None,
) -> RuleResult:
    """Rule on a request, or say why not. Every channel ends here.

    who: whom the channel proved to be speaking; it counts, whatever the ruling says of itself.
    trusted: the channel proved who is speaking, or this is the one-machine stack and the request allows unsigned rulings.
    claim: names a claim that the waiting workflow itself hands over; it needs no wake-up, and when retried gets its first answer.
    key: what signed rulings are checked with. judge: says at once what the rules think of an edit.
    A refusal is a result; the caller records it.
    """
    row = await tx.row(LOCK, tx.tenant, ruling.request)
    if row is None:
        return RuleResult(accepted=False, message=f"unknown request {ruling.request!r}", request=ruling.request)
    request, before = Request.from_row(row), await votes.of(tx, ruling.request)
    if claim and (first := next((vote for vote in before if vote.claim == claim), None)):
        return _answer(request, before, first)
    if who is not None:
        # An identity in a body is never enough.
        ruling = ruling.model_copy(update={"by": who.id})
    refused = _ended(request, row["now"])
    proof = refused or _proof(tx, request, ruling, row["now"], who, trusted=trusted, key=key)
    if isinstance(proof, str):
        return RuleResult(accepted=False, message=proof, request=request.id, ended=request.ended)
    voice = await votes.voice(tx, ruling.by, who)
    ruling = ruling.model_copy(update={"by": voice.person})
    standing = Standing(request.groups, request.bound, request.starter, request.editor, before)
    refused = _refusal(request, ruling, voice, standing)
    if refused is None and voice.groups is None and proof:
        refused = f"not allowed: {ruling.by} is not in the directory (any more)"
    if refused is None and ruling.verdict == "edit" and judge:
        refused = await judge(tx, request, ruling.arguments or {})
    if refused is None and proof and not await signatures.use(tx, proof):
        refused = "its token was used before"
    if refused is not None:
        return RuleResult(accepted=False, message=refused, request=request.id, ended=request.ended)
    return await _taken(tx, request, ruling, voice, standing, channel, claim)


def _ended(request: Request, now: datetime) -> str | None:
    if request.state == "expired" or (request.state == "pending" and request.deadline <= now):
        return f"expired at {request.deadline:%Y-%m-%d %H:%M:%S} UTC"
    if request.ended:
        who = f" by {request.ruled_by} at {request.ruled_at:%Y-%m-%d %H:%M:%S} UTC" if request.ruled_by and request.ruled_at else ""
        return f"already decided{who}: {request.state}"
    return None


def _proof(
    tx: Tx, request: Request, ruling: Ruling, now: datetime, who: Person | None, *, trusted: bool, key: str | None
) -> Word | str | None:
    """Return the signed word by which a ruling is believed, None where it needs none, or why it is not believed."""
    if who is None and ruling.token is not None and (key or not trusted):
        return signatures.read(key, ruling.token, tx.tenant, ruling, request.digest, now)
    return None if trusted else "not proved who is speaking: this installation believes signed rulings only"


def _refusal(request: Request, ruling: Ruling, voice: Voice, standing: Standing) -> str | None:
    if ruling.digest is not None and (len(ruling.digest) < DIGEST_SEEN or not request.digest.startswith(ruling.digest)):
        return f"the action is not the one that was seen: its digest begins {request.digest[:12]}"
    if problem := standing.problem(voice, _weight(ruling)):
        return problem
    if ruling.break_glass and (ruling.verdict != "approve" or len(written(ruling.reason)) < GLASS_REASON):
        return f"breaking the glass goes with the verdict `approve` and a written reason of {GLASS_REASON} characters or more"
    if ruling.verdict == "reject" and not written(ruling.reason):
        return "a rejection needs a reason"
    if (ruling.happened or ruling.output is not None) and (problem := testimonies.problem(request, ruling)):
        return problem
    if ruling.arguments == request.arguments:
        return "this edit changes nothing: approve it as it is"
    if ruling.verdict != "edit":
        return None if ruling.arguments is None else "`arguments` go with the verdict `edit` only"
    return edit_problem(request.schema, ruling.arguments)


def _weight(ruling: Ruling) -> str:
    """Return as what a ruling counts where it is asked who may say it: who says that it happened must be one who could approve it."""
    if ruling.break_glass:
        return GLASS
    return "approve" if ruling.happened else ruling.verdict


async def _taken(tx: Tx, request: Request, ruling: Ruling, voice: Voice, standing: Standing, channel: str, claim: str) -> RuleResult:
    """Keep a vote that counts, move the request on, and record it."""
    verdict = GLASS if ruling.break_glass else ruling.verdict
    behalf = None if ruling.break_glass else standing.behalf(voice, _weight(ruling))
    vote = Vote(voice.person, request.stage, verdict, channel, behalf, voice.role, ruling.reason, claim)
    await votes.put(tx, request.id, vote)
    said = [*standing.said, vote]
    unsaid = {"token"} if ruling.happened else {"token", "happened", "output"}
    body = {**ruling.model_dump(mode="json", exclude=unsaid), "channel": channel, "claim": claim}
    body |= {"behalf": behalf} if behalf else {}
    state = _state(request, said, vote)
    moved = replace(request, state=state, ruled_by=ruling.by)
    if state == "pending":
        moved = await _moved(tx, request, said, vote)
        event = "break_glass_called" if vote.verdict == GLASS else "voted"
        name = f"{request.id}/{event}/{vote.person}"
    else:
        event, name = state, f"{request.id}/ruled"
        body |= {"votes": [f"{one.person} for {one.behalf}" if one.behalf else one.person for one in said]} if len(said) > 1 else {}
        await tx.execute(DECIDE, tx.tenant, request.id, state, ruling.by, body)
        if not claim:
            await outbox.put(tx, request.workflow_id, Wake(request=request.id))
    await records.append(tx, name, "ruling", request.lineage, request.step, {"event": event, **body, "tool": request.tool})
    if state == "approved" and vote.verdict == GLASS:
        await reviews.open_review(tx, request.id, request.lineage, request.step, [one.person for one in said if one.verdict == GLASS])
    return _answer(moved, said, vote)


def _state(request: Request, said: Sequence[Vote], vote: Vote) -> str:
    """Return the state after a vote."""
    if vote.verdict == GLASS:
        return "approved" if sum(one.verdict == GLASS for one in said) >= TWO else "pending"
    if vote.verdict != "approve":
        return STATES[vote.verdict]
    stages = request.chain
    last = request.stage >= len(stages) - 1
    return "approved" if last and votes.agreed(said, request.stage) >= stages[-1].quorum else "pending"


async def _moved(tx: Tx, request: Request, said: Sequence[Vote], vote: Vote) -> Request:
    """Go on to the next stage where this one's quorum is met; who was escalated to may rule there too."""
    stages = request.chain
    if vote.verdict != "approve" or votes.agreed(said, request.stage) < stages[request.stage].quorum:
        return request
    wider = (group for groups in request.bound.escalation[: request.escalated] for group in groups)
    moved = replace(request, stage=request.stage + 1, groups=sorted({*stages[request.stage + 1].groups, *wider}))
    await tx.execute(ADVANCE, tx.tenant, request.id, moved.stage, moved.groups)
    return moved


def _answer(request: Request, said: Sequence[Vote], vote: Vote) -> RuleResult:
    if vote.verdict == GLASS and not request.ended:
        message = f"break-glass called by {vote.person}: another person must agree"
    else:
        message = f"{WORDS.get(vote.verdict, 'approved')} by {vote.person}" + (f" for {vote.behalf}" if vote.behalf else "")
    if not request.ended and vote.verdict == "approve":
        missing = request.chain[request.stage].quorum - votes.agreed(said, request.stage)
        message += f"; {missing} more of {', '.join(request.groups)} must agree"
    return RuleResult(accepted=True, message=message, request=request.id, ended=request.ended)


def edit_problem(schema: Mapping[str, Any], arguments: Mapping[str, Any] | None) -> str | None:
    """Say why edited arguments cannot run, naming the field, or None."""
    if arguments is None:
        return "an edit needs `arguments`: the whole arguments to run instead"
    try:
        errors = Checker({"additionalProperties": False, **schema}).errors(dict(arguments))
    except BadInput as error:
        return f"the arguments cannot be checked: {error}"
    return "; ".join(f"{'.'.join(map(str, error.path)) or 'arguments'}: {said(error)}" for error in errors[:5]) or None
