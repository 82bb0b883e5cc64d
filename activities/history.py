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
from contracts.effects import ActResult, UndoResult
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
    undone: set[str] = field(default_factory=set[str])
    """Keys of effects that were taken back: by the run itself as it ended, or, where this is an undo's history, by that."""
    undoing: set[int] = field(default_factory=set[int])
    """Events by which an undo was scheduled: they tell whose result it is."""
    retried: set[int] = field(default_factory=set[int])
    """Events that scheduled what was tried more than once."""
    doubtful: dict[str, str] = field(default_factory=dict[str, str])
    """Steps that may have happened: each was tried again and then waited for a person, by this request, or nobody could tell."""

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
        case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            if event.activity_task_scheduled_event_attributes.activity_type.name == names.UNDO:
                found.undoing.add(event.event_id)
        case EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
            started = event.activity_task_started_event_attributes
            found.retried.discard(started.scheduled_event_id)
            if started.attempt > 1:
                found.retried.add(started.scheduled_event_id)
        case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED if _of_undo(found, event):
            result = _decoded(event.activity_task_completed_event_attributes.result.payloads, UndoResult)
            found.undone |= set(result.undone) if result else set()
        case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
            # Which activity it was is told by the form of its result: each has fields of its own.
            completed = event.activity_task_completed_event_attributes
            if not _decision(found, completed.result.payloads):
                _act(found, completed.result.payloads, retried=completed.scheduled_event_id in found.retried)
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


def _of_undo(found: Told, event: HistoryEvent) -> bool:
    scheduled = event.activity_task_completed_event_attributes.scheduled_event_id
    if scheduled not in found.undoing:
        return False
    # Each execution of a chain counts its events anew.
    found.undoing.remove(scheduled)
    return True


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


def _act(found: Told, payloads: Sequence[Payload], *, retried: bool = False) -> None:
    result = _decoded(payloads, ActResult)
    if result and result.step:
        found.ended[result.step] = result.status
        found.doubtful.pop(result.step, None)
        if result.status == "unknown" or (result.status == "needs_approval" and retried):
            found.doubtful[result.step] = result.gate.request if result.gate else ""


def _decoded(payloads: Sequence[Payload], kind: type[Any]) -> Any:
    try:
        return DATA_CONVERTER.payload_converter.from_payload(payloads[0], kind) if payloads else None
    except Exception:
        return None
