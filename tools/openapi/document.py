"""An OpenAPI document that lies in an automation's folder: its operations by name, its references followed."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from contracts.errors import BadConfiguration, BadInput
from yaml_files import YamlFile, read_text

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
MOST_HOPS = 20
Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """One operation as it stands in the document. ``shared`` are the parameters of its path."""

    method: str
    path: str
    node: dict[str, Any]
    shared: list[Any]
    place: Place


class Document:
    """A document, read as a whole."""

    def __init__(self, folder: Path, name: str) -> None:
        """Raises: BadConfiguration naming the file and, where it has lines, the line; BadInput where it lies elsewhere."""
        self.path = folder / name
        if not self.path.resolve().is_relative_to(folder.resolve()):
            raise BadInput(f"the document {name} does not lie in {folder}")
        self._lines = None if self.path.suffix == ".json" else YamlFile(self.path)
        self._root: dict[str, Any] = self._lines.value if self._lines else _json(self.path)
        version = str(self._root.get("openapi", ""))
        if not version.startswith(("3.0", "3.1", "3.2")):
            raise self.wrong(("openapi",), f"`openapi: 3.x` is expected, not {version[:20] or 'nothing'!r}")
        self.operations = self._operations()

    def wrong(self, place: Place, message: str) -> BadConfiguration:
        """Return the error that says what is wrong at a place."""
        line = f":{self._lines.line(place)}" if self._lines else ""
        return BadConfiguration(f"{self.path}{line}: {'.'.join(map(str, place))}: {message}")

    def operation(self, name: str) -> Found:
        """Return an operation by its `operationId`. Raises: BadInput listing those there are."""
        if name not in self.operations:
            known = sorted(self.operations)
            raise BadInput(f"{self.path.name} has no operation {name!r}; it has {', '.join(known[:30]) or 'none with an `operationId`'}")
        return self.operations[name]

    def resolved(self, node: Any, place: Place) -> dict[str, Any]:
        """Return the mapping that a node is, or refers to. Raises: BadConfiguration."""
        for _ in range(MOST_HOPS):
            if not isinstance(node, dict):
                break
            if not isinstance(node.get("$ref"), str):
                return node
            node = self._at(node["$ref"], place)
        raise self.wrong(place, "a mapping is expected here, or a `$ref` that leads to one")

    def _at(self, ref: str, place: Place) -> Any:
        if not ref.startswith("#/"):
            raise self.wrong(place, f"`$ref: {ref[:80]}` leads out of the document: only `#/…` is followed")
        node: Any = self._root
        for part in ref[2:].split("/"):
            name = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(node, dict) and (keys := [key for key in node if str(key) == name]):
                node = node[keys[0]]
            elif isinstance(node, list) and name.isdigit() and int(name) < len(node):
                node = node[int(name)]
            else:
                raise self.wrong(place, f"`$ref: {ref[:80]}` leads nowhere")
        return node

    def _operations(self) -> dict[str, Found]:
        found: dict[str, Found] = {}
        for one in self._each():
            name = one.node.get("operationId")
            if not isinstance(name, str):
                continue
            if name in found:
                raise self.wrong(one.place, f"a second operation is called {name!r}")
            found[name] = one
        return found

    def _each(self) -> Iterator[Found]:
        for path, item in self.resolved(self._root.get("paths", {}), ("paths",)).items():
            place: Place = ("paths", str(path))
            given = self.resolved(item, place)
            shared = given.get("parameters") or []
            for method in METHODS:
                if method in given:
                    yield Found(method.upper(), str(path), self.resolved(given[method], (*place, method)), shared, (*place, method))


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_text(path))
    except FileNotFoundError:
        raise BadConfiguration(f"{path} is missing") from None
    except json.JSONDecodeError as error:
        raise BadConfiguration(f"{path}:{error.lineno}: {error.msg}") from None
    except (ValueError, RecursionError):
        raise BadConfiguration(f"{path} cannot be read: it is nested too deeply, or holds a number that is none") from None
    if not isinstance(found, dict):
        raise BadConfiguration(f"{path}:1: a mapping of names to values is expected here")
    return found
