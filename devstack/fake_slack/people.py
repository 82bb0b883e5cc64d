"""What people do in the fake Slack, delivered as Slack delivers it: signed over HTTP, or over a socket that is open."""

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import httpx2

from devstack.fake_slack.sockets import Reply, Sockets
from devstack.fake_slack.workspace import APP, TEAM, Message, View, Workspace

SKEW = 600
"""Seconds by which a stale or an early signature is off."""
ACK_SECONDS = 3.0
"""How long Slack waits for an answer."""


class People:
    """Presses, forms, commands and visits. request_url: where the app takes deliveries over HTTP."""

    def __init__(self, workspace: Workspace, sockets: Sockets, signing_secret: str) -> None:
        self._workspace = workspace
        self._sockets = sockets
        self.signing_secret = signing_secret
        self.request_url = ""

    async def press(self, user: str, where: Message | View, action: str, *, team: str | None = None) -> Reply:
        """Press a button of a message, a form or a home tab."""
        button = where.button(action)
        pressed = {"type": "button", "action_id": action, "block_id": button["block_id"], "value": button.get("value", "")}
        place: dict[str, Any]
        if isinstance(where, Message):
            container = {"type": "message", "channel_id": where.channel, "message_ts": where.ts, "is_ephemeral": where.only is not None}
            place = {"container": container, "channel": {"id": where.channel}, "message": {"ts": where.ts}}
        else:
            place = {"container": {"type": "view", "view_id": where.id}, "view": _shown(where)}
        payload = {"type": "block_actions", **self._who(user, team), **place, "actions": [{**pressed, "action_ts": f"{time.time():.6f}"}]}
        return await self._interaction(payload)

    async def submit(self, user: str, view: View, values: Mapping[str, str | None]) -> Reply:
        """Send a form; ``values`` has what is typed or chosen for each block, by its id, and others stay as they are."""
        state = {block["block_id"]: _state(block, values) for block in view.body["blocks"] if block["type"] == "input"}
        payload = {"type": "view_submission", **self._who(user), "view": {**_shown(view), "state": {"values": state}}}
        return await self._interaction(payload)

    async def command(self, user: str, text: str, *, channel: str = "C0GENERAL", command: str = "/perdure") -> Reply:
        """Type a command."""
        given = {
            "command": command, "text": text, "user_id": user, "team_id": self._workspace.users.get(user, TEAM), "channel_id": channel,
            "api_app_id": APP, "trigger_id": self._workspace.trigger(user), "response_url": "https://slack.invalid/response",
        }  # fmt: skip
        return await self.deliver("slash_commands", given)

    async def visit(self, user: str) -> Reply:
        """Open the app's home tab."""
        team = self._workspace.users.get(user, TEAM)
        event = {"type": "app_home_opened", "user": user, "tab": "home", "channel": "D0HOME", "event_ts": f"{time.time():.6f}"}
        event_id = self._workspace.next_id("Ev")
        given = {"type": "event_callback", "team_id": team, "api_app_id": APP, "event_id": event_id, "event_time": int(time.time())}
        return await self.deliver("events_api", {**given, "event": event, "authorizations": [{"team_id": team, "user_id": user}]})

    async def deliver(self, kind: str, payload: dict[str, Any]) -> Reply:
        """Deliver, as often as the faults say; return the first answer."""
        twice = self._workspace.faults.take("delivered_twice")
        first = await self._once(kind, payload)
        if twice:
            await self._once(kind, payload, retry=1)
        return first

    def signed(self, body: str, content_type: str, later: int = 0) -> dict[str, str]:
        """Return the headers of one delivery, signed as the faults say. later: seconds after now, as a repetition is."""
        fault = self._workspace.faults.signature
        now = int(time.time()) + later + {"stale": -SKEW, "early": SKEW}.get(fault, 0)
        stamp = "now" if fault == "words" else str(now)
        key = "another" if fault == "bad" else self.signing_secret
        signature = "v0=" + hmac.new(key.encode(), f"v0:{stamp}:{body}".encode(), hashlib.sha256).hexdigest()
        headers = {"content-type": content_type}
        return headers if fault == "missing" else headers | {"x-slack-request-timestamp": stamp, "x-slack-signature": signature}

    async def send(self, body: str, headers: Mapping[str, str | bytes]) -> Reply:
        """Send bytes as they are."""
        # The certificates of the world are of no use here, and reading them takes longer than the call.
        async with httpx2.AsyncClient(trust_env=False, timeout=ACK_SECONDS, verify=False) as client:
            begun = time.monotonic()
            try:
                raw = [(name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in headers.items()]
                response = await client.post(self.request_url, content=body.encode(), headers=raw)
            except httpx2.HTTPError:
                return Reply(0, {}, time.monotonic() - begun)
        return Reply(response.status_code, _json(response.text), time.monotonic() - begun)

    async def _interaction(self, payload: dict[str, Any]) -> Reply:
        return await self.deliver("interactive", payload)

    async def _once(self, kind: str, payload: dict[str, Any], retry: int = 0) -> Reply:
        if self._sockets.open:
            return await self._sockets.send(kind, payload, retry)
        body, content_type = _body(kind, payload)
        headers = self.signed(body, content_type, later=retry)
        if retry:
            headers |= {"x-slack-retry-num": str(retry), "x-slack-retry-reason": "http_timeout"}
        answer = await self.send(body, headers)
        if self._workspace.faults.take("replayed"):
            await self.send(body, headers)
        return answer

    def _who(self, user: str, team: str | None = None) -> dict[str, Any]:
        team = team or self._workspace.users.get(user, TEAM)
        known = {"team": {"id": TEAM, "domain": "perdure"}, "user": {"id": user, "username": user.lower(), "team_id": team}}
        return {**known, "api_app_id": APP, "trigger_id": self._workspace.trigger(user), "response_url": "https://slack.invalid/response"}


def _shown(view: View) -> dict[str, Any]:
    return {**view.body, "id": view.id, "hash": view.hash, "team_id": TEAM, "app_id": APP}


def _state(block: dict[str, Any], values: Mapping[str, str | None]) -> dict[str, Any]:
    element = block["element"]
    if element["type"] == "static_select":
        chosen = next((option for option in element["options"] if option["value"] == values.get(block["block_id"])), None)
        return {element["action_id"]: {"type": "static_select", "selected_option": chosen or element.get("initial_option")}}
    if element["type"] == "checkboxes":
        ticked = [option for option in element["options"] if option["value"] == values.get(block["block_id"])]
        return {element["action_id"]: {"type": "checkboxes", "selected_options": ticked}}
    typed = values[block["block_id"]] if block["block_id"] in values else element.get("initial_value")
    return {element["action_id"]: {"type": element["type"], "value": typed or None}}


def _body(kind: str, payload: dict[str, Any]) -> tuple[str, str]:
    if kind == "interactive":
        return urlencode({"payload": json.dumps(payload)}), "application/x-www-form-urlencoded"
    if kind == "slash_commands":
        return urlencode(payload), "application/x-www-form-urlencoded"
    return json.dumps(payload), "application/json"


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {"text": text} if text else {}
    return found if isinstance(found, dict) else {"text": text}
