"""What the API says of who asks, and of what they have to be told and to look at: alerts and reviews. Times are ISO 8601 in UTC."""

from datetime import datetime

from pydantic import Field

from contracts.message import Message, Strict


class Me(Message):
    """Who is asking."""

    person: str
    name: str
    role: str
    groups: list[str]
    tenant: str


class Alert(Message):
    """One thing that the asker has to be told. `id` is the same for as long as it is the same alert; `request` is empty without one."""

    id: str
    subject: str
    text: str
    people: list[str]
    groups: list[str]
    request: str


class Alerts(Message):
    """What the asker has to be told, the most urgent first."""

    alerts: list[Alert]


class Review(Message):
    """What was let through by breaking the glass, and nobody has looked at yet. `people` broke it, and cannot review it."""

    request: str
    tool: str
    step: str
    run: str
    lineage: str
    people: list[str]
    groups: list[str]
    opened_at: datetime
    due_at: datetime


class Reviews(Message):
    """Reviews that nobody has done, the most urgent first."""

    reviews: list[Review]


class Note(Strict):
    """What a review found."""

    note: str = Field(min_length=1, max_length=2000)
