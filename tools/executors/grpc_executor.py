"""Who runs the tools of a gRPC server: one channel, opened when it is needed, and every end told apart."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import grpc
import grpc.aio
import structlog

from contracts.errors import BadInput, PerdureError, ToolFailed, ToolRetry, ToolUnknown, TransientError
from tools import wire
from tools.calls import Incapable, NotStarted
from tools.contract import Lookup, ToolContext
from tools.executors.channel import Line, Peer
from tools.executors.executor import Access
from tools.proto import tool_executor_pb2 as pb
from tools.proto.tool_executor_pb2_grpc import ToolExecutorStub

LOG = structlog.get_logger(__name__)
REFUSED = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED)
PASSING = (
    *(grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.INTERNAL),
    *(grpc.StatusCode.CANCELLED, grpc.StatusCode.ABORTED, grpc.StatusCode.RESOURCE_EXHAUSTED),
)


@dataclass(frozen=True, slots=True)
class Remote:
    """What an executor knows of a tool. pin: what a person accepted. version: the only one that may run. Empty: any."""

    reads: bool
    pin: str = ""
    version: str = ""


class GrpcExecutor:
    """Runs the tools of one server for one automation.

    peer: from the endpoints and secrets of a call to its server. ours: whether that belongs to the installation, and may know
    the run's input and the settings. mend: what a person does about a tool that was changed.
    """

    def __init__(
        self, automation: str, peer: Callable[[Access], Peer], tools: Mapping[str, Remote], *, mend: str = "", ours: bool = False
    ) -> None:
        self._automation = automation
        self._peer = peer
        self._tools = tools
        self._mend = mend
        self._ours = ours
        self._changed: dict[str, str] = {}
        self._line = Line(self._greet)

    async def invoke(self, tool: str, arguments: Mapping[str, Any], context: ToolContext) -> dict[str, Any]:
        """See `tools.executors.executor.Executor`."""
        remote = self._tools[tool]
        body = wire.dumped(arguments)
        most = wire.MOST_JSON if self._ours else wire.MOST_FOREIGN
        if len(body) > most:
            raise ToolRetry(f"the arguments of {tool} have {len(body)} bytes, and {most} can be sent")
        caller = wire.caller(context, ours=self._ours)
        stub = await self._stub(tool, context)
        request = pb.InvokeRequest(tool=tool, arguments=body, key=context.key, caller=caller, version=remote.version)
        try:
            reply = await stub.Invoke(request, timeout=_left(tool, context))
        except grpc.aio.AioRpcError as error:
            raise _cut(tool, remote, error) from None
        return _output(tool, remote, reply)

    async def lookup(self, tool: str, key: str, context: ToolContext) -> Lookup | None:
        """See `tools.executors.executor.Executor`."""
        caller = wire.caller(context, ours=self._ours)
        stub = await self._stub(tool, context)
        try:
            reply = await stub.Lookup(pb.LookupRequest(tool=tool, key=key, caller=caller), timeout=_left(tool, context))
        except grpc.aio.AioRpcError as error:
            raise _cut(tool, Remote(reads=True), error) from None
        return _found(tool, reply)

    async def close(self) -> None:
        """See `tools.executors.executor.Executor`."""
        await self._line.close()

    async def _stub(self, tool: str, context: ToolContext) -> ToolExecutorStub:
        try:
            peer = self._peer(Access(context.endpoints, context.secrets.get))
        except BadInput as error:
            raise Incapable(f"{tool}: {error}") from None
        stub = await self._line.stub(peer, _left(tool, context))
        if changed := self._changed.get(tool):
            raise Incapable(f"{tool} {changed}: it is not called until a person has looked at it: {self._mend}")
        return stub

    async def _greet(self, stub: ToolExecutorStub, peer: Peer, seconds: float) -> None:
        """Compare what the server has now with what a person accepted. Raises: TransientError or ToolFailed."""
        found = await asked(stub, peer, self._automation, seconds)
        pins: dict[str, str] = {}
        for tool in found:
            try:
                pins[tool.name] = wire.definition(tool).pin
            except (BadInput, ValueError) as error:
                LOG.warning("tool cannot be used", server=peer.address, tool=tool.name[:80], error=str(error))
        self._changed = {
            name: "has changed since it was accepted" if name in pins else "is not there any more, or cannot be read"
            for name, remote in self._tools.items()
            if remote.pin and pins.get(name) != remote.pin
        }
        versions = {tool.name: tool.version[:80] for tool in found if tool.name in self._tools}
        LOG.info("connected to a tool server", server=peer.address, versions=versions, changed=sorted(self._changed))


async def asked(stub: ToolExecutorStub, peer: Peer, automation: str, seconds: float) -> Sequence[pb.Tool]:
    """Return what a server lists for an automation. Raises: TransientError or ToolFailed."""
    try:
        found = (await stub.List(pb.ListRequest(automation=automation), timeout=seconds)).tools
    except grpc.aio.AioRpcError as error:
        message = f"the tool server {peer.address} cannot be used ({_said(error)})"
        raise (TransientError(message) if error.code() in PASSING else Incapable(message)) from None
    if len(found) > wire.MOST_TOOLS:
        raise Incapable(f"the tool server {peer.address} lists {len(found)} tools, and {wire.MOST_TOOLS} are the most")
    return found


def _left(tool: str, context: ToolContext) -> float:
    left = (context.deadline - datetime.now(UTC)).total_seconds()
    if left <= 0:
        raise NotStarted(f"{tool} was not started: its time was over")
    return left


def _said(error: grpc.aio.AioRpcError) -> str:
    return f"{error.code().name}: {(error.details() or '')[:300]}".rstrip(": ")


def _cut(tool: str, remote: Remote, error: grpc.aio.AioRpcError) -> PerdureError:
    """Say what a status code comes to. The request was sent, so a tool that writes may have acted."""
    message = f"{tool} gave no answer ({_said(error)})"
    if error.code() in REFUSED:
        return Incapable(f"{tool} was refused by its server ({_said(error)})")
    if not remote.reads:
        return ToolUnknown(f"{message}; it may have acted")
    return TransientError(message) if error.code() in PASSING else ToolFailed(message)


def _output(tool: str, remote: Remote, reply: pb.InvokeResponse) -> dict[str, Any]:
    match reply.WhichOneof("outcome"):
        case "output":
            try:
                return wire.loaded(reply.output)
            except ValueError as error:
                message = f"{tool} answered what cannot be read ({str(error)[:200]})"
        case "retry":
            raise ToolRetry(_worded(tool, reply.retry.message))
        case "failed":
            raise ToolFailed(_worded(tool, reply.failed.message))
        case "unknown":
            raise ToolUnknown(_worded(tool, reply.unknown.message))
        case "transient":
            raise _transient(tool, reply.transient)
        case _:
            message = f"{tool} answered without an outcome"
    raise ToolFailed(message) if remote.reads else ToolUnknown(f"{message}; it may have acted")


def _found(tool: str, reply: pb.LookupResponse) -> Lookup | None:
    match reply.WhichOneof("outcome"):
        case "happened":
            try:
                return Lookup(happened=True, output=wire.loaded(reply.happened.output))
            except ValueError as error:
                raise ToolFailed(f"the look-up of {tool} answered what cannot be read ({str(error)[:200]})") from None
        case "absent":
            return Lookup(happened=False)
        case "failed":
            raise ToolFailed(_worded(tool, reply.failed.message))
        case "transient":
            raise _transient(tool, reply.transient)
        case _:
            return None


def _worded(tool: str, message: str) -> str:
    return message[:2000] or f"{tool} did not say why"


def _transient(tool: str, said: pb.Transient) -> TransientError:
    wait = wire.seconds(said.retry_after) if said.HasField("retry_after") else None
    return TransientError(_worded(tool, said.message), retry_after=None if wait is None else min(max(wait, 0.0), wire.LONGEST_WAIT))
