"""What people press and send: each is a claim on one request, handed to the desk, which rules."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from channels.slack import forms, home, who
from channels.slack.markup import Block, mrkdwn
from channels.slack.parts import ANSWER_SECONDS, Parts
from channels.slack.who import CHANNEL, Sender
from channels.slack.workspace import Refused
from contracts.approvals import RuleResult, Ruling
from contracts.errors import BadInput, TransientError
from ledger import approvals
from ledger.approvals import Request

Ack = Callable[..., Awaitable[Any]]
Payload = dict[str, Any]
LATE = "Slack's time for opening the form ran out: press again"
GONE = "there is no such request (any more)"
TRIGGER = {"expired_trigger_id", "invalid_trigger_id", "exchanged_trigger_id"}
SHOWN = 2000


class Presses:
    """Buttons and forms. Each has its answer first; the work goes on after it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def approve(self, ack: Ack, body: Payload) -> None:
        """Approve what the button is of."""
        await ack()
        self._parts.work.start(self._approved(body), "approve")

    async def form(self, ack: Ack, body: Payload) -> None:
        """Open the form that the button asks for."""
        await ack()
        self._parts.work.start(self._opened(body), "open a form")

    async def whole(self, ack: Ack, body: Payload) -> None:
        """Send a person all of the arguments as a file."""
        await ack()
        self._parts.work.start(self._sent(body), "send a file")

    async def reject(self, ack: Ack, body: Payload) -> None:
        """Take a form with a reason; what is wrong with it, and a refusal, is shown in the form."""
        state = _state(body)
        reason, happened, output, wrong = forms.reason(state), False, None, dict[str, str]()
        if forms.HAPPENED in state or forms.OUTPUT in state:
            if (found := await self._read(_place(body)[0])) is None:
                await ack(response_action="errors", errors={forms.REASON: GONE})
                return
            happened, output, wrong = forms.testimony(found, state)
        if not reason:
            wrong = {forms.REASON: "a rejection needs a reason", **wrong}
        if wrong:
            await ack(response_action="errors", errors=wrong)
            return
        await self._submitted(ack, body, {"verdict": "reject", "reason": reason, "happened": happened, "output": output})

    async def edit(self, ack: Ack, body: Payload) -> None:
        """Take a form with other arguments; what is wrong with them, and a refusal, is shown in the form."""
        found = await self._read(_place(body)[0])
        if found is None:
            await ack(response_action="errors", errors={forms.REASON: GONE})
            return
        arguments, wrong = forms.edited(found, _state(body))
        if not wrong and arguments == found.arguments:
            wrong = {forms.REASON: "nothing is changed: approve it as it is, or change something"}
        if wrong:
            await ack(response_action="errors", errors=wrong)
            return
        await self._submitted(ack, body, {"verdict": "edit", "reason": forms.reason(_state(body)), "arguments": arguments})

    async def _approved(self, body: Payload) -> None:
        request, channel = _pressed(body)
        sender = await self._sender(body)
        result = await self._rule(sender, request, {"verdict": "approve"})
        await self._told(sender, channel, result)
        if sender.person and not channel:
            # It was pressed in the home tab, which shows what is left.
            await home.show(self._parts, sender.user, sender.person, seen=False)

    async def _submitted(self, ack: Ack, body: Payload, said: dict[str, Any]) -> None:
        request, channel = _place(body)
        sender = await self._sender(body)
        ruled = self._parts.work.start(self._rule(sender, request, said), str(said["verdict"]))
        try:
            result = await asyncio.wait_for(asyncio.shield(ruled), ANSWER_SECONDS)
        except TimeoutError:
            # The form closes, and who sent it hears of the end where the card is.
            await ack()
            self._parts.work.start(self._told_later(sender, channel, ruled), "tell of a ruling")
            return
        if result.accepted:
            await ack()
        else:
            await ack(response_action="errors", errors={forms.REASON: result.message[:150]})

    async def _rule(self, sender: Sender, request: str, said: dict[str, Any]) -> RuleResult:
        """Hand a claim to the desk, and have the messages show what became of it. said: what the ruling says beside who and on what."""
        parts, person = self._parts, who.known(sender)
        if person is None or not request:
            # Slack proved an account, and it is nobody's: not even a stack that believes unsigned rulings hears of it.
            why = "it names no request" if person else f"nobody known, about {request!r}"
            await who.refused(parts.refusals, parts.tenant, sender.name, "ruling", why)
            return RuleResult(accepted=False, message="it names no request" if person else sender.stranger, request=request)
        ruling = Ruling(request=request, by=person.id, **said)
        result = await parts.desk.rule(parts.tenant, ruling, person, channel=CHANNEL)
        # A late press shows that the message is behind, whoever ruled.
        parts.work.start(parts.poster.refresh(request), "rewrite a message")
        return result

    async def _told_later(self, sender: Sender, channel: str, ruled: asyncio.Task[RuleResult]) -> None:
        await self._told(sender, channel, await ruled)

    async def _told(self, sender: Sender, channel: str, result: RuleResult) -> None:
        if not result.accepted:
            await self._parts.workspace.whisper(channel, sender.user, mrkdwn(result.message, SHOWN))

    async def _opened(self, body: Payload) -> None:
        request, channel = _pressed(body)
        sender = await self._sender(body)
        person = who.known(sender)
        if person is None:
            await who.refused(self._parts.refusals, self._parts.tenant, sender.name, "look", f"a stranger wanted {request!r}")
            await self._parts.workspace.whisper(channel, sender.user, mrkdwn(sender.stranger, SHOWN))
            return
        found = await self._read(request)
        action = str(body["actions"][0].get("action_id", ""))
        if found is None or (found.ended and action != "details"):
            said = too_late(found) if found else f"there is no request {request!r}"
            await self._parts.workspace.whisper(channel, sender.user, mrkdwn(said, SHOWN))
            self._parts.work.start(self._parts.poster.refresh(request), "rewrite a message")
            return
        view = {"reject": forms.rejection, "edit": forms.edit}.get(action)
        await self._open(body, sender, channel, view(found, channel) if view else forms.details(found))
        await self._parts.desk.look(self._parts.tenant, request, person, CHANNEL)

    async def _open(self, body: Payload, sender: Sender, channel: str, view: Block) -> None:
        try:
            await self._parts.workspace.open(str(body.get("trigger_id", "")), view)
        except Refused as error:
            if error.code not in TRIGGER:
                raise
            await self._parts.workspace.whisper(channel, sender.user, LATE)
        except TransientError:
            # By the time that Slack wants to be asked again, the form could not be opened any more.
            await self._parts.workspace.whisper(channel, sender.user, LATE)

    async def _sent(self, body: Payload) -> None:
        request, _ = _pressed(body)
        sender = await self._sender(body)
        found = await self._read(request) if who.known(sender) else None
        if found is None:
            await who.refused(self._parts.refusals, self._parts.tenant, sender.name, "look", f"a stranger wanted {request!r}")
            return
        await self._parts.workspace.send_file(sender.user, f"{found.id}.json", forms.whole(found))

    async def _sender(self, body: Payload) -> Sender:
        return await who.sender(self._parts.database, self._parts.tenant, body)

    async def _read(self, request: str) -> Request | None:
        async with self._parts.database.transaction(self._parts.tenant) as tx:
            return await approvals.read(tx, request)


def too_late(request: Request) -> str:
    """Say how a request ended that somebody came too late for."""
    by = f" by {request.ruled_by} at {request.ruled_at:%Y-%m-%d %H:%M:%S} UTC" if request.ruled_by and request.ruled_at else ""
    return f"already decided{by}: {request.state}"


def _pressed(body: Payload) -> tuple[str, str]:
    """Return the request that a button is of, and the channel it stands in; empty in a form or a home tab."""
    action, channel = body["actions"][0], body.get("channel") or {}
    return str(action.get("value") or "")[:200], str(channel.get("id") or "")


def _place(body: Payload) -> tuple[str, str]:
    """Return the same of a form."""
    try:
        given = json.loads(body["view"].get("private_metadata") or "")
        return str(given["request"])[:200], str(given["channel"])
    except (ValueError, KeyError, TypeError):
        raise BadInput("a form of Slack's came back without its request") from None


def _state(body: Payload) -> dict[str, Any]:
    return (body["view"].get("state") or {}).get("values") or {}
