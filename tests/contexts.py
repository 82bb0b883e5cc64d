"""What a call of a tool knows, for tests that make one themselves."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from tools.contract import ToolContext
from tools.documents import Documents


def context(folder: Path, *, seconds: float = 20.0, key: str = "lineage/step/1", **more: Any) -> ToolContext:
    """Return it, without a database behind it."""
    given: dict[str, Any] = {"endpoints": {}, "secrets": {}, **more}
    return ToolContext(
        tenant="default", automation="probe", lineage="lineage", step="step", key=key,
        deadline=datetime.now(UTC) + timedelta(seconds=seconds),
        input={}, settings={}, documents=cast(Documents, None), folder=folder, **given,
    )  # fmt: skip
