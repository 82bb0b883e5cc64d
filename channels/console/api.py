"""The same by API: everything that the console shows and does, as JSON."""

import asyncio
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from channels import explain, slots
from channels.acts import NEEDS
from channels.console import calendar, inbox, memory, numbers, reviewing, run, runs
from channels.console.answers.knowledge import Calendar, Days, Entry, Fact, Facts, Find, Forget, Move, Numbers
from channels.console.answers.notices import Alert, Alerts, Me, Note, Review, Reviews
from channels.console.answers.requests import AskedWhole, Requests, Ruled, RuledAll, Wanted, Word, Words
from channels.console.answers.runs import Because, Cancel, Done, Fork, MomentView, Retry, RunBrief, RunList, Runs, RunWhole, StepView, Undo
from channels.console.doors import API, Handler
from channels.console.operation import ROOT, Operation, description
from channels.console.risk import risk
from channels.console.visit import Visit
from contracts.approvals import RuleResult
from contracts.operations import Operated
from ledger.approvals import Request as Row
from ledger.directory import Role
from ledger.listing import Listed


async def me(visit: Visit, query: Any) -> Me:
    person = visit.person
    return Me(person=person.id, name=person.name, role=person.role, groups=sorted(person.groups), tenant=visit.tenant)


async def requests(visit: Visit, query: Wanted) -> Response:
    # As `Requests` says, but of lines that are JSON when they come: there may be ten thousand.
    found, more, waiting = await inbox.lines(visit, query)
    body = f'{{"requests":[{",".join(found)}],"more":{json.dumps(more)},"waiting":{waiting}}}'
    return Response(body, media_type="application/json")


async def request(visit: Visit, query: Any) -> AskedWhole:
    row = await inbox.found(visit, visit.part("request"))
    await visit.house.desk.look(visit.tenant, row.id, visit.person, visit.channel)
    card = await visit.house.desk.card(visit.tenant, row.id)
    assert card is not None
    return AskedWhole(
        **_asked(row), arguments=row.arguments, argument_schema=row.schema, result_schema=row.about.get("result"),
        effect=card.effect, reversible=card.reversible,
        cost_micros=card.cost, spent_micros=card.spent, rules=list(card.rules), sources=list(card.sources), agreed=list(card.agreed),
        needed=card.needed, silence=card.silence, warnings=list(card.warnings),
    )  # fmt: skip


async def rule(visit: Visit, word: Word) -> Ruled:
    id = visit.part("request")
    await inbox.found(visit, id)
    ruling = inbox.ruled(visit, id, word.verdict, word.reason, digest=word.digest, arguments=word.arguments)
    ruling = ruling.model_copy(update={"happened": word.happened, "output": word.output})
    return _ruled(await visit.house.desk.rule(visit.tenant, ruling, visit.person, channel=visit.channel))


async def rule_all(visit: Visit, words: Words) -> RuledAll:
    results = await inbox.approved(visit, words.approve, words.reason)
    return RuledAll(results=[_ruled(result) for result in results])


async def alerts(visit: Visit, query: Any) -> Alerts:
    found = await visit.house.banner.of(visit.house.database, visit.tenant, visit.person)
    return Alerts(alerts=[Alert(**{name: getattr(one, name) for name in Alert.model_fields}) for one in found])


async def reviews(visit: Visit, query: Any) -> Reviews:
    found = await reviewing.waiting(visit)
    same = [name for name in Review.model_fields if name != "run"]
    return Reviews(reviews=[Review(run=one.workflow_id, **{name: getattr(one, name) for name in same}) for one in found])


async def review(visit: Visit, word: Note) -> Done:
    id = visit.part("request")
    await inbox.found(visit, id)
    return Done(accepted=True, changed=True, message=await reviewing.closed(visit, id, word.note))


async def run_list(visit: Visit, query: Runs) -> RunList:
    found, more = await runs.listed(visit, query)
    return RunList(runs=[RunBrief(**_run(one)) for one in found], more=more)


async def run_whole(visit: Visit, query: Any) -> RunWhole:
    row = await visit.run()
    async with visit.house.database.transaction(visit.tenant) as tx:
        found = await explain.explain(tx, row)
    brief: dict[str, Any] = {
        "run": row.workflow_id, "lineage": row.lineage, "automation": row.automation, "status": row.status,
        "paused": row.paused_at is not None and row.status == "running", "summary": row.summary, "starter": row.starter,
        "started_at": row.started_at, "ended_at": row.ended_at, "spent_micros": found.spent, "limit_micros": found.limit,
        "waiting": len(found.waiting),
    }  # fmt: skip
    steps = [StepView(**{name: getattr(step, name) for name in StepView.model_fields}) for step in found.steps]
    timeline = [
        MomentView(at=moment.at, kind=moment.kind, step=moment.step, text=moment.text, notes=list(moment.notes))
        for moment in found.timeline
    ]
    return RunWhole(
        **brief, bundle=row.bundle, input=row.input, notes=await run.standing_of(visit, found), steps=steps, timeline=timeline,
        forked_from=found.original.workflow_id if found.original else None, forks=[fork.workflow_id for fork in found.forks],
    )  # fmt: skip


def operate(verb: str) -> Any:
    """Return what does one verb to a run."""

    async def work(visit: Visit, word: Any) -> Response:
        result: Operated = await run.operated(visit, await visit.run(), verb, word.model_dump())
        done = Done(accepted=result.accepted, changed=result.changed, message=result.message)
        return JSONResponse(done.model_dump())

    return work


