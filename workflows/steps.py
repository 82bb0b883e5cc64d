"""One typed call for each activity, with its timeouts and retry policy."""

from contextlib import suppress
from datetime import timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, FailureError, WorkflowAlreadyStartedError, is_cancelled_exception

from contracts import names
from contracts.approvals import ClimbRequest, RequestState, RuleRequest, RuleResult
from contracts.decisions import Decision, ProposeRequest
from contracts.effects import ActRequest, ActResult, GiveUpRequest, UndoRequest, UndoResult, UndoStart
from contracts.operations import LookRequest, Standing
from contracts.runs import Carried, CloseRunRequest, InheritRequest, Limits, OpenRunRequest, Run
from contracts.upkeep import ExpireRequest, ExpireResult, ReconcileRequest, ReconcileResult

# The only owner of retries; an error that trying again cannot mend says so itself.
RETRY = RetryPolicy(initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(seconds=30))
# A row that is not written would leave the ledger untrue, so these outlast a long outage of Postgres.
LEDGER = timedelta(days=2)
LEDGER_ATTEMPT = timedelta(seconds=30)
LEDGER_REMOTE: workflow.ActivityConfig = {
    "start_to_close_timeout": LEDGER_ATTEMPT,
    "schedule_to_close_timeout": LEDGER,
    "retry_policy": RETRY,
}
# One short transaction that may be repeated needs no hop over the server: it runs beside the workflow task.
LEDGER_LOCAL: workflow.LocalActivityConfig = {
    "start_to_close_timeout": LEDGER_ATTEMPT,
    "schedule_to_close_timeout": LEDGER,
    "retry_policy": RETRY,
    "local_retry_threshold": timedelta(seconds=2),
}
Result = TypeVar("Result", ActResult, Decision)
QUICK_ATTEMPT = timedelta(seconds=20)
WAIT = workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED


async def open_run(request: OpenRunRequest) -> Run:
    """Insert the run's row once and read it back."""
    return await workflow.execute_local_activity(names.OPEN_RUN, request, result_type=Run, **LEDGER_LOCAL)


async def inherit(request: InheritRequest) -> Carried:
    """Read back where a fork begins."""
    return await workflow.execute_activity(
        names.INHERIT,
        request,
        result_type=Carried,
        **LEDGER_REMOTE,
    )


async def look(request: LookRequest) -> Standing:
    """Read what people want of the run."""
    return await workflow.execute_local_activity(names.LOOK, request, result_type=Standing, **LEDGER_LOCAL)


async def close_run(request: CloseRunRequest) -> None:
    """End the run's row."""
    await workflow.execute_local_activity(names.CLOSE_RUN, request, **LEDGER_LOCAL)


async def propose(request: ProposeRequest, limits: Limits, *, quick: bool) -> Decision:
    """Make one decision. quick: first beside the workflow task, where the planner's model answers within seconds."""
    if quick and (decision := await _beside(names.PROPOSE, request, Decision)):
        return decision
    return await workflow.execute_activity(
        names.PROPOSE,
        request,
        result_type=Decision,
        start_to_close_timeout=timedelta(seconds=limits.propose_seconds),
        schedule_to_close_timeout=timedelta(seconds=limits.propose_seconds + limits.patience_seconds),
        heartbeat_timeout=timedelta(seconds=limits.heartbeat_seconds),
        retry_policy=RETRY,
        cancellation_type=WAIT,
        summary=request.step,
    )


async def act(request: ActRequest, limits: Limits, *, quick: bool) -> ActResult:
    """Bring one step as far as it can come now. quick: first beside the workflow task, for tools that say so of themselves."""
    if quick and (result := await _beside(names.ACT, request, ActResult)):
        return result
    return await workflow.execute_activity(
        names.ACT,
        request,
        result_type=ActResult,
        start_to_close_timeout=timedelta(seconds=limits.act_seconds),
        schedule_to_close_timeout=timedelta(seconds=limits.act_seconds + limits.patience_seconds),
        heartbeat_timeout=timedelta(seconds=limits.heartbeat_seconds),
        retry_policy=RETRY,
        cancellation_type=WAIT,
        summary=request.step,
    )


