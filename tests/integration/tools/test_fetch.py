"""The one HTTP client against real sockets: whom it calls, what it reads, and what of a failure it says is sure."""

import asyncio
import gzip
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme
from starlette.applications import Starlette
from starlette.requests import Request as Asked
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from contracts.errors import ToolFailed, ToolUnknown, TransientError
from devstack.web_server import CutReply, listening
from tests.servers import free_port
from tools.fetch import Answer, Fetcher, Request
from tools.reach import Reach, Refused

ALL = ["GET", "POST", "PUT", "DELETE", "HEAD"]
HOME = "127.0.0.1"


def asked(url: str, method: str = "GET", *, private: Sequence[str] = (HOME,), seconds: float = 20, **more: Any) -> Request:
    only = more.pop("only", None)
    reach = Reach(only=None if only is None else frozenset(only), private=frozenset(private))
    return Request(method, url, datetime.now(UTC) + timedelta(seconds=seconds), reach, **more)


async def fetch(url: str, method: str = "GET", **more: Any) -> Answer:
    return await Fetcher().fetch(asked(url, method, **more))


class Site:
    """A server that says what it was asked, and sends on whoever asks for that."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.base = ""

    async def show(self, request: Asked) -> Response:
        shown = {"method": request.method, "path": request.scope["raw_path"].decode(), "headers": dict(request.headers)}
        self.seen.append({**shown, "body": (await request.body()).decode()})
        return JSONResponse(self.seen[-1])

    async def send_on(self, request: Asked) -> Response:
        self.seen.append({"method": request.method, "headers": dict(request.headers)})
        return RedirectResponse(request.query_params["to"], int(request.query_params.get("status", "302")))

    async def loop(self, request: Asked) -> Response:
        return RedirectResponse(f"/loop/{int(request.path_params['n']) + 1}", 302)

    async def cut(self, request: Asked) -> Any:
        return CutReply(b'{"id": ')

    async def bomb(self, request: Asked) -> Response:
        body = gzip.compress(bytes(50_000_000), 9)
        return Response(body, headers={"content-encoding": "gzip", "content-type": "application/json"})

    async def twice(self, request: Asked) -> Response:
        return Response(gzip.compress(gzip.compress(bytes(5_000_000))), headers={"content-encoding": "gzip, gzip"})

    @property
    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/to", self.send_on, methods=ALL),
                Route("/loop/{n}", self.loop),
                Route("/cut", self.cut, methods=ALL),
                Route("/bomb", self.bomb, methods=ALL),
                Route("/twice", self.twice),
                Route("/{rest:path}", self.show, methods=ALL),
            ]
        )


@pytest.fixture
async def site() -> AsyncGenerator[Site]:
    made = Site()
    async with listening(made.app) as made.base:
        yield made


@pytest.fixture
async def other() -> AsyncGenerator[Site]:
    made = Site()
    async with listening(made.app) as made.base:
        yield made


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@asynccontextmanager
async def talking(talk: Talk) -> AsyncGenerator[str]:
    """Serve one raw socket."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, HOME, 0)
    try:
        yield f"http://{HOME}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


async def test_a_private_address_is_refused_unless_the_host_is_named(site: Site) -> None:
    with pytest.raises(Refused, match="does not lie in the public internet"):
        await fetch(f"{site.base}/x", private=())
    with pytest.raises(Refused):
        await fetch(f"{site.base}/x", private=(f"{HOME}:{port_of(site.base) + 1}",))
    assert not site.seen
    assert (await fetch(f"{site.base}/x", private=(f"{HOME}:{port_of(site.base)}",))).status == 200


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"]
)
async def test_no_other_way_to_write_an_own_address_gets_through(site: Site, host: str) -> None:
    with pytest.raises(Refused):
        await fetch(f"http://{host}:{port_of(site.base)}/x", private=())
    assert not site.seen


