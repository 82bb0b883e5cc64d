"""What a Schedule starts: the comparison of the ledger with Temporal, and the end of what is over its policy."""

from temporalio import workflow

from contracts import names
from contracts.upkeep import ExpireRequest, ExpireResult, ReconcileRequest, ReconcileResult
from workflows import steps
from workflows.lifecycle import refusal

NO_START = ReconcileRequest(tenant="none")
NO_EXPIRY = ExpireRequest(tenant="none")


@workflow.defn(name=names.RECONCILE_ALL)
class Reconcile:
    """Started by a Schedule, for one tenant; ends when everything was compared."""

    @workflow.run
    async def run(self, request: ReconcileRequest = NO_START) -> ReconcileResult:
        if request is NO_START:
            raise refusal('no input was given; right is {"tenant": "…"}')
        # A person's word is given on a command line, never by whoever may start a workflow.
        return await steps.reconcile(request.model_copy(update={"lost": False, "restored": False}))


@workflow.defn(name=names.EXPIRE_ALL)
class Expire:
    """Started by a Schedule, for one tenant; ends when nothing is left that is over the policy."""

    @workflow.run
    async def run(self, request: ExpireRequest = NO_EXPIRY) -> ExpireResult:
        if request is NO_EXPIRY:
            raise refusal('no input was given; right is {"tenant": "…"}')
        return await steps.expire(request)
