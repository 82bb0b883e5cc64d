"""What runs keep of their work, and what later decisions recall of it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from activities.memories import Memories
from activities.undo_workflow import start_undo
from contracts.effects import UndoStart
from ledger import orders
from ledger.orders import Order
from memory import erasure, facts, succession
from memory.embedding import PACKAGED, PACKAGED_DIMS
from memory.sessions import Turn
from memory.storing import NewFact
from memory.writes import WriteKey
from policies.agents import Recall
from tests.house import House, plan, statuses, step
from tests.integration.workflows.conftest import HouseOf

KEEPS: dict[str, Any] = {
    "memory": {
        "remember": [
            {
                "tool": "probe.write",
                "scope": "probe",
                "kind": "written",
                "subject": "{{ arguments.note }}",
                "body": "Wrote the note {{ arguments.note }} about harvest, as {{ output.id }}",
            }
        ]
    },
    "agents": {"planner": {"recall": [{"id": "known", "query": "{{ input.say }}", "scopes": ["probe"], "k": 5}]}},
}


async def bodies(house: House) -> list[str]:
    async with house.database.transaction(house.tenant) as tx:
        return [fact.body for fact in await facts.as_of(tx, scope="probe")]


def recalled(found: Any) -> list[dict[str, Any]]:
    return [memory for moment in found.timeline if moment.kind == "decision" for memory in moment.body.get("memories", ())]


async def test_a_later_decision_recalls_what_an_earlier_run_did_and_why_names_the_source(house_of: HouseOf) -> None:
    async with house_of(**KEEPS) as house:
        first = await house.run(plan(step("a", note="apples")), input={"say": "harvest"})
        assert [memory["hits"] for memory in recalled(first)] == [[]]
        second = await house.run(plan(step("a", note="pears")), input={"say": "harvest"})
        (memory,) = recalled(second)
        (hit,) = memory["hits"]
        assert (hit["lineage"], hit["step"], hit["subject"], hit["kind"]) == (first.run.lineage, "a", "apples", "written")
        (decision,) = [moment for moment in second.timeline if moment.kind == "decision"]
        assert any(f"from run {first.run.lineage} a" in note for note in decision.notes)
        assert decision.body["reads"][0]["tool"] == "memory.recall"


async def test_one_fact_is_kept_for_each_step_that_was_done_however_often_a_run_is_closed(house_of: HouseOf) -> None:
    async with house_of(**KEEPS) as house:
        found = await house.run(plan(step("a", note="apples"), step("b", note="pears")), input={"say": "harvest"})
        assert statuses(found) == {"a": "done", "b": "done"}
        assert sorted(body.split()[3] for body in await bodies(house)) == ["apples", "pears"]


async def test_what_was_taken_back_is_not_remembered(house_of: HouseOf) -> None:
    failing = plan(step("a", note="apples"), step("b", "probe.write", "a", note="pears", fail="failed"))
    async with house_of(**KEEPS, limits={"replans": 0}) as house:
        found = await house.run(failing, input={"say": "harvest"})
        assert found.run.status == "failed" and any(moment.body.get("event") == "undone" for moment in found.timeline)
        assert await bodies(house) == []


async def test_what_is_taken_back_later_is_believed_no_longer(house_of: HouseOf) -> None:
    async with house_of(**KEEPS) as house:
        found = await house.run(plan(step("a", note="apples")), input={"say": "harvest"})
        assert len(await bodies(house)) == 1
        before = datetime.now(UTC)
        order = Order(found.run.lineage, "o1", by="ann", reason="wrong")
        async with house.database.transaction(house.tenant) as tx:
            await orders.put(tx, order)
        start = UndoStart(tenant=house.tenant, lineage=order.lineage, order=order.name)
        await house.client.get_workflow_handle(await start_undo(house.client, house.settings.task_queue, start)).result()
        assert await bodies(house) == []
        async with house.database.transaction(house.tenant) as tx:
            assert len(await facts.as_of(tx, scope="probe", believed=before)) == 1


async def test_a_template_that_fails_costs_the_fact_and_not_the_run(house_of: HouseOf) -> None:
    wrong = {"memory": {"remember": [{"tool": "probe.write", "body": "{{ output.nothing }}"}]}}
    async with house_of(**wrong) as house:
        found = await house.run(plan(step("a", note="apples")))
        assert found.run.status == "completed"
        (said,) = [moment for moment in found.timeline if moment.body.get("event") == "not remembered"]
        assert "nothing" in said.body["why"] and "nothing" in said.text


async def test_a_memory_that_refuses_writes_costs_the_fact_and_not_the_end_of_the_run(
    house_of: HouseOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERDURE_SECRET_MEMORY_KEY", "a key")
    async with house_of(**KEEPS) as house:
        async with house.database.transaction(house.tenant) as tx:
            await erasure.forget(tx, "Zelda Quimby", "asked", "ann")
        monkeypatch.setenv("PERDURE_SECRET_MEMORY_KEY", "another one")
        found = await house.run(plan(step("a", note="apples"), step("b", note="pears")), input={"say": "harvest"})
        assert found.run.status == "completed" and await bodies(house) == []
        said = [moment for moment in found.timeline if moment.body.get("event") == "not remembered"]
        assert len(said) == 2 and all("key" in moment.body["why"] for moment in said)
        async with house.database.transaction(house.tenant) as tx:
            # Nothing half done: no source without its fact.
            assert await tx.value("SELECT count(*) FROM episode WHERE tenant = $1", tx.tenant) == 0


class Broken:
    """The model that tenants use, down."""

    name, dims = PACKAGED, PACKAGED_DIMS

    async def embed(self, texts: Any) -> list[list[float]]:
        raise ConnectionError("nobody there")


async def test_a_model_of_embeddings_that_fails_leaves_the_words(house: House) -> None:
    async with house.database.transaction(house.tenant) as tx:
        await facts.write(tx, WriteKey("one", "a"), [NewFact("The harvest of apples was good", scope="probe")])
        await succession.adopt(tx, PACKAGED)
    wanted = Recall(id="known", query="x", scopes=("probe",))
    reply = await Memories(house.database, [Broken()]).recall(house.tenant, wanted, "apples harvest", 0.99)
    assert [hit["body"] for hit in reply["hits"]] == ["The harvest of apples was good"]
    assert reply["mode"] == "keywords" and "gave no vector (ConnectionError: nobody there)" in reply["degraded"]


async def test_a_prompt_carries_no_more_of_it_than_it_may(house: House) -> None:
    async with house.database.transaction(house.tenant) as tx:
        many = [NewFact(f"The harvest of field {nth}: {'apples ' * 20}", scope="probe") for nth in range(5)]
        await facts.write(tx, WriteKey("one", "a"), many)
    wanted = Recall(id="known", query="x", scopes=("probe",), k=5, tokens=400)
    reply = await Memories(house.database, ()).recall(house.tenant, wanted, "harvest", 0.99)
    assert sum(len(hit["body"].encode()) for hit in reply["hits"]) <= 400
    assert reply["hits"] and len(reply["hits"]) + len(reply["left_out"]) == 5


async def test_turns_at_hand_are_the_turns_that_were_said(house: House) -> None:
    memories, turns = Memories(house.database, ()), [Turn("user", "d1", "one"), Turn("assistant", "planner", "two")]
    memories.said(house.tenant, "a session", 0, turns, [])
    async with house.database.transaction(house.tenant) as tx:
        assert await memories.turns(tx, "a session", 2, 4) == turns
        assert await memories.turns(tx, "a session", 2, 1) == turns[-1:]
        # Another process said these: they are read from the session itself, which has none.
        assert await memories.turns(tx, "a session", 4, 4) == []
