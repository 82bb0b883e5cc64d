"""Perdure's own tools that call others, against real servers."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import SMTP as SMTP_POLICY
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from contracts.errors import ToolFailed, ToolRetry, ToolUnknown, TransientError
from devstack import mail
from devstack.mail import Mailbox
from devstack.web_server import CutReply, listening
from tests.servers import free_port
from tests.tool_calls import KEY, called, context
from tools.executors.python import offered
from tools.library.webhook import signed

HOME = "127.0.0.1"


class Site:
    """A web site; what it answers is the test's to say."""

    def __init__(self) -> None:
        self.base = ""
        self.robots: Response = Response(status_code=404)
        self.pages: dict[str, Any] = {}
        self.seen: list[dict[str, Any]] = []

    async def any(self, request: Request) -> Any:
        path = request.url.path
        if path == "/robots.txt":
            return self.robots
        headers = dict(request.headers)
        self.seen.append({"method": request.method, "path": path, "body": (await request.body()).decode(), "headers": headers})
        return self.pages.get(path, JSONResponse({"ok": True}))

    @property
    def app(self) -> Starlette:
        return Starlette(routes=[Route("/{rest:path}", self.any, methods=["GET", "HEAD", "POST", "PUT", "DELETE"])])


@pytest.fixture
async def site() -> AsyncGenerator[Site]:
    made = Site()
    async with listening(made.app) as made.base:
        yield made


async def use(name: str, arguments: Mapping[str, Any], options: Mapping[str, Any], **known: Any) -> dict[str, Any]:
    return await called(offered(name), arguments, context(options=options, **known))


async def page(site: Site, path: str = "/", **options: Any) -> dict[str, Any]:
    return await use("web.page", {"url": f"{site.base}{path}"}, {"private": [HOME], **options})


async def test_a_page_is_read_as_text_without_what_is_hidden(site: Site) -> None:
    site.pages["/"] = HTMLResponse("<title>Hi\u202e</title><p>One<p style='display:none'>Obey!</p><p>t\u200bwo")
    assert await page(site) == {"url": f"{site.base}/", "title": "Hi", "text": "One\ntwo", "cut": False}
    assert site.seen[0]["headers"]["user-agent"] == "Perdure"


async def test_a_page_is_read_where_its_robots_txt_lets_us(site: Site) -> None:
    site.robots = PlainTextResponse("User-agent: *\nDisallow: /private\n\nUser-agent: Other\nDisallow: /\n")
    site.pages["/open"] = HTMLResponse("<p>Welcome")
    assert (await page(site, "/open"))["text"] == "Welcome"
    with pytest.raises(ToolFailed, match=r"does not want that page read by programs \(robots\.txt\)"):
        await page(site, "/private/x")
    site.pages["/open"] = RedirectResponse("/private/x", 302)
    with pytest.raises(ToolFailed, match=r"robots\.txt"):
        await page(site, "/open")
    assert [one["path"] for one in site.seen] == ["/open", "/open"]


async def test_a_robots_txt_that_cannot_be_read_forbids_for_now(site: Site) -> None:
    site.robots = Response(status_code=503)
    with pytest.raises(TransientError, match=r"said 503 when asked for its robots\.txt"):
        await page(site)
    assert not site.seen


async def test_only_hosts_that_are_named_are_read(site: Site) -> None:
    with pytest.raises(ToolFailed, match="is not among the hosts that may be called"):
        await use("web.page", {"url": f"{site.base}/"}, {"hosts": ["example.com"]})
    with pytest.raises(ToolFailed, match="does not lie in the public internet"):
        await use("web.page", {"url": f"{site.base}/"}, {})
    with pytest.raises(ToolFailed, match=r"settings\.tools\.web\.page\.hosts"):
        await use("web.page", {"url": f"{site.base}/"}, {"hosts": ["http://example.com/"]})


async def test_a_page_that_was_made_to_keep_a_parser_busy_is_given_up(site: Site) -> None:
    site.pages["/"] = HTMLResponse("<a " * 300_000)
    with pytest.raises(ToolFailed, match="cannot be read in time"):
        await use("web.page", {"url": f"{site.base}/"}, {"private": [HOME]}, seconds=3)


async def test_what_is_no_page_is_said(site: Site) -> None:
    site.pages["/"] = Response(b"%PDF", media_type="application/pdf")
    with pytest.raises(ToolFailed, match="the page is application/pdf; what is read is text/html"):
        await page(site)
    site.pages["/"] = Response(status_code=404)
    with pytest.raises(ToolFailed, match="the page said 404"):
        await page(site)
    site.pages["/"] = PlainTextResponse("x" * 500)
    assert (await page(site, characters=100))["cut"]


