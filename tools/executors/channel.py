"""The channel to one tool server: opened when it is first called, and greeted anew whenever the connection was lost, and now and then."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from ipaddress import ip_address

import grpc
import grpc.aio

from contracts.errors import BadInput
from tools.proto.tool_executor_pb2_grpc import ToolExecutorStub
from tools.wire import MOST_BYTES

ADDRESS = r"(?:[A-Za-z0-9]([A-Za-z0-9.-]{0,252})|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}"
CONNECT_SECONDS = 5.0
CHECKED_SECONDS = 300.0
"""After so long a server is greeted again, though its connection stands."""
OPTIONS = [
    # Temporal is the only owner of retries. What a name server says of a service is no configuration of ours.
    ("grpc.enable_retries", 0),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.max_receive_message_length", MOST_BYTES),
    ("grpc.max_send_message_length", MOST_BYTES),
    # Servers in other languages break a connection on which pings come more often than every 5 minutes.
    ("grpc.keepalive_time_ms", 330_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]


@dataclass(frozen=True, slots=True)
class Peer:
    """Which server, and how both sides know each other. PEM in bytes; without ``ca`` the usual authorities count."""

    address: str
    encrypted: bool = False
    ca: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = field(default=None, repr=False)

    def checked(self, *, plaintext: bool, otherwise: str) -> "Peer":
        """Return itself. Raises: BadInput where it is no `host:port`, or in clear beyond this machine without ``plaintext``."""
        if not re.fullmatch(ADDRESS, self.address):
            raise BadInput(f"{self.address[:80]!r} is no address: write host:port")
        if not self.encrypted and not plaintext and not loopback(self.address):
            raise BadInput(f"{self.address} would be called in clear: {otherwise}")
        return self

    def channel(self) -> grpc.aio.Channel:
        """Open a channel; it connects when it is used."""
        if not self.encrypted:
            return grpc.aio.insecure_channel(self.address, options=OPTIONS)
        credentials = grpc.ssl_channel_credentials(self.ca, self.key, self.certificate)
        return grpc.aio.secure_channel(self.address, credentials, options=OPTIONS)


def loopback(address: str) -> bool:
    """Tell whether a `host:port` is on this machine."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Line:
    """Keeps one channel to one server. ``greet`` is called on each new connection, before anything else is."""

    def __init__(self, greet: Callable[[ToolExecutorStub, Peer, float], Awaitable[None]]) -> None:
        self._greet = greet
        self._peer: Peer | None = None
        self._channels: list[grpc.aio.Channel] = []
        self._greeted_at: float | None = None
        self._lock = asyncio.Lock()

    async def stub(self, peer: Peer, seconds: float) -> ToolExecutorStub:
        """Return a stub whose channel is connected and greeted. Raises: what ``greet`` raises."""
        seconds = min(seconds, CONNECT_SECONDS)
        async with self._lock:
            if peer != self._peer:
                # The channel before is closed at the end: calls may still be running on it.
                self._channels.append(peer.channel())
                self._peer, self._greeted_at = peer, None
            channel = self._channels[-1]
            stub = ToolExecutorStub(channel)
            if not self._fresh or channel.get_state() is not grpc.ChannelConnectivity.READY:
                self._greeted_at = None
                await _connected(channel, seconds)
                await self._greet(stub, peer, seconds)
                self._greeted_at = time.monotonic()
        return stub

    @property
    def _fresh(self) -> bool:
        return self._greeted_at is not None and time.monotonic() - self._greeted_at < CHECKED_SECONDS

    async def close(self) -> None:
        """Close every channel; calls that still run are cancelled."""
        channels, self._channels, self._peer, self._greeted_at = self._channels, [], None, None
        for channel in channels:
            await channel.close(None)


async def _connected(channel: grpc.aio.Channel, seconds: float) -> None:
    """Wait until a channel is connected, or has failed to: the greeting then says why."""
    ready, failed = grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE
    try:
        async with asyncio.timeout(seconds):
            state = channel.get_state(try_to_connect=True)
            while state is not ready:
                await channel.wait_for_state_change(state)
                state = channel.get_state(try_to_connect=True)
                if state is failed:
                    return
    except TimeoutError:
        return
