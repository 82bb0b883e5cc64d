"""Alerts in Slack: each goes once to whom it concerns, and one about a reviewer at most once a week."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

import structlog

from channels.slack.markup import mrkdwn
from channels.slack.workspace import Refused, Workspace
from contracts.errors import TransientError
from database import Database, Tx
from ledger import alerts, directory
from ledger.alerts import Alert

LOG = structlog.get_logger(__name__)
REVIEWERS_EVERY = 3600.0
"""Seconds between two looks at how people decide, which reads what they all said last."""
LEASE, AGAIN, WEEK = timedelta(seconds=60), timedelta(minutes=10), timedelta(days=7)
TEXT = 2000
KNOWN = "SELECT id FROM slack_alert WHERE tenant = $1 AND id = ANY ($2)"
RECENT = "SELECT subject FROM slack_alert WHERE tenant = $1 AND subject = ANY ($2) AND begun_at > now() - $3::interval"
ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended('slack_alert/' || $1, 0))"
NOW = "SELECT now()"
BEGIN = "INSERT INTO slack_alert (tenant, id, target, subject) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
# What could not be delivered within a day is left to the console.
DUE = """
UPDATE slack_alert SET due_at = now() + $2, tries = tries + 1
 WHERE tenant = $1 AND (id, target) IN (
       SELECT id, target FROM slack_alert
        WHERE tenant = $1 AND state IN ('posting', 'undelivered') AND due_at <= now() AND begun_at > now() - interval '1 day'
        ORDER BY due_at LIMIT 20 FOR UPDATE SKIP LOCKED)
RETURNING id, target, subject, tries, begun_at
"""
ENDED = "UPDATE slack_alert SET state = $4, due_at = now() + $5 WHERE tenant = $1 AND id = $2 AND target = $3"


@dataclass(frozen=True, slots=True)
class Due:
    """An alert that has to go out now. tries: this one counts."""

    id: str
    target: str
    subject: str
    tries: int
    begun_at: datetime

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """Map one row."""
        return cls(**{name: row[name] for name in cls.__slots__})


class Alerts:
    """Tells a tenant's alerts. Several may run at once: each alert has one teller at a time.

    channel: where all of them go, where one is named. of_groups: returns the channels of groups.
    """

    def __init__(
        self, database: Database, tenant: str, workspace: Workspace, channel: str | None, of_groups: Callable[[Sequence[str]], list[str]]
    ) -> None:
        self._database = database
        self._tenant = tenant
        self._workspace = workspace
        self._channel = channel
        self._of_groups = of_groups
        self._reviewers_at = float("-inf")

    async def look(self) -> None:
        """Begin what is new, and tell what is due. Raises: TransientError where Slack asks to wait, Refused where it takes no app."""
        async with self._database.transaction(self._tenant) as tx:
            standing = await alerts.glass(tx)
            known = {row["id"] for row in await tx.fetch(KNOWN, tx.tenant, [alert.id for alert in standing])} if standing else set[str]()
            for alert in standing:
                if alert.id not in known:
                    await self._begin(tx, alert, alert.id, await self._targets(tx, alert))
            if time.monotonic() - self._reviewers_at > REVIEWERS_EVERY:
                self._reviewers_at = time.monotonic()
                await self._begin_reviewers(tx)
            due = [Due.from_row(row) for row in await tx.fetch(DUE, tx.tenant, LEASE)]
        texts = {alert.subject: alert.text for alert in standing}
        for each in due:
            await self._tell(each, texts)

    async def _begin_reviewers(self, tx: Tx) -> None:
        found = await alerts.reviewers(tx)
        await tx.value(ONE_AT_A_TIME, tx.tenant)
        recent = {row["subject"] for row in await tx.fetch(RECENT, tx.tenant, [alert.subject for alert in found], WEEK)}
        today = await tx.value(NOW)
        for alert in found:
            if alert.subject not in recent:
                await self._begin(tx, alert, f"{alert.id}/{today:%Y-%m-%d}", await self._targets(tx, alert))

    async def _begin(self, tx: Tx, alert: Alert, id: str, targets: list[str]) -> None:
        for target in targets:
            await tx.execute(BEGIN, tx.tenant, id, target, alert.subject)

    async def _targets(self, tx: Tx, alert: Alert) -> list[str]:
        """Return where an alert goes: the channel for alerts; else its groups' channels, or the admins' own."""
        if self._channel:
            return [self._channel]
        # What concerns no group is about a person, who hears of it from others, and not where all may read it.
        return self._of_groups(alert.groups) or await self._admins(tx, alert)

    async def _admins(self, tx: Tx, alert: Alert) -> list[str]:
        found = (one for one in await directory.people(tx) if not one.disabled and one.slack_team == self._workspace.team)
        return [one.slack_user for one in found if one.at_least("admin") and one.slack_user and alert.concerns(one)]

    async def _tell(self, due: Due, texts: dict[str, str]) -> None:
        text = texts.get(due.subject) or await self._read(due)
        try:
            # Whether the last try went up nobody saw: Slack is asked before it is said a second time.
            if text is not None and not (due.tries > 1 and await self._said(due)):
                await self._workspace.post(due.target, mrkdwn(text, TEXT), [], request=due.id)
        except TransientError as error:
            await self._ended(due, "posting", timedelta(seconds=error.retry_after or 1.0))
            raise
        except Refused as error:
            await self._not_taken(due, error)
            return
        await self._ended(due, "posted", timedelta())

    async def _read(self, due: Due) -> str | None:
        """Return what an alert says that was begun earlier; None where it is no more."""
        async with self._database.transaction(self._tenant) as tx:
            found = await (alerts.reviewers(tx) if due.subject.startswith("reviewer/") else alerts.glass(tx))
        return next((alert.text for alert in found if alert.subject == due.subject), None)

    async def _said(self, due: Due) -> bool:
        try:
            return await self._workspace.find(due.target, due.id, due.begun_at.timestamp() - 3600) is not None
        except Refused:
            return False

    async def _not_taken(self, due: Due, error: Refused) -> None:
        """Try again later, and tell the admins meanwhile."""
        LOG.error("an alert could not be shown in Slack", alert=due.id, target=due.target, code=error.code)
        await self._ended(due, "undelivered", AGAIN)
        alert = Alert(due.id, due.subject, "")
        async with self._database.transaction(self._tenant) as tx:
            await self._begin(tx, alert, due.id, [target for target in await self._admins(tx, alert) if target != due.target])

    async def _ended(self, due: Due, state: str, later: timedelta) -> None:
        async with self._database.transaction(self._tenant) as tx:
            await tx.execute(ENDED, tx.tenant, due.id, due.target, state, later)
