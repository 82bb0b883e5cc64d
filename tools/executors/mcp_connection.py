"""One session with an MCP server: opened, watched and ended in a task of its own, its tools held against what was accepted."""

import asyncio
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager, suppress

import mcp_types
import structlog
from mcp.client import Client
from mcp.client._transport import TransportStreams
from mcp.client.session import IncomingMessage
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from contracts.errors import TransientError
from tools.calls import Incapable
from tools.executors.mcp_definitions import defined, difference, listed
from tools.executors.mcp_wires import REFUSED, Watch
from tools.lock import Definition

LOG = structlog.get_logger(__name__)
US = mcp_types.Implementation(name="perdure", version="1")
CHECKED_SECONDS = 300.0
"""After so long a server's tools are looked at again, though it said nothing of a change."""
IDLE_SECONDS = 300.0
"""After so long without a call a session ends, and the process with it."""
PROBE_SECONDS, END_SECONDS, LISTEN_SECONDS = 2.0, 6.0, 5.0


class Connection:
    """One session. It is made, started, and asked whether it is ready; when it has ended another one takes its place."""

    def __init__(
        self,
        name: str,
        open: Callable[[Watch], AbstractAsyncContextManager[TransportStreams]],
        accepted: Mapping[str, Definition],
        patience: float,
    ) -> None:
        """name: of the source. patience: seconds that the server may take to answer what is not a call."""
        self._name = name
        self._open = open
        self._accepted = accepted
        self._patience = patience
        self._watch = Watch()
        self._ready = asyncio.Event()
        self._checking = asyncio.Lock()
        self._stale = True
        self._checked = self._used = time.monotonic()
        self._calls = 0
        self._task: asyncio.Task[None] | None = None
        self._probing: asyncio.Task[None] | None = None
        self._failed: Exception | None = None
        self.client: Client | None = None
        self.found: dict[str, Definition] = {}
        self._ended = False

    def start(self) -> None:
        """Begin to open it."""
        self._task = asyncio.create_task(self._live(), name=f"mcp {self._name}")

    async def ready(self, seconds: float) -> None:
        """Wait until it can be used. Raises: TransientError where it cannot, Incapable where the server turns us away."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ready.wait(), seconds)
        if self.ended:
            refused = isinstance(self._failed, MCPError) and self._failed.error.code == REFUSED
            message = f"the MCP server {self._name} cannot be used: {self.why}"
            raise Incapable(message) if refused else TransientError(message)
        if not self._ready.is_set():
            raise TransientError(f"the MCP server {self._name} was not ready within {seconds:.0f} s")

    @property
    def ended(self) -> bool:
        """Whether it takes no calls any more."""
        return self._ended or self._watch.over.is_set()

    @property
    def gone(self) -> bool:
        """Whether nothing of it is left."""
        return self._task is not None and self._task.done()

    @property
    def why(self) -> str:
        """Why it ended."""
        reason = f"{self._failed or 'the connection has ended'}"[:300]
        return f"{reason} ({self._watch.said})" if self._watch.said else reason

    async def inspect(self, tool: str, accept: str) -> None:
        """Make sure that a tool is what was accepted.

        accept: the command by which a person accepts a change. Raises: Incapable saying what has changed.
        """
        if self._stale or time.monotonic() - self._checked > CHECKED_SECONDS:
            try:
                async with asyncio.timeout(self._patience):
                    await self._check()
            except (MCPError, TimeoutError, ValueError) as error:
                self.end()
                raise TransientError(f"the MCP server {self._name} does not say what tools it has: {str(error)[:200]}") from None
        if changed := difference(self._accepted.get(tool), self.found.get(tool)):
            raise Incapable(f"{tool} of the MCP server {self._name} is in quarantine: {changed}; a person looks at it with `{accept}`")

    @contextmanager
    def use(self) -> Generator[Client]:
        """Keep it open for one call."""
        assert self.client
        self._calls += 1
        try:
            yield self.client
        finally:
            self._calls -= 1
            self._used = time.monotonic()

    def probe(self) -> None:
        """End it soon unless the server still answers: a call of it was given up."""
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self._probe())

    def end(self) -> None:
        """Begin to end it."""
        self._watch.over.set()

    async def close(self) -> None:
        """End it, and wait until nothing of it is left."""
        self.end()
        for task in filter(None, (self._probing, self._task)):
            await asyncio.wait({task}, timeout=END_SECONDS)
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=END_SECONDS)

    async def _live(self) -> None:
        # A session must be left in the task that entered it, and calls come from any task: so it has this one.
        try:
            async with Client(
                self._open(self._watch),
                mode="auto",
                cache=None,
                client_info=US,
                message_handler=self._heard,
                read_timeout_seconds=self._patience,
            ) as client:
                # The SDK's own check has no bound, and a server's schema could stop the worker: ours comes when the answer is here.
                client.session.validate_tool_result = _unchecked
                self.client = client
                await self._check()
                self._ready.set()
                await self._until_over(client)
        except Exception as error:
            self._failed = _first(error)
        finally:
            self._ended = True
            self._ready.set()

    async def _until_over(self, client: Client) -> None:
        listening = asyncio.create_task(self._listen(client))
        try:
            while not self._watch.over.is_set() and (self._calls or time.monotonic() - self._used < IDLE_SECONDS):
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._watch.over.wait(), IDLE_SECONDS / 10)
        finally:
            listening.cancel()

    async def _heard(self, message: IncomingMessage) -> None:
        if isinstance(message, mcp_types.ToolListChangedNotification):
            self._stale = True

    async def _listen(self, client: Client) -> None:
        """Subscribe to changes, where the protocol wants that."""
        tools = client.server_capabilities.tools
        if client.protocol_version not in MODERN_PROTOCOL_VERSIONS or not (tools and tools.list_changed):
            # An older server's announcements may come over a stream that stood only after the tools were listed.
            await asyncio.sleep(LISTEN_SECONDS)
            self._stale = True
            return
        while True:
            try:
                async with client.listen(tools_list_changed=True) as changes:
                    # What changed before this stood was announced to nobody.
                    self._stale = True
                    async for _ in changes:
                        self._stale = True
            except ListenNotSupportedError:
                return
            except (MCPError, SubscriptionLost, TimeoutError) as error:
                LOG.info("subscription lost", server=self._name, error=str(error)[:200])
            # What was not heard meanwhile is looked at before the next call.
            self._stale = True
            await asyncio.sleep(LISTEN_SECONDS)

    async def _check(self) -> None:
        async with self._checking:
            assert self.client
            # First: a change that is announced while they are listed is looked at again.
            self._stale = False
            try:
                self.found = {tool.name: defined(tool) async for tool in listed(self.client)}
            except BaseException:
                self._stale = True
                raise
            self._checked = time.monotonic()

    async def _probe(self) -> None:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await self._check()
        except Exception as error:
            LOG.warning("the server hangs", server=self._name, error=str(error)[:200])
            self._watch.say("it did not answer any more")
            self.end()


async def _unchecked(name: str, result: mcp_types.CallToolResult) -> None:
    """Let a result through."""


def _first(error: BaseException) -> Exception:
    """Return the cause among the errors of a task group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, Exception) else RuntimeError(type(error).__name__)
