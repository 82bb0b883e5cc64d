"""The one HTTP client for everything that fetches: it knows whom it may call, and what of a failure is sure."""

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import httpx2

from contracts.errors import ToolFailed, ToolUnknown, TransientError
from tools import bodies
from tools.addresses import public
from tools.bodies import Unreadable
from tools.calls import NotStarted
from tools.reach import Reach, Refused, origin, parsed, port, where

MOST_REDIRECTS = 5
MOST_ADDRESSES = 4
MOST_BYTES = 2_000_000
CONNECT_SECONDS = 5.0
AGENT = "Perdure"
# They say how long a request is, where it goes and by which way: another value than ours would be another request.
OURS = frozenset(
    ("host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect", "accept-encoding")
) | {"proxy-authorization", "proxy-connection"}
TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
REDIRECTS = frozenset({301, 302, 303, 307, 308})

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be fetched.

    secret: headers that nobody but the origin of ``url`` may see. acts: whether it changes something where it arrives.
    deadline: when all of it must have ended, UTC. most_bytes: of the answer, unpacked.
    before: asked about each URL, the redirected ones too; what it raises ends the fetch.
    """

    method: str
    url: str
    deadline: datetime
    reach: Reach
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    secret: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    body: bytes | None = None
    acts: bool = False
    most_bytes: int = MOST_BYTES
    before: Callable[[httpx2.URL], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status. ``url`` is the one that answered."""

    status: int
    headers: httpx2.Headers
    body: bytes
    url: str
    done: bool = False
    """What acts was done before, and this only shows it: its failure says nothing of that."""

    @property
    def text(self) -> str:
        """The body in the encoding that it names."""
        charset = httpx2.Response(200, headers={"content-type": self.headers.get("content-type", "")}).charset_encoding
        try:
            return self.body.decode(charset or "utf-8", "replace")
        except LookupError:
            return self.body.decode("utf-8", "replace")


class _Hop:
    """One request of a chain of redirects, and whether it may have arrived."""

    def __init__(self, request: Request, url: httpx2.URL) -> None:
        self.url = url
        self.method = request.method
        self.body = request.body
        self.headers = dict(request.headers)
        self.secret = dict(request.secret)
        self.sent = False
        self.done = False

    async def trace(self, event: str, _: Any) -> None:
        """Note the moment from which on the other side may act."""
        self.sent = self.sent or event == "http11.send_request_headers.started"

    def follow(self, status: int, to: httpx2.URL) -> None:
        """Go on to where an answer sends us. Source: RFC 9110, 15.4; the Fetch standard for 301 and 302."""
        if (status == 303 and self.method != "HEAD") or (status in (301, 302) and self.method == "POST"):
            # Whoever says 303 has done it and shows the outcome elsewhere: `sent` stays.
            self.method, self.body, self.done = "GET", None, True
            self.headers = {name: value for name, value in self.headers.items() if not name.lower().startswith("content-")}
        else:
            self.sent = False
        if origin(to) != origin(self.url):
            self.secret = {}
        self.url = to


