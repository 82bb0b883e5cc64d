"""A mail server that delivers nothing and keeps every message as `.eml`: `python -m devstack.mail --port N --folder DIR`."""

import argparse
import asyncio
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from email.parser import BytesHeaderParser
from email.policy import SMTP as SMTP_POLICY
from hashlib import sha256
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP

from devstack.journal import Journal


class Mailbox:
    """The kept messages. One that comes again lies beside the first as `-2`, so that it is seen."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.deliveries = Journal(folder / "deliveries.jsonl")
        self.url = ""

    # The name is aiosmtpd's: https://aiosmtpd.aio-libs.org, "Handler hooks".
    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:
        """Keep one message."""
        self.keep(envelope.content, envelope.mail_from, envelope.rcpt_tos)
        return "250 kept"

    def keep(self, content: bytes, sender: str, recipients: list[str]) -> Path:
        """Write the message to a file named by its Message-ID and log the delivery."""
        headers = BytesHeaderParser(policy=SMTP_POLICY).parsebytes(content)
        message_id = str(headers.get("Message-ID", ""))
        name = sha256(message_id.encode() or content).hexdigest()[:16]
        copy = 1 + len(list(self.folder.glob(f"{name}*.eml")))
        file = self.folder / (f"{name}.eml" if copy == 1 else f"{name}-{copy}.eml")
        file.write_bytes(content)
        subject = str(headers.get("Subject", ""))
        self.deliveries.add(
            message_id=message_id,
            subject=subject,
            sender=sender,
            recipients=recipients,
            sha256=sha256(content).hexdigest(),
            file=file.name,
            copy=copy,
        )
        return file


@asynccontextmanager
async def receiving(folder: Path, port: int = 0) -> AsyncGenerator[Mailbox]:
    """Take mail in this process; `url` is what the sender connects to."""
    mailbox = Mailbox(folder)
    loop = asyncio.get_running_loop()
    # Without aiosmtpd's own controller, which runs a second event loop in a thread.
    server = await loop.create_server(lambda: SMTP(mailbox, hostname="localhost", loop=loop), "127.0.0.1", port)
    mailbox.url = f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield mailbox


async def serve(folder: Path, port: int) -> None:
    """Take mail until SIGTERM."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with receiving(folder, port):
        await ended.wait()


def main() -> None:
    """Take mail into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    given = parser.parse_args()
    asyncio.run(serve(given.folder, given.port))


if __name__ == "__main__":
    main()
