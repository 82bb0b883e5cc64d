"""Serves the console: `python -m channels.console`."""

import argparse
import asyncio
import signal
import sys
from contextlib import suppress

import structlog
import uvicorn
from starlette.applications import Starlette

import logs
from channels.cli import link
from channels.console.app import application
from channels.console.house import Connection, opened
from contracts.errors import PerdureError
from database import Database
from settings import Settings

LOG = structlog.get_logger(__name__)


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM."""
    if settings.database_url is None:
        raise PerdureError(link.NO_DATABASE)
    url = settings.database_url.get_secret_value()
    async with link.database(settings) as database:
        watch = await Database.connect(url, size=1)
        try:
            async with opened(settings, database, watch, Connection(lambda: link.temporal(settings))) as house:
                await _listen(settings, uvicorn.Server(_configuration(settings, application(house))))
        finally:
            await watch.close()


def _configuration(settings: Settings, app: Starlette) -> uvicorn.Config:
    # Live pages never end by themselves: at the end they are cut, and browsers come back to whoever serves next.
    return uvicorn.Config(
        app, host=settings.console_host, port=settings.console_port, access_log=False, log_level="warning", lifespan="off",
        timeout_graceful_shutdown=2, server_header=False, proxy_headers=settings.console_url is not None,
    )  # fmt: skip


async def _listen(settings: Settings, server: uvicorn.Server) -> None:
    LOG.info("the console is served", address=settings.console_address)
    await server.serve()


def main() -> None:
    """Read the settings and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", help="names this code, so that `starter.py up` knows a newer one")
    parser.parse_args()
    settings = Settings()
    logs.configure(settings.log_format)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        with suppress(KeyboardInterrupt):
            asyncio.run(serve(settings))
    except PerdureError as error:
        print(error, file=sys.stderr)  # noqa: T201
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
