"""Slack as a program: settings become clients, and both ways in end in one application."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import structlog
from slack_sdk.web.async_client import AsyncWebClient

from channels import metrics_page
from channels.desk import Desk
from channels.operating import Connect, Operator
from channels.refusals import Refusals
from channels.slack import app, workspace
from channels.slack.door import Door, Once
from channels.slack.parts import Parts
from channels.slack.poster import Channels, Poster
from channels.slack.socket import Socket
from channels.slack.who import CHANNEL
from channels.slack.work import Work
from channels.waking import Waking
from contracts.errors import BadInput
from database import Database
from settings import Settings

LOG = structlog.get_logger(__name__)
PING_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Slack:
    """One tenant's Slack, open. socket: None where it has no token for socket mode."""

    parts: Parts
    door: Door
    socket: Socket | None


@asynccontextmanager
async def client(settings: Settings) -> AsyncGenerator[AsyncWebClient]:
    """Open Slack's client. Its own retries are off: the poster is the only owner of retries. Raises: BadInput without a token."""
    token = settings.secret(settings.slack_bot_token)
    if token is None:
        raise BadInput(f"there is no token of a Slack app: set PERDURE_SECRET_{settings.slack_bot_token} (docs/slack.md tells where it is)")
    async with aiohttp.ClientSession() as session:
        yield AsyncWebClient(token=token, base_url=settings.slack_api, session=session, retry_handlers=[], timeout=workspace.CALL_SECONDS)


@asynccontextmanager
async def opened(settings: Settings, database: Database, connect: Connect, *, ping_seconds: float = PING_SECONDS) -> AsyncGenerator[Slack]:
    """Open a tenant's Slack. connect: raises StackError where Temporal is down.

    Raises: BadInput where a secret or a channel is missing, Refused where Slack does not believe the token.
    """
    work, wake = Work(), Waking(database, connect)
    channels = Channels(settings.slack_channels, settings.slack_channel, settings.slack_alerts)
    if channels.default is None and not channels.of_group:
        raise BadInput("no channel of Slack is named: set PERDURE_SLACK_CHANNEL, or PERDURE_SLACK_CHANNELS as JSON")
    desk = Desk(database, wake, one_machine=settings.one_machine, secret=settings.secret)
    async with client(settings) as web:
        found = await workspace.connect(web)

        async def soon(tenant: str) -> None:
            work.start(wake(tenant), "wake a run")

        operator = Operator(database, connect, soon, settings.task_queue, settings.tenant, CHANNEL)
        poster = Poster(database, settings.tenant, desk, found, channels)
        parts = Parts(database, settings.tenant, desk, operator, found, poster, work, Refusals(database, f"{CHANNEL} people"))
        application, once = app.make(parts), Once(database, settings.tenant, work)
        door = Door(database, settings.tenant, application, once, lambda: settings.secret(settings.slack_signing_secret))
        token = settings.secret(settings.slack_app_token)
        socket = Socket(application, token, web, once, ping_seconds=ping_seconds) if token else None
        try:
            yield Slack(parts, door, socket)
        finally:
            if socket:
                await socket.close_async()
            await work.finish()
            await desk.close()


async def run(settings: Settings, database: Database, connect: Connect, stop: asyncio.Event) -> None:
    """Serve Slack until ``stop`` is set: messages, the socket where there is a token for it, and HTTP where there is a signing secret."""
    over_http = settings.secret(settings.slack_signing_secret) is not None
    async with opened(settings, database, connect) as slack:
        if slack.socket is None and not over_http:
            raise BadInput(
                f"nothing could come in: set PERDURE_SECRET_{settings.slack_app_token} for socket mode, "
                f"or PERDURE_SECRET_{settings.slack_signing_secret} for HTTP"
            )
        beside = [asyncio.create_task(slack.parts.poster.run())]
        if over_http:
            serving = metrics_page.serve(slack.door.application, settings.slack_host, settings.slack_port)
            beside.append(asyncio.create_task(serving))
        if slack.socket:
            beside.append(asyncio.create_task(slack.socket.connect_async()))
        LOG.info("in Slack", team=slack.parts.workspace.team, http=over_http, socket=slack.socket is not None)
        await stop.wait()
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
