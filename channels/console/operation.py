"""One operation of the API: what it takes and gives, and how it is described. Source: OpenAPI 3.1."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from channels.acts import SCOPES
from channels.console.doors import Handler
from channels.console.visit import Visit
from contracts.errors import BadInput
from contracts.message import Message, unkept
from ledger.directory import Role

Work = Callable[[Visit, Any], Awaitable[BaseModel | Response]]
ROOT = "/api/v1"
LONGEST = 200  # characters of a part of a path
PROBLEMS = {400: "It cannot be used", 401: "Nobody is logged in", 403: "Not allowed", 404: "There is no such thing", 409: "Not now",
            429: "Too often", 503: "A part is down"}  # fmt: skip


class Wrong(Message):
    """What was wrong, in one sentence."""

    error: str


class Nothing(Message):
    """No input."""


@dataclass(frozen=True, slots=True)
class Operation:
    """``query`` and ``body`` are what it takes, beside the parts of its path; ``answer`` is what it gives."""

    method: str
    path: str
    role: Role
    summary: str
    work: Work
    answer: type[BaseModel]
    query: type[BaseModel] = Nothing
    body: type[BaseModel] | None = None

    @property
    def handler(self) -> Handler:
        """What answers it."""

        async def handle(visit: Visit) -> Response:
            if long := [name for name, part in visit.request.path_params.items() if len(part) > LONGEST]:
                raise BadInput(f"`{long[0]}` has more than {LONGEST} characters")
            given = await self._body(visit) if self.body else self._query(visit)
            answer = await self.work(visit, given)
            return answer if isinstance(answer, Response) else JSONResponse(answer.model_dump(mode="json"))

        return handle

    def _query(self, visit: Visit) -> BaseModel:
        said = visit.request.query_params
        if unknown := sorted(set(said) - set(self.query.model_fields)):
            raise BadInput(f"there is no {unknown[0][:40]!r} to ask by; there is: {', '.join(self.query.model_fields) or 'nothing'}")
        if len(said.multi_items()) != len(said):
            raise BadInput("each thing to ask by is given once")
        return self.query.model_validate(dict(said))

    async def _body(self, visit: Visit) -> BaseModel:
        assert self.body is not None
        if visit.request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise BadInput("the input is JSON: say `Content-Type: application/json`")
        try:
            value = json.loads(await visit.request.body(), parse_constant=_refuse)
        except (ValueError, RecursionError):
            raise BadInput("the input is not JSON") from None
        if not isinstance(value, dict):
            raise BadInput(f"the input is not a JSON object: {self.body.__name__} has the fields {', '.join(self.body.model_fields)}")
        if found := unkept(value):
            raise BadInput(f"{'.'.join(map(str, found[0]))}: {found[1]}")
        # Strictly, as the description says: "true" is a text and no truth value. Enumerations and the like come as JSON has them.
        return self.body.model_validate_json(json.dumps(value), strict=True)

    def described(self, schemas: dict[str, Any]) -> dict[str, Any]:
        """Return its part of the description, and add what it takes and gives to ``schemas``."""
        problem = {"description": "", "content": {"application/json": {"schema": _named(Wrong, schemas, "serialization")}}}
        good = {
            "description": (self.answer.__doc__ or "").strip(),
            "content": {"application/json": {"schema": _named(self.answer, schemas, "serialization")}},
        }
        said: dict[str, Any] = {
            "operationId": re.sub(r"\W+", "_", f"{self.method.lower()}{self.path}").strip("_"),
            "summary": self.summary,
            "description": f"Needs the role {self.role}; of a token, the scope `{SCOPES[self.role]}`.",
            "parameters": [*_parts(self.path), *_asked(self.query)],
            "responses": {"200": good, **{str(status): {**problem, "description": why} for status, why in PROBLEMS.items()}},
        }
        if self.body:
            said["requestBody"] = {"required": True, "content": {"application/json": {"schema": _named(self.body, schemas, "validation")}}}
        return said


def description(operations: Sequence[Operation]) -> dict[str, Any]:
    """Describe the API."""
    schemas: dict[str, Any] = {}
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = operation.described(schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Perdure", "version": "1", "description": "All that the console does. Money is in micro-dollars, times are UTC."},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{"token": []}],
    }


def _named(model: type[BaseModel], schemas: dict[str, Any], mode: Any) -> dict[str, str]:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}", mode=mode)
    schemas.update(schema.pop("$defs", {}))
    schemas[model.__name__] = schema
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _parts(path: str) -> list[dict[str, Any]]:
    schema = {"type": "string", "minLength": 1, "maxLength": LONGEST}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in re.findall(r"{(\w+)}", path)]


def _asked(query: type[BaseModel]) -> list[dict[str, Any]]:
    found: Mapping[str, Any] = query.model_json_schema().get("properties", {})
    return [{"name": name, "in": "query", "required": False, "schema": _bare(schema)} for name, schema in found.items()]


def _bare(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name != "title"}


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no JSON value")
