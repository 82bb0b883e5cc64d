"""One operation as a tool: its parameters and body as one object of arguments, its answer as one object."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tools.openapi.document import Document, Found, Place
from tools.openapi.schemas import Schemas

# What a client says of itself. Source: OpenAPI 3.1, Parameter Object.
OURS = frozenset(("accept", "content-type", "authorization", "idempotency-key"))
Answered = Literal["object", "json", "text", "nothing"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter, and how its value is written. ``json``: as JSON."""

    name: str
    place: Literal["path", "query", "header"]
    style: str
    explode: bool
    json: bool
    required: bool


@dataclass(frozen=True, slots=True)
class Body:
    """A JSON body: the arguments that are its fields, or (None) the one argument `body` that it is."""

    kind: str
    names: tuple[str, ...] | None
    required: bool


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation. ``answered``: what comes back, and so what is made of it: see `docs/tools.md`."""

    name: str
    method: str
    path: str
    description: str
    parameters: tuple[Parameter, ...]
    body: Body | None
    arguments: Mapping[str, Any]
    answered: Answered
    result: Mapping[str, Any]


STYLES = {
    "path": ("simple",),
    "query": ("form", "deepObject", "spaceDelimited", "pipeDelimited"),
    "header": ("simple",),
}


def operation(document: Document, name: str, hidden: frozenset[str]) -> Operation:
    """Return an operation by its `operationId`. hidden: headers, in small letters, that nobody passes as an argument.

    Raises: BadInput where the document has none of that name; BadConfiguration where it cannot be called.
    """
    found = document.operation(name)
    schemas = Schemas(document, "readOnly")
    properties, required, parameters = _parameters(document, found, schemas, OURS | hidden)
    body = _body(document, found, schemas, properties, required)
    answered, result = _answer(document, found)
    shape: dict[str, Any] = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    said = found.node.get("description") or found.node.get("summary") or f"{found.method} {found.path}"
    return Operation(
        name=name,
        method=found.method,
        path=found.path,
        description=str(said).strip().split("\n\n")[0],
        parameters=parameters,
        body=body,
        arguments=schemas.complete(shape),
        answered=answered,
        result=result,
    )


def _parameters(
    document: Document, found: Found, schemas: Schemas, hidden: frozenset[str]
) -> tuple[dict[str, Any], list[str], tuple[Parameter, ...]]:
    given: dict[tuple[str, str], tuple[dict[str, Any], Place]] = {}
    for base, nodes in (
        ((*found.place[:-1], "parameters"), found.shared),
        ((*found.place, "parameters"), found.node.get("parameters") or []),
    ):
        for index, node in enumerate(nodes):
            one = document.resolved(node, (*base, index))
            # One of the operation itself replaces that of its path.
            given[str(one.get("in")), str(one.get("name"))] = one, (*base, index)
    properties: dict[str, Any] = {}
    parameters: list[Parameter] = []
    for (where, name), (node, place) in given.items():
        if (where == "header" and name.lower() in hidden) or (where == "cookie" and not node.get("required")):
            continue
        parameter = _parameter(document, node, place)
        if name in properties:
            raise document.wrong(place, f"two parameters are called {name!r}, and arguments are one object")
        properties[name] = _described(schemas, node, place)
        parameters.append(parameter)
    written = {one.name for one in parameters if one.place == "path"}
    if lost := [name for name in written if f"{{{name}}}" not in found.path]:
        raise document.wrong(found.place, f"its path has no {{{lost[0]}}}")
    rest = found.path
    for name in written:
        rest = rest.replace(f"{{{name}}}", "")
    if "{" in rest:
        raise document.wrong(found.place, f"its path {found.path} has a part that no parameter fills")
    return properties, [one.name for one in parameters if one.required], tuple(parameters)


def _parameter(document: Document, node: dict[str, Any], place: Place) -> Parameter:
    where, name = str(node.get("in")), str(node.get("name"))
    if where not in STYLES:
        raise document.wrong(place, f"{name!r} is a parameter in {where!r}; those in {', '.join(STYLES)} can be sent")
    style = str(node.get("style", STYLES[where][0]))
    if style not in STYLES[where]:
        raise document.wrong(place, f"{name!r} has the style {style!r}; in {where} there is {', '.join(STYLES[where])}")
    return Parameter(
        name=name,
        place=where,  # pyright: ignore[reportArgumentType]
        style=style,
        explode=bool(node.get("explode", style == "form")),
        json="content" in node,
        required=where == "path" or node.get("required") is True,
    )


def _described(schemas: Schemas, node: dict[str, Any], place: Place) -> Any:
    content = node.get("content")
    schema = next(iter(content.values()), {}).get("schema", {}) if isinstance(content, dict) else node.get("schema", {})
    made = schemas.of(schema, (*place, "schema"))
    said = node.get("description")
    return {"description": str(said), **made} if said and isinstance(made, dict) and "$ref" not in made else made


def _body(document: Document, found: Found, schemas: Schemas, properties: dict[str, Any], required: list[str]) -> Body | None:
    """Add the body's fields to the properties of all arguments."""
    if "requestBody" not in found.node:
        return None
    place: Place = (*found.place, "requestBody")
    node = document.resolved(found.node["requestBody"], place)
    kind, media = _json_of(document, node, place)
    needed = node.get("required") is True
    if media is None:
        if needed:
            raise document.wrong(place, f"its body is {', '.join(map(str, node.get('content') or {})) or 'of no type'}; only JSON is sent")
        return None
    schema = media.get("schema", {})
    flat = schemas.flat(schema, (*place, "schema"))
    whole = flat is None or not flat["properties"] or bool(flat.get("additionalProperties"))
    fields: dict[str, Any] = {"body": schemas.of(schema, (*place, "schema"))} if flat is None or whole else flat["properties"]
    if clash := sorted(set(fields) & set(properties)):
        raise document.wrong(place, f"a parameter and a field of the body are both called {clash[0]!r}, and arguments are one object")
    properties |= fields
    if needed:
        required += ["body"] if flat is None or whole else flat["required"]
    return Body(kind, None if whole else tuple(fields), needed)


