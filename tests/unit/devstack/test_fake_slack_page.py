"""The page of the fake Slack: what was posted is shown as text, forms have fields, and no page elsewhere presses."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx2
import pytest

from channels.slack.markup import actions, button, confirm, header, verbatim, words
from devstack.fake_slack import FakeSlack
from devstack.fake_slack.blocks import plain

PAGE = "http://127.0.0.1:8435"
NASTY = "<script>alert('x')</script>"


@pytest.fixture
def fake() -> FakeSlack:
    made = FakeSlack(viewer="U0YOU")
    made.workspace.add_channel("C1")
    made.workspace.add_user("U0YOU")
    return made


@pytest.fixture
async def client(fake: FakeSlack) -> AsyncGenerator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=fake.app), base_url=PAGE) as made:
        yield made


def post(fake: FakeSlack) -> str:
    sure = confirm("It cannot be undone", f"no way back {NASTY}", "Approve")
    blocks = [header(NASTY), verbatim("title", NASTY), actions(button("Approve", "approve", "apr-1", confirm=sure))]
    return fake.workspace.call("chat.postMessage", {"channel": "C1", "text": "t", "blocks": blocks})["ts"]


async def test_what_was_posted_is_text_and_never_markup(fake: FakeSlack, client: httpx2.AsyncClient) -> None:
    assert "Nothing was posted yet" in (await client.get("/")).text
    post(fake)
    html = (await client.get("/")).text
    assert "<script" not in html and html.count("&lt;script&gt;") == 3 and "type=checkbox required" in html
    assert plain(fake.workspace.messages[0].blocks) == f"{NASTY}\ntitle\n{NASTY}"


async def test_a_form_is_filled_in_sent_or_closed(fake: FakeSlack, client: httpx2.AsyncClient) -> None:
    element = {"type": "plain_text_input", "action_id": "typed", "initial_value": NASTY}
    block = {"type": "input", "block_id": "reason", "label": words("Why?"), "element": element}
    view = {"type": "modal", "title": words("Reject"), "submit": words("Send"), "close": words("Not now"), "blocks": [block]}
    opened = fake.workspace.call("views.open", {"trigger_id": fake.workspace.trigger("U0YOU"), "view": view})
    id = opened["view"]["id"]
    html = (await client.get("/")).text
    assert "name='reason'" in html and "<script" not in html and "http-equiv" not in html
    sent = await client.post("/page/submit", data={"where": id, "reason": "no", "send": "1"})
    # Nobody takes deliveries here, so the form stays and says so.
    assert sent.status_code == 303 and "the app did not answer: 0" in (await client.get("/")).text
    assert (await client.post("/page/submit", data={"where": id, "close": "1"})).status_code == 303
    assert fake.workspace.views == {} and (await client.post("/page/submit", data={"where": id, "close": "1"})).status_code == 404


async def test_a_press_from_elsewhere_and_one_on_nothing_are_turned_away(fake: FakeSlack, client: httpx2.AsyncClient) -> None:
    given = {"where": post(fake), "action": "approve"}
    for headers in ({"origin": "http://evil.example"}, {"origin": "null"}, {"host": "evil.example:8435"}):
        assert (await client.post("/page/press", data=given, headers=headers)).status_code == 403
        assert (
            await client.post("/press", json={"user": "U0YOU", "ts": given["where"], "action": "approve"}, headers=headers)
        ).status_code == 403
    assert (await client.post("/page/press", data=given | {"action": "reject"})).status_code == 404
    assert (await client.post("/page/press", data=given | {"where": "1.000001"})).status_code == 404


async def test_no_page_elsewhere_borrows_a_click_in_a_frame(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/")).headers["content-security-policy"] == "frame-ancestors 'none'"


@pytest.mark.parametrize(
    ("host", "origin", "first"),
    [
        (b"127.0.0.1:8435", None, "websocket.accept"),
        (b"127.0.0.1:8435", b"http://evil.example", "websocket.close"),
        (b"evil.example:8435", None, "websocket.close"),
    ],
)
async def test_no_page_elsewhere_opens_a_socket_as_the_app(fake: FakeSlack, host: bytes, origin: bytes | None, first: str) -> None:
    said: list[Any] = []
    arriving = iter(({"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}))
    headers = [(b"host", host), *([(b"origin", origin)] if origin else [])]
    scope = {"type": "websocket", "path": "/link", "query_string": b"", "headers": headers, "subprotocols": []}

    async def receive() -> Any:
        return next(arriving)

    async def send(message: Any) -> None:
        said.append(message)

    await fake.app(scope, receive, send)
    assert said[0]["type"] == first and fake.sockets.connections == (first == "websocket.accept")
