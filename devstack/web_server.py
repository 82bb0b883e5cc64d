"""A small HTTP server on one port of this machine, in this process or as a program."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send


class _Server(uvicorn.Server):
    """A server within a program that has its own idea of signals."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@asynccontextmanager
async def listening(app: Any, port: int = 0) -> AsyncGenerator[str]:
    """Serve an ASGI application and yield its address; port 0 takes a free one."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        server = _Server(_configuration(app))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            # The listener queues what comes before the first accept: nobody has to wait for `started`.
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            server.force_exit = True
            await task


def serve(app: Any, port: int) -> None:
    """Serve an ASGI application until SIGTERM."""
    configuration = _configuration(app)
    configuration.port = port
    uvicorn.Server(configuration).run()


def _configuration(app: Any) -> uvicorn.Config:
    # Cut replies are meant here, and uvicorn would log each as an error of ours.
    return uvicorn.Config(app, access_log=False, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)


class CutReply:
    """A reply whose connection breaks in the middle."""

    def __init__(self, begun: bytes, *, content_type: str = "application/json", stream: bool = False) -> None:
        self.begun = begun
        self.headers = [(b"content-type", content_type.encode())]
        if not stream:
            self.headers.append((b"content-length", str(len(begun) + 1).encode()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.begun, "more_body": True})
        # Returning now, with more announced, makes the server close the connection.