@pytest.mark.parametrize(
    "to", ["http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/", "http://10.0.0.1/", "http://localhost:1/"]
)
async def test_a_redirect_leads_into_no_private_network(site: Site, to: str) -> None:
    with pytest.raises(Refused):
        await fetch(f"{site.base}/to?to={to}")


async def test_a_redirect_leads_to_no_other_service_of_the_same_machine(site: Site, other: Site) -> None:
    with pytest.raises(Refused):
        await fetch(f"{site.base}/to?to={other.base}/x", private=(f"{HOME}:{port_of(site.base)}",))
    assert not other.seen


async def test_a_redirect_leaves_the_hosts_that_may_be_called_no_more_than_a_url_does(site: Site) -> None:
    with pytest.raises(Refused, match=r"example\.com is not among the hosts that may be called: 127\.0\.0\.1"):
        await fetch(f"{site.base}/to?to=http://example.com/", only=(HOME,))


@pytest.mark.parametrize("to", ["file:///etc/passwd", "gopher://127.0.0.1:6379/_FLUSHALL", "http://ann:pw@127.0.0.1/"])
async def test_a_redirect_leads_to_nothing_that_is_not_http(site: Site, to: str) -> None:
    with pytest.raises(Refused):
        await fetch(f"{site.base}/to?to={to}")


