"""A call of an operation as it goes over the wire: path, query, headers and body."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from contracts.errors import ToolRetry
from tools.openapi.operations import Operation, Parameter

SEPARATORS = {"form": ",", "simple": ",", "spaceDelimited": " ", "pipeDelimited": "|"}


@dataclass(frozen=True, slots=True)
class Call:
    """``target``: path and query, below the server's URL."""

    target: str
    headers: Mapping[str, str]
    body: bytes | None


def written(operation: Operation, arguments: Mapping[str, Any]) -> Call:
    """Return a call with these arguments. Raises: ToolRetry for one that would be another call than the operation."""
    path, query, headers = operation.path, list[tuple[str, str]](), dict[str, str]()
    for parameter in operation.parameters:
        value = arguments.get(parameter.name)
        if value is None:
            continue
        match parameter.place:
            case "path":
                path = path.replace(f"{{{parameter.name}}}", _segment(parameter, value))
            case "query":
                query += _query(parameter, value)
            case "header":
                headers[parameter.name] = _header(parameter, value)
    if "{" in path:
        raise ToolRetry(f"an argument of the path {operation.path} is missing")
    body = _body(operation, arguments)
    if body is not None and operation.body:
        headers["Content-Type"] = operation.body.kind
    return Call(f"{path}?{urlencode(query, quote_via=quote)}" if query else path, headers, body)


def _body(operation: Operation, arguments: Mapping[str, Any]) -> bytes | None:
    if operation.body is None:
        return None
    names = operation.body.names
    if names is None:
        value, given = arguments.get("body"), "body" in arguments
    else:
        value = {name: arguments[name] for name in names if name in arguments}
        given = bool(value)
    # Sorted: whoever dedupes by key compares what was sent, and a second attempt sends the same bytes.
    return json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False).encode() if given or operation.body.required else None


def _segment(parameter: Parameter, value: Any) -> str:
    text = _text(parameter, value)
    # Dots are not escaped by any rule, and some servers undo the escape of a slash before they look at them.
    if not text or {".", ".."} & set(text.replace("\\", "/").split("/")):
        raise ToolRetry(f"`{parameter.name}`: {text[:80]!r} cannot stand in a path")
    return quote(text, safe="")


def _query(parameter: Parameter, value: Any) -> list[tuple[str, str]]:
    if parameter.json:
        return [(parameter.name, _text(parameter, value))]
    match value:
        case dict() if parameter.style == "deepObject":
            return [(f"{parameter.name}[{key}]", _scalar(parameter, child)) for key, child in value.items() if child is not None]
        case dict() if parameter.explode:
            return [(str(key), _scalar(parameter, child)) for key, child in value.items() if child is not None]
        case list() if parameter.explode:
            return [(parameter.name, _scalar(parameter, child)) for child in value]
        case _:
            return [(parameter.name, _text(parameter, value))]


def _header(parameter: Parameter, value: Any) -> str:
    text = _text(parameter, value)
    if not text.isascii() or not text.isprintable():
        raise ToolRetry(f"`{parameter.name}`: a header holds printable ASCII only, and no line break")
    return text


def _text(parameter: Parameter, value: Any) -> str:
    if parameter.json:
        return json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False)
    between = SEPARATORS.get(parameter.style, ",")
    match value:
        case list():
            return between.join(_scalar(parameter, child) for child in value)
        case dict():
            equals = "=" if parameter.explode else between
            return between.join(f"{key}{equals}{_scalar(parameter, child)}" for key, child in value.items())
        case _:
            return _scalar(parameter, value)


def _scalar(parameter: Parameter, value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str() | int() | float():
            return str(value)
        case _:
            raise ToolRetry(f"`{parameter.name}`: a {type(value).__name__} cannot be written within it")
