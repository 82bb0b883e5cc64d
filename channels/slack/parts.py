"""What everything that answers Slack works with."""

from dataclasses import dataclass

from channels.desk import Desk
from channels.operating import Operator
from channels.refusals import Refusals
from channels.slack.poster import Poster
from channels.slack.work import Work
from channels.slack.workspace import Workspace
from database import Database

ANSWER_SECONDS = 2.0
"""How long Slack's answer may wait for Postgres; Slack itself gives up after three."""


@dataclass(frozen=True, slots=True)
class Parts:
    """One tenant's Slack."""

    database: Database
    tenant: str
    desk: Desk
    operator: Operator
    workspace: Workspace
    poster: Poster
    work: Work
    refusals: Refusals
    """Of those whom Slack proved and nobody here knows, or who may not do what they ask."""
