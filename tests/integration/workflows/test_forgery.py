"""Starts that pretend to be something else: none reaches another run, and none is tried for ever."""

import secrets
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.converter import DataConverter, DefaultPayloadConverter

from contracts import names
from contracts.runs import Carried, Run, RunRef, StartRequest
from tests.house import House, plan, step


async def failure(house: House, argument: Any, **options: Any) -> str:
    """Start a run that must fail, and return what its failure says."""
    handle = await house.client.start_workflow(
        names.ORCHESTRATOR, argument, id=f"forged-{secrets.token_hex(4)}", task_queue=house.settings.task_queue, **options
    )
    house.handles.append(handle)
    first = house.client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
    async for event in first.fetch_history_events(wait_new_event=True):
        # A cron's next firing follows what failed, so the failure stands in the event that goes on.
        for ended in (event.workflow_execution_failed_event_attributes, event.workflow_execution_continued_as_new_event_attributes):
            if ended.failure.message:
                return ended.failure.message
    raise AssertionError


def forged(victim: RunRef) -> StartRequest:
    """Return a start that claims to go on with another run, whose plan has failed, so that it would be undone."""
    carried = Carried.model_validate(
        {"run": Run(ref=victim, automation="probe"), "window": 1, "seq": 1, "done": True, "replans": 9}
        | {"plan": [{"id": "x", "tool": "t"}], "statuses": {"x": "failed"}}
    )
    return StartRequest(automation="probe", tenant="default", starter="eve", carried=carried)


@pytest.mark.parametrize("options", [{}, {"cron_schedule": "@every 1s"}])
async def test_nobody_carries_on_with_another_run(house: House, options: dict[str, Any]) -> None:
    found = await house.run(plan(step("a", note="precious")))
    victim = RunRef(tenant="default", lineage=found.run.lineage, bundle=found.run.bundle)
    assert "refused" in (said := await failure(house, forged(victim), **options)) or "`carried` is what" in said
    assert await house.notes() == ["precious"]
    assert not await house.calls("erasures")


async def test_a_cron_start_is_sent_to_a_schedule(house: House) -> None:
    start = StartRequest(automation="probe", tenant="default", starter="tester")
    assert "use a Temporal Schedule" in await failure(house, start, cron_schedule="@every 1s")


@pytest.mark.parametrize("encoding", ["binary/plain", "weird/thing", "json/protobuf"])
async def test_a_start_in_another_encoding_fails_at_once(house: House, encoding: str) -> None:
    given = Payload(metadata={"encoding": encoding.encode(), "messageType": b"temporal.api.common.v1.Payload"}, data=b'{"a": 1}')

    class AsItIs(DefaultPayloadConverter):
        def to_payloads(self, values: Any) -> list[Payload]:
            return [given for _ in values]

    raw = Client(**{**house.client.config(), "data_converter": DataConverter(payload_converter_class=AsItIs)})
    handle = await raw.start_workflow(names.ORCHESTRATOR, "x", id=f"encoded-{secrets.token_hex(4)}", task_queue=house.settings.task_queue)
    house.handles.append(handle)
    assert await house.ended(handle) == "FAILED"
