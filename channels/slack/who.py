"""Who pressed, as the directory knows them: what a delivery says of a person is looked up, and never believed."""

from dataclasses import dataclass
from typing import Any

from activities import metrics
from channels.refusals import Refusals
from database import Database
from ledger import directory
from ledger.directory import Person

CHANNEL = "slack"


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sent a delivery: a user of a workspace, and who that is in the directory; None where nobody knows."""

    team: str
    user: str
    person: Person | None

    @property
    def name(self) -> str:
        """The name under which a claim of theirs is put on record."""
        return self.person.id if self.person else f"slack:{self.team}/{self.user}"[:200]

    @property
    def stranger(self) -> str:
        """What somebody is told whom nobody knows."""
        if self.person and self.person.disabled:
            return f"{self.person.id} is disabled in Perdure's directory: an administrator can enable them"
        return (
            "Perdure does not know who you are: ask an administrator for "
            f"`starter.py people add` with your Slack team {self.team} and user {self.user}"
        )


async def sender(database: Database, tenant: str, payload: dict[str, Any]) -> Sender:
    """Return who sent a delivery. A user of another workspace, in a shared channel, is of that workspace."""
    team, user = _account(payload)
    async with database.transaction(tenant) as tx:
        found = await directory.by_slack(tx, team, user) if team and user else None
    return Sender(team, user, found)


def known(who: Sender) -> Person | None:
    """Return the person where they may do anything at all."""
    return None if who.person is None or who.person.disabled else who.person


async def refused(refusals: Refusals, tenant: str, by: str, what: str, why: str) -> None:
    """Put on record that something was refused; of a flood from one account the first, and how many more there were."""
    metrics.REFUSALS.labels(CHANNEL).inc()
    body = {"event": "refused", "signal": what, "by": by, "why": why, "channel": CHANNEL}
    await refusals.put(tenant, by, body)


def _account(payload: dict[str, Any]) -> tuple[str, str]:
    user, team, event = payload.get("user"), payload.get("team"), payload.get("event")
    if isinstance(user, dict):
        named = team.get("id") if isinstance(team, dict) else None
        return _text(user.get("team_id") or named), _text(user.get("id"))
    if isinstance(event, dict):
        return _text(event.get("user_team") or payload.get("team_id")), _text(event.get("user"))
    return _text(payload.get("team_id")), _text(payload.get("user_id"))


def _text(value: object) -> str:
    return value[:80] if isinstance(value, str) else ""
