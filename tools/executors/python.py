"""Python tools: functions of an automation's own code, and those that installed packages offer."""

import hashlib
import importlib
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from contracts.errors import BadConfiguration, BadInput
from tools import library, package
from tools.contract import Tool

GROUP = "perdure.tools"
"""The entry-point group of packages that offer tools. An entry's value is a module, or one declared function."""


def load(path: Path) -> dict[str, Tool]:
    """Load ``automations/<name>/tools.py``, or the folder ``tools``, and return its tools by name.

    A tool's version is the SHA-256 of the file's text, or of all files of the folder, so that a record names the code that ran.
    Raises: BadConfiguration naming the file and what is wrong.
    """
    try:
        code = package.read(path)
        modules = package.run(f"perdure_automation_{path.parent.name.replace('-', '_')}", code)
    except BadInput as error:
        raise BadConfiguration(f"{path}: {error}") from None
    except (Exception, SystemExit) as error:  # A script's own exit would end the worker.
        raise BadConfiguration(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    return _declared(package.declared(modules), code.version, str(path))


def offered(name: str) -> Tool:
    """Return one of Perdure's own tools, or one that an installed package offers. Raises: BadInput listing what is known.

    A name of Perdure's own always means that one: no package can put another in its place.
    """
    own = _own()
    if name in own:
        return own[name]
    known = set(own)
    for entry in entry_points(group=GROUP):
        try:
            found = entry.load()
        except Exception as error:
            raise BadInput(f"the package {_package(entry)} offers {entry.name}, which cannot be loaded: {error}") from error
        version = hashlib.sha256(f"{_package(entry)}/{entry.value}".encode()).hexdigest()
        items = vars(found).values() if isinstance(found, ModuleType) else [found]
        tools = _declared(items, version, f"the package {_package(entry)}")
        if name in tools:
            return tools[name]
        known |= set(tools)
    raise BadInput(f"no installed package offers a tool {name!r}; there are: {', '.join(sorted(known))}")


@cache
def _own() -> dict[str, Tool]:
    found: dict[str, Tool] = {}
    for name in library.MODULES:
        module = importlib.import_module(f"{library.__name__}.{name}")
        source = Path(str(module.__file__)).read_bytes()
        found |= _declared(vars(module).values(), hashlib.sha256(source).hexdigest(), f"tools/library/{name}.py")
    return found


def _package(entry: Any) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.name


def _declared(items: Iterable[Any], version: str, where: str) -> dict[str, Tool]:
    declared = (getattr(item, "__perdure_tool__", None) for item in items)
    # Each once: a module may know one function by two names.
    found = list(dict.fromkeys(tool for tool in declared if isinstance(tool, Tool)))
    tools = {tool.name: replace(tool, version=version) for tool in found}
    if len(tools) < len(found):
        raise BadConfiguration(f"{where}: two tools share a name; names are {sorted(tool.name for tool in found)}")
    return tools
