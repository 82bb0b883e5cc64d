"""HTTP tools: operations of an OpenAPI document that lies in the automation's folder."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from contracts.errors import BadInput, ToolFailed, ToolRetry, ToolUnknown, TransientError
from tools.calls import Incapable, struck
from tools.contract import Lookup, Tool, ToolContext
from tools.executors.credentials import Auth
from tools.executors.executor import Access, Declaration, Executor, Object, Place, bound
from tools.fetch import FETCHER, Answer, Fetcher, Request
from tools.invisible import visible
from tools.lock import Definition
from tools.openapi.document import Document
from tools.openapi.operations import Operation, operation
from tools.openapi.wire import written
from tools.reach import Reach, Refused, parsed, port
from tools.replies import NOT_YET, decoded, retry_after, settled
from tools.shapes import shape

HostName = Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+)(:[0-9]{1,5})?$")]
MOST_BYTES = 1_000_000


class HttpLookup(BaseModel):
    """Which operation tells what became of a call, and which of its parameters takes the key: `query.key`, `path.key` or `header.Key`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    operation: str
    key: Annotated[str, Field(pattern=r"^(query|path|header)\..+$")]

    @property
    def place(self) -> str:
        """Where the key goes."""
        return self.key.partition(".")[0]

    @property
    def parameter(self) -> str:
        """The parameter that takes it."""
        return self.key.partition(".")[2]


class HttpTool(Declaration):
    """One operation as a tool."""

    operation: str
    lookup: HttpLookup | None = None


class HttpSource(BaseModel):
    """One HTTP service. ``server``: the name of an endpoint of the installation, or a URL."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    openapi: str
    server: str
    auth: Auth | None = None
    allow: tuple[HostName, ...] = ()
    """Hosts beside the server's that it may redirect to, and hosts in a private network that may be called."""
    declared: Annotated[dict[str, HttpTool], Field(min_length=1, alias="tools")]

    @model_validator(mode="after")
    def _server(self) -> Self:
        if "://" in self.server:
            try:
                parsed(self.server)
            except Refused as error:
                raise ValueError(f"the server is not one that can be called: {error}") from None
            if "?" in self.server or "#" in self.server:
                raise ValueError("the server's URL ends with its path")
        elif not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", self.server):
            raise ValueError("the server is the name of an endpoint, or a URL that begins with https://")
        return self

    def executor(self, place: Place) -> Executor:
        return HttpExecutor(self, place)

    def tools(self, place: Place, executor: Executor) -> dict[str, Tool]:
        bonds = executor.bonds if isinstance(executor, HttpExecutor) else self.bonds(place)
        secrets = (self.auth.name,) if self.auth else ()
        found: dict[str, Tool] = {}
        for name, bond in bonds.items():
            declared = bond.declared
            found[name] = bound(name, declared, bond.definition(self), executor, lookup=declared.lookup is not None, secrets=secrets)
        return found

    async def discover(self, place: Place, access: Access) -> Sequence[Definition]:
        raise BadInput(f"the operations of {place.name} stand in {self.openapi}, which you keep with the automation: nothing is pinned")

    def bonds(self, place: Place) -> dict[str, "Bond"]:
        """Read the document, and return what each tool calls. Raises: BadInput."""
        document = Document(place.folder, self.openapi)
        hidden = frozenset({self.auth.header.lower()} if self.auth and self.auth.header else ())
        found: dict[str, Bond] = {}
        for name, declared in self.declared.items():
            try:
                asked = _lookup(document, declared.lookup, hidden) if declared.lookup else None
                found[name] = Bond(name, declared, operation(document, declared.operation, hidden), asked)
            except BadInput as error:
                raise type(error)(f"{error} (tool {name})") from None
        return found


@dataclass(frozen=True, slots=True)
class Bond:
    """What a tool of the manifest calls, and what tells what became of it."""

    name: str
    declared: HttpTool
    operation: Operation
    lookup: Operation | None

    def definition(self, source: HttpSource) -> Definition:
        """Return what the tool is. All that decides what a call does is in it, so that its pin, and the tool's version, name it."""
        one = self.operation
        bond = {
            "method": one.method,
            "path": one.path,
            "server": source.server,
            "auth": source.auth.name if source.auth else "",
            "parameters": [[parameter.name, parameter.place, parameter.style] for parameter in one.parameters],
            "lookup": [self.lookup.method, self.lookup.path] if self.lookup else [],
        }
        return Definition(self.name, visible(one.description), one.arguments, one.result, bond)