class Turning:
    """A name server that answers otherwise the second time."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        return self.answers[min(self.asked, len(self.answers)) - 1]


async def test_a_name_that_turns_private_after_the_check_is_not_asked_again(site: Site) -> None:
    # The first address is public and nobody's; were the name asked a second time, the server on this machine would answer.
    resolver = Turning(["2d00::1"], ["127.0.0.1"])
    tried: list[str] = []

    async def first(url: Any) -> None:
        tried.append(str(url))

    with pytest.raises(TransientError):
        await Fetcher(resolver).fetch(asked(f"http://rebind.example:{port_of(site.base)}/", private=(), seconds=1, before=first))
    assert resolver.asked == 1 and len(tried) == 1 and not site.seen


async def test_a_name_is_asked_anew_and_checked_anew_for_a_redirect(site: Site) -> None:
    resolver = Turning(["127.0.0.1"], ["127.0.0.1"])
    name = f"rebind.example:{port_of(site.base)}"
    # The first hop may lie here, since it is named; the same server by another name may not.
    with pytest.raises(Refused):
        await Fetcher(resolver).fetch(asked(f"http://{name}/to?to=http://second.example:{port_of(site.base)}/x", private=(name,)))
    assert resolver.asked == 2 and [one["method"] for one in site.seen] == ["GET"]


async def test_one_private_address_among_public_ones_spoils_a_name(site: Site) -> None:
    with pytest.raises(Refused):
        await Fetcher(Turning(["8.8.8.8", "127.0.0.1"])).fetch(asked(f"http://mixed.example:{port_of(site.base)}/", private=()))


async def test_the_connection_goes_to_the_resolved_address_and_names_the_host(site: Site) -> None:
    name = f"shop.example:{port_of(site.base)}"
    answer = await Fetcher(Turning(["127.0.0.1"])).fetch(asked(f"http://{name}/x", private=(name,)))
    assert answer.status == 200 and site.seen[0]["headers"]["host"] == name and answer.url == f"http://{name}/x"


async def test_the_next_address_is_tried_where_one_does_not_answer(site: Site) -> None:
    name = f"shop.example:{port_of(site.base)}"
    assert (await Fetcher(Turning(["::1", "127.0.0.1"])).fetch(asked(f"http://{name}/x", "POST", private=(name,), acts=True))).status == 200
    assert len(site.seen) == 1


@asynccontextmanager
async def secure(authority: trustme.CA, name: str) -> AsyncGenerator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, HOME, 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_the_certificate_is_checked_against_the_name_and_not_the_address() -> None:
    authority = trustme.CA()
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    async with secure(authority, "shop.example") as port:
        fetcher = Fetcher(Turning(["127.0.0.1"]), trust)
        private = ("shop.example", "evil.example")
        assert (await fetcher.fetch(asked(f"https://shop.example:{port}/", private=private))).body == b"ok"
        with pytest.raises(Refused, match=r"evil\.example has a certificate that is not believed"):
            await fetcher.fetch(asked(f"https://evil.example:{port}/", "POST", private=private, acts=True))
        with pytest.raises(Refused, match="certificate"):
            await Fetcher(Turning(["127.0.0.1"])).fetch(asked(f"https://shop.example:{port}/", private=private))


async def test_a_secret_goes_to_its_own_origin_only(site: Site, other: Site) -> None:
    secret = {"Authorization": "Bearer s3cret"}
    await fetch(f"{site.base}/to?to={other.base}/to?to={site.base}/back", secret=secret)
    assert [one["headers"].get("authorization") for one in site.seen] == ["Bearer s3cret", None]
    assert "authorization" not in other.seen[0]["headers"]
    site.seen.clear()
    await fetch(f"{site.base}/to?to=/same", secret=secret)
    assert [one["headers"].get("authorization") for one in site.seen] == ["Bearer s3cret"] * 2


async def test_a_secret_is_not_sent_over_http_to_the_internet() -> None:
    with pytest.raises(Refused, match="a secret is not sent over http"):
        await Fetcher(Turning(["8.8.8.8"])).fetch(asked("http://shop.example/", private=(), secret={"Authorization": "Bearer s3cret"}))


@pytest.mark.parametrize(
    ("method", "status", "after", "body"),
    [
        ("POST", 301, "GET", ""),
        ("POST", 302, "GET", ""),
        ("POST", 303, "GET", ""),
        ("POST", 307, "POST", "hello"),
        ("POST", 308, "POST", "hello"),
        ("PUT", 302, "PUT", "hello"),
        ("PUT", 303, "GET", ""),
        ("DELETE", 303, "GET", ""),
    ],
)
async def test_a_redirect_keeps_or_changes_the_method_as_http_says(site: Site, method: str, status: int, after: str, body: str) -> None:
    headers = {"Content-Type": "text/plain", "Idempotency-Key": "k"}
    await fetch(f"{site.base}/to?status={status}&to=/x", method, body=b"hello", headers=headers, acts=True)
    last = site.seen[-1]
    assert (last["method"], last["body"], last["headers"].get("idempotency-key")) == (after, body, "k")
    assert ("content-type" in last["headers"]) == bool(body)


async def test_redirects_end(site: Site) -> None:
    with pytest.raises(Refused, match="more than 5 redirects"):
        await fetch(f"{site.base}/loop/0")


async def test_no_redirect_leads_from_https_to_http(site: Site) -> None:
    authority = trustme.CA()
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("shop.example").configure_cert(context)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 302 Found\r\nLocation: {site.base}/x\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, HOME, 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Refused, match="redirects from https to http"):
            await Fetcher(Turning(["127.0.0.1"]), trust).fetch(asked(f"https://shop.example:{port}/", private=("shop.example", HOME)))
    assert not site.seen


async def test_a_bomb_is_not_unpacked(site: Site) -> None:
    with pytest.raises(ToolFailed, match="more than 2000000 bytes"):
        await fetch(f"{site.base}/bomb")
    with pytest.raises(ToolUnknown, match="more than 2000000 bytes; it may have acted"):
        await fetch(f"{site.base}/bomb", "POST", acts=True)
    with pytest.raises(ToolFailed, match="packed its answer as"):
        await fetch(f"{site.base}/twice")


async def test_an_answer_that_says_that_it_is_too_long_is_not_read() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        await reader.read()

    async with talking(talk) as base:
        with pytest.raises(ToolFailed, match="more than 100 bytes"):
            await fetch(base, most_bytes=100)


async def test_an_answer_without_an_end_is_cut_at_its_limit() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 10_000)
            await writer.drain()

    async with talking(talk) as base:
        with pytest.raises(ToolFailed, match="more than 100000 bytes"):
            await fetch(base, most_bytes=100_000)


async def test_packed_data_that_ends_early_is_noticed() -> None:
    packed = gzip.compress(b"hello " * 1000)[:-6]

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + packed)
        await writer.drain()

    async with talking(talk) as base:
        with pytest.raises(ToolFailed, match="packed its answer wrongly"):
            await fetch(base)


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


async def test_an_answer_that_drips_ends_with_the_deadline() -> None:
    async with talking(drip) as base:
        with pytest.raises(TransientError, match="did not answer within"):
            await fetch(base, seconds=0.5)
        with pytest.raises(ToolUnknown, match="it may have acted"):
            await fetch(base, "POST", seconds=0.5, acts=True)


async def test_a_time_that_is_over_starts_nothing(site: Site) -> None:
    with pytest.raises(TransientError, match="was not called: its time was over"):
        await fetch(f"{site.base}/x", "POST", seconds=-1, acts=True)
    assert not site.seen


async def test_what_did_not_arrive_surely_did_not_act() -> None:
    with pytest.raises(TransientError, match="cannot be reached"):
        await fetch(f"http://{HOME}:{free_port()}/", "POST", acts=True)

    async def unknown(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(TransientError, match=r"nowhere\.example has no address"):
        await Fetcher(unknown).fetch(asked("http://nowhere.example/", "POST", acts=True))


async def test_what_was_cut_may_have_acted(site: Site) -> None:
    with pytest.raises(ToolUnknown, match="broke off"):
        await fetch(f"{site.base}/cut", "POST", acts=True)
    with pytest.raises(TransientError, match="broke off"):
        await fetch(f"{site.base}/cut")


async def test_what_hangs_up_after_it_was_asked_may_have_acted() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    async with talking(talk) as base:
        with pytest.raises(ToolUnknown):
            await fetch(base, "POST", acts=True, body=b"{}")


async def test_after_a_303_the_deed_is_done_whatever_the_rest_says(site: Site) -> None:
    with pytest.raises(ToolUnknown, match="it may have acted before it sent us there"):
        await fetch(f"{site.base}/to?status=303&to=http://10.0.0.1/", "POST", acts=True)
    with pytest.raises(Refused):
        await fetch(f"{site.base}/to?status=307&to=http://10.0.0.1/", "POST", acts=True)
    assert (await fetch(f"{site.base}/to?status=303&to=/x", "POST", acts=True)).done


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "a\r\nX-B: b"},
        {"X-A\r\nX-B": "b"},
        {"X A": "b"},
        {"X-A": "ü"},
        {"X-A": "\0"},
        {"Host": "evil.example"},
        {"content-length": "0"},
        {"Transfer-Encoding": "chunked"},
    ],
)
async def test_a_header_that_would_be_another_request_is_not_sent(site: Site, headers: dict[str, str]) -> None:
    with pytest.raises(Refused):
        await fetch(f"{site.base}/x", headers=headers)
    assert not site.seen


async def test_no_proxy_and_no_login_of_the_environment_is_used(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "netrc").write_text(f"machine {HOME} login ann password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://{HOME}:{free_port()}")
    await fetch(f"{site.base}/x")
    assert "authorization" not in site.seen[0]["headers"]


async def test_no_cookie_is_kept(site: Site) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 302 Found\r\nSet-Cookie: a=b; Path=/\r\nLocation: {site.base}/x\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()

    async with talking(talk) as base:
        await fetch(base)
    assert "cookie" not in site.seen[0]["headers"]


async def test_what_is_no_http_is_told_apart() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9\r\n")
        await writer.drain()

    async with talking(talk) as base:
        with pytest.raises(TransientError):
            await fetch(base)


async def test_who_is_asked_before_each_hop_may_end_it(site: Site) -> None:
    seen: list[str] = []

    async def before(url: Any) -> None:
        seen.append(url.path)
        if url.path == "/secret":
            raise Refused("not there")

    with pytest.raises(Refused, match="not there"):
        await fetch(f"{site.base}/to?to=/secret", before=before)
    assert seen == ["/to", "/secret"] and len(site.seen) == 1
