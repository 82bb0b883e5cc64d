"""The mail server that delivers nothing."""

from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlsplit

import aiosmtplib

from devstack.mail import Mailbox, receiving


def letter(message_id: str | None = "<1@perdure>", text: str = "hello") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "agent@example.org", "reader@example.org", "Größe"
    if message_id:
        message["Message-ID"] = message_id
    message.set_content(text)
    return message


async def send(mailbox: Mailbox, message: EmailMessage) -> None:
    await aiosmtplib.send(message, hostname="127.0.0.1", port=urlsplit(mailbox.url).port)


async def test_a_message_is_kept_whole(tmp_path: Path) -> None:
    async with receiving(tmp_path) as mailbox:
        await send(mailbox, letter(text="hello\n.\nthere"))
    (file,) = tmp_path.glob("*.eml")
    assert b"hello" in file.read_bytes()
    assert b"there" in file.read_bytes()


async def test_a_delivery_is_logged_with_who_and_what(tmp_path: Path) -> None:
    async with receiving(tmp_path) as mailbox:
        await send(mailbox, letter())
        (delivery,) = mailbox.deliveries.read()
    assert delivery["message_id"] == "<1@perdure>"
    assert delivery["subject"] == "Größe"
    assert (delivery["sender"], delivery["recipients"]) == ("agent@example.org", ["reader@example.org"])


async def test_a_message_that_comes_again_is_seen_as_a_copy(tmp_path: Path) -> None:
    async with receiving(tmp_path) as mailbox:
        await send(mailbox, letter())
        await send(mailbox, letter())
        await send(mailbox, letter("<2@perdure>"))
        assert [delivery["copy"] for delivery in mailbox.deliveries.read()] == [1, 2, 1]
    assert len(list(tmp_path.glob("*.eml"))) == 3


async def test_messages_without_an_id_are_told_apart_by_what_they_say(tmp_path: Path) -> None:
    mailbox = Mailbox(tmp_path)
    first, second = (mailbox.keep(text, "a@b", ["c@d"]) for text in (b"Subject: x\r\n\r\none", b"Subject: x\r\n\r\ntwo"))
    assert first != second
    assert not first.stem.endswith("-2")


async def test_several_messages_go_over_one_connection(tmp_path: Path) -> None:
    async with receiving(tmp_path) as mailbox, aiosmtplib.SMTP(hostname="127.0.0.1", port=urlsplit(mailbox.url).port) as client:
        for number in range(3):
            await client.send_message(letter(f"<{number}@perdure>"))
    assert len(list(tmp_path.glob("*.eml"))) == 3
