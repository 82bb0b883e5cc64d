"""What the API takes and gives about requests and rulings. Money is in micro-dollars, times are ISO 8601 in UTC."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from channels.console.risk import Risk
from contracts.approvals import Verdict
from contracts.message import Message, Strict

Digest = Annotated[
    str, Field(min_length=8, max_length=64, pattern="^[0-9a-f]+$", description="of the action that was seen, or its beginning")
]
Reason = Annotated[str, Field(max_length=2000)]


class Inbox(Message):
    """Which requests are wanted. ``age`` is how long they have waited at least, ``after`` the last request of the page before."""

    group: str = Field("", max_length=100)
    age: Literal["", "1h", "8h", "1d"] = ""
    risk: Literal["", "low", "medium", "high"] = ""
    mine: bool = False
    after: str = Field("", max_length=200)
    limit: int = Field(100, ge=1, le=1000)


class Wanted(Inbox):
    """The same for a program, which takes more at once."""

    limit: int = Field(100, ge=1, le=10_000)


class Asked(Message):
    """One request. ``digest`` binds tool, version, arguments, tenant, run and step."""

    request: str
    tool: str
    step: str
    run: str
    lineage: str
    digest: str
    groups: list[str]
    because: str
    question: str
    state: str
    risk: Risk
    asked_at: datetime
    deadline: datetime
    ruled_by: str | None
    ruled_at: datetime | None


class AskedWhole(Asked):
    """One request with the action that it is about. result_schema: of what the tool answers, where it is asked whether to do it again."""

    arguments: dict[str, Any]
    argument_schema: dict[str, Any]
    result_schema: dict[str, Any] | None
    effect: str
    reversible: bool | None
    cost_micros: int
    spent_micros: int
    rules: list[str]
    sources: list[str]
    agreed: list[str]
    needed: str
    silence: str
    warnings: list[str]


class Requests(Message):
    """Requests, the one that has waited longest first. ``waiting`` is how many fit, whether or not they are listed here."""

    requests: list[Asked]
    more: bool
    waiting: int


class Word(Strict):
    """A ruling on what was seen. `arguments` go with `edit`: the whole arguments to run instead.

    `happened` goes with `reject`, where it is asked whether to do something again (it did happen, so the step is done; `output` is what
    the tool would have answered) or to undo something (it is undone already).
    """

    verdict: Verdict
    digest: Digest
    reason: Reason = ""
    arguments: dict[str, Any] | None = None
    happened: bool = False
    output: dict[str, Any] | None = None


class Words(Strict):
    """One approval of several identical requests of low risk: request -> the digest that was seen."""

    approve: dict[str, Digest] = Field(min_length=1, max_length=100)
    reason: Reason = ""


class Ruled(Message):
    """What became of a ruling. accepted without ended: others must agree too."""

    request: str
    accepted: bool
    ended: bool
    message: str


class RuledAll(Message):
    """What became of each."""

    results: list[Ruled]
