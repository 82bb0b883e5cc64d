"""`python -m tools.server`: serves the tools of one trust zone from a process of their own, over gRPC."""

import argparse
import asyncio
import re
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

import logs
from contracts.errors import BadInput, PerdureError
from database import Database
from settings import Settings
from tools import zones
from tools.contract import WORKER, ZONE
from tools.proto import tool_executor_pb2 as pb
from tools.proto.tool_executor_pb2_grpc import add_ToolExecutorServicer_to_server
from tools.registry import Registry
from tools.serving import Serving
from tools.wire import MOST_BYTES

LOG = structlog.get_logger(__name__)
SERVICE: str = pb.DESCRIPTOR.services_by_name["ToolExecutor"].full_name
OPTIONS = [
    # A second server on the same port is a mistake, and would take half of the calls.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MOST_BYTES),
    ("grpc.max_send_message_length", MOST_BYTES),
    # A caller whose machine vanished is noticed within 40 s, and its calls are cancelled.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
]
SAME = ("tools_address", "automations", "tools_certificate", "tools_key", "tools_ca", "tools_plaintext")


@asynccontextmanager
async def serving(settings: Settings, zone: str = WORKER) -> AsyncGenerator[str]:
    """Serve while the block runs, and yield the address; then refuse new calls and let those that run end within their grace.

    Raises: BadInput where the address cannot be listened on, or would be in clear beyond this machine.
    """
    url = settings.database_url
    database = await Database.connect(url.get_secret_value(), size=settings.database_pool) if url else None
    registry = Registry(settings.automations, zones.of(settings, zone))
    endpoints = {"smtp": settings.smtp_url, "social": settings.receiver_url, **settings.endpoints}
    named = {name: url for name, url in endpoints.items() if url}
    served = Serving(registry, zone, named, settings.secret, settings.state / "files", database)
    server = grpc.aio.server(options=OPTIONS)
    add_ToolExecutorServicer_to_server(served, server)
    signs = health.aio.HealthServicer()  # pyright: ignore[reportAttributeAccessIssue]
    health_pb2_grpc.add_HealthServicer_to_server(signs, server)
    reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    try:
        port = _listening(server, settings)
        await server.start()
        for name in ("", SERVICE):
            await signs.set(name, health_pb2.HealthCheckResponse.SERVING)
        yield f"{settings.tools_address.rpartition(':')[0]}:{port}"
    finally:
        await signs.enter_graceful_shutdown()
        await server.stop(settings.graceful_seconds)
        await registry.close()
        if database:
            await database.close()


def _listening(server: grpc.aio.Server, settings: Settings) -> int:
    """Let a server listen, by mutual TLS where there is a CA for clients. Raises: BadInput."""
    papers = zones.Papers(settings.tools_ca, settings.tools_certificate, settings.tools_key)
    peer = papers.read(plaintext=settings.tools_plaintext, address=settings.tools_address)
    try:
        if peer.certificate is None or peer.key is None:
            if peer.ca:
                raise BadInput("a CA for clients alone is not enough: set PERDURE_TOOLS_CERTIFICATE and PERDURE_TOOLS_KEY too")
            return server.add_insecure_port(peer.address)
        credentials = grpc.ssl_server_credentials([(peer.key, peer.certificate)], peer.ca, require_client_auth=peer.ca is not None)
        return server.add_secure_port(peer.address, credentials)
    except RuntimeError as error:
        raise BadInput(f"{peer.address} cannot be listened on: {error}") from None


async def run(settings: Settings, zone: str) -> None:
    """Serve until SIGTERM or SIGINT; calls that run then get their time to end."""
    stop = asyncio.Event()
    for ending in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(ending, stop.set)
    async with serving(settings, zone) as address:
        LOG.info("serving tools", zone=zone, address=address, automations=str(settings.automations), encrypted=bool(settings.tools_key))
        await stop.wait()
        LOG.info("stopping")


def main() -> None:
    """Serve tools with the settings of this machine."""
    parser = argparse.ArgumentParser(prog="python -m tools.server", description="Serves the tools of one trust zone until SIGTERM.")
    parser.add_argument("--zone", default=WORKER, help="serves just the tools of this trust zone (default: %(default)s)")
    parser.add_argument("--address", dest="tools_address", help="host:port to listen on; PERDURE_TOOLS_ADDRESS")
    parser.add_argument("--automations", type=Path, help="the folder with the automations; PERDURE_AUTOMATIONS")
    parser.add_argument("--certificate", dest="tools_certificate", type=Path, help="PEM; PERDURE_TOOLS_CERTIFICATE")
    parser.add_argument("--key", dest="tools_key", type=Path, help="PEM; PERDURE_TOOLS_KEY")
    parser.add_argument(
        "--ca", dest="tools_ca", type=Path, help="PEM of who signs clients: each must then have a certificate; PERDURE_TOOLS_CA"
    )
    parser.add_argument("--plaintext", dest="tools_plaintext", action="store_true", default=None, help="in clear beyond this machine")
    given = vars(parser.parse_args())
    settings = Settings()
    logs.configure(settings.log_format)
    try:
        if not re.fullmatch(ZONE, given["zone"]):
            raise BadInput(f"--zone is a name of a-z, 0-9 and `-`, and {given['zone']!r} is none")
        changed = {name: given[name] for name in SAME if given[name] is not None}
        asyncio.run(run(settings.model_copy(update=changed), given["zone"]))
    except PerdureError as error:
        sys.exit(f"tools.server: {error}")


if __name__ == "__main__":
    main()
