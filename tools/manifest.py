"""`tools.yaml`: the tools of an automation whose code is elsewhere."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from contracts.errors import BadConfiguration, BadInput
from tools import lock
from tools.contract import Tool
from tools.executors import python
from tools.executors.executor import Executor, Place, Source
from tools.executors.grpc import GrpcSource
from tools.executors.http import HttpSource
from tools.executors.mcp import McpSource
from tools.lock import Lock
from yaml_files import YamlFile

NAME = "tools.yaml"
LOCK = lock.NAME


class Manifest(BaseModel):
    """The whole file. What a source is called is the operator's choice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    use: tuple[str, ...] = ()
    """Tools by name: Perdure's own, and those that installed packages offer."""
    http: dict[str, HttpSource] = {}
    grpc: dict[str, GrpcSource] = {}
    mcp: dict[str, McpSource] = {}


@dataclass(frozen=True, slots=True)
class Listed:
    """What a manifest comes to: its tools by name, and its sources by theirs, each with who runs it."""

    tools: dict[str, Tool]
    sources: dict[str, tuple[Source, Place, Executor]]
    files: tuple[Path, ...] = ()
    """Other files that it was made from."""


def load(folder: Path) -> Listed:
    """Read an automation's `tools.yaml`, and call nobody. Raises: BadConfiguration naming file and line."""
    file = YamlFile(folder / NAME)
    manifest = file.read(Manifest)
    accepted = Lock.read(folder)
    tools: dict[str, Tool] = {}
    sources: dict[str, tuple[Source, Place, Executor]] = {}

    def add(where: tuple[str | int, ...], found: Callable[[], dict[str, Tool]]) -> None:
        try:
            more = found()
            if twice := sorted(set(more) & set(tools)):
                raise BadInput(f"there is a tool {twice[0]!r} already")
        except BadConfiguration:
            raise
        except BadInput as error:
            raise BadConfiguration(f"{file.path}:{file.line(where)}: {'.'.join(map(str, where))}: {error}") from None
        tools.update(more)

    for index, name in enumerate(manifest.use):
        add(("use", index), lambda name=name: {name: python.offered(name)})
    for kind, named in _kinds(manifest).items():
        for name, source in named.items():
            if name in sources:
                raise BadConfiguration(f"{file.path}:{file.line((kind, name))}: two sources are called {name!r}")
            place = Place(name, folder, accepted)
            executor = source.executor(place)
            sources[name] = (source, place, executor)
            add((kind, name), lambda source=source, place=place, executor=executor: source.tools(place, executor))
    return Listed(tools, sources, tuple(folder / source.openapi for source in manifest.http.values()))


def sources(folder: Path, accepted: Lock) -> dict[str, tuple[str, Source, Place]]:
    """Return the sources of an automation by name, each with its kind, whether its tools are accepted or not.

    Raises: BadConfiguration.
    """
    if not (folder / NAME).exists():
        return {}
    kinds = _kinds(YamlFile(folder / NAME).read(Manifest))
    return {name: (kind, source, Place(name, folder, accepted)) for kind, named in kinds.items() for name, source in named.items()}


def _kinds(manifest: Manifest) -> dict[str, dict[str, Source]]:
    return {"http": {**manifest.http}, "grpc": {**manifest.grpc}, "mcp": {**manifest.mcp}}
