"""The worker's page for Prometheus: our metrics and Temporal's on one port, and `/healthz`."""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager

import httpx2
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

Healthy = Callable[[], Awaitable[None]]
"""Raises where the worker cannot do its work."""


def page(core_port: int, healthy: Healthy) -> Starlette:
    """Return the application. core_port: where Temporal's runtime serves its own metrics on loopback."""

    async def metrics(request: Request) -> Response:
        async with httpx2.AsyncClient(trust_env=False, timeout=3) as client:
            try:
                core = (await client.get(f"http://127.0.0.1:{core_port}/metrics")).text
            except httpx2.HTTPError as error:
                core = f"# Temporal's metrics cannot be read: {type(error).__name__}\n"
        return Response(generate_latest().decode() + core, media_type=CONTENT_TYPE_LATEST)

    async def healthz(request: Request) -> Response:
        try:
            async with asyncio.timeout(3):
                await healthy()
        except Exception as error:
            return PlainTextResponse(f"{type(error).__name__}: {error}\n", 503)
        return PlainTextResponse("ok\n")

    return Starlette(routes=[Route("/metrics", metrics), Route("/healthz", healthz)])


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None]:
        # The worker has its own idea of SIGTERM.
        yield


async def serve(application: Starlette, host: str, port: int) -> None:
    """Serve until cancelled."""
    server = _Server(uvicorn.Config(application, host=host, port=port, access_log=False, log_level="warning", lifespan="off"))
    try:
        await server.serve()
    finally:
        server.should_exit = True
