"""The conformance tools as an HTTP service: its OpenAPI document, and an application that behaves as it is told."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from contracts.errors import ToolFailed, ToolRetry, ToolUnknown, TransientError
from devstack.web_server import CutReply
from tests.conformance.kinds import SECRETS, Served

WRITE = {"effect": "write", "guarantee": "guarded", "compensate_with": "note.erase", "seconds": 10}
MANIFEST: dict[str, Any] = {
    "note.write": {**WRITE, "operation": "write", "guarantee": "idempotent", "key_ttl": "P1D"},
    "note.guarded": {**WRITE, "operation": "guarded", "lookup": {"operation": "find", "key": "query.key"}},
    "note.erase": {"operation": "erase", "effect": "write", "guarantee": "idempotent", "key_ttl": "P1D", "irreversible": True},
    "note.slow": {"operation": "slow", "effect": "write", "guarantee": "guarded", "irreversible": True, "seconds": 60},
    "note.read": {"operation": "read", "effect": "read", "guarantee": "pure"},
    "note.counts": {"operation": "counts", "effect": "read", "guarantee": "pure"},
}


def document(served: Served) -> dict[str, Any]:
    """Return the OpenAPI document of the service, with the shapes that the tools have."""

    def operation(tool: str, id: str, *names: str) -> dict[str, Any]:
        made = served.tools[tool]
        found: dict[str, Any] = {"operationId": id, "description": made.description, "responses": answers(made.result)}
        if names:
            places = {name: "path" if name == "id" and id == "erase" else "query" for name in names}
            return {**found, "parameters": [parameter(name, place, id) for name, place in places.items()]}
        return {**found, "requestBody": {"required": True, "content": as_json(made.arguments)}}

    return {
        "openapi": "3.1.0",
        "info": {"title": "Notes", "version": "1"},
        "paths": {
            "/notes": {"post": operation("note.write", "write"), "get": operation("note.guarded", "find", "key")},
            "/guarded": {"post": operation("note.guarded", "guarded")},
            "/notes/{id}": {"delete": operation("note.erase", "erase", "id")},
            "/slow": {"post": operation("note.slow", "slow")},
            "/read": {"get": operation("note.read", "read", "id", "how")},
            "/counts": {"get": operation("note.counts", "counts", "key")},
        },
    }


def parameter(name: str, place: str, operation: str) -> dict[str, Any]:
    """Describe one."""
    return {"name": name, "in": place, "required": operation != "read", "schema": {"type": "string"}}


def as_json(model: type[BaseModel]) -> dict[str, Any]:
    """Describe a body."""
    return {"application/json": {"schema": model.model_json_schema()}}


def answers(model: type[BaseModel]) -> dict[str, Any]:
    """Describe what is answered where all is well."""
    return {"200": {"description": "ok", "content": as_json(model)}}


def application(served: Served) -> Starlette:
    """Return the service. served: the tools as functions of this process."""

    async def authorised(request: Request, tool: str, arguments: Mapping[str, Any]) -> Any:
        if request.headers.get("authorization") != f"Bearer {SECRETS['NOTE_TOKEN']}":
            return JSONResponse({"detail": "who are you?"}, 401)
        return await answered(request, served, tool, arguments)

    def posted(tool: str) -> Callable[[Request], Awaitable[Any]]:
        async def handle(request: Request) -> Any:
            return await authorised(request, tool, await request.json())

        return handle

    def asked(tool: str) -> Callable[[Request], Awaitable[Any]]:
        async def handle(request: Request) -> Any:
            return await authorised(request, tool, {**request.query_params, **request.path_params})

        return handle

    async def find(request: Request) -> Response:
        look_up = served.tools["note.guarded"].lookup
        assert look_up is not None
        found = await look_up(request.query_params["key"], served.context("note.guarded"))
        return JSONResponse(found.output if found else {}, 200 if found and found.happened else 404)

    return Starlette(
        routes=[
            Route("/notes", posted("note.write"), methods=["POST"]),
            Route("/notes", find),
            Route("/guarded", posted("note.guarded"), methods=["POST"]),
            Route("/notes/{id:path}", asked("note.erase"), methods=["DELETE"]),
            Route("/slow", posted("note.slow"), methods=["POST"]),
            Route("/read", asked("note.read")),
            Route("/counts", asked("note.counts")),
        ]
    )


async def answered(request: Request, served: Served, tool: str, arguments: Mapping[str, Any]) -> Any:
    """Call a tool as a service would that knows HTTP: every end has its status."""
    made = served.tools[tool]
    call = made.call(made.arguments.model_validate(arguments), served.context(tool, request.headers.get("idempotency-key", "")))
    try:
        found = await while_connected(request, call)
    except ToolRetry as error:
        return JSONResponse({"detail": str(error)}, 422)
    except ToolFailed as error:
        return JSONResponse({"detail": str(error)}, 410)
    except TransientError as error:
        return JSONResponse({"detail": str(error)}, 429, {"Retry-After": f"{error.retry_after:.0f}"})
    except ToolUnknown as error:
        return JSONResponse({"detail": str(error)}, 500)
    except ConnectionError:
        return CutReply(b'{"id": "')
    return JSONResponse(found.model_dump()) if isinstance(found, made.result) else Response("<html>", media_type="application/json")


async def while_connected(request: Request, call: Awaitable[BaseModel]) -> BaseModel:
    """Await a call, and cancel it when its caller has gone."""
    working = asyncio.ensure_future(call)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            working.cancel()
            await asyncio.wait({working})
            raise ConnectionError("nobody waits any more")
        return working.result()
    finally:
        gone.cancel()


async def _gone(request: Request) -> None:
    await request.body()
    while (await request.receive())["type"] != "http.disconnect":
        continue
