"""Where an MCP server is reached with what: the command or address of a source, with a call's folder, endpoints and secrets in it."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import httpx2
from mcp.client._transport import TransportStreams

from tools.addresses import public
from tools.calls import Incapable
from tools.executors import mcp_wires
from tools.executors.executor import Place
from tools.executors.mcp_connection import Connection
from tools.executors.mcp_server import McpServer
from tools.executors.mcp_wires import Courier, Watch
from tools.fetch import resolved
from tools.lock import Definition
from tools.reach import Reach, Refused, parsed, port, where

CONNECT_SECONDS, STREAM_SECONDS = 10.0, 300.0
FOLDER = "{folder}"


@dataclass(frozen=True, slots=True)
class Door:
    """One way in. Calls with the same one share a session."""

    source: McpServer
    place: Place
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = field(repr=False)
    url: str
    bearer: str | None = field(repr=False)
    at_home: bool

    @classmethod
    def of(cls, source: McpServer, place: Place, folder: Path, endpoints: Mapping[str, str], secrets: Mapping[str, str]) -> Self:
        """Put a call's own into what the operator wrote. Raises: Incapable where a secret or an endpoint is not set."""
        if missing := [name for name in source.needs if name not in secrets]:
            raise Incapable(f"the MCP server {place.name} needs the secret {missing[0]}: set PERDURE_SECRET_{missing[0]}")
        command = tuple(part.replace(FOLDER, str(folder)) for part in source.command)
        if command != source.command:
            folder.mkdir(parents=True, exist_ok=True)
        environment = {**source.environment, **{name: secrets[name] for name in source.secrets}}
        bearer = secrets[source.auth.bearer] if source.auth else None
        return cls(
            source, place, command, tuple(sorted(environment.items())), _address(source, place, endpoints), bearer, source.url in endpoints
        )

    @property
    def key(self) -> tuple[object, ...]:
        """What calls must have in common to share a session."""
        return (self.command, self.environment, self.url, self.bearer)

    def connection(self, accepted: Mapping[str, Definition]) -> Connection:
        """Return a session through it that begins to open."""
        connection = Connection(self.place.name, self.wire, accepted, self.source.connect_seconds)
        connection.start()
        return connection

    def wire(self, watch: Watch) -> AbstractAsyncContextManager[TransportStreams]:
        """Return the wire to the server; nothing is opened yet."""
        # Structured content comes twice, the second time as a text within the JSON.
        most = self.source.most_bytes * 3 + 100_000
        if self.command:
            return mcp_wires.process(self.command, dict(self.environment), self.place.folder, most, watch)
        return mcp_wires.web(self.url, self._client(most, watch), most, watch)

    @property
    def _reach(self) -> Reach:
        named = frozenset({httpx2.URL(self.url).netloc.decode()})
        # An endpoint is the installation's word, and may lie in its own network; an automation's file may not name one there.
        return Reach(only=named, private=named if self.at_home else frozenset())

    def _client(self, most_bytes: int, watch: Watch) -> httpx2.AsyncClient:
        headers = {"accept-encoding": "identity", **({"authorization": f"Bearer {self.bearer}"} if self.bearer else {})}
        return httpx2.AsyncClient(
            headers=headers,
            timeout=httpx2.Timeout(CONNECT_SECONDS, read=STREAM_SECONDS),
            transport=Courier(Hardened(self._reach), most_bytes, watch),
            trust_env=False,
        )


class Hardened(httpx2.AsyncBaseTransport):
    """Sends requests as `tools.fetch` does: each is looked up once, goes to that address and to nobody's private network.

    A redirect that the SDK follows comes by here again, and it follows none to another origin.
    """

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._inner = httpx2.AsyncHTTPTransport(verify=httpx2.create_ssl_context(trust_env=False), trust_env=False, retries=0)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request. Raises: httpx2.ConnectError where it may not be sent, or there is no way."""
        try:
            url = parsed(str(request.url))
            addresses = await resolved(url.raw_host.decode(), port(url))
        except (Refused, OSError, UnicodeError) as error:
            raise httpx2.ConnectError(str(error)) from None
        at_home = self._reach.at_home(url)
        if not addresses or not self._reach.called(url) or not (at_home or all(map(public, addresses))):
            raise httpx2.ConnectError(f"{where(url)} is not public, and no endpoint of this installation names it")
        if url.scheme == "http" and not at_home and "authorization" in request.headers:
            raise httpx2.ConnectError(f"{where(url)}: a secret is not sent over http: use https")
        pinned = httpx2.Request(
            request.method,
            # Never by its name again: the next answer of a name server may be another.
            url.copy_with(host=addresses[0]),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": url.raw_host.decode()},
        )
        return await self._inner.handle_async_request(pinned)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._inner.aclose()


def _address(source: McpServer, place: Place, endpoints: Mapping[str, str]) -> str:
    if source.url is None or "://" in source.url:
        return source.url or ""
    if source.url not in endpoints:
        known = ", ".join(sorted(endpoints)) or "none"
        raise Incapable(f"the MCP server {place.name} stands at the endpoint {source.url!r}; PERDURE_ENDPOINTS has {known}")
    return endpoints[source.url]
