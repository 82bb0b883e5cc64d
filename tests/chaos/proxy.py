"""A TCP proxy between tools and what they call: it delays, drops and doubles replies, and never changes a request."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Literal

Trouble = Literal["delay", "drop", "double"]
ANSWERED = (b"HTTP/1.1 2", b"250 kept")
"""How the replies begin by which the other side says that it has acted: only these are meddled with."""


class Proxy:
    """One port in front of another. ``share`` of the replies get one of the ``troubles``, drawn by ``seed``."""

    def __init__(self, upstream: int, seed: int = 0) -> None:
        self.port = 0
        self.counts: Counter[str] = Counter()
        self.share = 0.0
        self.troubles: tuple[Trouble, ...] = ("delay", "drop", "double")
        self._upstream = upstream
        self._random = random.Random(seed)
        self._open: set[asyncio.Task[None]] = set()

    def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection, and carry it until one end hangs up."""
        task = asyncio.create_task(self._carry(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def close(self) -> None:
        """Hang up everywhere."""
        for task in (tasks := list(self._open)):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:
            writer.transport.abort()
            return
        there = asyncio.create_task(_pump(reader, up_writer))
        try:
            await self._back(up_reader, writer)
        finally:
            there.cancel()
            await asyncio.gather(there, return_exceptions=True)
            for end in (writer, up_writer):
                end.transport.abort()

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(65_536):
                trouble = self._drawn() if chunk.startswith(ANSWERED) else None
                if trouble == "drop":
                    return
                if trouble == "delay":
                    await asyncio.sleep(self._random.uniform(0.1, 1.0))
                writer.write(chunk * 2 if trouble == "double" and chunk.startswith(b"HTTP") else chunk)
                await writer.drain()
            writer.close()
            await writer.wait_closed()

    def _drawn(self) -> Trouble | None:
        if self._random.random() >= self.share:
            return None
        trouble = self._random.choice(self.troubles)
        self.counts[trouble] += 1
        return trouble


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()


@asynccontextmanager
async def between(upstream: int, seed: int = 0) -> AsyncGenerator[Proxy]:
    """Serve a proxy in front of a port of this machine."""
    proxy = Proxy(upstream, seed)
    server = await asyncio.start_server(proxy.take, "127.0.0.1", 0)
    proxy.port = int(server.sockets[0].getsockname()[1])
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
