"""What an operator says of an MCP server: how it is reached, which of its tools may be used, and what each of them is."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tools.contract import SECRET
from tools.executors.executor import Declaration

Secret = Annotated[str, Field(pattern=rf"^{SECRET}$")]


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


class McpServer(BaseModel):
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
