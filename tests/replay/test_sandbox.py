"""What workflow code may be made of: it loads in the sandbox and imports nothing that could read the world."""

import ast
from pathlib import Path

import pytest
from temporalio import workflow

from settings import ROOT
from worker import RUNNER, SANDBOX, WORKFLOWS

MODULES = sorted((ROOT / "workflows").glob("*.py"))
ALLOWED = {"temporalio", "contracts", "workflows", "asyncio", "collections", "contextlib", "dataclasses", "datetime", "functools", "typing"}
READS_THE_WORLD = {"now", "utcnow", "today", "sleep", "time", "uuid4", "random"}


@pytest.mark.parametrize("runner", [RUNNER, SANDBOX], ids=["as workers run it", "with every module watched"])
@pytest.mark.parametrize("defined", WORKFLOWS, ids=lambda defined: defined.__name__)
async def test_a_workflow_loads_in_the_sandbox(defined: type, runner: object) -> None:
    definition = workflow._Definition.must_from_class(defined)
    runner.prepare_workflow(definition)  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_workflow_module_imports_contracts_and_the_sdk_only(path: Path) -> None:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    assert {name.partition(".")[0] for name in names} <= ALLOWED


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_workflow_module_asks_no_clock_but_the_workflows(path: Path) -> None:
    calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    owners = {(ast.unparse(call.value), call.attr) for call in calls if isinstance(call, ast.Attribute) and call.attr in READS_THE_WORLD}
    assert {owner for owner, _ in owners} <= {"workflow"}
