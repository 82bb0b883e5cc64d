"""A workflow type that nobody has: it fails at once and says which type is right, instead of waiting for ever."""

from collections.abc import Sequence

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from contracts.runs import StartRequest
from workflows.lifecycle import Lifecycle


@workflow.defn(dynamic=True)
class Unknown:
    """Started by a type that is registered nowhere; always fails."""

    @workflow.run
    async def run(self, inputs: Sequence[RawValue]) -> None:
        kind = workflow.info().workflow_type
        if len(inputs) != 1:
            raise ApplicationError(f"there is no workflow type {kind!r}", type="NotOpened", non_retryable=True)
        # By the converter's plural: the other raises what would be tried for ever.
        start: StartRequest = workflow.payload_converter().from_payloads([inputs[0].payload], [StartRequest])[0]
        # `open_run` knows which type the automation's pattern has, and refuses every other one.
        await Lifecycle(start).open()
        raise ApplicationError(f"there is no workflow type {kind!r}", type="NotOpened", non_retryable=True)