async def entries(visit: Visit, query: Any) -> Calendar:
    async with visit.house.database.transaction(visit.tenant) as tx:
        found = await slots.entries(tx, visit.part("automation"))
    return Calendar(entries=[_entry(one) for one in found])


async def move(visit: Visit, word: Move) -> Entry:
    return _entry(await calendar.moved_to(visit, visit.part("automation"), visit.part("entry"), word.at))


async def house_numbers(visit: Visit, query: Days) -> Numbers:
    return await numbers.counted(visit, query.days)


async def facts(visit: Visit, query: Find) -> Facts:
    found = await memory.found(visit, query.q)
    return Facts(facts=[Fact(**{name: getattr(fact, name) for name in Fact.model_fields}) for fact in found])


async def forget(visit: Visit, word: Forget) -> Done:
    return Done(accepted=True, changed=True, message=await memory.forgotten(visit, word))


OPERATIONS: tuple[Operation, ...] = (
    Operation("GET", f"{ROOT}/me", "viewer", "Say who is asking", me, Me),
    Operation("GET", f"{ROOT}/requests", "viewer", "List what waits for a person", requests, Requests, query=Wanted),
    Operation("GET", f"{ROOT}/requests/{{request}}", "viewer", "Show one request with the action it is about", request, AskedWhole),
    Operation("POST", f"{ROOT}/requests/{{request}}/ruling", NEEDS["rule"], "Rule on a request", rule, Ruled, body=Word),
    Operation("POST", f"{ROOT}/rulings", NEEDS["rule"], "Approve identical requests of low risk", rule_all, RuledAll, body=Words),
    Operation("GET", f"{ROOT}/alerts", "viewer", "Say what the asker has to be told", alerts, Alerts),
    Operation("GET", f"{ROOT}/reviews", "viewer", "List broken glass that nobody has reviewed", reviews, Reviews),
    Operation("POST", f"{ROOT}/requests/{{request}}/review", NEEDS["review"], "Review broken glass", review, Done, body=Note),
    Operation("GET", f"{ROOT}/runs", "viewer", "List runs", run_list, RunList, query=Runs),
    Operation("GET", f"{ROOT}/runs/{{run}}", "viewer", "Show a run with its plan and timeline", run_whole, RunWhole),
    Operation("POST", f"{ROOT}/runs/{{run}}/pause", NEEDS["pause"], "Let nothing new begin", operate("pause"), Done, body=Because),
    Operation("POST", f"{ROOT}/runs/{{run}}/resume", NEEDS["resume"], "Let a paused run go on", operate("resume"), Done, body=Because),
    Operation("POST", f"{ROOT}/runs/{{run}}/cancel", NEEDS["cancel"], "End a run", operate("cancel"), Done, body=Cancel),
    Operation("POST", f"{ROOT}/runs/{{run}}/retry", NEEDS["retry"], "Try a step again", operate("retry"), Done, body=Retry),
    Operation("POST", f"{ROOT}/runs/{{run}}/fork", NEEDS["fork"], "Begin a new run in its past", operate("fork"), Done, body=Fork),
    Operation("POST", f"{ROOT}/runs/{{run}}/undo", NEEDS["undo"], "Undo what an ended run did", operate("undo"), Done, body=Undo),
    Operation("GET", f"{ROOT}/calendar/{{automation}}", "viewer", "List what goes out when", entries, Calendar),
    Operation("POST", f"{ROOT}/calendar/{{automation}}/{{entry}}", NEEDS["move"], "Move an entry", move, Entry, body=Move),
    Operation("GET", f"{ROOT}/numbers", "viewer", "Say how the house is doing", house_numbers, Numbers, query=Days),
    Operation("GET", f"{ROOT}/memory", "viewer", "Find what is remembered", facts, Facts, query=Find),
    Operation("POST", f"{ROOT}/memory/forget", NEEDS["forget"], "Forget all about a subject", forget, Done, body=Forget),
)


def rules() -> list[tuple[str, str, Role, Handler]]:
    """Return method, path, the least role, and what answers, for each operation."""
    return [(operation.method, operation.path, operation.role, operation.handler) for operation in OPERATIONS]


async def openapi(asked: Request) -> Response:
    """Describe the API."""
    return JSONResponse(await asyncio.to_thread(description, OPERATIONS))


def asks(asked: Request) -> bool:
    """Whether a program asks."""
    return asked.url.path.startswith(API)


def wrong(why: str, status: int) -> Response:
    """Say what was wrong."""
    return JSONResponse({"error": why}, status)


def _asked(row: Row) -> dict[str, Any]:
    return {
        "request": row.id, "tool": row.tool, "step": row.step, "run": row.workflow_id, "lineage": row.lineage, "digest": row.digest,
        "groups": list(row.groups), "because": row.reason, "question": row.question, "state": row.state, "risk": risk(row),
        "asked_at": row.created_at, "deadline": row.deadline, "ruled_by": row.ruled_by, "ruled_at": row.ruled_at,
    }  # fmt: skip


def _ruled(result: RuleResult) -> Ruled:
    return Ruled(request=result.request, accepted=result.accepted, ended=result.ended, message=result.message)


def _run(one: Listed) -> dict[str, Any]:
    named = ("lineage", "automation", "status", "paused", "summary", "starter", "started_at", "ended_at", "limit_micros", "waiting")
    return {"run": one.workflow_id, "spent_micros": one.spent, **{name: getattr(one, name) for name in named}}


def _entry(one: slots.Entry) -> Entry:
    return Entry(**{name: getattr(one, name) for name in Entry.model_fields})
