"""The workers of the stage: one works, one is warm and waits for its end."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from settings import ROOT
from tests.chaos.boundaries import Journey, Orders
from tests.servers import until


@dataclass
class Hand:
    """One worker process and what it wrote down. code: how it ended, None while it lives."""

    pid: int
    journey: Journey
    code: int | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Workers:
    """Worker processes in the order in which their turn comes."""

    def __init__(self, folder: Path, nursery: Process) -> None:
        self._folder, self._nursery = folder, nursery
        self._turns: deque[Hand] = deque()
        self._known: dict[int, Hand] = {}
        self._born: asyncio.Queue[Hand] = asyncio.Queue()
        self.orders = Orders(folder / "orders.json")

    @property
    def working(self) -> Hand:
        """The one whose turn it is."""
        return self._turns[0]

    async def start(self) -> None:
        """Start one more; it waits for its turn."""
        assert self._nursery.stdin is not None
        self._nursery.stdin.write(b"\n")
        async with asyncio.timeout(60):
            self._turns.append(await self._born.get())

    async def hear(self) -> None:
        """Take down the births and deaths that the nursery tells of, until it ends."""
        assert self._nursery.stdout is not None
        async for line in self._nursery.stdout:
            match line.decode().split():
                case ["born", pid]:
                    hand = self._known[int(pid)] = Hand(int(pid), Journey(self._folder / "journals" / f"{pid}.jsonl"))
                    self._born.put_nowait(hand)
                case ["ended", pid, code]:
                    hand = self._known[int(pid)]
                    hand.code = int(code)
                    hand.ended.set()
                case words:
                    raise RuntimeError(f"the nursery said {words}")

    async def said(self, hand: Hand, word: str) -> None:
        """Wait until a worker has said a word. Raises: RuntimeError where it ended before."""

        async def check() -> bool:
            # Looked at first: who is killed at once has said it all the same.
            said = hand.journey.said(word)
            if hand.code is not None and not said:
                raise RuntimeError(f"a worker ended with {hand.code} before it was {word}; see workers.log")
            return said

        await until(check, 60)

    async def died(self, seconds: float) -> Hand | None:
        """Wait for the death of the one that works, and let the spare take over; None where it lives on.

        Raises: RuntimeError where it ended otherwise than by SIGKILL.
        """
        hand = self.working
        try:
            await asyncio.wait_for(hand.ended.wait(), seconds)
        except TimeoutError:
            return None
        if hand.code != -signal.SIGKILL:
            raise RuntimeError(f"a worker ended with {hand.code} and was not killed; see workers.log")
        self._turns.popleft()
        await self.said(self.working, "working")
        await self.start()
        return hand

    def kill(self) -> None:
        """Kill the one that works, wherever it stands."""
        os.kill(self.working.pid, signal.SIGKILL)


@asynccontextmanager
async def opened(folder: Path, environment: Mapping[str, str]) -> AsyncGenerator[Workers]:
    """Start one worker and its spare."""
    (folder / "journals").mkdir()
    orders = Orders(folder / "orders.json")
    orders.write()
    words = ["--orders", str(orders.path), "--journals", str(folder / "journals"), "--lock", str(folder / "lock")]
    with (folder / "workers.log").open("ab") as log:
        nursery = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.chaos.nursery",
            *words,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=PIPE,
            stdout=PIPE,
            stderr=log,
        )
    made = Workers(folder, nursery)
    hearing = asyncio.create_task(made.hear())
    try:
        await made.start()
        await made.said(made.working, "working")
        await made.start()
        yield made
    finally:
        assert nursery.stdin is not None
        nursery.stdin.close()
        await nursery.wait()
        await hearing
