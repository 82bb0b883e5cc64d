"""What a workspace holds: people, channels, messages, forms and home tabs, and the calls of the Web API that change it."""

import asyncio
import hashlib
import itertools
import time
from dataclasses import dataclass, field
from typing import Any

from devstack.fake_slack.faults import Faults
from devstack.fake_slack.limits import message_problem, view_problem

TEAM, APP, BOT, BOT_USER = "T0PERDURE", "A0PERDURE", "B0PERDURE", "U0PERDURE"
Answer = dict[str, Any]


@dataclass
class Message:
    """One message of a channel, or one that only ``only`` sees."""

    channel: str
    ts: str
    text: str
    blocks: list[dict[str, Any]]
    thread: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    only: str | None = None
    edits: int = 0

    def button(self, action: str) -> dict[str, Any]:
        """Return one of its buttons. Raises: KeyError where there is none."""
        return _button(self.blocks, action)

    @property
    def buttons(self) -> list[str]:
        """The actions of its buttons, in order."""
        return [element["action_id"] for block in self.blocks if block["type"] == "actions" for element in block["elements"]]


@dataclass
class View:
    """A form or a home tab of one person."""

    id: str
    user: str
    body: dict[str, Any]
    hash: str = ""

    def button(self, action: str) -> dict[str, Any]:
        """Return one of its buttons. Raises: KeyError where there is none."""
        return _button(self.body["blocks"], action)


class Workspace:
    """One workspace with one app. users: id -> its workspace; channels: id -> whether it is still there."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.users: dict[str, str] = {}
        self.channels: dict[str, bool] = {}
        self.messages: list[Message] = []
        self.views: dict[str, View] = {}
        self.homes: dict[str, View] = {}
        self.files: dict[str, bytes] = {}
        self.shared: list[dict[str, Any]] = []
        self.triggers: dict[str, tuple[str, float]] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._count = itertools.count(1)
        self._changed = asyncio.Event()

    def add_user(self, id: str, team: str = TEAM) -> str:
        """Let somebody into the workspace; return the id."""
        self.users[id] = team
        return id

    def add_channel(self, id: str) -> str:
        """Make a channel that the app is in; return the id."""
        self.channels[id] = True
        return id

    def delete_channel(self, id: str) -> None:
        """Delete a channel."""
        self.channels[id] = False

    def in_channel(self, channel: str, *, only: str | None = None) -> list[Message]:
        """Return the messages that stand in a channel, or those of it that one person alone sees; replies are not among them."""
        return [each for each in self.messages if each.channel == channel and each.only == only and each.thread is None]

    def replies(self, message: Message) -> list[Message]:
        """Return what stands in a message's thread."""
        return [each for each in self.messages if each.channel == message.channel and each.thread == message.ts and not each.only]

    def trigger(self, user: str) -> str:
        """Return what allows an app to open a form for somebody, for a short while."""
        id = f"{next(self._count)}.{time.time():.6f}.{hashlib.sha256(user.encode()).hexdigest()[:12]}"
        self.triggers[id] = (user, time.monotonic())
        return id

    async def changed(self, seconds: float) -> None:
        """Wait until anything was posted, opened or rewritten, but not longer than that."""
        self._changed.clear()
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            return

    def call(self, method: str, given: dict[str, Any]) -> Answer:
        """Answer one call of the Web API."""
        self.calls.append((method, given))
        handler = CALLS.get(method)
        if handler is None:
            return {"ok": False, "error": "unknown_method"}
        answer = handler(self, given)
        self._changed.set()
        return {"ok": "error" not in answer, **answer}

    def next_id(self, letter: str) -> str:
        """Return an id that nothing has."""
        return f"{letter}{next(self._count):010d}"

    def _where(self, channel: str) -> str | None:
        if channel in self.users:
            return None
        return None if self.channels.get(channel) else "channel_not_found"

    def post(self, given: Answer, *, only: str | None = None) -> Answer:
        """Put up a message."""
        text, blocks = given.get("text") or "", given.get("blocks") or []
        if error := self._where(given["channel"]) or message_problem(text, blocks):
            return {"error": error}
        if only and only not in self.users:
            return {"error": "user_not_in_channel"}
        ts = f"{int(time.time())}.{next(self._count):06d}"
        made = Message(given["channel"], ts, text, blocks, given.get("thread_ts"), given.get("metadata") or {}, only)
        self.messages.append(made)
        return {"channel": made.channel, ("message_ts" if only else "ts"): ts, "message": {"ts": ts}}

    def update(self, given: Answer) -> Answer:
        """Rewrite a message."""
        if error := self._where(given["channel"]) or message_problem(given.get("text") or "", given.get("blocks") or []):
            return {"error": error}
        for message in self.messages:
            if (message.channel, message.ts, message.only) == (given["channel"], given["ts"], None):
                message.text, message.blocks = given.get("text") or "", given.get("blocks") or []
                message.edits += 1
                return {"channel": message.channel, "ts": message.ts}
        return {"error": "message_not_found"}

    def history(self, given: Answer) -> Answer:
        """Return a channel's messages, the newest first."""
        if error := self._where(given["channel"]):
            return {"error": error}
        oldest = float(given.get("oldest") or 0)
        found = [each for each in reversed(self.in_channel(given["channel"])) if float(each.ts) >= oldest]
        most = int(given.get("limit") or 100)
        kept = [{"ts": each.ts, "text": each.text, "app_id": APP, "bot_id": BOT, "metadata": each.metadata} for each in found[:most]]
        return {"messages": kept, "has_more": len(found) > most}

    def open_view(self, given: Answer) -> Answer:
        """Open a form."""
        user, since = self.triggers.pop(given.get("trigger_id") or "", ("", 0.0))
        if not user:
            return {"error": "exchanged_trigger_id"}
        if time.monotonic() - since >= self.faults.trigger_seconds:
            return {"error": "expired_trigger_id"}
        if error := view_problem(given["view"]):
            return {"error": error}
        made = View(self.next_id("V"), user, given["view"], self.next_id("h"))
        self.views[made.id] = made
        return {"view": {"id": made.id, "hash": made.hash}}

    def update_view(self, given: Answer) -> Answer:
        """Rewrite a form that is open."""
        found = self.views.get(given.get("view_id") or "")
        if found is None:
            return {"error": "not_found"}
        if error := view_problem(given["view"]):
            return {"error": error}
        found.body, found.hash = given["view"], self.next_id("h")
        return {"view": {"id": found.id, "hash": found.hash}}

    def publish(self, given: Answer) -> Answer:
        """Set somebody's home tab."""
        if given["user_id"] not in self.users:
            return {"error": "user_not_found"}
        if error := view_problem(given["view"]):
            return {"error": error}
        self.homes[given["user_id"]] = View(self.next_id("V"), given["user_id"], given["view"], self.next_id("h"))
        return {"view": {"id": self.homes[given["user_id"]].id}}

    def user_info(self, given: Answer) -> Answer:
        """Say who somebody is."""
        team = self.users.get(given.get("user") or "")
        return {"user": {"id": given["user"], "team_id": team, "deleted": False}} if team else {"error": "user_not_found"}

    def channel_info(self, given: Answer) -> Answer:
        """Say what a channel is."""
        error = self._where(given["channel"])
        return {"error": error} if error else {"channel": {"id": given["channel"], "is_member": True, "is_archived": False}}

    def complete_upload(self, given: Answer) -> Answer:
        """Show files that were sent up."""
        if error := self._where(given.get("channel_id") or ""):
            return {"error": error}
        self.shared += [{**file, "channel": given.get("channel_id"), "content": self.files.get(file["id"])} for file in given["files"]]
        return {"files": given["files"]}


