"""Tools of MCP servers: which of them an automation may use, and what its operator says of each."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from contracts.errors import BadInput, ToolFailed, TransientError
from tools.contract import SECRET, Lookup, Tool, ToolContext
from tools.executors.executor import Access, Declaration, Executor, Object, Place, bound
from tools.lock import Definition
from tools.shapes import without

if TYPE_CHECKING:
    from tools.executors.mcp_calls import Calls

Secret = Annotated[str, Field(pattern=rf"^{SECRET}$")]
PATIENCE_MARGIN = 15.0
"""Seconds that finding out the server's protocol may take, beside its own patience."""


class LookUp(BaseModel):
    """How another tool of the server tells what became of a call."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tool: str
    key_argument: str
    """Which of its arguments takes the key."""
    arguments: dict[str, Any] = {}
    happened: str
    """Where in its result it stands, `order.id` say: what is not empty there says that it happened."""
    output: str | None = None
    """Where in its result the lost call's output stands; the whole of it, if nothing is said."""


class Listed(Declaration):
    """One tool that the operator lists."""

    tool: str
    """Its name on the server."""
    key_argument: str | None = None
    """The argument that takes the effect's key; a model never sees it."""
    lookup: LookUp | None = None


class Auth(BaseModel):
    """How an HTTP server knows us."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bearer: Secret


class McpSource(BaseModel):
    """One server: a command that speaks MCP over its standard input and output, or an address that does over HTTP."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: tuple[str, ...] = ()
    """`{folder}` in it is where tools of this automation may write files. It runs in the automation's folder."""
    environment: dict[str, str] = {}
    secrets: tuple[Secret, ...] = ()
    """Handed to the process in its environment."""
    url: str | None = None
    """An address, or the name of an endpoint."""
    auth: Auth | None = None
    connect_seconds: Annotated[float, Field(gt=0, le=300)] = 20.0
    """How long the server may take to answer what is not a call."""
    most_bytes: Annotated[int, Field(ge=1000, le=50_000_000)] = 1_000_000
    """Of one answer."""
    listed: Annotated[dict[str, Listed], Field(min_length=1, alias="tools")]
    """Its tools by the names that they have here."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.command) == (self.url is not None):
            raise ValueError("write either `command` or `url`")
        if self.url is not None and (self.environment or self.secrets):
            raise ValueError("`environment` and `secrets` are for a `command`; with a `url`, write `auth: {bearer: NAME}`")
        if self.command and self.auth:
            raise ValueError("`auth` is for a `url`; a `command` gets its `secrets` in its environment")
        return self

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of all secrets it needs."""
        return (*self.secrets, self.auth.bearer) if self.auth else self.secrets

    @property
    def allowed(self) -> set[str]:
        """The tools of the server that may be called at all, by their names there."""
        return {one.tool for one in self.listed.values()} | {one.lookup.tool for one in self.listed.values() if one.lookup}

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

    def __init__(self, source: McpSource, place: Place) -> None:
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