def _answer(document: Document, found: Found) -> tuple[Answered, dict[str, Any]]:
    """Return what an operation answers when all is well, and the schema of what is made of it."""
    place: Place = (*found.place, "responses")
    responses = document.resolved(found.node.get("responses") or {}, place)
    good = [(str(code), document.resolved(node, (*place, str(code)))) for code, node in responses.items() if str(code).startswith("2")]
    good.sort(key=lambda one: one[0])
    # An answer that may also be empty promises no field.
    always = all(node.get("content") for _, node in good)
    schemas = Schemas(document, "writeOnly")
    for code, node in good:
        _, media = _json_of(document, node, (*place, code))
        if media is not None:
            schema, at = media.get("schema", {}), (*place, code, "schema")
            if flat := schemas.flat(schema, at):
                return "object", schemas.complete(flat if always else {**flat, "required": []})
            return "json", schemas.complete(_wrapped(schemas.of(schema, at), always))
    kinds = [str(kind) for _, node in good for kind in node.get("content") or {}]
    if not kinds:
        return "nothing", {"type": "object", "properties": {}}
    if not kinds[0].startswith("text/"):
        raise document.wrong(place, f"it answers {kinds[0]}; only JSON and text are read")
    return "text", _wrapped({"type": "string"}, always)


def _wrapped(schema: Any, always: bool) -> dict[str, Any]:
    return {"type": "object", "properties": {"body": schema}, "required": ["body"] if always else []}


def _json_of(document: Document, node: dict[str, Any], place: Place) -> tuple[str, dict[str, Any] | None]:
    for kind, media in (node.get("content") or {}).items():
        plain = str(kind).partition(";")[0].strip().lower()
        if plain == "application/json" or plain.endswith("+json"):
            return str(kind), document.resolved(media, (*place, "content", str(kind)))
    return "", None
