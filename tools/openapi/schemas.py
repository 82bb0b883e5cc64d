"""Schemas of an OpenAPI document as JSON schemas that stand by themselves."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from tools.openapi.document import Document, Place

PLAIN = frozenset(
    (
        "type", "enum", "const", "default", "title", "description", "format", "minLength", "maxLength", "minimum", "maximum",
        "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties",
        "minContains", "maxContains", "required", "dependentRequired", "deprecated",
    )
)  # fmt: skip
ONE = frozenset(("items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else"))
MANY = frozenset(("allOf", "anyOf", "oneOf", "prefixItems"))
NAMED = frozenset(("properties", "patternProperties", "dependentSchemas"))
CHOICES = frozenset(("anyOf", "oneOf", "not", "if"))


class Schemas:
    """The schemas of one direction. What is not known by name here is left out: `$id` and its kin would lead elsewhere."""

    def __init__(self, document: Document, hidden: str) -> None:
        """hidden: `readOnly` or `writeOnly`, the properties that do not travel in this direction."""
        self._document = document
        self._hidden = hidden
        self._names: dict[str, str] = {}
        self.definitions: dict[str, Any] = {}

    def complete(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return a schema with all that it refers to."""
        return {**schema, **({"$defs": self.definitions} if self.definitions else {})}

    def of(self, node: Any, place: Place) -> Any:
        """Return the JSON schema of a node. Raises: BadConfiguration."""
        if isinstance(node, bool):
            return node
        if isinstance(node, dict) and isinstance(node.get("$ref"), str):
            return {"$ref": f"#/$defs/{self._defined(node['$ref'], node, place)}"}
        return self._translated(self._document.resolved(node, place), place)

    def flat(self, node: Any, place: Place) -> dict[str, Any] | None:
        """Return the schema of an object with its properties at the top; None where it is not simply one object."""
        found = self._document.resolved(node, place)
        kind = found.get("type", "object" if "properties" in found or "allOf" in found else None)
        if kind != "object" or CHOICES & set(found) or found.get("nullable") is True:
            return None
        parts = [self.flat(part, (*place, "allOf", index)) for index, part in enumerate(found.get("allOf") or ())]
        if any(part is None for part in parts):
            return None
        own = self._translated({name: found[name] for name in ("properties", "required", "additionalProperties") if name in found}, place)
        merged: dict[str, Any] = {"type": "object", "properties": {}, "required": []}
        for part in (*parts, own):
            assert part is not None
            merged["properties"] |= part.get("properties", {})
            merged["required"] += [name for name in part.get("required", ()) if name not in merged["required"]]
        return {**merged, **{name: own[name] for name in ("additionalProperties",) if name in own and not parts}}

    def _defined(self, ref: str, node: Any, place: Place) -> str:
        if ref not in self._names:
            name = re.sub(r"[^A-Za-z0-9_.-]", "_", ref.rpartition("/")[2]) or "schema"
            while name in self.definitions:
                name += "_"
            self._names[ref] = name
            # Before its parts are looked at: a schema may refer to itself.
            self.definitions[name] = {}
            self.definitions[name] = self._translated(self._document.resolved(node, place), place)
        return self._names[ref]

    def _translated(self, node: Mapping[str, Any], place: Place) -> dict[str, Any]:
        made: dict[str, Any] = {name: _plain(value) for name, value in node.items() if name in PLAIN}
        made |= {name: self.of(value, (*place, name)) for name, value in node.items() if name in ONE}
        for name in MANY & set(node):
            made[name] = [self.of(part, (*place, name, index)) for index, part in enumerate(node[name])]
        for name in NAMED & set(node):
            parts = self._document.resolved(node[name], (*place, name))
            made[name] = {str(key): self.of(part, (*place, name, str(key))) for key, part in parts.items() if not self._unseen(part)}
        gone = {str(key) for key, part in (node.get("properties") or {}).items() if self._unseen(part)}
        if gone and "required" in made:
            made["required"] = [name for name in made["required"] if name not in gone]
        if isinstance(pattern := node.get("pattern"), str) and _compiles(pattern):
            made["pattern"] = pattern
        return _modern(made, nullable=node.get("nullable") is True)

    def _unseen(self, part: Any) -> bool:
        return isinstance(part, dict) and part.get(self._hidden) is True


def _modern(made: dict[str, Any], *, nullable: bool) -> dict[str, Any]:
    """Say in JSON schema what OpenAPI 3.0 says in a way of its own."""
    for bound, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(flag := made.get(bound), bool):
            del made[bound]
            if flag and limit in made:
                made[bound] = made.pop(limit)
    if not nullable:
        return made
    if isinstance(made.get("type"), str):
        enum = {"enum": [*made["enum"], None]} if isinstance(made.get("enum"), list) and None not in made["enum"] else {}
        return {**made, "type": [made["type"], "null"], **enum}
    return {"anyOf": [made, {"type": "null"}]}


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: YAML makes dates of what looks like one."""
    match value:
        case date():
            return value.isoformat()
        case dict():
            return {str(key): _plain(child) for key, child in value.items()}
        case list():
            return [_plain(child) for child in value]
        case _:
            return value


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        # Written for another language's expressions: the server will know.
        return False
    return True
