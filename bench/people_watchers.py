"""Browsers on a live page, as far as the network goes: `python -m bench.people_watchers`.

It reads an address and cookies as JSON, watches once with each cookie, says `ready`, and on a second line tells what came.
"""

import asyncio
import json
import re
import sys
import time
from typing import Any, cast
from urllib.parse import urlsplit

import uvloop

STAMPED = re.compile(rb'"event":\s*"(\d+):(\d+)"')
EVENT_ENDS = b"\n\n"


class Browser(asyncio.Protocol):
    """One stream. came: number of an event -> milliseconds from its writing to its coming, and how often it came twice."""

    def __init__(self, path: str, host: str, cookie: str) -> None:
        self._ask = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\nCookie: {cookie}\r\n\r\n".encode()
        self._left = b""
        self.status = b""
        self.open = True
        self.twice = 0
        self.came: dict[int, float] = {}
        self.begun = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.WriteTransport, transport).write(self._ask)

    def data_received(self, data: bytes) -> None:
        now = time.time_ns()
        data = self._left + data
        whole = data.rfind(EVENT_ENDS) + 1
        for nth, at in STAMPED.findall(data, 0, whole):
            self.twice += int(nth) in self.came
            self.came.setdefault(int(nth), (now - int(at)) / 1e6)
        self._left = data[whole:]
        if not self.status:
            self.status = data.partition(b"\r\n")[0]
        if b"retry:" in data:
            self.begun.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        self.begun.set()


async def main(given: dict[str, Any]) -> None:
    """Watch until told to end."""
    url = urlsplit(given["url"])
    loop, browsers = asyncio.get_running_loop(), list[Browser]()
    for cookie in given["cookies"]:
        made = Browser(f"{url.path}?{url.query}", url.netloc, cookie)
        await loop.create_connection(lambda made=made: made, url.hostname, url.port)
        browsers.append(made)
    await asyncio.gather(*(browser.begun.wait() for browser in browsers))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    found = {
        "open": sum(browser.open and b" 200 " in browser.status for browser in browsers),
        "counts": [len(browser.came) for browser in browsers],
        "twice": sum(browser.twice for browser in browsers),
        "milliseconds": sorted(ms for browser in browsers for ms in browser.came.values()),
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    uvloop.run(main(json.loads(sys.stdin.readline())))
