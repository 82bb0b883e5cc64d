"""Modules of workflows are shared by all runs of a worker, so they hold nothing that a run could change for another."""

import importlib
from types import FunctionType, ModuleType
from typing import Any

import pytest

from settings import ROOT

MODULES = [f"workflows.{path.stem}" for path in sorted((ROOT / "workflows").glob("*.py"))]


def values(module: ModuleType) -> dict[str, Any]:
    """Return what a module defines beside functions, classes and what it imports."""
    skipped = (ModuleType, FunctionType, type)
    return {name: value for name, value in vars(module).items() if not name.startswith("__") and not isinstance(value, skipped)}


@pytest.mark.parametrize("name", MODULES)
def test_a_shared_module_has_constants_only(name: str) -> None:
    found = values(importlib.import_module(name))
    assert [variable for variable, value in found.items() if isinstance(value, list | set | bytearray)] == []
    named = [variable for variable in found if variable.lstrip("_")[0].islower()]
    assert named == []
