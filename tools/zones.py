"""Trust zones: Python tools that must not run in this process are called in the tool server of their zone."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from contracts.errors import BadInput, ToolFailed, ToolUnknown
from settings import Settings
from tools.contract import WORKER, Lookup, Tool, ToolContext
from tools.executors.channel import Peer
from tools.executors.executor import Access, Executor
from tools.executors.grpc_executor import GrpcExecutor, Remote


@dataclass(frozen=True, slots=True)
class Papers:
    """PEM files of this installation: its own certificate and key, and who signs the other side's."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def read(self, *, plaintext: bool, address: str) -> Peer:
        """Return a server of this installation. Raises: BadInput."""
        ca, certificate, key = (_pem(path) for path in (self.ca, self.certificate, self.key))
        if (certificate is None) != (key is None):
            raise BadInput("PERDURE_TOOLS_CERTIFICATE and PERDURE_TOOLS_KEY go together")
        peer = Peer(address, ca is not None or certificate is not None, ca, certificate, key)
        return peer.checked(plaintext=plaintext, otherwise="set PERDURE_TOOLS_CA, or PERDURE_TOOLS_PLAINTEXT=true")


def _pem(path: Path | None) -> bytes | None:
    try:
        return path.read_bytes() if path else None
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None


@dataclass(frozen=True, slots=True)
class Zones:
    """Zone -> `host:port` of its tool server, and the zone of this very process, whose tools run here."""

    servers: Mapping[str, str] = field(default_factory=dict[str, str])
    here: str = WORKER
    papers: Papers = Papers()
    plaintext: bool = False

    def placed(self, automation: str, tools: Mapping[str, Tool]) -> tuple[dict[str, Tool], list[Executor]]:
        """Return the tools with those of other zones replaced by calls to their servers, and who makes these calls."""
        executors = {
            zone: self._executor(automation, zone, [tool for tool in tools.values() if tool.zone == zone])
            for zone in {tool.zone for tool in tools.values()} - {self.here}
        }
        placed = {name: _elsewhere(tool, executors[tool.zone]) if tool.zone in executors else tool for name, tool in tools.items()}
        return placed, list(executors.values())

    def _executor(self, automation: str, zone: str, tools: list[Tool]) -> Executor:
        def peer(access: Access) -> Peer:
            if (address := self.servers.get(zone)) is None:
                raise BadInput(
                    f"it runs in the trust zone {zone}, and this process knows no tool server of that: "
                    f'start `python -m tools.server --zone {zone}` and set PERDURE_ZONES=\'{{"{zone}": "host:port"}}\''
                )
            return self.papers.read(plaintext=self.plaintext, address=address)

        remotes = {tool.name: Remote(reads=tool.effect == "read", version=tool.version) for tool in tools}
        return GrpcExecutor(automation, peer, remotes, ours=True)


def of(settings: Settings, here: str = WORKER) -> Zones:
    """Return the zones that this installation knows, for a process of the zone ``here``."""
    papers = Papers(settings.tools_ca, settings.tools_certificate, settings.tools_key)
    return Zones(settings.zones, here, papers, settings.tools_plaintext)


def _elsewhere(tool: Tool, executor: Executor) -> Tool:
    """Return a tool whose function is never called here: only its shape is used."""

    async def call(arguments: Any, context: ToolContext) -> BaseModel:
        output = await executor.invoke(tool.name, arguments.model_dump(mode="json"), context)
        try:
            return tool.result.model_validate(output)
        except ValidationError as error:
            message = f"{tool.name} answered what does not fit its schema ({error.errors()[0]['msg'][:200]})"
            raise ToolFailed(message) if tool.effect == "read" else ToolUnknown(f"{message}; it may have acted") from None

    async def look_up(key: str, context: ToolContext) -> Lookup | None:
        return await executor.lookup(tool.name, key, context)

    lookup: Callable[[str, ToolContext], Awaitable[Lookup | None]] | None = look_up if tool.lookup else None
    # Its secrets are read where it runs, and nowhere else.
    return replace(tool, call=call, lookup=lookup, secrets=())