def _button(blocks: list[dict[str, Any]], action: str) -> dict[str, Any]:
    for block in blocks:
        for element in block.get("elements", []) if block["type"] == "actions" else [block.get("accessory", {})]:
            if element.get("action_id") == action:
                return {**element, "block_id": block.get("block_id", "")}
    raise KeyError(f"there is no button {action!r}")


def _identity(workspace: Workspace, _: Answer) -> Answer:
    return {"team_id": TEAM, "team": "Perdure", "user_id": BOT_USER, "bot_id": BOT, "user": "perdure", "url": "https://slack.invalid/"}


def _ephemeral(workspace: Workspace, given: Answer) -> Answer:
    return workspace.post(given, only=given.get("user"))


def _direct(workspace: Workspace, given: Answer) -> Answer:
    user = str(given.get("users") or "")
    return {"channel": {"id": user}} if user in workspace.users else {"error": "user_not_found"}


CALLS = {
    "auth.test": _identity,
    "chat.postMessage": Workspace.post,
    "chat.postEphemeral": _ephemeral,
    "chat.update": Workspace.update,
    "conversations.history": Workspace.history,
    "conversations.info": Workspace.channel_info,
    "conversations.open": _direct,
    "files.completeUploadExternal": Workspace.complete_upload,
    "users.info": Workspace.user_info,
    "views.open": Workspace.open_view,
    "views.publish": Workspace.publish,
    "views.update": Workspace.update_view,
}
