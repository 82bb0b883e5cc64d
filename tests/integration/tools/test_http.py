"""Operations of an OpenAPI document against a real server."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from contracts.errors import BadConfiguration, ToolFailed, ToolRetry, ToolUnknown, TransientError
from devstack.web_server import CutReply, listening
from tests.servers import free_port
from tests.tool_calls import KEY, called, context
from tools import manifest
from tools.contract import Lookup
from tools.manifest import Listed

SECRETS = {"SHOP_TOKEN": "s3cret-t0ken", "SHOP_KEY": "k3y-of-the-shop", "SHOP_LOGIN": "ann:hunter2"}
REFUND = {
    "type": "object",
    "required": ["id", "amount"],
    "properties": {"id": {"type": "string"}, "amount": {"type": "integer"}, "echo": {}},
}


def json_of(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


REFUNDED = json_of({"$ref": "#/components/schemas/Refund"})
NEW_REFUND = {
    "type": "object",
    "required": ["amount"],
    "properties": {"amount": {"type": "integer", "minimum": 1}, "how": {"type": "string"}},
}
DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Shop", "version": "1"},
    "paths": {
        "/refunds": {
            "post": {
                "operationId": "createRefund",
                "description": "Pay an order back.\u202e",
                "requestBody": {"required": True, "content": json_of({"$ref": "#/components/schemas/NewRefund"})},
                "responses": {"201": {"description": "ok", "content": REFUNDED}},
            },
            "get": {
                "operationId": "findRefund",
                "parameters": [{"name": "key", "in": "query", "required": True, "schema": {"type": "string"}}],
                "responses": {"200": {"description": "ok", "content": REFUNDED}},
            },
        },
        "/refunds/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
            "delete": {"operationId": "cancelRefund", "description": "Take it back.", "responses": {"204": {"description": "gone"}}},
            "get": {
                "operationId": "getRefund",
                "responses": {"200": {"description": "ok", "content": REFUNDED}},
            },
        },
        "/names": {
            "get": {
                "operationId": "listNames",
                "responses": {"200": {"description": "ok", "content": json_of({"type": "array", "items": {"type": "string"}})}},
            }
        },
    },
    "components": {
        "schemas": {
            "Refund": REFUND,
            "NewRefund": NEW_REFUND,
        }
    },
}
TOOLS: dict[str, Any] = {
    "shop.refund": {
        "operation": "createRefund",
        "effect": "egress",
        "guarantee": "idempotent",
        "key_ttl": "P1D",
        "compensate_with": "shop.cancel",
    },
    "shop.cancel": {"operation": "cancelRefund", "effect": "egress", "guarantee": "idempotent", "key_ttl": "P1D", "irreversible": True},
    "shop.get": {"operation": "getRefund", "effect": "read", "guarantee": "pure"},
    "shop.names": {"operation": "listNames", "effect": "read", "guarantee": "pure"},
    "shop.guarded": {
        "operation": "createRefund",
        "effect": "egress",
        "guarantee": "guarded",
        "irreversible": True,
        "lookup": {"operation": "findRefund", "key": "query.key"},
    },
}
Reply = Callable[[Request], Awaitable[Any]]


class Shop:
    """A shop that answers as it is told, and writes down what it was asked."""

    def __init__(self) -> None:
        self.base = ""
        self.seen: list[dict[str, Any]] = []
        self.reply: Response | CutReply | None = None

    async def any(self, request: Request) -> Any:
        body = (await request.body()).decode()
        self.seen.append(
            {
                "method": request.method,
                "path": request.scope["raw_path"].decode(),
                "query": str(request.query_params),
                "body": body,
                "headers": dict(request.headers),
            }
        )
        if self.reply is not None:
            return self.reply
        if request.method == "DELETE":
            return Response(status_code=204)
        if request.url.path == "/names":
            return JSONResponse(["a", "b"])
        return JSONResponse({"id": "r1", "amount": 5}, 201)

    async def slow(self, request: Request) -> Response:
        await asyncio.sleep(5)
        return JSONResponse({})

    @property
    def app(self) -> Starlette:
        methods = ["GET", "POST", "PUT", "DELETE"]
        return Starlette(routes=[Route("/slow/{rest:path}", self.slow, methods=methods), Route("/{rest:path}", self.any, methods=methods)])


@pytest.fixture
async def shop() -> AsyncGenerator[Shop]:
    made = Shop()
    async with listening(made.app) as made.base:
        yield made


@pytest.fixture
async def other() -> AsyncGenerator[Shop]:
    made = Shop()
    async with listening(made.app) as made.base:
        yield made


def listed(folder: Path, *, document: Any = DOCUMENT, tools: Any = TOOLS, **source: Any) -> Listed:
    (folder / "shop.openapi.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    given = {"openapi": "shop.openapi.yaml", "server": "shop", "tools": tools, **source}
    (folder / "tools.yaml").write_text(yaml.safe_dump({"http": {"shop": given}}, sort_keys=False))
    return manifest.load(folder)


async def use(
    shop: Shop, folder: Path, tool: str, arguments: Mapping[str, Any], *, seconds: float = 20, path: str = "", **source: Any
) -> Any:
    found = listed(folder, **source).tools[tool]
    secrets = {name: SECRETS[name] for name in found.secrets}
    return await called(found, arguments, context(secrets=secrets, endpoints={"shop": shop.base + path}, seconds=seconds))


def test_operations_are_tools(tmp_path: Path) -> None:
    made = listed(tmp_path, auth={"bearer": "SHOP_TOKEN"}).tools
    refund = made["shop.refund"]
    assert sorted(made) == sorted(TOOLS) and refund.description == "Pay an order back." and refund.secrets == ("SHOP_TOKEN",)
    assert list(refund.arguments.model_json_schema()["properties"]) == ["amount", "how"]
    assert made["shop.cancel"].undo_arguments({"id": "r1", "amount": 5}) == {"id": "r1"}


def test_a_tools_version_names_what_it_calls(tmp_path: Path) -> None:
    first = listed(tmp_path).tools["shop.refund"].version
    moved = {**DOCUMENT, "paths": {"/v2/refunds" if path == "/refunds" else path: node for path, node in DOCUMENT["paths"].items()}}
    assert listed(tmp_path).tools["shop.refund"].version == first
    assert listed(tmp_path, document=moved).tools["shop.refund"].version != first
    assert listed(tmp_path, server="another").tools["shop.refund"].version != first
    assert listed(tmp_path, auth={"bearer": "SHOP_TOKEN"}).tools["shop.refund"].version != first


async def test_a_writing_call_has_the_key_and_a_reading_one_none(shop: Shop, tmp_path: Path) -> None:
    assert await use(shop, tmp_path, "shop.refund", {"amount": 5}) == {"id": "r1", "amount": 5}
    await use(shop, tmp_path, "shop.get", {"id": "r1"})
    first, second = shop.seen
    assert (first["method"], first["path"], first["body"]) == ("POST", "/refunds", '{"amount": 5}')
    assert first["headers"]["idempotency-key"] == KEY and "idempotency-key" not in second["headers"]
    assert first["headers"]["content-type"] == "application/json"


async def test_a_server_may_have_a_path_of_its_own(shop: Shop, tmp_path: Path) -> None:
    await use(shop, tmp_path, "shop.get", {"id": "a b"}, path="/api/v1/")
    assert shop.seen[0]["path"] == "/api/v1/refunds/a%20b"


async def test_an_empty_answer_and_a_list_are_objects(shop: Shop, tmp_path: Path) -> None:
    assert await use(shop, tmp_path, "shop.cancel", {"id": "r1"}) == {}
    assert await use(shop, tmp_path, "shop.names", {}) == {"body": ["a", "b"]}


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ({"bearer": "SHOP_TOKEN"}, "authorization", "Bearer s3cret-t0ken"),
        ({"header": "X-Api-Key", "secret": "SHOP_KEY"}, "x-api-key", "k3y-of-the-shop"),
        ({"basic": "SHOP_LOGIN"}, "authorization", "Basic YW5uOmh1bnRlcjI="),
    ],
)
async def test_a_secret_is_shown_by_its_name(shop: Shop, tmp_path: Path, auth: Any, header: str, value: str) -> None:
    await use(shop, tmp_path, "shop.get", {"id": "r1"}, auth=auth)
    assert shop.seen[0]["headers"][header] == value


@pytest.mark.parametrize("auth", [{"bearer": "SHOP_TOKEN"}, {"basic": "SHOP_LOGIN"}])
async def test_a_server_that_echoes_what_it_got_brings_no_secret_into_what_is_kept(shop: Shop, tmp_path: Path, auth: Any) -> None:
    echo = "Bearer s3cret-t0ken, Basic YW5uOmh1bnRlcjI=, ann:hunter2, and the password of ann is hunter2"
    shop.reply = JSONResponse({"id": "r1", "amount": 5, "echo": echo})
    kept = str(await use(shop, tmp_path, "shop.get", {"id": "r1"}, auth=auth))
    shop.reply = JSONResponse({"error": "x" * 250 + echo}, 400)
    with pytest.raises(ToolRetry) as caught:
        await use(shop, tmp_path, "shop.get", {"id": "r1"}, auth=auth)
    own = ("s3c",) if "bearer" in auth else ("hunter2", "YW5u")
    assert not any(part in text for part in own for text in (kept, str(caught.value)))


async def test_a_secret_goes_with_no_redirect_to_another_host(shop: Shop, other: Shop, tmp_path: Path) -> None:
    shop.reply = RedirectResponse(f"{other.base}/refunds/r1", 307)
    with pytest.raises(ToolFailed, match="does not lie in the public internet"):
        await use(shop, tmp_path, "shop.get", {"id": "r1"}, auth={"bearer": "SHOP_TOKEN"})
    assert not other.seen
    await use(shop, tmp_path, "shop.get", {"id": "r1"}, auth={"bearer": "SHOP_TOKEN"}, allow=[other.base.removeprefix("http://")])
    assert "authorization" not in other.seen[0]["headers"]


async def test_a_url_of_the_manifest_may_not_be_private_unless_it_is_named(shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(ToolFailed, match="does not lie in the public internet"):
        await use(shop, tmp_path, "shop.get", {"id": "r1"}, server=shop.base)
    await use(shop, tmp_path, "shop.get", {"id": "r1"}, server=shop.base, allow=[shop.base.removeprefix("http://")])
    assert len(shop.seen) == 1


async def test_a_refused_login_names_the_secret(shop: Shop, tmp_path: Path) -> None:
    shop.reply = JSONResponse({}, 401)
    with pytest.raises(ToolFailed, match=r"shop said 401: \{\}: look at the secret SHOP_TOKEN"):
        await use(shop, tmp_path, "shop.get", {"id": "r1"}, auth={"bearer": "SHOP_TOKEN"})


async def test_what_is_wrong_with_the_arguments_goes_back_to_the_model(shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(ToolRetry, match="amount"):
        await use(shop, tmp_path, "shop.refund", {"amount": 0})
    shop.reply = JSONResponse({"field": "amount", "problem": "more than was paid"}, 422)
    with pytest.raises(ToolRetry, match="more than was paid"):
        await use(shop, tmp_path, "shop.refund", {"amount": 9})
    with pytest.raises(ToolRetry, match="cannot stand in a path"):
        await use(shop, tmp_path, "shop.get", {"id": "../admin"})
    with pytest.raises(ToolRetry, match="cannot be sent"):
        await use(shop, tmp_path, "shop.refund", {"amount": 1, "how": "\ud800"})
    assert len(shop.seen) == 1


@pytest.mark.parametrize(
    ("reply", "reading", "writing"),
    [
        (Response(status_code=500), TransientError, ToolUnknown),
        (Response(status_code=503, headers={"retry-after": "2"}), TransientError, TransientError),
        (Response(status_code=409), TransientError, TransientError),
        (Response(status_code=404), ToolFailed, ToolFailed),
        (CutReply(b'{"id": '), TransientError, ToolUnknown),
        (PlainTextResponse("<html>"), ToolFailed, ToolUnknown),
        (JSONResponse(["no", "object"]), ToolFailed, ToolUnknown),
        (JSONResponse({"id": 7}), ToolFailed, ToolUnknown),
        (Response(b"", 200), ToolFailed, ToolUnknown),
    ],
)
async def test_what_is_known_of_a_failure_is_what_is_said(shop: Shop, tmp_path: Path, reply: Any, reading: Any, writing: Any) -> None:
    shop.reply = reply
    with pytest.raises(Exception) as caught:
        await use(shop, tmp_path, "shop.get", {"id": "r1"})
    assert isinstance(caught.value, reading)
    with pytest.raises(Exception) as caught:
        await use(shop, tmp_path, "shop.refund", {"amount": 5})
    assert isinstance(caught.value, writing)


async def test_a_wait_that_the_server_asks_for_is_handed_on(shop: Shop, tmp_path: Path) -> None:
    shop.reply = Response(status_code=429, headers={"retry-after": "7"})
    with pytest.raises(TransientError) as caught:
        await use(shop, tmp_path, "shop.refund", {"amount": 5})
    assert caught.value.retry_after == 7.0


async def test_a_server_that_hangs_may_have_acted(shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(ToolUnknown):
        await use(shop, tmp_path, "shop.refund", {"amount": 5}, path="/slow", seconds=0.5)
    with pytest.raises(TransientError):
        await use(shop, tmp_path, "shop.get", {"id": "r1"}, path="/slow", seconds=0.5)


async def test_a_server_that_is_not_there_surely_did_nothing(shop: Shop, tmp_path: Path) -> None:
    tool = listed(tmp_path).tools["shop.refund"]
    with pytest.raises(TransientError, match="cannot be reached"):
        await called(tool, {"amount": 5}, context(endpoints={"shop": f"http://127.0.0.1:{free_port()}"}))
    with pytest.raises(ToolFailed, match="no endpoint 'shop' is configured on this worker; there are: stock"):
        await called(tool, {"amount": 5}, context(endpoints={"stock": "http://127.0.0.1"}))


async def look_up(shop: Shop, folder: Path) -> Lookup | None:
    tool = listed(folder).tools["shop.guarded"]
    assert tool.lookup
    return await tool.lookup(KEY, context(endpoints={"shop": shop.base}))


async def test_a_look_up_tells_what_happened(shop: Shop, tmp_path: Path) -> None:
    shop.reply = JSONResponse({"id": "r1", "amount": 5})
    assert await look_up(shop, tmp_path) == Lookup(happened=True, output={"id": "r1", "amount": 5})
    assert shop.seen[0]["method"] == "GET" and shop.seen[0]["query"] == "key=lineage%2Fstep%2F1"
    shop.reply = Response(status_code=404)
    assert await look_up(shop, tmp_path) == Lookup(happened=False)


@pytest.mark.parametrize(
    "reply",
    [
        Response(status_code=403),
        Response(status_code=400),
        Response(status_code=410),
        JSONResponse([]),
        JSONResponse({}),
        PlainTextResponse("yes"),
        Response(b"", 200),
    ],
)
async def test_a_look_up_that_says_neither_says_nothing(shop: Shop, tmp_path: Path, reply: Response) -> None:
    shop.reply = reply
    assert await look_up(shop, tmp_path) is None


@pytest.mark.parametrize("reply", [Response(status_code=500), Response(status_code=429, headers={"retry-after": "1"}), CutReply(b"{")])
async def test_a_look_up_that_did_not_work_is_made_again(shop: Shop, tmp_path: Path, reply: Any) -> None:
    shop.reply = reply
    with pytest.raises(TransientError):
        await look_up(shop, tmp_path)


WRONG: list[tuple[dict[str, Any], str]] = [
    (
        {"tools": {"shop.x": {"operation": "createRefnd", "effect": "read", "guarantee": "pure"}}},
        r"tools\.yaml:2: http\.shop: shop\.openapi\.yaml has no operation 'createRefnd'; it has .*createRefund.*shop\.x",
    ),
    (
        {"tools": {"shop.x": {"operation": "createRefund", "effect": "egress", "guarantee": "pure"}}},
        r"tools\.yaml:2: http\.shop: tool shop\.x cannot be registered",
    ),
    (
        {"tools": {"shop.x": {"effect": "read", "guarantee": "pure"}}},
        r"tools\.yaml:6: http\.shop\.tools\.shop\.x\.operation: field required",
    ),
    ({"tools": {}}, "at least 1 item"),
    ({"openapi": "gone.yaml"}, r"gone\.yaml is missing"),
    ({"openapi": "../gone.yaml"}, r"tools\.yaml:2: .*does not lie in"),
    ({"server": None}, r"tools\.yaml:4: http\.shop\.server"),
    ({"server": "ftp://shop.example"}, r"tools\.yaml:2: http\.shop: the server is not one that can be called"),
    ({"server": "https://ann:hunter2@shop.example"}, "may not name a user or a password"),
    ({"server": "not a name"}, "the name of an endpoint, or a URL"),
    ({"auth": {"bearer": "s3cret-t0ken"}}, r"tools\.yaml:\d+: http\.shop\.auth\.bearer: string should match"),
    ({"auth": {"bearer": "A", "basic": "B"}}, "one of {bearer: SECRET}"),
    ({"auth": {"header": "X-Api-Key"}}, "one of {bearer: SECRET}"),
    ({"allow": ["http://127.0.0.1"]}, r"http\.shop\.allow\.0"),
    (
        {"tools": {"shop.x": {**TOOLS["shop.guarded"], "lookup": {"operation": "findRefund", "key": "query.id"}}}},
        "has no parameter 'id' in its query",
    ),
    ({"tools": {"shop.x": {**TOOLS["shop.guarded"], "lookup": {"operation": "getRefund", "key": "body.id"}}}}, r"lookup\.key"),
    ({"colour": "red"}, r"http\.shop\.colour"),
]


@pytest.mark.parametrize(("source", "said"), WRONG)
def test_a_mistake_in_the_manifest_is_named_by_file_and_line(tmp_path: Path, source: dict[str, Any], said: str) -> None:
    with pytest.raises(BadConfiguration, match=said) as caught:
        listed(tmp_path, **source)
    assert "s3cret-t0ken" not in str(caught.value) and "hunter2" not in str(caught.value)
