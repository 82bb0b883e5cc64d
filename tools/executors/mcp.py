"""Tools of MCP servers, as an automation has them: accepted by a person, and run by a server's sessions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from contracts.errors import BadInput, ToolFailed, TransientError
from tools.contract import Lookup, Tool, ToolContext
from tools.executors.executor import Access, Executor, Object, Place, bound
from tools.executors.mcp_server import Listed, McpServer
from tools.lock import Definition
from tools.shapes import without

if TYPE_CHECKING:
    from tools.executors.mcp_calls import Calls

PATIENCE_MARGIN = 15.0
"""Seconds that finding out the server's protocol may take, beside its own patience."""


class McpSource(McpServer):
    """A server whose tools an automation may use."""

    def executor(self, place: Place) -> Executor:
        """Return who runs its tools; nothing is opened yet."""
        return McpExecutor(self, place)

    def tools(self, place: Place, executor: Executor) -> dict[str, Tool]:
        """Return its tools by name, as a person accepted them. Raises: BadInput where nobody did."""
        assert isinstance(executor, McpExecutor)
        return {name: self._tool(name, listed, place, executor) for name, listed in self.listed.items()}

    def _tool(self, name: str, listed: Listed, place: Place, executor: "McpExecutor") -> Tool:
        for wanted in (listed.tool, *([listed.lookup.tool] if listed.lookup else [])):
            if wanted not in place.accepted:
                pin = f"starter.py tools pin {place.folder.name}"
                raise BadInput(f"{name}: nobody has accepted {wanted!r} of this server yet: `{pin}` shows it and asks")
        accepted = place.accepted[listed.tool]
        shown = replace(accepted, arguments=without(name, accepted.arguments, listed.key_argument))
        return bound(name, listed, shown, executor.of(listed), lookup=listed.lookup is not None, secrets=self.needs)

    async def discover(self, place: Place, access: Access) -> Sequence[Definition]:
        """Ask the server what its listed tools are now. Raises: BadInput where it cannot be asked, or never had one of them."""
        from tools.executors.mcp_calls import asked

        secrets = {name: value for name in self.needs if (value := access.secret(name))}
        with TemporaryDirectory() as folder:
            try:
                found = await asked(self, place, Path(folder), access.endpoints, secrets, self.connect_seconds + PATIENCE_MARGIN)
            except (TransientError, ToolFailed) as error:
                raise BadInput(_struck(str(error), secrets)) from None
        if unknown := self.allowed - set(found) - set(place.accepted):
            raise BadInput(f"the MCP server {place.name} has no tool {min(unknown)!r}; it has {', '.join(sorted(found)) or 'none'}")
        return [found[name] for name in sorted(self.allowed & set(found))]


class McpExecutor:
    """Runs the tools of one server. The SDK is loaded with the first call: it takes longer than most commands."""

    def __init__(self, source: McpServer, place: Place) -> None:
        self._source = source
        self._place = place
        self._calls: Calls | None = None

    def of(self, listed: Listed) -> "One":
        """Return who runs one listed tool: what its end means depends on what was declared of it."""
        return One(self, listed)

    @property
    def calls(self) -> "Calls":
        """The server's sessions, and calls over them."""
        if self._calls is None:
            from tools.executors.mcp_calls import Calls

            self._calls = Calls(self._source, self._place)
        return self._calls

    async def invoke(self, tool: str, arguments: Object, context: ToolContext) -> Object:
        """Call a tool as the first that is listed under this name. Raises: ToolFailed where none is."""
        return await self._listed(tool).invoke(tool, arguments, context)

    async def lookup(self, tool: str, key: str, context: ToolContext) -> Lookup | None:
        """Tell what became of a call of it."""
        return await self._listed(tool).lookup(tool, key, context)

    async def close(self) -> None:
        """End its sessions; no process of it stays behind."""
        if self._calls is not None:
            await self._calls.close()

    def _listed(self, tool: str) -> "One":
        for listed in self._source.listed.values():
            if listed.tool == tool:
                return self.of(listed)
        raise ToolFailed(f"{tool!r} is not listed; there are: {', '.join(sorted(self._source.allowed))}")


class One:
    """Runs one listed tool."""

    def __init__(self, executor: McpExecutor, listed: Listed) -> None:
        self._executor = executor
        self._listed = listed

    async def invoke(self, tool: str, arguments: Object, context: ToolContext) -> Object:
        """Call it."""
        return await self._executor.calls.invoke(self._listed, arguments, context)

    async def lookup(self, tool: str, key: str, context: ToolContext) -> Lookup | None:
        """Ask the server's other tool what became of a call."""
        return await self._executor.calls.lookup(self._listed, key, context)

    async def close(self) -> None:
        """Nothing: the sessions belong to all tools of the server."""


def _struck(message: str, secrets: Mapping[str, str]) -> str:
    """Strike out secrets: a server's last words may repeat what it was given."""
    for name, value in secrets.items():
        message = message.replace(value, f"[{name}]")
    return message
