"""An endpoint of embeddings for tests of commands, which run an event loop of their own."""

import threading
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.servers import free_port


@contextmanager
def served(embeddings: Callable[[Request], Awaitable[Response]]) -> Generator[str]:
    """Serve it in a thread of its own and yield the base URL: a command would wait for a server of our loop."""
    port = free_port()
    app = Starlette(routes=[Route("/v1/embeddings", embeddings, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{port}/v1"
    server.should_exit = True
    thread.join(30)
