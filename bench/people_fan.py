"""`python -m bench.people_fan`, the baseline of live pages: each event is handed to every stream, with no ledger behind it."""

import argparse
import asyncio
from collections.abc import AsyncGenerator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from devstack import web_server


class Fan:
    """Hands what is posted to whoever listens."""

    def __init__(self) -> None:
        self._queues = set[asyncio.Queue[str]]()

    async def events(self, request: Request) -> Response:
        """Stream."""
        return StreamingResponse(self._told(), media_type="text/event-stream")

    async def health(self, request: Request) -> Response:
        """Tell that it answers."""
        return PlainTextResponse("ok")

    async def put(self, request: Request) -> Response:
        """Take an event."""
        event = (await request.body()).decode()
        for queue in self._queues:
            queue.put_nowait(event)
        return PlainTextResponse("")

    async def _told(self) -> AsyncGenerator[str]:
        queue = asyncio.Queue[str]()
        self._queues.add(queue)
        try:
            yield "retry: 2000\n\n"
            while True:
                yield await queue.get()
        finally:
            self._queues.discard(queue)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    fan = Fan()
    routes = [Route("/healthz", fan.health), Route("/events", fan.events), Route("/put", fan.put, methods=["POST"])]
    web_server.serve(Starlette(routes=routes), parser.parse_args().port)
