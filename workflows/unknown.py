"""A workflow type that nobody has: it fails at once and says which type is right, instead of waiting for ever."""

from collections.abc import Sequence

from temporalio import workflow
from temporalio.common import RawValue

from contracts.runs import StartRequest
from workflows.lifecycle import NO_START, Lifecycle, refusal


@workflow.defn(dynamic=True)
class Unknown:
    """Started by a type that is registered nowhere; always fails."""

    @workflow.run
    async def run(self, inputs: Sequence[RawValue]) -> None:
        # By the converter's plural: the other raises what would be tried for ever.
        given = workflow.payload_converter().from_payloads(
            [value.payload for value in inputs], [StartRequest] if len(inputs) == 1 else None
        )
        # `open_run` knows which type the automation's pattern has, and refuses every other one.
        await Lifecycle(given[0] if given and given[0] else NO_START).open()
        raise refusal(f"there is no workflow type {workflow.info().workflow_type!r}")