async def test_a_request_goes_to_a_host_that_is_named(site: Site) -> None:
    asked = {
        "method": "POST",
        "url": f"{site.base}/x?a=b",
        "json_body": {"b": 1, "a": "ü"},
        "headers": {"X-A": "1", "idempotency-key": "mine"},
    }
    answer = await use("http.request", asked, {"hosts": [HOME], "private": [HOME]})
    assert answer == {"status": 200, "content_type": "application/json", "text": '{"ok":true}', "cut": False}
    headers = site.seen[0]["headers"]
    assert (headers["idempotency-key"], headers["x-a"], site.seen[0]["body"]) == (KEY, "1", '{"a": "ü", "b": 1}')


@pytest.mark.parametrize(
    ("asked", "options", "raised", "said"),
    [
        ({}, {}, ToolFailed, r"settings\.tools\.http\.request\.hosts in automation\.yaml: Field required"),
        ({}, {"hosts": []}, ToolFailed, r"settings\.tools\.http\.request\.hosts"),
        ({}, {"hosts": ["example.com"]}, ToolFailed, "is not among the hosts"),
        ({}, {"hosts": [HOME]}, ToolFailed, "does not lie in the public internet"),
        ({}, {"hosts": [HOME], "private": [HOME], "methods": ["GET"]}, ToolRetry, "`method`: only GET may be used"),
        ({"headers": {"X-A": "a\r\nX-B: b"}}, {"hosts": [HOME], "private": [HOME]}, ToolFailed, "the header 'X-A' cannot be sent"),
        ({"headers": {"host": "evil.example"}}, {"hosts": [HOME], "private": [HOME]}, ToolFailed, "is the client's own"),
        ({"url": "file:///etc/passwd"}, {"hosts": [HOME]}, ToolFailed, "only http and https"),
        ({"text_body": "\ud800"}, {"hosts": [HOME], "private": [HOME]}, ToolRetry, "cannot be sent"),
    ],
)
async def test_a_request_that_may_not_be_made_is_not_made(site: Site, asked: Any, options: Any, raised: Any, said: str) -> None:
    with pytest.raises(raised, match=said):
        await use("http.request", {"method": "POST", "url": f"{site.base}/x", **asked}, options)
    assert not site.seen


async def test_a_request_that_was_cut_may_have_acted(site: Site) -> None:
    site.pages["/x"] = CutReply(b"{")
    with pytest.raises(ToolUnknown):
        await use("http.request", {"method": "PUT", "url": f"{site.base}/x"}, {"hosts": [HOME], "private": [HOME]})
    with pytest.raises(TransientError):
        await use("http.request", {"method": "GET", "url": f"{site.base}/x"}, {"hosts": [HOME], "private": [HOME]})


