"""The service `ToolExecutor`: the tools of one trust zone, called for workers elsewhere."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import grpc
import grpc.aio
import structlog

from contracts.errors import BadInput, PerdureError, ToolFailed, ToolRetry, ToolUnknown, TransientError
from database import TENANT, Database
from tools import calls, wire
from tools.contract import Tool, ToolContext
from tools.documents import Documents
from tools.proto import tool_executor_pb2 as pb
from tools.proto.tool_executor_pb2_grpc import ToolExecutorServicer
from tools.registry import Registry

LOG = structlog.get_logger(__name__)
AUTOMATION = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
Call = grpc.aio.ServicerContext


class NoDocuments(Documents):
    """What tools get of `context.documents` where there is no database."""

    def __init__(self, tool: str) -> None:
        self._tool = tool

    async def get(self, kind: str, id: str) -> NoReturn:
        self._refuse()

    async def list(self, kind: str) -> NoReturn:
        self._refuse()

    async def put(self, kind: str, id: str, body: dict[str, Any], *, writer: str, version: int | None = None) -> NoReturn:
        self._refuse()

    async def delete(self, kind: str, id: str) -> NoReturn:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise ToolFailed(f"{self._tool} uses documents, and its tool server has no database: set PERDURE_DATABASE_URL there")


@dataclass(frozen=True)
class Serving(ToolExecutorServicer):
    """Serves the tools of one zone. What a call may use is this process's own: endpoints, secrets, files and database."""

    registry: Registry
    zone: str
    endpoints: Mapping[str, str]
    secret: Callable[[str], str | None]
    files: Path
    database: Database | None = None

    async def List(self, request: pb.ListRequest, context: Call) -> pb.ListResponse:
        """Name the tools that this server has for an automation."""
        try:
            return pb.ListResponse(tools=[wire.listed(tool) for tool in self._tools(request.automation).values()])
        except BadInput as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))

    async def Invoke(self, request: pb.InvokeRequest, context: Call) -> pb.InvokeResponse:
        """Call a tool once; a cancelled or expired RPC cancels it."""
        try:
            return pb.InvokeResponse(output=await self._invoked(request, context))
        except ToolRetry as error:
            return pb.InvokeResponse(retry=pb.Retry(message=str(error)))
        except ToolUnknown as error:
            return pb.InvokeResponse(unknown=pb.Unknown(message=str(error)))
        except TransientError as error:
            return pb.InvokeResponse(transient=_transient(error))
        except PerdureError as error:
            return pb.InvokeResponse(failed=pb.Failed(message=str(error)))

    async def Lookup(self, request: pb.LookupRequest, context: Call) -> pb.LookupResponse:
        """Tell what became of the call with a key."""
        try:
            tool = self._tool(request.caller.automation, request.tool)
            if tool.lookup is None:
                return pb.LookupResponse(unsure=pb.Unsure())
            found = await calls.looked_up(tool, request.key, self._context(tool, request.caller, request.key, context))
            if found is None:
                return pb.LookupResponse(unsure=pb.Unsure())
            if not found.happened:
                return pb.LookupResponse(absent=pb.Absent())
            return pb.LookupResponse(happened=pb.Happened(output=wire.dumped(found.output)))
        except TransientError as error:
            return pb.LookupResponse(transient=_transient(error))
        except PerdureError as error:
            return pb.LookupResponse(failed=pb.Failed(message=str(error)))

    async def _invoked(self, request: pb.InvokeRequest, context: Call) -> bytes:
        tool = self._tool(request.caller.automation, request.tool)
        if request.version and request.version != tool.version:
            raise TransientError(
                f"{tool.name} is version {tool.version[:12]} on its tool server and {request.version[:12]} was asked for: "
                "both sides need the same files"
            )
        try:
            arguments = wire.loaded(request.arguments)
        except ValueError as error:
            raise ToolRetry(f"the arguments of {tool.name} cannot be read: {error}") from None
        LOG.info("called", tool=tool.name, automation=request.caller.automation, key=request.key)
        made = self._context(tool, request.caller, request.key, context)
        output = await calls.call(tool, calls.parsed(tool, arguments), made)
        return _fitting(tool, output)

    def _tools(self, automation: str) -> dict[str, Tool]:
        """Return what is served for an automation. Raises: BadInput."""
        if not AUTOMATION.fullmatch(automation):
            raise BadInput(f"{automation[:80]!r} is no name of an automation")
        tools = self.registry.tools(automation)
        return {name: tool for name, tool in tools.items() if tool.zone == self.zone}

    def _tool(self, automation: str, name: str) -> Tool:
        tools = self._tools(automation)
        if name not in tools:
            raise ToolFailed(f"the tool server of the zone {self.zone} has no tool {name[:80]!r} for {automation}")
        return tools[name]

    def _context(self, tool: Tool, caller: pb.Caller, key: str, call: Call) -> ToolContext:
        """Return what a call may know and use. Raises: BadInput where the message says too little or nonsense."""
        if not TENANT.fullmatch(caller.tenant):
            raise BadInput(f"{caller.tenant[:80]!r} is no name of a tenant")
        try:
            options, input, settings = (wire.loaded(data) for data in (caller.options, caller.input, caller.settings))
            deadline = wire.deadline(caller, call.time_remaining())
        except ValueError as error:
            raise BadInput(f"the caller of {tool.name} is not described well: {error}") from None
        documents = Documents(self.database, caller.tenant, caller.automation) if self.database else NoDocuments(tool.name)
        return ToolContext(
            tenant=caller.tenant,
            automation=caller.automation,
            lineage=caller.lineage,
            step=caller.step,
            key=key,
            deadline=deadline,
            input=input,
            settings=settings,
            documents=documents,
            endpoints=self.endpoints,
            folder=self.files / caller.tenant / caller.automation,
            options=options,
            secrets={name: value for name in tool.secrets if (value := self.secret(name))},
        )


def _fitting(tool: Tool, output: dict[str, Any]) -> bytes:
    """Return an output as JSON. Raises: ToolFailed or ToolUnknown where it cannot be sent."""
    try:
        data = wire.dumped(output)
        if len(data) <= wire.MOST_JSON:
            return data
        message = f"the output of {tool.name} has {len(data)} bytes, and {wire.MOST_JSON} can be sent"
    except ValueError as error:
        message = f"the output of {tool.name} cannot be sent: {error}"
    raise ToolFailed(message) if tool.effect == "read" else ToolUnknown(f"{message}; it has acted")


def _transient(error: TransientError) -> pb.Transient:
    after = None if error.retry_after is None else wire.duration(timedelta(seconds=error.retry_after))
    return pb.Transient(message=str(error), retry_after=after)
