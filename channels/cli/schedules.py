"""Schedules of Temporal that start upkeep: made, changed and taken away."""

from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter, ValidationError
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
)
from temporalio.service import RPCError, RPCStatusCode

from channels.cli import screen
from contracts.errors import BadInput

LEAST, MOST = timedelta(seconds=10), timedelta(days=30)
NEVER = "never"
SHOWN = 40


def interval(every: str) -> timedelta:
    """Return a length of time as people write it. Raises: BadInput where it is none, or too short or too long for a Schedule."""
    shown = screen.line(every, SHOWN)
    try:
        found = TypeAdapter(timedelta).validate_python(every)
    except ValidationError:
        raise BadInput(f"--every {shown!r} is no length of time; right is PT5M for five minutes, or `{NEVER}`") from None
    if found < LEAST:
        raise BadInput(f"--every {shown} is too often: PT10S is the least")
    if found > MOST:
        raise BadInput(f"--every {shown} is too seldom: P30D is the most")
    return found


async def put(client: Client, id: str, workflow: str, request: Any, task_queue: str, every: timedelta) -> None:
    """Make the Schedule that starts a workflow so often, or change the one there is. One that still runs is not started again."""
    made = Schedule(
        action=ScheduleActionStartWorkflow(workflow, request, id=id, task_queue=task_queue),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP),
    )
    try:
        await client.create_schedule(id, made)
    except ScheduleAlreadyRunningError:
        await client.get_schedule_handle(id).update(lambda _: ScheduleUpdate(schedule=made))


async def remove(client: Client, id: str) -> bool:
    """Take a Schedule away, and tell whether there was one."""
    try:
        await client.get_schedule_handle(id).delete()
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True