async def _beside(name: str, request: ProposeRequest | ActRequest, result: type[Result]) -> Result | None:
    """Try once beside the workflow task; None where that failed: what it had done by then is in the ledger, and is not done again.

    Patience is the server's: a local activity that is given up between two attempts loses what the last one said, and the SDK
    (1.35) then warns of an activity that it cannot cancel, and its worker never stops.
    """
    try:
        return await workflow.execute_local_activity(
            name,
            request,
            result_type=result,
            start_to_close_timeout=QUICK_ATTEMPT,
            retry_policy=RetryPolicy(maximum_attempts=1),
            cancellation_type=WAIT,
        )
    except FailureError as error:  # A local activity's own, with no ActivityError around it.
        if is_cancelled_exception(error):
            raise
        return None


async def give_up(request: GiveUpRequest) -> ActResult:
    """End a step whose attempts are used up, as failed or, where it may have taken effect, as unknown."""
    return await workflow.execute_activity(
        names.GIVE_UP,
        request,
        result_type=ActResult,
        start_to_close_timeout=LEDGER_ATTEMPT,
        schedule_to_close_timeout=LEDGER,
        retry_policy=RETRY,
        summary=request.step,
    )


async def undo(request: UndoRequest, limits: Limits) -> UndoResult:
    """Undo what the run did, newest first. Not stopped by a cancel: the caller shields it."""
    return await workflow.execute_activity(
        names.UNDO,
        request,
        result_type=UndoResult,
        start_to_close_timeout=timedelta(hours=1),
        schedule_to_close_timeout=LEDGER,
        heartbeat_timeout=timedelta(seconds=limits.heartbeat_seconds),
        retry_policy=RETRY,
    )


async def ask_about_rest(start: UndoStart) -> None:
    """Start the undo that asks people about what a run left when it ended; it outlives the run.

    Where that cannot be started, its order is on record all the same: reconcile starts it.
    """
    with suppress(WorkflowAlreadyStartedError):
        await workflow.start_child_workflow(
            names.UNDO_RUN,
            start,
            id=names.undo_id(start.lineage),
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        )


async def reconcile(request: ReconcileRequest) -> ReconcileResult:
    """Compare the ledger of a tenant with Temporal."""
    return await workflow.execute_activity(
        names.RECONCILE,
        request,
        result_type=ReconcileResult,
        start_to_close_timeout=timedelta(hours=1),
        heartbeat_timeout=timedelta(seconds=60),
        retry_policy=RetryPolicy(maximum_attempts=3),
    )


async def expire(request: ExpireRequest) -> ExpireResult:
    """Take away what is over a tenant's retention policy. What one attempt took is gone whatever becomes of it, and not counted twice."""
    return await workflow.execute_activity(
        names.EXPIRE,
        request,
        result_type=ExpireResult,
        start_to_close_timeout=timedelta(hours=4),
        heartbeat_timeout=timedelta(seconds=60),
        retry_policy=RetryPolicy(maximum_attempts=3),
    )


async def rule(request: RuleRequest) -> RuleResult:
    """Hand a claim to the approval's row."""
    return await workflow.execute_activity(
        names.RULE,
        request,
        result_type=RuleResult,
        **LEDGER_REMOTE,
    )


async def climb(request: ClimbRequest) -> RequestState:
    """Do what a rung of a request's ladder says."""
    return await workflow.execute_activity(
        names.CLIMB,
        request,
        result_type=RequestState,
        **LEDGER_REMOTE,
    )


def reason(error: FailureError) -> str:
    """Return what the last attempt said, at most 400 characters."""
    cause: BaseException | None = error
    # Below the first one lies what it was made of, in words that are nobody's business.
    while isinstance(cause, FailureError) and cause.cause is not None and not isinstance(cause, ApplicationError):
        cause = cause.cause
    message = cause.message if isinstance(cause, FailureError) else str(cause)
    return (message or "it did not answer in time")[:400]
