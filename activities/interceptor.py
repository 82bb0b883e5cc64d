"""What every activity gets: log context, heartbeats, and errors in Temporal's form.

The cause stays in the log: a stack trace for each failed attempt would fill the history.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities import metrics
from contracts.errors import PerdureError, TransientError
from contracts.waits import clipped

LOG = structlog.get_logger(__name__)
BEAT = 1.0
"""Seconds between two heartbeats: a cancel comes back with one, so a running tool hears of it within about two."""


class Boundary(Interceptor):
    """Wraps every activity of a worker."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Wrap one."""
        return _Boundary(next)


class _Boundary(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        if info.attempt > 1:
            metrics.RETRIES.labels(info.activity_type).inc()
        with structlog.contextvars.bound_contextvars(**_named(input.args), activity=info.activity_type, attempt=info.attempt):
            try:
                async with _beating(info.heartbeat_timeout):
                    return await super().execute_activity(input)
            except TransientError as error:
                LOG.warning("will be tried again", error=str(error), retry_after=error.retry_after)
                # What a tool or its service asks for is clipped: it comes from outside.
                wait = clipped(error.retry_after)
                delay = None if wait is None else timedelta(seconds=wait)
                raise ApplicationError(str(error), type=type(error).__name__, next_retry_delay=delay) from None
            except PerdureError as error:
                LOG.warning("failed", error=str(error), kind=type(error).__name__)
                raise ApplicationError(str(error), type=type(error).__name__, non_retryable=True) from None
            except (ApplicationError, CancelledError, asyncio.CancelledError):
                raise
            except Exception as error:
                LOG.exception("broke")
                kind = type(error).__name__
                # Its message and its trace may hold what a history must not keep: a password, a body, a row.
                raise ApplicationError(f"{info.activity_type} broke ({kind}); the worker's log says more", type=kind) from None


def _named(arguments: Any) -> dict[str, str]:
    """Return the run, step and tenant that a message names."""
    message = arguments[0] if arguments else None
    run = getattr(message, "run", None) or message
    found = {"tenant": getattr(run, "tenant", None), "run": getattr(run, "lineage", None), "step": getattr(message, "step", None)}
    return {name: str(value) for name, value in found.items() if value}


@asynccontextmanager
async def _beating(within: timedelta | None) -> AsyncGenerator[None]:
    """Heartbeat while the activity runs: without it a cancel never arrives, and a dead worker is noticed late."""
    if within is None:
        yield
        return
    beat = asyncio.create_task(_beat(min(BEAT, within.total_seconds() / 3)))
    try:
        yield
    finally:
        beat.cancel()
        with suppress(asyncio.CancelledError):
            await beat


async def _beat(every: float) -> None:
    while True:
        await asyncio.sleep(every)
        activity.heartbeat()