class HttpExecutor:
    """Calls the operations of one service. It holds no connection open."""

    def __init__(self, source: HttpSource, place: Place, fetcher: Fetcher = FETCHER) -> None:
        self._source = source
        self._place = place
        self._fetcher = fetcher

    @cached_property
    def bonds(self) -> dict[str, Bond]:
        """What each tool calls, read once. Raises: BadInput."""
        return self._source.bonds(self._place)

    async def invoke(self, tool: str, arguments: Object, context: ToolContext) -> Object:
        """Call a tool, by its name in the manifest; see `Executor`."""
        bond = self.bonds[tool]
        acts = bond.declared.effect != "read"
        answer = await self._asked(bond.operation, arguments, context, acts=acts)
        secrets, credential = self._secrets(context), self._source.auth.name if self._source.auth else ""
        settled(answer, self._place.name, acts=acts, secrets=secrets, credential=credential)
        try:
            return struck(output(bond.operation, answer), secrets)
        except ValueError as error:
            message = f"{self._place.name} answered {answer.status} with what is not the JSON it should be ({error})"
            raise (ToolUnknown(f"{message}; it may have acted") if acts else ToolFailed(message)) from None

    async def lookup(self, tool: str, key: str, context: ToolContext) -> Lookup | None:
        """Ask what became of a call: 404 says that it did not happen, 2xx that it did, anything else nothing."""
        bond = self.bonds[tool]
        if bond.lookup is None or bond.declared.lookup is None:
            return None
        try:
            answer = await self._asked(bond.lookup, {bond.declared.lookup.parameter: key}, context, acts=False)
        except (ToolFailed, ToolRetry):
            return None
        if answer.status == 404:
            return Lookup(happened=False)
        if answer.status in NOT_YET or answer.status == 408 or answer.status >= 500:
            wait = retry_after(answer.headers.get("retry-after", ""))
            raise TransientError(f"{self._place.name} said {answer.status} to a look-up", retry_after=wait)
        if not 200 <= answer.status < 300:
            return None
        try:
            found = struck(output(bond.lookup, answer), self._secrets(context))
            # An empty list of what was found is no sign that anything happened: only what the call itself would answer is.
            shape(f"{tool} result", bond.operation.result).model_validate(found)
        except ValueError:
            return None
        return Lookup(happened=True, output=found)

    async def close(self) -> None:
        """Nothing is held open."""

    async def _asked(self, called: Operation, arguments: Object, context: ToolContext, *, acts: bool) -> Answer:
        source = self._source
        server, reach = self._server(context)
        try:
            call = written(called, arguments)
        except ValueError as error:
            raise ToolRetry(f"an argument cannot be sent: {type(error).__name__}") from None
        key = {"Idempotency-Key": context.key} if acts else {}
        return await self._fetcher.fetch(
            Request(
                method=called.method,
                url=server.rstrip("/") + call.target,
                deadline=context.deadline,
                reach=reach,
                headers={"Accept": "application/json, text/*;q=0.5", **call.headers, **key},
                secret=source.auth.headers(context.secrets) if source.auth else {},
                body=call.body,
                acts=acts,
                most_bytes=MOST_BYTES,
            )
        )

    def _server(self, context: ToolContext) -> tuple[str, Reach]:
        """Return the server's URL, and who may be called: it, and whom the manifest names."""
        name, allowed = self._source.server, frozenset(self._source.allow)
        server = name if "://" in name else context.endpoints.get(name, "")
        if not server:
            known = ", ".join(sorted(context.endpoints)) or "none"
            raise Incapable(f"no endpoint {name!r} is configured on this worker; there are: {known}")
        url = parsed(server)
        host = f"[{url.host}]" if ":" in url.host else url.raw_host.decode()
        # Whoever configures the installation may point it into his own network; who writes an automation says so by `allow`.
        own = frozenset() if "://" in name else frozenset({f"{host}:{port(url)}"})
        return server, Reach(only=allowed | {host}, private=allowed | own)

    def _secrets(self, context: ToolContext) -> dict[str, str]:
        """Return what must not be kept of an answer: the secrets, and the forms in which one was sent."""
        return {**context.secrets, **(self._source.auth.sent(context.secrets) if self._source.auth else {})}


def output(called: Operation, answer: Answer) -> Object:
    """Return what an operation answered as a tool's output. Raises: ValueError."""
    if called.answered == "nothing" or not answer.body:
        return {}
    if called.answered == "text":
        return {"body": answer.text}
    found = decoded(answer)
    if called.answered == "json":
        return {"body": found}
    if not isinstance(found, dict):
        raise ValueError(f"an object is expected, and it is a {type(found).__name__}")
    return found


def _lookup(document: Document, asked: HttpLookup, hidden: frozenset[str]) -> Operation:
    found = operation(document, asked.operation, hidden)
    if not any((one.place, one.name) == (asked.place, asked.parameter) for one in found.parameters):
        raise BadInput(f"the look-up {asked.operation} has no parameter {asked.parameter!r} in its {asked.place}")
    if rest := sorted(set(found.arguments["required"]) - {asked.parameter}):
        raise BadInput(f"the look-up {asked.operation} wants {rest[0]!r} too, and gets nothing but the key")
    return found
