"""The tools of each automation, from its own code and its `tools.yaml`, and refused where they are not declared well."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from contracts.errors import BadConfiguration, ToolFailed
from tools import manifest, package
from tools.contract import Tool, fields
from tools.executors import python
from tools.executors.executor import Executor
from tools.manifest import Listed
from tools.zones import Zones

CODE, FOLDER, LIST, LOCK = "tools.py", "tools", manifest.NAME, manifest.LOCK


def code_of(folder: Path) -> Path:
    """Return where an automation's own code is: its `tools.py`, or the folder `tools`. Raises: BadConfiguration where it has both."""
    one, many = folder / CODE, folder / FOLDER
    if not many.is_dir():
        return one
    if one.exists():
        raise BadConfiguration(f"{one} and the folder {many} are both there: one of them has the tools")
    return many


def load(folder: Path) -> Listed:
    """Return the tools of ``automations/<name>``. Raises: BadConfiguration naming the file and what is wrong."""
    code, listed = code_of(folder), Listed({}, {})
    if (folder / LIST).exists():
        listed = manifest.load(folder)
    elif not code.exists():
        raise BadConfiguration(
            f"{code} is missing: an automation's tools are declared there, in modules of a folder {FOLDER}, or in {LIST}"
        )
    own = python.load(code) if code.exists() else {}
    if twice := sorted(set(own) & set(listed.tools)):
        raise BadConfiguration(f"{code} and {LIST} both have a tool {twice[0]!r}")
    tools = {**own, **listed.tools}
    if problems := compensations(tools):
        raise BadConfiguration(f"{code if own else folder / LIST}: {'; '.join(problems)}")
    return Listed(tools, listed.sources, listed.files)


def _changed(paths: Sequence[Path]) -> list[float]:
    """Return when files changed, 0 for those that are not there. It is asked at every call, so it is one system call a file."""
    found: list[float] = []
    for path in paths:
        try:
            found.append(path.stat().st_mtime)
        except OSError:
            found.append(0.0)
    return found


def compensations(tools: Mapping[str, Tool]) -> list[str]:
    """Say which ``compensate_with`` names no tool, or one that could not be called with the other's output."""
    problems: list[str] = []
    for tool in tools.values():
        if tool.compensate_with is None:
            continue
        undo = tools.get(tool.compensate_with)
        if undo is None:
            problems.append(f"{tool.name} is compensated with {tool.compensate_with}, which is not a tool here")
        elif missing := set(undo.arguments.model_json_schema().get("required", ())) - set(fields(tool.result)):
            problems.append(f"{undo.name} wants {sorted(missing)}, which the output of {tool.name} does not have")
    return problems


class Registry:
    """The tools of each automation, loaded once for each version of its files."""

    def __init__(self, folder: Path, zones: Zones | None = None) -> None:
        self._folder = folder
        self._zones = zones or Zones()
        self._loaded: dict[str, tuple[list[float], list[Path], Listed]] = {}
        self._executors: list[Executor] = []

    def tools(self, automation: str) -> dict[str, Tool]:
        """Return an automation's tools by name. Raises: BadConfiguration."""
        held = self._loaded.get(automation)
        if held is None or held[0] != _changed(held[1]):
            folder = self._folder / automation
            # Looked at before they are read: what changes meanwhile is read again.
            own = [*(folder / name for name in (CODE, LIST, LOCK)), *package.files(folder / FOLDER)]
            before = _changed(own)
            found = load(folder)
            tools, elsewhere = self._zones.placed(automation, found.tools)
            held = before + _changed(found.files), [*own, *found.files], Listed(tools, found.sources)
            self._loaded[automation] = held
            # Those of an earlier version may be in the middle of a call: all are closed at the end.
            self._executors += [*(executor for _, _, executor in held[2].sources.values()), *elsewhere]
        return held[2].tools

    def tool(self, automation: str, name: str) -> Tool:
        """Return one tool. Raises: ToolFailed listing what is known."""
        tools = self.tools(automation)
        if name not in tools:
            raise ToolFailed(f"{automation} has no tool {name!r}; it has {', '.join(sorted(tools))}")
        return tools[name]

    async def close(self) -> None:
        """Close what the executors hold open."""
        for executor in self._executors:
            with suppress(Exception):
                await executor.close()
        self._executors.clear()
