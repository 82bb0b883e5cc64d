"""What the API takes and gives, as its description says it. Money is in micro-dollars, times are ISO 8601 in UTC."""

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
StepName = Annotated[str, Field(min_length=1, max_length=80)]
State = Literal["running", "completed", "failed", "cancelled"]


class Wrong(Message):
    """What was wrong, in one sentence."""

    error: str


class Me(Message):
    """Who is asking."""

    person: str
    name: str
    role: str
    groups: list[str]
    tenant: str


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

    `happened` goes with `reject`, where it is asked whether to do something again: it did happen, so the step is done; `output` is what
    the tool would have answered, where that is known.
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


class Runs(Message):
    """Which runs are wanted. before: what the answer before it gave as ``more``."""

    q: str = Field("", max_length=200)
    status: Literal["", "running", "completed", "failed", "cancelled"] = ""
    automation: str = Field("", max_length=63)
    before: str = Field("", max_length=200)
    limit: int = Field(100, ge=1, le=500)


class RunBrief(Message):
    """One run of a list."""

    run: str
    lineage: str
    automation: str
    status: State
    paused: bool
    summary: str
    starter: str
    started_at: datetime
    ended_at: datetime | None
    spent_micros: int
    limit_micros: int
    waiting: int


class RunList(Message):
    """Runs, newest first."""

    runs: list[RunBrief]
    more: str


class StepView(Message):
    """One step of a plan."""

    step: str
    tool: str
    needs: list[str]
    status: str
    detail: str
    n: int


class MomentView(Message):
    """One line of the timeline."""

    at: datetime
    kind: str
    step: str | None
    text: str
    notes: list[str]


class RunWhole(RunBrief):
    """One run with its plan and its timeline."""

    bundle: str
    input: dict[str, Any]
    notes: list[str]
    steps: list[StepView]
    timeline: list[MomentView]
    forked_from: str | None
    forks: list[str]


class Because(Strict):
    """Why."""

    reason: Reason = ""


class Cancel(Because):
    """What becomes of what the run did; left out, its bundle says."""

    ending: Literal["", "undo", "keep"] = ""


class Retry(Because):
    """Which step."""

    step: StepName


class Fork(Because):
    """From which step or decision; `bundle` is another's hash, `id` the fork's workflow ID."""

    at: StepName
    bundle: str = Field("", max_length=64)
    id: str = Field("", max_length=200)


class Undo(Because):
    """From which step on; left out, from the beginning."""

    since: str = Field("", max_length=80)


class Done(Message):
    """What became of a word on a run. ``changed`` is false where it was so already."""

    accepted: bool
    changed: bool
    message: str


class Entry(Message):
    """One piece and its slot."""

    entry: str
    at: str
    channel: str
    title: str
    run: str
    state: str


class Calendar(Message):
    """Entries by time."""

    entries: list[Entry]


class Move(Strict):
    """To when: ISO 8601, UTC unless it names a zone, or +2h from now."""

    at: str = Field(min_length=1, max_length=40)


class Days(Message):
    """Of how many days."""

    days: int = Field(7, ge=1, le=366)


class Tile(Message):
    """One number with its name; `unit` is seconds, micros, or nothing for a count."""

    name: str
    value: float
    unit: Literal["", "seconds", "micros"]


class Group(Message):
    """Numbers of one kind, one for each name."""

    title: str
    rows: list[Tile]


class Numbers(Message):
    """How the house is doing."""

    days: int
    groups: list[Group]


class Find(Message):
    """Words of a memory."""

    q: str = Field("", max_length=200)


class Fact(Message):
    """One thing that is remembered, and the turns it comes from."""

    id: str
    body: str
    kind: str
    subject: str
    recorded_at: datetime
    lineage: str | None
    step: str | None
    sources: list[str]


class Facts(Message):
    """What is remembered, the newest first."""

    facts: list[Fact]


class Forget(Strict):
    """About whom all is to be forgotten, and why."""

    subject: str = Field(min_length=1, max_length=200)
    reason: str = Field(min_length=1, max_length=2000)


class Nothing(Message):
    """No input."""
