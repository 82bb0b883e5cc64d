"""What only Temporal knows of a run: calls under way and tried again, what no worker has taken up, and how it ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from temporalio.api.enums.v1 import EventType, PendingActivityState
from temporalio.client import Client, WorkflowExecutionDescription, WorkflowHandle, WorkflowHistoryEventFilterType
from temporalio.converter import DataConverter
from temporalio.service import RPCError, RPCStatusCode

CONVERTER = DataConverter.default.payload_converter
Handle = WorkflowHandle[Any, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One activity under way. ``said`` is what its last attempt failed with, ``next_at`` when the next begins; UTC."""

    activity: str
    step: str
    attempt: int
    started: bool
    since: datetime
    next_at: datetime | None
    said: str


@dataclass(frozen=True, slots=True)
class UnderWay:
    """The newest execution of a workflow ID. ``first_run_id`` is its lineage, ``failure`` why it failed.

    untaken: since when a task waits that no worker has taken up, UTC.
    """

    workflow_id: str
    first_run_id: str
    status: str
    closed_at: datetime | None
    failure: str
    calls: list[Call]
    untaken: datetime | None
    stuck: str = ""
    """What the workflow's own code fails with, time and again."""


async def look(client: Client, workflow_id: str) -> UnderWay | None:
    """Ask Temporal; None where it has no execution of this ID (any more)."""
    handle: Handle = client.get_workflow_handle(workflow_id)
    try:
        found = await handle.describe()
    except RPCError as error:
        if error.status in (RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT):
            return None
        raise
    raw = found.raw_description
    pending, stuck = raw.pending_activities, raw.pending_workflow_task.attempt > 1
    steps, last = await _history(handle) if pending or stuck else ({}, "")
    status = found.status.name.lower() if found.status else "unknown"
    failure = await _failure(handle) if found.close_time and status != "completed" else ""
    calls = [_call(item, steps) for item in pending]
    first = raw.workflow_execution_info.first_run_id or found.run_id
    return UnderWay(found.id, first, status, found.close_time, failure, calls, _untaken(found), last if stuck else "")


def _call(item: Any, steps: Mapping[str, str]) -> Call:
    started = item.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
    return Call(
        activity=item.activity_type.name,
        step=steps.get(item.activity_id, ""),
        attempt=item.attempt,
        started=started,
        since=_time(item.last_started_time if started else item.scheduled_time) or datetime.now(UTC),
        next_at=None if started or item.attempt == 1 else _time(item.scheduled_time),
        said=_reason(item.last_failure) if item.HasField("last_failure") else "",
    )


async def _history(handle: Handle) -> tuple[dict[str, str], str]:
    """Return the step that each activity works for, as its summary names it, and what the last workflow task failed with."""
    steps: dict[str, str] = {}
    failed = ""
    async for event in handle.fetch_history_events():
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED and event.user_metadata.HasField("summary"):
            id = event.activity_task_scheduled_event_attributes.activity_id
            steps[id] = CONVERTER.from_payload(event.user_metadata.summary, str)
        elif event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
            failed = _reason(event.workflow_task_failed_event_attributes.failure)
    return steps, failed


async def _failure(handle: Handle) -> str:
    """Return what the last event says; it is there at once, since the run has ended."""
    last = None
    async for event in handle.fetch_history_events(event_filter_type=WorkflowHistoryEventFilterType.CLOSE_EVENT):
        last = event
    if last is None:
        return ""
    return _reason(last.workflow_execution_failed_event_attributes.failure) or last.workflow_execution_terminated_event_attributes.reason


def _reason(failure: Any) -> str:
    """Return the innermost message: those around it say only that something below them failed."""
    message = failure.message
    while failure.HasField("cause"):
        failure = failure.cause
        message = failure.message or message
    return f"{message}{_fields(failure.application_failure_info)}"


def _fields(info: Any) -> str:
    """Return the fields that a start's input has wrong; the converter leaves them in the details."""
    if info.type != "PayloadValidationError" or not info.details.payloads:
        return ""
    found: list[dict[str, Any]] = CONVERTER.from_payload(info.details.payloads[0], list[dict[str, Any]])
    return ": " + "; ".join(f"{'.'.join(map(str, item.get('loc', ()))) or 'the input'}: {item.get('msg')}" for item in found[:5])


def _untaken(found: WorkflowExecutionDescription) -> datetime | None:
    raw = found.raw_description
    since = [_time(item.scheduled_time) for item in raw.pending_activities if item.attempt == 1 and not item.HasField("last_started_time")]
    task = raw.pending_workflow_task
    if raw.HasField("pending_workflow_task") and not task.HasField("started_time"):
        since.append(_time(task.scheduled_time))
    return min((at for at in since if at), default=None)


def _time(stamp: Any) -> datetime | None:
    return stamp.ToDatetime(UTC) if stamp.seconds else None
