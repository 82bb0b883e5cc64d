"""The baseline: the same loop as plain Temporal, with nothing recorded but history. `python -m bench.bare` is its worker.

A decision is an activity that asks the same scripted model through the same client, an effect is an activity that returns a
kilobyte; with look-ups each of them is an activity too. `empty` leaves the model out: activities that only return.
"""

import argparse
import asyncio
import time
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import PollerBehaviorAutoscaling, Worker

with workflow.unsafe.imports_passed_through():
    from openai import AsyncOpenAI
    from pydantic import BaseModel

TASK_QUEUE = "bare"
LIMIT = timedelta(seconds=60)


class Loop(BaseModel):
    """How many decisions, with how many look-ups each, and whether a model is asked."""

    decisions: int = 10
    reads: int = 0
    model: bool = True
    acts: int = 0
    """Effects without any decision, one after the other."""


class Bare:
    """Activities without a ledger."""

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client

    @activity.defn(name="bare_decide")
    async def decide(self, seq: int) -> str:
        reply = await self._client.chat.completions.create(
            model="scripted", max_tokens=200, messages=[{"role": "user", "content": "Take ten decisions. There are more to come."}]
        )
        return reply.choices[0].message.content or ""

    @activity.defn(name="bare_return")
    async def give(self, what: str) -> str:
        return "x" * 1000

    @activity.defn(name="bare_begun")
    async def begun(self) -> float:
        return time.time()


@workflow.defn(name="BareGate")
class BareGate:
    """Takes a step for each signal, and returns when each step began: seconds since the epoch."""

    def __init__(self) -> None:
        self._heard = 0

    @workflow.signal(name="go")
    def go(self) -> None:
        self._heard += 1

    @workflow.run
    async def run(self, steps: int) -> list[float]:
        begun = list[float]()
        for nth in range(steps):
            await workflow.wait_condition(lambda nth=nth: self._heard > nth)
            begun.append(await workflow.execute_activity("bare_begun", result_type=float, start_to_close_timeout=LIMIT))
        return begun


@workflow.defn(name="BareLoop")
class BareLoop:
    """Decides and acts, one after the other."""

    @workflow.run
    async def run(self, given: dict[str, Any]) -> int:
        loop = Loop.model_validate(given)
        for seq in range(loop.decisions):
            for page in range(loop.reads):
                await workflow.execute_activity("bare_return", f"page {page}", result_type=str, start_to_close_timeout=LIMIT)
            decide, argument = ("bare_decide", seq) if loop.model else ("bare_return", "decide")
            await workflow.execute_activity(decide, argument, result_type=str, start_to_close_timeout=LIMIT)
            await workflow.execute_activity("bare_return", "act", result_type=str, start_to_close_timeout=LIMIT)
        for _ in range(loop.acts):
            await workflow.execute_activity("bare_return", "act", result_type=str, start_to_close_timeout=LIMIT)
        return loop.decisions


async def work(address: str, model: str) -> None:
    """Work until killed."""
    client = await Client.connect(address)
    async with AsyncOpenAI(base_url=model, api_key="none", max_retries=0) as openai:
        bare = Bare(openai)
        async with Worker(
            client,
            task_queue=TASK_QUEUE,
            workflows=[BareLoop, BareGate],
            activities=[bare.decide, bare.give, bare.begun],
            workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
            activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        ):
            await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True)
    parser.add_argument("--model", required=True)
    options = parser.parse_args()
    asyncio.run(work(options.address, options.model))
