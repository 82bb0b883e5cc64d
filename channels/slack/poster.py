"""Keeps Slack's messages as the requests are: posts new ones, rewrites what has changed anywhere, tells threads of time's word."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from channels.desk import Desk
from channels.slack import postings
from channels.slack.alerts import Alerts
from channels.slack.markup import mrkdwn
from channels.slack.message import Rendered, message
from channels.slack.postings import Note, Posting
from channels.slack.workspace import Refused, Workspace
from contracts.errors import TransientError
from database import Database
from ledger import approvals, records

LOG = structlog.get_logger(__name__)
EVERY = 1.0
"""Seconds between two looks; who rules over Slack has the message rewritten at once."""
BATCH = 20
FORGET_EVERY = 600.0
CLOCKS = 3600.0
"""Seconds by which a lost message is looked for earlier than it was begun."""
TOKEN = {"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "missing_scope"}
"""What is wrong with the app itself, and with no channel."""


@dataclass(frozen=True, slots=True)
class Channels:
    """Where requests are shown. of_group: approval group -> a channel's id; the default takes the rest, None nothing.

    alerts: the channel that alerts go to; None: those of their groups, and the admins.
    """

    of_group: Mapping[str, str]
    default: str | None
    alerts: str | None = None

    def of(self, groups: Sequence[str]) -> list[str]:
        """Return the channels of these groups, in their order."""
        found = [channel for group in groups if (channel := self.of_group.get(group, self.default))]
        return list(dict.fromkeys(found))

    @property
    def groups(self) -> list[str] | None:
        """The groups that have a channel; None is all."""
        return None if self.default else sorted(self.of_group)

    def instead(self, channel: str) -> str | None:
        """Return where a message goes that this channel does not take."""
        return self.default if self.default != channel else None


class Poster:
    """Posts for one tenant. Several may run at once: each message has one poster at a time."""

    def __init__(self, database: Database, tenant: str, desk: Desk, workspace: Workspace, channels: Channels) -> None:
        self._database = database
        self._tenant = tenant
        self._desk = desk
        self._workspace = workspace
        self._channels = channels
        self._alerts = Alerts(database, tenant, workspace, channels.alerts, channels.of)
        self._quiet_until = 0.0
        self._forgotten = float("-inf")

    async def run(self) -> None:
        """Look until cancelled; a fault is logged and the next look tries again."""
        while True:
            try:
                await self.look()
            except Exception as error:
                LOG.warning("Slack's messages could not be kept", error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(EVERY)

    async def look(self) -> None:
        """Do once all that there is to do, unless Slack asked to be left alone."""
        if time.monotonic() < self._quiet_until:
            return
        try:
            await self._post_new()
            await self._post_again()
            async with self._database.transaction(self._tenant) as tx:
                changed, notes = await postings.changed(tx, limit=BATCH), await postings.untold(tx, limit=BATCH)
            for posting in changed:
                await self._rewrite(posting)
            for note in notes:
                await self._tell(note)
            await self._alerts.look()
        except TransientError as error:
            self._rest(error)
        except Refused as error:
            if error.code not in TOKEN:
                raise
            LOG.error("Slack does not believe the app", code=error.code)
            self._quiet_until = time.monotonic() + 60
        if time.monotonic() - self._forgotten > FORGET_EVERY:
            self._forgotten = time.monotonic()
            async with self._database.transaction(self._tenant) as tx:
                await postings.forget(tx)

    async def refresh(self, request: str) -> None:
        """Rewrite the messages of one request now."""
        async with self._database.transaction(self._tenant) as tx:
            changed = await postings.changed(tx, request)
        try:
            for posting in changed:
                await self._rewrite(posting)
        except TransientError as error:
            self._rest(error)

    def _rest(self, error: TransientError) -> None:
        self._quiet_until = time.monotonic() + (error.retry_after or EVERY)
        LOG.info("Slack is left alone for a while", why=str(error), seconds=error.retry_after or EVERY)

    async def _post_new(self) -> None:
        async with self._database.transaction(self._tenant) as tx:
            found = await postings.unposted(tx, self._channels.groups, limit=BATCH)
        for request, groups in found:
            for channel in self._channels.of(groups):
                await self._begin(request, channel)

    async def _begin(self, request: str, channel: str) -> None:
        async with self._database.transaction(self._tenant) as tx:
            mine = await postings.claim(tx, request, channel)
        if mine:
            await self._post(request, channel)

    async def _post_again(self) -> None:
        async with self._database.transaction(self._tenant) as tx:
            found = await postings.due(tx, limit=BATCH)
        for posting in found:
            # Nobody saw whether it went up: Slack is asked before it is posted a second time.
            await self._post(posting.request, posting.channel, since=posting.due_at.timestamp() - CLOCKS)

    async def _post(self, request: str, channel: str, since: float | None = None) -> None:
        rendered, shown, _ = await self._rendered(request)
        try:
            ts = await self._found(channel, request, since) if since is not None else None
            if ts is None:
                ts = await self._workspace.post(channel, rendered.text, rendered.blocks, request=request)
            else:
                await self._workspace.rewrite(channel, ts, rendered.text, rendered.blocks)
        except TransientError as error:
            async with self._database.transaction(self._tenant) as tx:
                await postings.put_off(tx, request, channel, error.retry_after or EVERY)
            raise
        except Refused as error:
            await self._not_taken(request, channel, error)
            return
        async with self._database.transaction(self._tenant) as tx:
            await postings.posted(tx, request, channel, ts, shown)

    async def _found(self, channel: str, request: str, since: float) -> str | None:
        try:
            return await self._workspace.find(channel, request, since)
        except Refused:
            # Without the right to read, a second card is the lesser evil: the row is the truth, and both are rewritten.
            return None

    async def _rewrite(self, posting: Posting) -> None:
        rendered, shown, ended = await self._rendered(posting.request)
        try:
            await self._workspace.rewrite(posting.channel, posting.ts or "", rendered.text, rendered.blocks)
        except Refused as error:
            if not ended:
                await self._not_taken(posting.request, posting.channel, error)
                return
            LOG.info("a message is gone", request=posting.request, channel=posting.channel, code=error.code)
        async with self._database.transaction(self._tenant) as tx:
            await postings.rewritten(tx, posting, shown, settled=ended)
            found = await approvals.read(tx, posting.request)
        # Time may have asked other groups, who are elsewhere.
        for channel in self._channels.of(found.groups) if found and not found.ended else ():
            await self._begin(posting.request, channel)

    async def _rendered(self, request: str) -> tuple[Rendered, str, bool]:
        """Return a request's message, what of the row it shows, and whether the request has ended."""
        async with self._database.transaction(self._tenant) as tx:
            shown = await postings.mark(tx, request)
        # Read after its mark: should it change between the two, the next look sees that.
        card = await self._desk.card(self._tenant, request)
        assert card is not None
        return message(card), shown, card.state != "pending"

    async def _not_taken(self, request: str, channel: str, error: Refused) -> None:
        """Note that a channel takes nothing, put it on the run's record once, and post elsewhere."""
        if error.code in TOKEN:
            raise error
        LOG.error("a request could not be shown in Slack", request=request, channel=channel, code=error.code)
        async with self._database.transaction(self._tenant) as tx:
            await postings.undelivered(tx, request, channel, error.code)
            if found := await approvals.read(tx, request):
                body = {"event": "not shown in Slack", "request": request, "channel": channel, "summary": f"{channel}: {error.code}"}
                await records.append(tx, f"{request}/slack/{channel}", "configuration", found.lineage, found.step, body)
        if (other := self._channels.instead(channel)) is not None:
            await self._begin(request, other)

    async def _tell(self, note: Note) -> None:
        async with self._database.transaction(self._tenant) as tx:
            mine = await postings.tell(tx, note)
        if not mine:
            return
        groups = mrkdwn(", ".join(note.body.get("groups", ())), 200)
        said = {"reminded": f"Still waits for {groups}.", "escalated": f"Nobody has ruled: {groups} may rule now."}[note.body["event"]]
        try:
            await self._workspace.post(note.channel, said, [], thread=note.ts)
        except Refused as error:
            LOG.info("a thread was not told", request=note.request, channel=note.channel, code=error.code)
