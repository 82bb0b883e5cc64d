"""OpenAPI documents: what their operations take and answer, and how calls of them are written."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from contracts.errors import BadConfiguration, BadInput, ToolRetry
from tools.openapi.document import Document
from tools.openapi.operations import Operation, operation
from tools.openapi.wire import written

HEAD: dict[str, Any] = {"openapi": "3.0.3", "info": {"title": "Shop", "version": "1"}}
OK: dict[str, Any] = {"200": {"description": "ok", "content": {"application/json": {"schema": {"type": "object"}}}}}


def document(folder: Path, paths: dict[str, Any], name: str = "shop.yaml", **more: Any) -> Document:
    whole = {**HEAD, "paths": paths, **more}
    (folder / name).write_text(json.dumps(whole) if name.endswith(".json") else yaml.safe_dump(whole, sort_keys=False))
    return Document(folder, name)


def one(
    folder: Path, node: dict[str, Any], *, path: str = "/things", method: str = "post", version: str = "3.0.3", **more: Any
) -> Operation:
    made = document(folder, {path: {method: {"operationId": "it", "responses": OK, **node}}}, openapi=version, **more)
    return operation(made, "it", frozenset())


def body(schema: Any, *, required: bool = True) -> dict[str, Any]:
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


def parameter(name: str, where: str = "query", **more: Any) -> dict[str, Any]:
    return {"name": name, "in": where, "schema": {"type": "string"}, **({"required": True} if where == "path" else {}), **more}


def test_parameters_and_body_become_one_object(tmp_path: Path) -> None:
    made = one(
        tmp_path,
        {
            "summary": "Pay it back.",
            "parameters": [
                parameter("id", "path"),
                parameter("dry", schema={"type": "boolean"}),
                parameter("X-Trace", "header", required=True),
            ],
            **body({"type": "object", "required": ["amount"], "properties": {"amount": {"type": "integer"}, "why": {"type": "string"}}}),
        },
        path="/orders/{id}/refunds",
    )
    assert made.description == "Pay it back." and made.method == "POST"
    assert list(made.arguments["properties"]) == ["id", "dry", "X-Trace", "amount", "why"]
    assert made.arguments["required"] == ["id", "X-Trace", "amount"] and made.arguments["additionalProperties"] is False
    call = written(made, {"id": "a/b c", "dry": True, "X-Trace": "t", "amount": 5, "why": "ü"})
    assert call.target == "/orders/a%2Fb%20c/refunds?dry=true"
    assert call.headers == {"X-Trace": "t", "Content-Type": "application/json"} and json.loads(call.body or b"") == {
        "amount": 5,
        "why": "ü",
    }


def test_references_within_the_document_are_followed_and_taken_along(tmp_path: Path) -> None:
    node = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "below": {"type": "array", "items": {"$ref": "#/components/schemas/Node"}}},
    }
    made = one(
        tmp_path,
        {"parameters": [{"$ref": "#/components/parameters/Page"}], "requestBody": {"$ref": "#/components/requestBodies/Tree"}},
        components={
            "schemas": {"Node": node, "Tree": {"type": "object", "properties": {"root": {"$ref": "#/components/schemas/Node"}}}},
            "parameters": {"Page": parameter("page")},
            "requestBodies": {
                "Tree": {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Tree"}}}}
            },
        },
    )
    assert list(made.arguments["properties"]) == ["page", "root"] and list(made.arguments["$defs"]) == ["Node"]
    check = Draft202012Validator(made.arguments)
    assert check.is_valid({"root": {"name": "a", "below": [{"name": "b", "below": []}]}}) and not check.is_valid(
        {"root": {"below": [{"name": 1}]}}
    )


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "string"}},
        {"type": "object"},
        {"oneOf": [{"type": "object"}]},
        {"type": "string"},
        {"type": "object", "properties": {"a": {}}, "additionalProperties": {"type": "string"}},
    ],
)
def test_a_body_that_is_not_simply_an_object_is_one_argument(tmp_path: Path, schema: dict[str, Any]) -> None:
    made = one(tmp_path, body(schema))
    assert list(made.arguments["properties"]) == ["body"] and made.arguments["required"] == ["body"]
    assert written(made, {"body": ["x"]}).body == b'["x"]'


def test_all_of_is_one_object(tmp_path: Path) -> None:
    base = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}
    made = one(
        tmp_path,
        body({"allOf": [{"$ref": "#/components/schemas/Base"}, {"type": "object", "properties": {"note": {"type": "string"}}}]}),
        components={"schemas": {"Base": base}},
    )
    assert list(made.arguments["properties"]) == ["id", "note"] and made.arguments["required"] == ["id"]


def test_a_body_that_may_be_left_out_is_left_out(tmp_path: Path) -> None:
    made = one(tmp_path, body({"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}, required=False))
    assert made.arguments["required"] == [] and written(made, {}).body is None and written(made, {"a": "x"}).body == b'{"a": "x"}'


def test_what_the_server_says_is_no_argument_and_what_is_only_sent_no_result(tmp_path: Path) -> None:
    schema = {
        "type": "object",
        "required": ["id", "password"],
        "properties": {"id": {"type": "string", "readOnly": True}, "password": {"type": "string", "writeOnly": True}},
    }
    responses = {"200": {"description": "ok", "content": {"application/json": {"schema": schema}}}}
    made = one(tmp_path, {**body(schema), "responses": responses})
    assert (list(made.arguments["properties"]), made.arguments["required"]) == (["password"], ["password"])
    assert (list(made.result["properties"]), made.result["required"]) == (["id"], ["id"])


def test_headers_of_our_own_and_optional_cookies_are_no_arguments(tmp_path: Path) -> None:
    names = ("Idempotency-Key", "Accept", "Content-Type", "Authorization")
    made = document(
        tmp_path,
        {
            "/x": {
                "get": {
                    "operationId": "it",
                    "responses": OK,
                    "parameters": [
                        *(parameter(n, "header", required=True) for n in names),
                        parameter("X-Api-Key", "header"),
                        parameter("session", "cookie"),
                    ],
                }
            }
        },
    )
    assert operation(made, "it", frozenset({"x-api-key"})).arguments["properties"] == {}


def test_the_words_of_openapi_3_0_become_those_of_json_schema(tmp_path: Path) -> None:
    fields = {
        "some": {"type": "string", "nullable": True, "enum": ["a"]},
        "one": {"$ref": "#/components/schemas/Maybe"},
        "more": {"type": "integer", "minimum": 0, "exclusiveMinimum": True, "example": 3, "xml": {}},
        "nullable": {"type": "boolean"},
        "day": {"type": "string", "format": "date", "default": "2024-01-01"},
        "odd": {"type": "string", "pattern": r"\p{L}+(?<x>a)"},
    }
    made = one(
        tmp_path,
        body({"type": "object", "properties": fields}),
        components={"schemas": {"Maybe": {"nullable": True, "allOf": [{"type": "object", "properties": {"a": {"type": "string"}}}]}}},
    )
    check = Draft202012Validator(made.arguments)
    assert all(
        check.is_valid(good)
        for good in ({"some": None}, {"some": "a"}, {"one": None}, {"one": {"a": "x"}}, {"more": 1}, {"nullable": True})
    )
    assert not any(check.is_valid(bad) for bad in ({"some": "b"}, {"one": {"a": 1}}, {"more": 0}, {"nullable": "x"}, {"other": 1}))
    assert made.arguments["properties"]["odd"] == {"type": "string"} and "example" not in made.arguments["properties"]["more"]


def test_no_schema_leads_out_of_its_document(tmp_path: Path) -> None:
    fields = {"a": {"$id": "http://evil.example/", "$dynamicRef": "http://evil.example/x", "$anchor": "b", "type": "string"}}
    made = one(tmp_path, body({"type": "object", "properties": fields}), version="3.1.0")
    assert made.arguments["properties"] == {"a": {"type": "string"}}


ANSWERS: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    ({"204": {"description": "gone"}}, "nothing", {"type": "object", "properties": {}}),
    ({}, "nothing", {"type": "object", "properties": {}}),
    (
        {"200": {"content": {"application/json": {"schema": {"type": "array", "items": {}}}}}},
        "json",
        {"type": "object", "properties": {"body": {"type": "array", "items": {}}}, "required": ["body"]},
    ),
    (
        {"201": {"content": {"application/vnd.shop+json": {"schema": {"type": "object", "required": ["a"], "properties": {"a": {}}}}}}},
        "object",
        {"type": "object", "required": ["a"], "properties": {"a": {}}},
    ),
    (
        {"200": {"content": {"application/json": {"schema": {"type": "object", "required": ["a"], "properties": {"a": {}}}}}}, "204": {}},
        "object",
        {"type": "object", "required": [], "properties": {"a": {}}},
    ),
    (
        {"200": {"content": {"text/plain": {}}}},
        "text",
        {"type": "object", "properties": {"body": {"type": "string"}}, "required": ["body"]},
    ),
    ({"2XX": {"content": {"application/json": {}}}}, "json", {"type": "object", "properties": {"body": {}}, "required": ["body"]}),
]


@pytest.mark.parametrize(("responses", "answered", "result"), ANSWERS)
def test_an_answer_is_an_object_whatever_it_was(tmp_path: Path, responses: Any, answered: str, result: Any) -> None:
    made = one(tmp_path, {"responses": responses})
    assert made.answered == answered and made.result == result


def test_status_codes_may_be_numbers_in_yaml(tmp_path: Path) -> None:
    assert one(tmp_path, {"responses": {200: OK["200"]}}).answered == "object"


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"parameters": [parameter("a"), parameter("a", "header")]}, "/things", "two parameters are called 'a'"),
    (
        {"parameters": [parameter("amount")], **body({"type": "object", "properties": {"amount": {}}})},
        "/things",
        "a parameter and a field of the body are both called 'amount'",
    ),
    ({"parameters": [parameter("a", "cookie", required=True)]}, "/things", "is a parameter in 'cookie'"),
    ({"parameters": [parameter("id", "path", style="matrix")]}, "/things/{id}", "has the style 'matrix'"),
    ({"parameters": [parameter("id", "path")]}, "/things", "its path has no {id}"),
    ({}, "/things/{id}", "has a part that no parameter fills"),
    ({"parameters": [{"$ref": "other.yaml#/x"}]}, "/things", "leads out of the document"),
    ({"parameters": [{"$ref": "http://evil.example/x"}]}, "/things", "leads out of the document"),
    ({"parameters": [{"$ref": "#/components/nowhere"}]}, "/things", "leads nowhere"),
    ({"parameters": ["x"]}, "/things", "a mapping is expected here"),
    ({"requestBody": {"required": True, "content": {"multipart/form-data": {}}}}, "/things", "its body is multipart/form-data; only JSON"),
    ({"responses": {"200": {"content": {"image/png": {}}}}}, "/things", "it answers image/png; only JSON and text"),
]


@pytest.mark.parametrize(("node", "path", "said"), WRONG)
def test_what_cannot_be_called_is_named_by_file_and_line(tmp_path: Path, node: dict[str, Any], path: str, said: str) -> None:
    with pytest.raises(BadConfiguration, match=rf"^{tmp_path}/shop\.yaml:\d+: paths\.") as caught:
        one(tmp_path, node, path=path)
    assert said in str(caught.value)


def test_references_that_go_round_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="a mapping is expected here"):
        one(
            tmp_path,
            {"parameters": [{"$ref": "#/components/parameters/A"}]},
            components={"parameters": {"A": {"$ref": "#/components/parameters/A"}}},
        )


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("gone.yaml", None, "gone.yaml is missing"),
        ("gone.json", None, "gone.json is missing"),
        ("a.yaml", "openapi: [\n", r"a\.yaml:2: "),
        ("a.json", '{\n"openapi": \n}', r"a\.json:3: "),
        ("a.json", "[]", r"a\.json:1: a mapping"),
        ("a.yaml", "swagger: '2.0'\n", "`openapi: 3.x` is expected"),
        (
            "a.yaml",
            "openapi: 3.0.0\npaths:\n  /a: {get: {operationId: x}}\n  /b: {get: {operationId: x}}\n",
            r"a\.yaml:4: .* a second operation",
        ),
    ],
)
def test_a_document_that_cannot_be_read_is_named(tmp_path: Path, name: str, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(BadConfiguration, match=said):
        Document(tmp_path, name)


def test_a_document_outside_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    document(tmp_path, {})
    (tmp_path / "in" / "link.yaml").symlink_to(tmp_path / "shop.yaml")
    for name in ("../shop.yaml", str(tmp_path / "shop.yaml"), "link.yaml"):
        with pytest.raises(BadInput, match="does not lie in"):
            Document(tmp_path / "in", name)


def test_an_unknown_operation_lists_those_there_are(tmp_path: Path) -> None:
    made = document(tmp_path, {"/a": {"get": {"operationId": "getA"}, "put": {}}}, "shop.json")
    with pytest.raises(BadInput, match=r"shop\.json has no operation 'getB'; it has getA"):
        made.operation("getB")


@pytest.mark.parametrize("value", ["..", ".", "", "a/../b", "..\\x", "../../admin"])
def test_no_path_parameter_climbs(tmp_path: Path, value: str) -> None:
    made = one(tmp_path, {"parameters": [parameter("id", "path")]}, path="/things/{id}/x")
    with pytest.raises(ToolRetry, match=r"`id`: .* cannot stand in a path"):
        written(made, {"id": value})


@pytest.mark.parametrize("value", ["a?b=c#d", "{id}", "a%2Fb", "x\r\ny", "ü", "..."])
def test_a_path_parameter_stays_one_segment(tmp_path: Path, value: str) -> None:
    made = one(tmp_path, {"parameters": [parameter("id", "path"), parameter("q")]}, path="/things/{id}/x")
    target = written(made, {"id": value, "q": "a&b=c d"}).target
    path, _, query = target.partition("?")
    assert path.count("/") == 3 and query == "q=a%26b%3Dc%20d" and target.isascii() and target.isprintable()


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "\0", "ü"])
def test_a_header_parameter_holds_one_line(tmp_path: Path, value: str) -> None:
    made = one(tmp_path, {"parameters": [parameter("X-A", "header")]})
    with pytest.raises(ToolRetry, match="`X-A`: a header holds printable ASCII"):
        written(made, {"X-A": value})


@pytest.mark.parametrize(
    ("more", "value", "query"),
    [
        ({}, ["a", "b"], "q=a&q=b"),
        ({"explode": False}, ["a", "b"], "q=a%2Cb"),
        ({"style": "pipeDelimited", "explode": False}, ["a", "b"], "q=a%7Cb"),
        ({"style": "deepObject"}, {"a": 1, "b": None}, "q%5Ba%5D=1"),
        ({}, {"a": 1, "b": True}, "a=1&b=true"),
        ({"explode": False}, {"a": 1}, "q=a%2C1"),
        ({"content": {"application/json": {"schema": {}}}}, {"b": 1, "a": [2]}, "q=%7B%22a%22%3A%20%5B2%5D%2C%20%22b%22%3A%201%7D"),
        ({}, 1.5, "q=1.5"),
    ],
)
def test_a_query_is_written_in_its_style(tmp_path: Path, more: dict[str, Any], value: Any, query: str) -> None:
    made = one(tmp_path, {"parameters": [parameter("q", **{**more, "schema": {}})]})
    assert written(made, {"q": value}).target == f"/things?{query}"


def test_two_attempts_send_the_same_bytes(tmp_path: Path) -> None:
    made = one(tmp_path, body({"type": "object", "properties": {"a": {}, "b": {}}}))
    assert written(made, {"a": 1, "b": {"y": 1, "x": 2}}).body == written(made, {"b": {"x": 2, "y": 1}, "a": 1}).body
