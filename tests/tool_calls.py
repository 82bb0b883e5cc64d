"""One call of a tool without a run around it."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from activities.calls import call, parsed
from tests.fakes import MemoryDocuments
from tools import ToolContext
from tools.contract import Tool

KEY = "lineage/step/1"


def context(
    folder: Path = Path("/nowhere"),
    *,
    key: str = KEY,
    seconds: float = 20.0,
    options: Mapping[str, Any] | None = None,
    secrets: Mapping[str, str] | None = None,
    endpoints: Mapping[str, str] | None = None,
    documents: Any = None,
) -> ToolContext:
    """Return what one call may know."""
    return ToolContext(
        tenant="default",
        automation="probe",
        lineage="lineage",
        step="step",
        key=key,
        deadline=datetime.now(UTC) + timedelta(seconds=seconds),
        input={},
        settings={},
        documents=cast(Any, documents or MemoryDocuments()),
        endpoints=endpoints or {},
        folder=folder,
        options=options or {},
        secrets=secrets or {},
    )


async def called(tool: Tool, arguments: Mapping[str, Any], known: ToolContext) -> dict[str, Any]:
    """Call a tool as `act` does: arguments checked, errors told apart, secrets struck out."""
    return await call(tool, parsed(tool, arguments), known)
