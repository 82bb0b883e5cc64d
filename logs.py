"""Structured logs: one line an event, as text for people or as JSON for machines."""

import logging
import sys
from typing import Any

import structlog


def configure(format: str) -> None:
    """Send every log, Temporal's own too, to standard error. format: `console` or `json`."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info if format == "json" else _unchanged,
    ]
    # Not rich's tracebacks: it imports while it prints, which the sandbox of a workflow forbids.
    console = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    last = structlog.processors.JSONRenderer() if format == "json" else console
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter], logger_factory=structlog.stdlib.LoggerFactory()
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last]
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    # Activities are logged by us with their run; each failed attempt twice would hide the cause.
    logging.getLogger("temporalio.activity").setLevel(logging.CRITICAL)
    logging.getLogger("httpx2").setLevel(logging.WARNING)


def _unchanged(_: Any, __: str, event: Any) -> Any:
    return event
