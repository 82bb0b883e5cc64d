"""The Slack workspace as Perdure calls it: one call, one answer, and Slack's errors as ours."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from contracts.errors import PermanentError, TransientError

CALL_SECONDS = 10
PASSING = {"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org", "ratelimited"}
RETRY_AFTER = 1.0
"""Seconds to wait where Slack does not say how long."""


class Refused(PermanentError):
    """Slack refused a call. ``code`` is its word for why."""

    def __init__(self, method: str, code: str) -> None:
        super().__init__(f"Slack refused {method}: {code}")
        self.code = code


class Workspace:
    """The calls that Perdure makes. ``team`` is the workspace's id, ``bot`` the app's own user there."""

    def __init__(self, client: AsyncWebClient, team: str, bot: str) -> None:
        self.client = client
        self.team, self.bot = team, bot

    async def post(self, channel: str, text: str, blocks: list[dict[str, Any]], *, thread: str | None = None, request: str = "") -> str:
        """Post a message and return its time stamp. request: named in metadata, by which it is found again."""
        metadata = {"event_type": "perdure_request", "event_payload": {"request": request}} if request else None
        answer = await call(
            self.client.chat_postMessage, channel=channel, text=text, blocks=blocks, thread_ts=thread, metadata=metadata,
            unfurl_links=False, unfurl_media=False,
        )  # fmt: skip
        return str(answer["ts"])

    async def rewrite(self, channel: str, ts: str, text: str, blocks: list[dict[str, Any]]) -> None:
        """Rewrite a message."""
        await call(self.client.chat_update, channel=channel, ts=ts, text=text, blocks=blocks)

    async def find(self, channel: str, request: str, since: float) -> str | None:
        """Return the time stamp of a request's message among a channel's newest, or None. since: in seconds of the epoch."""
        answer = await call(self.client.conversations_history, channel=channel, oldest=f"{since:.0f}", limit=200, include_all_metadata=True)
        for message in answer["messages"]:
            # Anybody may write metadata; only the app's own messages are its cards.
            payload = (message.get("metadata") or {}).get("event_payload") or {}
            if payload.get("request") == request and message.get("bot_id"):
                return str(message["ts"])
        return None

    async def whisper(self, channel: str | None, user: str, text: str) -> None:
        """Tell one person something where they are; in their own channel where that is none."""
        if channel:
            await call(self.client.chat_postEphemeral, channel=channel, user=user, text=text)
        else:
            await call(self.client.chat_postMessage, channel=user, text=text)

    async def open(self, trigger: str, view: dict[str, Any]) -> None:
        """Open a form for whoever pressed a button a moment ago."""
        await call(self.client.views_open, trigger_id=trigger, view=view)

    async def publish(self, user: str, view: dict[str, Any]) -> None:
        """Set a person's home tab."""
        await call(self.client.views_publish, user_id=user, view=view)

    async def send_file(self, user: str, name: str, content: str) -> None:
        """Send one person a file."""
        opened = await call(self.client.conversations_open, users=user)
        taken = await call(self.client.files_getUploadURLExternal, filename=name, length=len(content.encode()))
        await _upload(self.client, str(taken["upload_url"]), content.encode())
        files = [{"id": taken["file_id"], "title": name}]
        await call(self.client.files_completeUploadExternal, files=files, channel_id=opened["channel"]["id"])


async def connect(client: AsyncWebClient) -> Workspace:
    """Ask Slack whom the token belongs to. Raises: Refused where it is not believed."""
    answer = await call(client.auth_test)
    return Workspace(client, str(answer["team_id"]), str(answer["user_id"]))


async def call(method: Callable[..., Awaitable[Any]], **given: Any) -> dict[str, Any]:
    """Make one call and return its answer.

    Raises: TransientError where it may be made again (with the seconds that Slack asked for), Refused where that is of no use.
    """
    try:
        async with asyncio.timeout(CALL_SECONDS):
            answer = await method(**{name: value for name, value in given.items() if value is not None})
    except SlackApiError as error:
        raise _translated(method.__name__, error) from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise TransientError(f"Slack cannot be reached: {type(error).__name__}: {error}") from error
    data: Any = answer.data
    return data if isinstance(data, dict) else {}


async def _upload(client: AsyncWebClient, url: str, content: bytes) -> None:
    assert client.session is not None
    try:
        # Read from a buffer in pieces: a megabyte in one would stop everybody else.
        async with asyncio.timeout(CALL_SECONDS), client.session.post(url, data=io.BytesIO(content)) as response:
            if response.status != 200:
                raise Refused("the upload", f"status {response.status}")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise TransientError(f"Slack cannot be reached: {type(error).__name__}: {error}") from error


def _translated(method: str, error: SlackApiError) -> TransientError | Refused:
    response: Any = error.response
    # What is no JSON, as the page of a proxy, comes as a text, or as a mapping of the client's own making.
    data = getattr(response, "data", response)
    found = data if isinstance(data, dict) else {}
    status = getattr(response, "status_code", 0) or found.get("status", 0)
    said = found.get("error", "")
    if status == 429 or said == "ratelimited":
        headers = getattr(response, "headers", None) or {}
        return TransientError("Slack asks to wait", retry_after=_seconds(headers))
    if said in PASSING or status >= 500 or not said:
        return TransientError(f"Slack failed at {method}: {said or status}")
    return Refused(method, str(said))


def _seconds(headers: Any) -> float:
    found = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    # A single text, or a list of one, by the client's version.
    text = str(found[0] if isinstance(found, list) and found else found)
    return float(text) if text.isdecimal() else RETRY_AFTER