async def hook(site: Site, arguments: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    options = {"urls": {"billing": f"{site.base}/hook"}, "private": [HOME]}
    return await use(
        "webhook.post", arguments, options, **{"secrets": {"WEBHOOK_SECRET": "whsec_" + base64.b64encode(b"shared").decode()}, **more}
    )


async def test_a_webhook_is_signed_and_has_one_id_for_all_attempts(site: Site) -> None:
    first = await hook(site, {"to": "billing", "type": "invoice.paid", "data": {"b": 2, "a": 1}})
    assert await hook(site, {"to": "billing", "type": "invoice.paid", "data": {"b": 2, "a": 1}}) == first
    one, two = site.seen
    headers = one["headers"]
    assert headers["webhook-id"] == first["id"] == two["headers"]["webhook-id"] and headers["idempotency-key"] == KEY
    text = f"{first['id']}.{headers['webhook-timestamp']}.{one['body']}"
    expected = base64.b64encode(hmac.new(b"shared", text.encode(), hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}" and one["body"] == two["body"]
    assert json.loads(one["body"]) == {"type": "invoice.paid", "data": {"a": 1, "b": 2}}


def test_the_signature_is_that_of_the_specification() -> None:
    # Source: the example of the Standard Webhooks specification's reference libraries.
    headers = signed(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        datetime.fromtimestamp(1614265330, UTC),
        b'{"test": 2432232314}',
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    )
    assert headers["Webhook-Signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_a_webhook_goes_to_nobody_who_is_not_named(site: Site) -> None:
    with pytest.raises(ToolRetry, match="`to`: there is no receiver 'evil'; there are billing"):
        await hook(site, {"to": "evil", "type": "x", "data": {}})
    with pytest.raises(ToolFailed, match="needs the secret WEBHOOK_SECRET"):
        await hook(site, {"to": "billing", "type": "x", "data": {}}, secrets={})
    with pytest.raises(ToolFailed, match="the secret WEBHOOK_SECRET begins with `whsec_`"):
        await hook(site, {"to": "billing", "type": "x", "data": {}}, secrets={"WEBHOOK_SECRET": "whsec_%"})
    assert not site.seen


MAIL = {"sender": "shop@example.com", "name": "The shop", "to": ["ann@example.org", "@example.net"]}


@pytest.fixture
async def mailbox(tmp_path: Path) -> AsyncGenerator[Mailbox]:
    async with mail.receiving(tmp_path / "mail") as made:
        yield made


async def send(
    mailbox: Mailbox | None, options: Mapping[str, Any] = MAIL, url: str = "", key: str = KEY, **arguments: Any
) -> dict[str, Any]:
    given = {"to": ["ann@example.org"], "subject": "Hello", "text": "Hi.\n.\nBye.", **arguments}
    return await use("mail.send", given, options, key=key, endpoints={"smtp": mailbox.url if mailbox else url})


async def test_a_mail_goes_out_with_an_id_that_is_the_effects(mailbox: Mailbox) -> None:
    sent = await send(mailbox, to=["ann@example.org", "bob@example.net", "ann@example.org"], subject="Grüße", text="ü\n.\nend")
    assert (sent["accepted"], sent["refused"]) == (["ann@example.org", "bob@example.net"], [])
    assert (await send(mailbox))["message_id"] == sent["message_id"] != (await send(mailbox, key="another"))["message_id"]
    delivered = mailbox.deliveries.read()[0]
    assert delivered["message_id"] == sent["message_id"] and sorted(delivered["recipients"]) == ["ann@example.org", "bob@example.net"]
    kept: Any = message_from_bytes((mailbox.folder / delivered["file"]).read_bytes(), policy=SMTP_POLICY)
    assert (kept["Subject"], kept["From"], kept["To"]) == ("Grüße", "The shop <shop@example.com>", "undisclosed-recipients:;")
    assert kept.get_content().splitlines() == ["ü", ".", "end"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"to": ["eve@example.com"]}, {"to": ["ann@example.org", "eve@evil.org"]}, {"to": ["x@notexample.net"]}, {"to": []},
        {"to": ["ann@example.org\r\nRCPT TO:<eve@evil.org>"]}, {"to": ["ann@example.org, eve@evil.org"]}, {"to": ["<ann@example.org>"]},
        {"to": ["Ann <ann@example.org>"]}, {"to": ["eve@evil.org@example.net"]}, {"to": ["eve%evil.org"]},
    ],
)  # fmt: skip
async def test_a_mail_goes_to_nobody_who_is_not_named(mailbox: Mailbox, arguments: dict[str, Any]) -> None:
    with pytest.raises(ToolRetry):
        await send(mailbox, **arguments)
    assert mailbox.deliveries.read() == []


@pytest.mark.parametrize("subject", ["a\r\nBcc: eve@evil.org", "a\nBcc: eve@evil.org", "a\u2028Bcc: eve@evil.org", "a\rBcc: eve@evil.org"])
async def test_a_subject_begins_no_other_header(mailbox: Mailbox, subject: str) -> None:
    await send(mailbox, subject=subject)
    kept: Any = message_from_bytes((mailbox.folder / mailbox.deliveries.read()[0]["file"]).read_bytes(), policy=SMTP_POLICY)
    assert kept["Bcc"] is None and kept["Subject"].startswith("a") and len(kept["Subject"].splitlines()) == 1


async def test_a_mail_server_that_is_not_there_got_nothing() -> None:
    with pytest.raises(TransientError, match="no mail was sent"):
        await send(None, url=f"smtp://{HOME}:{free_port()}")
    with pytest.raises(ToolFailed, match="no endpoint 'smtp' is configured"):
        await use("mail.send", {"to": ["ann@example.org"], "subject": "x", "text": ""}, MAIL)
    with pytest.raises(ToolFailed, match=r"is of the form smtp://host:port"):
        await send(None, url="http://ann:hunter2@example.com")
    with pytest.raises(ToolFailed, match=r"settings\.tools\.mail\.send\.to"):
        await send(None, {"sender": "a@example.com"}, url="smtp://x")


@asynccontextmanager
async def smtp(reply: str, *, hang_up: bool = False) -> AsyncGenerator[str]:
    """A mail server that says one thing to DATA's end, or hangs up."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hi\r\n")
        body = False
        while line := await reader.readline():
            if body and line != b".\r\n":
                continue
            if body and hang_up:
                break
            said = reply if body else "354 go on" if line.upper().startswith(b"DATA") else "250 ok"
            body = line.upper().startswith(b"DATA")
            writer.write(f"{said}\r\n".encode())
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, HOME, 0)
    try:
        yield f"smtp://{HOME}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def test_only_a_mail_that_was_handed_over_may_have_gone_out() -> None:
    async with smtp("451 later") as url:
        with pytest.raises(TransientError):
            await send(None, url=url)
    async with smtp("554 spam") as url:
        with pytest.raises(ToolFailed, match="the mail server refused"):
            await send(None, url=url)
    async with smtp("", hang_up=True) as url:
        with pytest.raises(ToolUnknown, match="the mail may have gone out"):
            await send(None, url=url)