class Fetcher:
    """Fetches. A connection serves one request: of one that was kept nobody knows whether it took the next one."""

    def __init__(self, resolve: Resolver | None = None, trust: ssl.SSLContext | None = None) -> None:
        """resolve: host and port -> its addresses. trust: the certificates that are believed."""
        self._resolve = resolve or resolved
        self._given = trust

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        return self._given or httpx2.create_ssl_context(trust_env=False)

    async def fetch(self, request: Request) -> Answer:
        """Return the answer at the end of all redirects, whatever its status.

        Raises: Refused for what may not be fetched; TransientError where it surely did not act; ToolUnknown where it may have; of what
        does not act, ToolFailed for an answer that cannot be read, and TransientError for the rest.
        """
        hop = _Hop(request, parsed(request.url))
        left = (request.deadline - datetime.now(UTC)).total_seconds()
        if left <= 0:
            raise NotStarted(f"{hop.url.host} was not called: its time was over")
        # A little before whoever set the deadline looks at it: only here is it known whether anything was sent.
        seconds = left - min(0.25, left / 10)
        try:
            async with asyncio.timeout(seconds):
                return await self._followed(request, hop)
        except Refused as error:
            if request.acts and hop.sent:
                raise ToolUnknown(f"{error}; it may have acted before it sent us there") from None
            raise
        except TimeoutError:
            raise _lost(request, hop, f"did not answer within {seconds:.3g} s") from None
        except Unreadable as error:
            raise (
                ToolUnknown(f"{hop.url.host} {error}; it may have acted") if request.acts else ToolFailed(f"{hop.url.host} {error}")
            ) from None
        except httpx2.TransportError as error:
            raise _failed(request, hop, error) from None

    async def _followed(self, request: Request, hop: _Hop) -> Answer:
        for _ in range(MOST_REDIRECTS + 1):
            answer = await self._once(request, hop)
            to = answer.headers.get("location") if answer.status in REDIRECTS else None
            if not to:
                return answer
            after = parsed(to, hop.url)
            if hop.url.scheme == "https" and after.scheme == "http":
                raise Refused(f"{hop.url.host} redirects from https to http")
            hop.follow(answer.status, after)
        raise Refused(f"{hop.url.host}: more than {MOST_REDIRECTS} redirects")

    async def _once(self, request: Request, hop: _Hop) -> Answer:
        addresses = await self._addresses(request.reach, hop)
        if request.before:
            await request.before(hop.url)
        for last, address in enumerate(addresses, 1 - len(addresses)):
            try:
                return await self._exchanged(request, hop, address)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                if not last:
                    raise
        raise TransientError(f"{hop.url.host} has no address")

    async def _addresses(self, reach: Reach, hop: _Hop) -> Sequence[str]:
        """Return the addresses to connect to, and to no others. One that is not public spoils them all."""
        if not reach.called(hop.url):
            raise Refused(f"{where(hop.url)} is not among the hosts that may be called: {', '.join(sorted(reach.only or ())) or 'none'}")
        try:
            addresses = await self._resolve(hop.url.raw_host.decode(), port(hop.url))
        except UnicodeError:
            raise Refused(f"{hop.url.host[:80]!r} is not the name of a host") from None
        except OSError as error:
            raise TransientError(f"{hop.url.host} has no address ({error.strerror or type(error).__name__})") from None
        if not reach.at_home(hop.url) and not all(map(public, addresses)):
            raise Refused(
                f"{where(hop.url)} does not lie in the public internet, and nobody has named it as a host that may be called there"
            )
        if hop.secret and hop.url.scheme == "http" and not reach.at_home(hop.url):
            raise Refused(f"{where(hop.url)}: a secret is not sent over http: use https")
        return addresses[:MOST_ADDRESSES]

    async def _exchanged(self, request: Request, hop: _Hop, address: str) -> Answer:
        headers = _checked({"Accept": "*/*", "User-Agent": AGENT}, hop.headers, hop.secret)
        headers |= {"Host": hop.url.netloc.decode(), "Accept-Encoding": "gzip", "Connection": "close"}
        pinned = httpx2.Request(
            hop.method,
            # Never by its name again: the next answer of a name server may be another.
            hop.url.copy_with(host=address),
            headers=headers,
            content=hop.body,
            extensions={"timeout": {"connect": CONNECT_SECONDS}, "sni_hostname": hop.url.raw_host.decode(), "trace": hop.trace},
        )
        async with httpx2.AsyncHTTPTransport(verify=self._trust, trust_env=False, retries=0) as transport:
            response = await transport.handle_async_request(pinned)
            response.request = pinned
            try:
                return Answer(
                    response.status_code, response.headers, await bodies.read(response, request.most_bytes), str(hop.url), hop.done
                )
            finally:
                await response.aclose()


async def resolved(host: str, port: int) -> list[str]:
    """Ask this machine's resolver for the addresses of a host."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


FETCHER = Fetcher()
"""The one that tools use."""


def _checked(*given: Mapping[str, str]) -> dict[str, str]:
    """Return all headers, each once. Raises: Refused for one that would say another thing than the request."""
    found: dict[str, str] = {}
    for name, value in (one for headers in given for one in headers.items()):
        if not TOKEN.fullmatch(name) or any((c < " " and c != "\t") or c >= "\x7f" for c in value):
            raise Refused(f"the header {name[:60]!r} cannot be sent: it holds a character that no header may hold")
        if name.lower() in OURS:
            raise Refused(f"the header {name} is the client's own")
        found[name.title()] = value
    return found


def _lost(request: Request, hop: _Hop, said: str) -> Exception:
    message = f"{hop.url.host} {said}"
    return ToolUnknown(f"{message}; it may have acted") if request.acts and hop.sent else TransientError(message)


def _failed(request: Request, hop: _Hop, error: httpx2.TransportError) -> Exception:
    reason: BaseException | None = error
    while reason is not None and not isinstance(reason, ssl.SSLCertVerificationError):
        reason = reason.__cause__ or reason.__context__
    if reason is not None and not hop.sent:
        return Refused(f"{hop.url.host} has a certificate that is not believed: {reason.verify_message[:200]}")
    if isinstance(error, httpx2.LocalProtocolError | httpx2.UnsupportedProtocol):
        return _lost(request, hop, f"cannot be asked that ({type(error).__name__})")
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return _lost(request, hop, f"cannot be reached ({type(error).__name__})")
    return _lost(request, hop, f"broke off ({type(error).__name__})")
