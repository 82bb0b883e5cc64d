"""What the import linter cannot see: the imports of the modules that lie beside the packages."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from settings import ROOT

OURS = {path.stem for path in ROOT.glob("*.py")} | {path.parent.name for path in ROOT.glob("*/__init__.py")}
ALLOWED: dict[str, set[str]] = {
    "settings": set(),
    "logs": set(),
    "database": {"contracts", "settings"},
    "yaml_files": {"contracts"},
    "worker": OURS - {"starter", "worker", "devstack"},
    "starter": {"channels", "contracts", "devstack", "settings"},
}


def imported(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("module", [name for name in ALLOWED if (ROOT / f"{name}.py").exists()])
def test_a_module_beside_the_packages_imports_downwards_only(module: str) -> None:
    assert imported(ROOT / f"{module}.py") & OURS <= ALLOWED[module]


def test_a_command_does_not_wait_for_the_sdk_of_models() -> None:
    code = "import sys, starter; print([name for name in ('openai', 'aiohttp', 'mcp', 'starlette') if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
