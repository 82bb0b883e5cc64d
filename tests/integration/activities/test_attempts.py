"""Activities called twice, late, or side by side: what makes each of them safe to try again."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

import worker
from activities.act import Acting
from activities.propose import Proposing
from activities.rulings import Ruling
from activities.runs import Opening
from activities.undo import Undoing
from channels.cli import automations
from channels.explain import Explained, explain
from contracts import approvals as said
from contracts import names
from contracts.approvals import Claim, ClimbRequest, RuleRequest, Rung
from contracts.decisions import Decision, ProposeRequest
from contracts.effects import ActRequest, ActResult, GiveUpRequest, UndoRequest
from contracts.errors import BadInput, PermanentError, Superseded, TransientError
from contracts.runs import CloseRunRequest, OpenRunRequest, RunRef
from database import Database
from ledger import effects, runs
from policies import bundles
from tests.house import House, opened, plan, step
from tests.probes import copied
from tests.servers import until

LINEAGE = "0123"


@dataclass
class Desk:
    """The activities of one run, called by hand."""

    house: House
    opening: Opening
    proposing: Proposing
    acting: Acting
    ruling: Ruling
    undoing: Undoing
    ref: RunRef = field(init=False)

    async def call(self, activity: Callable[[Any], Awaitable[Any]], request: Any, attempt: int = 1) -> Any:
        """Call one as Temporal does."""
        environment = ActivityEnvironment()
        now = datetime.now(UTC)
        environment.info = replace(environment.info, attempt=attempt, started_time=now, start_to_close_timeout=timedelta(seconds=30))
        return await environment.run(activity, request)

    async def open(self) -> RunRef:
        """Open the run."""
        request = OpenRunRequest(
            tenant="default",
            lineage=LINEAGE,
            workflow_id="by-hand",
            workflow_type=names.ORCHESTRATOR,
            automation="probe",
            input={},
            starter="",
        )
        self.ref = (await self.call(self.opening.open_run, request)).ref
        return self.ref

    async def decided(self, *script: Any) -> Decision:
        """Open the run and make its first decision."""
        self.house.model.set_script(script)
        await self.open()
        return await self.call(self.proposing.propose, ProposeRequest(run=self.ref, step="d1", seq=0))

    async def act(self, step: str = "a") -> ActResult:
        """Act on a step."""
        return await self.call(self.acting.act, ActRequest(run=self.ref, step=step))

    async def known(self) -> Explained:
        """Return all that the ledger knows."""
        async with self.house.database.transaction("default") as tx:
            found = await runs.read(tx, LINEAGE)
            assert found is not None
            return await explain(tx, found)


@pytest.fixture
async def desk(database: Database, temporal_address: str, tmp_path: Path) -> AsyncGenerator[Desk]:
    """A house with nobody at work in it but the test."""
    folder = copied(tmp_path / "automations", limits={"parallel": 3})
    async with opened(database, temporal_address, tmp_path, folder=folder) as house, worker.model_of(house.settings) as model:
        shared = worker.services(house.settings, database)
        yield Desk(house, Opening(shared), Proposing(shared, model), Acting(shared), Ruling(shared), Undoing(shared))


async def test_a_run_that_is_opened_again_stays_on_its_bundle_though_another_is_applied_meanwhile(desk: Desk, tmp_path: Path) -> None:
    first = await desk.open()
    other = copied(tmp_path / "other", limits={"parallel": 4})
    async with desk.house.database.transaction("default") as tx:
        applied = await bundles.apply(tx, automations.load(other / "probe"), "tester")
    assert await desk.open() == first and applied != first.bundle
    assert len((await desk.known()).timeline) == 1


async def test_a_run_that_is_closed_again_keeps_its_first_end(desk: Desk) -> None:
    await desk.open()
    for status in ("failed", "completed"):
        await desk.call(desk.opening.close_run, CloseRunRequest(run=desk.ref, status=status, summary=status))
    found = await desk.known()
    assert found.run.status == "failed" and len(found.timeline) == 2


async def test_a_decision_that_is_recorded_is_returned_and_no_model_is_asked(desk: Desk) -> None:
    first = await desk.decided(plan(step("a", note="one")))
    again = await desk.call(desk.proposing.propose, ProposeRequest(run=desk.ref, step="d1", seq=0), attempt=2)
    assert again == first and desk.house.model.count == 1


async def test_an_attempt_at_a_decision_that_outlived_its_time_changes_nothing(desk: Desk) -> None:
    await desk.open()
    desk.house.model.set_script([{**plan(step("late", note="one")), "delay": 1}, plan(step("a", note="one"))])
    request = ProposeRequest(run=desk.ref, step="d1", seq=0)
    late = asyncio.create_task(desk.call(desk.proposing.propose, request))

    async def asked() -> bool:
        return desk.house.model.count == 1

    await until(asked)
    decision = await desk.call(desk.proposing.propose, request, attempt=2)
    with pytest.raises(Superseded):
        await late
    found = await desk.known()
    assert [row.step for row in found.steps] == [row.id for row in decision.steps] == ["a"]
    assert [moment.body["event"] for moment in found.timeline] == ["opened", "lost", "decided"] and found.reserved == 0


async def test_a_step_that_is_done_is_answered_from_its_row(desk: Desk) -> None:
    await desk.decided(plan(step("a", note="one")))
    assert [(await desk.act()).status for _ in range(3)] == ["done"] * 3
    assert list((await desk.house.calls()).values()) == [1] and len((await desk.known()).timeline) == 3


async def test_two_attempts_at_one_step_side_by_side_call_its_tool_once(desk: Desk) -> None:
    await desk.decided(plan(step("a", "probe.slow", note="one", seconds=0.5)))
    ended = await asyncio.gather(desk.act(), desk.act(), return_exceptions=True)
    [refused] = [error for error in ended if isinstance(error, TransientError)]
    assert refused.retry_after is not None
    assert list((await desk.house.calls()).values()) == [1] and (await desk.act()).status == "done"


async def test_a_step_of_a_run_that_has_ended_does_not_run(desk: Desk) -> None:
    await desk.decided(plan(step("a", note="one")))
    await desk.call(desk.opening.close_run, CloseRunRequest(run=desk.ref, status="cancelled", summary=""))
    assert (await desk.act()).status == "skipped" and await desk.house.calls() == {}


async def test_a_step_that_nobody_planned_is_a_fault_that_no_retry_mends(desk: Desk) -> None:
    await desk.open()
    with pytest.raises(PermanentError, match="no step 'a'"):
        await desk.act()


async def test_a_step_that_has_ended_cannot_be_given_up(desk: Desk) -> None:
    await desk.decided(plan(step("a", note="one")))
    await desk.act()
    result = await desk.call(desk.acting.give_up, GiveUpRequest(run=desk.ref, step="a", why="too long"))
    assert result.status == "done"


async def test_an_edit_that_cannot_run_is_told_and_not_run(desk: Desk) -> None:
    await desk.decided(plan(step("a", note="one", ask=True)))
    asked = await desk.act()
    assert asked.gate is not None
    ruling = said.Ruling(request=asked.gate.request, verdict="edit", by="ann", arguments={"note": {"$output": "b/note"}})
    result = await desk.call(
        desk.ruling.rule, RuleRequest(tenant="default", lineage=LINEAGE, nth=0, claim=Claim(signal="decide", ruling=ruling))
    )
    assert not result.accepted and "note" in result.message


async def test_a_claim_that_is_handed_over_twice_gets_its_first_answer_and_one_record(desk: Desk) -> None:
    await desk.decided(plan(step("a", note="one", ask=True)))
    asked = await desk.act()
    assert asked.gate is not None
    good = said.Ruling(request=asked.gate.request, verdict="approve", by="ann")
    for claim in (Claim(signal="decide", ruling=good), Claim(signal="x", why="there is no signal 'x'")):
        request = RuleRequest(tenant="default", lineage=LINEAGE, nth=int(claim.ruling is None), claim=claim)
        first, again = [await desk.call(desk.ruling.rule, request, attempt) for attempt in (1, 2)]
        assert first == again
    found = await desk.known()
    assert len(found.refusals) == 1 and [moment.kind for moment in found.timeline].count("ruling") == 2


async def test_a_rung_that_is_climbed_twice_is_one_record_and_one_of_an_unknown_request_ends_the_wait(desk: Desk) -> None:
    await desk.decided(plan(step("a", note="one", ask=True)))
    asked = await desk.act()
    assert asked.gate is not None
    async with desk.house.database.transaction("default") as tx:
        await tx.execute("UPDATE approval SET rungs = $2 WHERE tenant = $1", tx.tenant, [{"at": 1, "kind": "remind"}])
    for request, ended in ((asked.gate.request, False), ("apr-none", True)):
        climb = ClimbRequest(tenant="default", request=request, rung=Rung(at=1, kind="remind"))
        for _ in range(2):
            assert (await desk.call(desk.ruling.climb, climb)).ended is ended
    assert [moment.body["event"] for moment in (await desk.known()).timeline].count("reminded") == 1
    # One that the row does not have ends nobody's request, whoever names it.
    forged = ClimbRequest(tenant="default", request=asked.gate.request, rung=Rung(at=1, kind="end"))
    assert not (await desk.call(desk.ruling.climb, forged)).ended


async def test_an_undo_that_is_tried_again_undoes_once(desk: Desk) -> None:
    await desk.decided(plan(step("a", note="one"), step("b", "probe.final", note="two")))
    await desk.act()
    first, again = [await desk.call(desk.undoing.undo, UndoRequest(run=desk.ref, reason="because"), attempt) for attempt in (1, 2)]
    assert (first.undone, first.left, again.undone, again.left) == ((f"{LINEAGE}/a/1",), (), (), ())
    assert list((await desk.house.calls("erasures")).values()) == [1] and await desk.house.notes() == []


async def test_an_undo_tells_a_call_that_surely_did_nothing_from_one_that_nobody_saw_end(desk: Desk) -> None:
    await desk.decided(plan(step("a", note="one", fail="transient"), step("b", "probe.guarded", note="two", fail="broken")))
    for id in ("a", "b"):
        with pytest.raises(TransientError):
            await desk.act(id)
    undo = UndoRequest(run=desk.ref, reason="because")
    with pytest.raises(TransientError, match="may be at work still"):
        await desk.call(desk.undoing.undo, undo)
    await asyncio.sleep(2)
    result = await desk.call(desk.undoing.undo, undo)
    assert result.asks == 1 and result.left[0].startswith(f"{LINEAGE}/b/1 (probe.guarded): probe.guarded may have happened (")
    async with desk.house.database.transaction("default") as tx:
        assert {effect.step: effect.state for effect in await effects.of_run(tx, LINEAGE)} == {"a": "failed", "b": "unknown"}


async def test_a_start_of_more_than_an_input_may_have_is_refused(desk: Desk) -> None:
    request = OpenRunRequest(
        tenant="default", lineage=LINEAGE, workflow_id="by-hand", workflow_type=names.ORCHESTRATOR, automation="probe",
        input={"say": "x" * 70_000}, starter="",
    )  # fmt: skip
    with pytest.raises(BadInput, match="give a path or an id"):
        await desk.call(desk.opening.open_run, request)
