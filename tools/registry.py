"""Find the tools of an automation and refuse what is not declared well."""

import hashlib
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from contracts.errors import BadConfiguration, BadInput, ToolFailed
from tools.contract import Tool


def load(path: Path) -> dict[str, Tool]:
    """Load ``automations/<name>/tools.py`` by its path and return its tools by name.

    A tool's version is the SHA-256 of that file's text, so that a record names the code that ran.
    Raises: BadConfiguration naming the file and what is wrong.
    """
    try:
        source = path.read_bytes()
        module = _module(path, source)
    except FileNotFoundError:
        raise BadConfiguration(f"{path} is missing: an automation's tools are declared there") from None
    except BadInput as error:
        raise BadConfiguration(f"{path}: {error}") from None
    except Exception as error:
        raise BadConfiguration(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    version = hashlib.sha256(source).hexdigest()
    declared = (getattr(item, "__perdure_tool__", None) for item in vars(module).values())
    # Each once: a module may know one function by two names.
    found = list(dict.fromkeys(tool for tool in declared if isinstance(tool, Tool)))
    tools = {tool.name: replace(tool, version=version) for tool in found}
    if len(tools) < len(found):
        raise BadConfiguration(f"{path}: two tools share a name; names are {sorted(tool.name for tool in found)}")
    if problems := compensations(tools):
        raise BadConfiguration(f"{path}: {'; '.join(problems)}")
    return tools


def compensations(tools: Mapping[str, Tool]) -> list[str]:
    """Say which ``compensate_with`` names no tool, or one that could not be called with the other's output."""
    problems: list[str] = []
    for tool in tools.values():
        if tool.compensate_with is None:
            continue
        undo = tools.get(tool.compensate_with)
        if undo is None:
            problems.append(f"{tool.name} is compensated with {tool.compensate_with}, which is not a tool here")
        elif missing := set(undo.arguments.model_json_schema().get("required", ())) - set(tool.result.model_fields):
            problems.append(f"{undo.name} wants {sorted(missing)}, which the output of {tool.name} does not have")
    return problems


class Registry:
    """The tools of each automation, loaded once for each version of its file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loaded: dict[str, tuple[float, dict[str, Tool]]] = {}

    def tools(self, automation: str) -> dict[str, Tool]:
        """Return an automation's tools by name. Raises: BadConfiguration."""
        path = self._folder / automation / "tools.py"
        changed = path.stat().st_mtime if path.exists() else 0.0
        held = self._loaded.get(automation)
        if held is None or held[0] != changed:
            held = (changed, load(path))
            self._loaded[automation] = held
        return held[1]

    def tool(self, automation: str, name: str) -> Tool:
        """Return one tool. Raises: ToolFailed listing what is known."""
        tools = self.tools(automation)
        if name not in tools:
            raise ToolFailed(f"{automation} has no tool {name!r}; it has {', '.join(sorted(tools))}")
        return tools[name]


def _module(path: Path, source: bytes) -> ModuleType:
    name = f"perdure_automation_{path.parent.name.replace('-', '_')}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BadConfiguration(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # Type hints are looked up by the module's name, so it must be known while it runs.
    sys.modules[name] = module
    try:
        # Not by the loader, whose cache goes by whole seconds: what runs is what the version names.
        exec(compile(source, path, "exec"), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module
