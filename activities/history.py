"""What Temporal's history still knows of a run, for a ledger that has lost part of it."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from contracts import names
from contracts.converter import DATA_CONVERTER
from contracts.decisions import Decision
from contracts.effects import ActResult
from contracts.runs import Carried, Run, StartRequest

LOCAL_ACTIVITY = "core_local_activity"
"""The name of a marker that holds a local activity's end. Source: Temporal SDK core."""


@dataclass
class Told:
    """What the histories of one chain of executions tell: how it was started and opened, and how its steps ended.

    tools: step -> tool; ended: step -> status, of what it ran itself. began: with what it began, where it is a fork.
    """

    workflow_id: str
    start: StartRequest | None = None
    run: Run | None = None
    tools: dict[str, str] = field(default_factory=dict[str, str])
    ended: dict[str, str] = field(default_factory=dict[str, str])
    began: Carried | None = None

    @property
    def done(self) -> dict[str, str]:
        """The steps that were done, with their tools, in the order of their ends."""
        return {step: self.tools.get(step, "") for step, status in self.ended.items() if status == "done"}


async def told(client: Client, workflow_id: str, lineage: str) -> Told:
    """Read every history of a run, from its first execution to its last."""
    found = Told(workflow_id)
    async for event in _events(client, workflow_id, lineage):
        _take(found, event)
    return found


async def _events(client: Client, workflow_id: str, lineage: str) -> AsyncIterator[HistoryEvent]:
    run: str | None = lineage
    while run:
        following = None
        try:
            async for event in client.get_workflow_handle(workflow_id, run_id=run).fetch_history_events():
                following = event.workflow_execution_continued_as_new_event_attributes.new_execution_run_id or None
                yield event
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
        run = following


def _take(found: Told, event: HistoryEvent) -> None:
    match event.event_type:
        case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED if found.start is None:
            found.start = _decoded(event.workflow_execution_started_event_attributes.input.payloads, StartRequest)
        case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
            # Which activity it was is told by the form of its result: each has fields of its own.
            payloads = event.activity_task_completed_event_attributes.result.payloads
            if not _decision(found, payloads):
                _act(found, payloads)
        case EventType.EVENT_TYPE_MARKER_RECORDED if event.marker_recorded_event_attributes.marker_name == LOCAL_ACTIVITY:
            details = event.marker_recorded_event_attributes.details
            kind = json.loads(details["data"].payloads[0].data).get("activity_type") if details["data"].payloads else ""
            if kind == names.PROPOSE:
                _decision(found, details["result"].payloads)
            elif kind == names.OPEN_RUN:
                found.run = _decoded(details["result"].payloads, Run)
            elif kind == names.ACT:
                _act(found, details["result"].payloads)
        case _:
            return


def _decision(found: Told, payloads: Sequence[Payload]) -> bool:
    """Take over a plan: a decision's, or the one with which a fork begins."""
    if decision := _decoded(payloads, Decision):
        found.tools |= {step.id: step.tool for step in decision.steps}
    elif inherited := _decoded(payloads, Carried):
        found.tools |= {step.id: step.tool for step in inherited.plan}
        # What it shares was done by its original, under the original's keys.
        found.began = inherited
    else:
        return False
    return True


def _act(found: Told, payloads: Sequence[Payload]) -> None:
    result = _decoded(payloads, ActResult)
    if result and result.step:
        found.ended[result.step] = result.status


def _decoded(payloads: Sequence[Payload], kind: type[Any]) -> Any:
    try:
        return DATA_CONVERTER.payload_converter.from_payload(payloads[0], kind) if payloads else None
    except Exception:
        return None
