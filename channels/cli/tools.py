"""Commands about tools: list them, and pin what other people's servers offer."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from channels import pins
from channels.cli import automations, link, screen
from channels.pins import Difference
from contracts.errors import BadConfiguration, BadInput
from settings import Settings
from tools import manifest, registry
from tools.contract import Tool
from tools.executors.executor import Access, Place, Source
from tools.executors.grpc import GrpcSource
from tools.executors.mcp import McpSource
from tools.lock import Definition, Lock

LISTING = ("grpc", "mcp")
"""Kinds of sources that can be asked what they have; an HTTP source's operations stand in a file of the automation."""
NOTHING = "{} has no tools of gRPC or MCP servers: there is nothing to accept"
SIGNS = {"+": "green", "-": "red"}
STYLES = {"added": "green", "changed": "yellow", "gone": "red"}

Automation = Annotated[str, typer.Argument(metavar="AUTOMATION", help="A folder of automations/.")]
SourceName = Annotated[str | None, typer.Option("--source", help="Only this source of its tools.yaml.")]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a source has now. problem: why it could not be asked."""

    source: str
    kind: str
    found: list[Definition]
    differences: list[Difference]
    problem: str = ""

    @property
    def changes(self) -> list[Difference]:
        """What is not as it was accepted."""
        return [one for one in self.differences if one.state != "pinned"]


@dataclass(frozen=True, slots=True)
class Row:
    """One tool as `tools list` shows it. secrets: name -> whether it is set, never its value."""

    tool: str
    runs: str
    effect: str
    guarantee: str
    undo: str
    secrets: dict[str, bool]
    state: str


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Tools of an automation: list them, pin what servers of others offer.")
    for name, command in (("list", list_tools), ("pin", pin), ("check", check)):
        group.command(name)(command)
    app.add_typer(group, name="tools")


def list_tools(
    automation: Automation,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no server whether its tools are still what was accepted.")] = False,
    as_json: link.Json = False,
) -> None:
    """List every tool with where it runs, how it is made safe, which secrets it needs, and whether it is what was accepted."""
    settings = link.settings()
    rows = link.run(_rows(settings, automation, offline=offline))
    if as_json:
        screen.print_json(rows)
        return
    headers = ("tool", "runs", "effect", "guarantee", "undo", "secrets", "state")
    cells = ((row.tool, row.runs, row.effect, row.guarantee, row.undo, _secrets(row), row.state) for row in rows)
    screen.show(screen.table(headers, cells))


def pin(
    automation: Automation,
    source: SourceName = None,
    yes: Annotated[bool, typer.Option("--yes", help="Accept without being asked; for a person who has seen the difference.")] = False,
) -> None:
    """Show how the listed tools of gRPC and MCP servers differ from what was accepted, ask, and write tools.lock.json."""
    problems = link.run(_pin(link.settings(), automation, source, yes=yes))
    if problems:
        link.fail("\n".join(problems))


def check(automation: Automation, source: SourceName = None, as_json: link.Json = False) -> None:
    """Ask the servers what they have now; exit with 1 where that is not what was accepted."""
    settings = link.settings()
    asked = link.run(_check(settings, automation, source))
    if as_json:
        screen.print_json([{"source": one.source, "problem": one.problem, "differences": one.changes} for one in asked])
    elif not asked:
        screen.show(NOTHING.format(automation))
    else:
        for one in asked:
            _show(one)
    if any(one.problem or one.changes for one in asked):
        raise typer.Exit(link.REFUSED)


async def _pin(settings: Settings, automation: str, only: str | None, *, yes: bool) -> list[str]:
    folder = automations.named(settings.automations, automation)
    lock = _lock(folder)
    asked = await _ask(settings, folder, lock, only)
    accepted = [one for one in asked if _accepted(one, yes=yes)]
    dropped = [] if only else sorted(set(lock.sources) - {one.source for one in asked})
    for one in accepted:
        lock = lock.accept(one.source, one.found)
    if accepted or dropped:
        Lock({name: named for name, named in lock.sources.items() if name not in dropped}).write(folder)
        changed = ", ".join([*(one.source for one in accepted), *(f"{name} (no source any more)" for name in dropped)])
        screen.show(f"{folder / manifest.LOCK} is written: {changed}; workers take it with their next call")
    if not asked and not dropped:
        screen.show(NOTHING.format(automation))
    return [f"{one.source} is as it was: it could not be asked" for one in asked if one.problem]


def _lock(folder: Path) -> Lock:
    try:
        return Lock.read(folder)
    except BadConfiguration:
        screen.warn(f"{folder / manifest.LOCK} cannot be read, so nothing in it counts as accepted")
        return Lock({})


async def _check(settings: Settings, automation: str, only: str | None) -> list[Asked]:
    folder = automations.named(settings.automations, automation)
    return await _ask(settings, folder, Lock.read(folder), only)


async def _ask(settings: Settings, folder: Path, lock: Lock, only: str | None) -> list[Asked]:
    """Ask each source, or one of them, what it has now. Raises: BadInput where there is none of that name."""
    sources = {name: found for name, found in manifest.sources(folder, lock).items() if found[0] in LISTING}
    if only is not None and only not in sources:
        raise BadInput(f"{folder / manifest.NAME} has no gRPC or MCP source {only!r}; it has: {', '.join(sorted(sources)) or 'none'}")
    endpoints = {"smtp": settings.smtp_url, "social": settings.receiver_url, **settings.endpoints}
    access = Access({name: url for name, url in endpoints.items() if url}, settings.secret)
    wanted = {name: found for name, found in sources.items() if only in (None, name)}
    return list(await asyncio.gather(*(_one(name, *found, access) for name, found in wanted.items())))


async def _one(name: str, kind: str, source: Source, place: Place, access: Access) -> Asked:
    try:
        found = list(await source.discover(place, access))
    except BadInput as error:
        return Asked(name, kind, [], [], str(error))
    return Asked(name, kind, found, pins.differences(place.accepted, found))


def _accepted(one: Asked, *, yes: bool) -> bool:
    """Show what has changed, and ask a person."""
    _show(one)
    if not one.changes:
        return False
    if yes:
        return True
    return typer.confirm(f"Accept {len(one.changes)} of {one.source}?", default=False)


def _show(one: Asked) -> None:
    if one.problem:
        screen.complain(f"{one.source} ({one.kind}) cannot be asked: {one.problem}")
    elif not one.changes:
        screen.show(f"{one.source} ({one.kind}): {len(one.found)} tools, as they were accepted")
    for change in one.changes:
        screen.show(screen.styled(f"{one.source} ({one.kind}): {change.tool} is {change.state}", STYLES[change.state]))
        for line in change.lines:
            screen.show(screen.indented(screen.styled(line, SIGNS.get(line[:1], "dim"))))


async def _rows(settings: Settings, automation: str, *, offline: bool) -> list[Row]:
    folder = automations.named(settings.automations, automation)
    listed = registry.load(folder)
    lock = Lock.read(folder)
    asked = {} if offline else {one.source: one for one in await _ask(settings, folder, lock, None)}
    homes = {tool: (name, source) for name, (source, place, executor) in listed.sources.items() for tool in source.tools(place, executor)}
    kinds = {name: kind for name, (kind, *_) in manifest.sources(folder, lock).items()}
    rows: list[Row] = []
    for name, tool in sorted(listed.tools.items()):
        home, source = homes.get(name, ("", None))
        runs = f"{kinds[home]} {home}" if home else tool.zone
        state = _state(name, source, asked.get(home)) if home and kinds[home] in LISTING else ""
        rows.append(_row(tool, runs, state, settings))
    return rows


def _row(tool: Tool, runs: str, state: str, settings: Settings) -> Row:
    undo = tool.compensate_with or ("irreversible" if tool.irreversible else "")
    secrets = {name: settings.secret(name) is not None for name in tool.secrets}
    return Row(tool.name, runs, tool.effect, tool.guarantee, undo, secrets, state)


def _state(name: str, source: Source | None, asked: Asked | None) -> str:
    if asked is None:
        return "pinned"
    if asked.problem:
        return "pinned; its server cannot be asked"
    theirs = _theirs(source).get(name, name)
    changed = next((one.state for one in asked.changes if one.tool == theirs), None)
    return f"quarantined: {changed}" if changed else "pinned"


def _theirs(source: Source | None) -> dict[str, str]:
    """Return our names of a source's tools, and theirs."""
    if isinstance(source, McpSource):
        return {ours: listed.tool for ours, listed in source.listed.items()}
    if isinstance(source, GrpcSource) and isinstance(source.allowed, dict):
        return {ours: theirs for theirs, ours in source.allowed.items()}
    return {}


def _secrets(row: Row) -> str:
    return ", ".join(f"{name} {'is set' if there else 'is not set'}" for name, there in row.secrets.items())
