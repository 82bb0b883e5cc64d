"""A content-ops run as its tools see it: real folders, documents in memory."""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from policies import bundles
from tests.fakes import MemoryDocuments
from tests.unit.content_ops.content_run import EXAMPLES, FOLDER, Run
from tools import Documents, Tool, ToolContext
from tools.registry import load


@pytest.fixture(scope="session")
def tools() -> dict[str, Tool]:
    return load(FOLDER).tools


@pytest.fixture(scope="session")
def module(tools: dict[str, Tool]) -> Any:
    notes, quotes = (sys.modules[f"perdure_automation_content_ops.{name}"] for name in ("notes", "quotes"))
    return SimpleNamespace(read_note=notes.read_note, sentences=quotes.sentences)


@pytest.fixture(scope="session")
def bundle(tools: dict[str, Tool]) -> bundles.Bundle:
    return bundles.load(FOLDER, {name: tool.effect == "read" for name, tool in tools.items()})


@pytest.fixture
def start(tools: dict[str, Tool], bundle: bundles.Bundle, tmp_path: Path) -> Callable[..., Run]:
    documents = MemoryDocuments()

    def start(*, endpoints: dict[str, str] | None = None, lineage: str = "0199aaaa-0000-7000-8000-000000000001", **given: Any) -> Run:
        context = ToolContext(
            tenant="default",
            automation="content-ops",
            lineage=lineage,
            step="",
            key="",
            deadline=datetime.now(UTC) + timedelta(seconds=20),
            input={"sources": str(EXAMPLES / "notes"), "theme": "running services", "first_slot_seconds": 5, **given},
            settings=bundle.settings.settings,
            documents=cast(Documents, documents),
            endpoints=endpoints or {},
            folder=tmp_path / "out",
        )
        return Run(tools, bundle, context)

    return start


@pytest.fixture
def run(start: Callable[..., Run]) -> Run:
    return start()


@pytest.fixture
def plan() -> dict[str, Any]:
    return json.loads((EXAMPLES / "plan.json").read_text())
