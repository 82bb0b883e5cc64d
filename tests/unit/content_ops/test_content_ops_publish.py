"""Publishing: once for each key, refused clearly, taken back by undo. Real files, real SMTP, real HTTP."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from pydantic import ValidationError

from devstack import mail, receiver
from tests.unit.content_ops.content_run import Run
from tools import ToolFailed, ToolUnknown, TransientError

PIECE = {"source": "retries.md", "title": "Retries that do no harm"}


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


async def test_a_post_is_one_file_with_front_matter_and_undo_removes_it(run: Run) -> None:
    arguments = await run.recipe("blog", PIECE)
    first = await run.call("blog.publish", arguments, "s1.publish")
    again = await run.call("blog.publish", arguments, "s1.publish")
    files = list((run.context.folder / "site").rglob("*"))
    assert first == again and [path for path in files if path.is_file()] == [run.context.folder / first["ref"]]
    _, head, text = (run.context.folder / first["ref"]).read_text().split("---\n", 2)
    front = yaml.safe_load(head)
    assert (front["title"], front["date"], front["source"]["path"]) == (PIECE["title"], run.outputs["slot"]["at"], "retries.md")
    assert text == f"\n{arguments['text']}"
    await run.undo("blog.publish", first)
    await run.undo("blog.publish", first)
    assert not (run.context.folder / first["ref"]).exists()


async def test_two_runs_with_one_title_keep_two_posts(start: Callable[..., Run]) -> None:
    refs: set[str] = set()
    for lineage in ("one", "two"):
        run = start(lineage=lineage)
        refs.add((await run.call("blog.publish", await run.recipe("blog", PIECE), "s1.publish"))["ref"])
    assert len(refs) == 2


@pytest.mark.parametrize("title", ["../../etc/passwd", "\u65e5\u672c\u8a9e", 'a: "b"\n---\nx: y', "-" * 100])
async def test_no_title_leaves_the_site_or_its_front_matter(run: Run, title: str) -> None:
    output = await run.call("blog.publish", {**await run.recipe("blog", PIECE), "title": title}, "s1.publish")
    path = (run.context.folder / output["ref"]).resolve()
    assert path.parent == (run.context.folder / "site/posts").resolve()
    assert set(yaml.safe_load(path.read_text().split("\n---\n")[0])) == {"title", "date", "site", "source", "key"}


async def test_unpublish_touches_nothing_outside_the_site(run: Run, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    with pytest.raises(ToolFailed, match="not a post of the site"):
        await run.call("blog.unpublish", {"ref": "../precious"})
    assert (tmp_path / "precious").exists()


async def test_what_the_editor_wrote_is_what_is_published(run: Run) -> None:
    edited = {**await run.recipe("blog", PIECE), "text": "Better words.\n"}
    output = await run.call("blog.publish", edited, "s1.publish")
    assert (run.context.folder / output["ref"]).read_text().endswith("\n\nBetter words.\n")


async def test_a_newsletter_arrives_and_undo_sends_a_correction(start: Callable[..., Run], tmp_path: Path) -> None:
    async with mail.receiving(tmp_path / "mail") as mailbox:
        run = start(endpoints={"smtp": mailbox.url})
        arguments = await run.recipe("newsletter", PIECE)
        sent = await run.call("newsletter.send", arguments, "s1.publish")
        await run.undo("newsletter.send", sent, "s1.publish")
    letters = [message_from_bytes((mailbox.folder / line["file"]).read_bytes(), policy=default) for line in mailbox.deliveries.read()]
    assert [letter["Subject"] for letter in letters] == [PIECE["title"], f"Correction: {PIECE['title']}"]
    assert letters[0]["Message-ID"] == sent["ref"] == letters[1]["In-Reply-To"] != letters[1]["Message-ID"]
    assert letters[0]["To"] == "readers@example.test" and sent["recipients"] == ["readers@example.test"]
    body = letters[0].get_body()
    assert body and body.get_content().split() == arguments["text"].split()


async def test_strangers_get_no_newsletter(start: Callable[..., Run]) -> None:
    run = start(endpoints={"smtp": "smtp://127.0.0.1:1"})
    arguments = {**await run.recipe("newsletter", PIECE), "recipients": ["readers@example.test", "eve@evil.test"]}
    with pytest.raises(ToolFailed, match=r"eve@evil\.test are not readers"):
        await run.call("newsletter.send", arguments)


async def test_a_title_cannot_add_headers(start: Callable[..., Run], tmp_path: Path) -> None:
    async with mail.receiving(tmp_path / "mail") as mailbox:
        run = start(endpoints={"smtp": mailbox.url})
        arguments = {**await run.recipe("newsletter", PIECE), "title": "Hello\r\nBcc: eve@evil.test"}
        await run.call("newsletter.send", arguments)
    assert [line["subject"] for line in mailbox.deliveries.read()] == ["Hello Bcc: eve@evil.test"]


@asynccontextmanager
async def mail_server(**replies: bytes) -> AsyncGenerator[str]:
    """Speak SMTP, but answer some commands as told; an empty reply closes the connection."""
    usual = {"HELLO": b"220 hi", "EHLO": b"250 hi", "MAIL": b"250 ok", "RCPT": b"250 ok", "DATA": b"354 go", "BODY": b"250 ok"} | replies

    handlers: list[Any] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.append(asyncio.current_task())
        command = "HELLO"
        while reply := usual.get(command, b""):
            writer.write(reply + b"\r\n")
            await writer.drain()
            if command == "DATA" and reply.startswith(b"354"):
                await reader.readuntil(b"\r\n.\r\n")
                command = "BODY"
            else:
                command = (await reader.readline())[:4].decode().strip()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.gather(*handlers)


@pytest.mark.parametrize(
    ("replies", "error"),
    [
        ({"HELLO": b"421 busy"}, TransientError),
        ({"HELLO": b""}, TransientError),
        ({"MAIL": b"451 later"}, TransientError),
        ({"MAIL": b""}, TransientError),
        ({"RCPT": b"450 later"}, TransientError),
        ({"RCPT": b"550 unknown"}, ToolFailed),
        ({"DATA": b"554 no"}, ToolFailed),
        ({"BODY": b"451 later"}, TransientError),
        ({"BODY": b"554 spam"}, ToolFailed),
        ({"BODY": b""}, ToolUnknown),
        ({"BODY": b"nonsense"}, ToolUnknown),
    ],
)
async def test_a_broken_mail_server_says_what_surely_happened(start: Callable[..., Run], replies: dict[str, bytes], error: Any) -> None:
    async with mail_server(**replies) as url:
        run = start(endpoints={"smtp": url})
        with pytest.raises(error):
            await run.call("newsletter.send", await run.recipe("newsletter", PIECE))


@pytest.mark.parametrize(
    ("url", "error", "message"),
    [
        (f"smtp://127.0.0.1:{closed_port()}", TransientError, "no mail was sent"),
        ("http://x", ToolFailed, "of the form smtp://"),
        ("", ToolFailed, "no endpoint 'smtp'"),
    ],
    ids=["nobody listens", "no mail", "none"],
)
async def test_without_a_mail_server_nothing_is_sent(start: Callable[..., Run], url: str, error: Any, message: str) -> None:
    run = start(endpoints={"smtp": url})
    with pytest.raises(error, match=message):
        await run.call("newsletter.send", await run.recipe("newsletter", PIECE))


async def test_a_social_post_is_made_once_and_undo_deletes_it(start: Callable[..., Run], tmp_path: Path) -> None:
    async with receiver.receiving(tmp_path / "posts") as network:
        run = start(endpoints={"social": network.base_url})
        arguments = await run.recipe("social", PIECE)
        first = await run.call("social.post", arguments, "s1.publish")
        assert await run.call("social.post", arguments, "s1.publish") == first
        assert [post["content"]["text"] for post in network.posts.values()] == [arguments["text"]]
        assert list(network.posts) == [run.at("s1.publish").key] and first["ref"].startswith(network.base_url)
        await run.undo("social.post", first)
        await run.undo("social.post", first)
        await run.call("social.delete", {"post": "never/was"})
        assert network.deleted == {first["post"]}


async def faulty(network: receiver.Receiver, **faults: Any) -> None:
    async with httpx2.AsyncClient() as client:
        (await client.put(f"{network.base_url}/faults", json=faults)).raise_for_status()


@pytest.mark.parametrize(
    ("status", "error"), [(429, TransientError), (503, TransientError), (409, TransientError), (408, TransientError), (403, ToolFailed)]
)
async def test_a_refusal_is_told_from_a_delay(start: Callable[..., Run], tmp_path: Path, status: int, error: Any) -> None:
    async with receiver.receiving(tmp_path / "posts") as network:
        run = start(endpoints={"social": network.base_url})
        arguments = await run.recipe("social", PIECE)
        await faulty(network, status=status, times=1, retry_after=7)
        with pytest.raises(error, match=str(status)) as caught:
            await run.call("social.post", arguments)
        assert getattr(caught.value, "retry_after", 7) == 7
        assert len(network.deliveries.read()) == 1, "the client must not retry by itself"


async def test_a_lost_answer_is_unknown_and_the_same_key_finds_the_post(start: Callable[..., Run], tmp_path: Path) -> None:
    async with receiver.receiving(tmp_path / "posts") as network:
        run = start(endpoints={"social": network.base_url})
        arguments = await run.recipe("social", PIECE)
        await faulty(network, drop_reply=1)
        with pytest.raises(ToolUnknown):
            await run.call("social.post", arguments)
        await run.call("social.post", arguments)
        assert len(network.posts) == 1


async def test_a_network_that_is_down_is_tried_again(start: Callable[..., Run]) -> None:
    run = start(endpoints={"social": f"http://127.0.0.1:{closed_port()}"})
    with pytest.raises(TransientError, match="cannot be reached"):
        await run.call("social.post", await run.recipe("social", PIECE))


async def test_a_title_that_nobody_can_see_is_an_empty_one(run: Run) -> None:
    arguments = await run.recipe("blog", PIECE)
    with pytest.raises(ValidationError, match="title"):
        run.parsed("blog.publish", {**arguments, "title": "\u200b"})


async def test_an_edit_may_not_point_at_another_runs_papers(start: Callable[..., Run]) -> None:
    theirs = await start(lineage="one").recipe("blog", PIECE)
    run = start(lineage="two")
    ours = await run.recipe("blog", PIECE)
    for name in ("entry", "draft"):
        with pytest.raises(ToolFailed, match="belongs to another run"):
            await run.call("blog.publish", {**ours, name: theirs[name]}, "s1.publish")
