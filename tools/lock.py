"""`tools.lock.json`: what the tools of other people's servers were when a person accepted them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import rfc8785

from contracts.errors import BadConfiguration

NAME = "tools.lock.json"


@dataclass(frozen=True, slots=True)
class Definition:
    """What a tool is where it runs: its name there, what it says of itself, and its JSON schemas.

    declared: what a Perdure tool server says of its guarantees; empty for servers that know nothing of them.
    """

    name: str
    description: str
    arguments: Mapping[str, Any]
    result: Mapping[str, Any]
    declared: Mapping[str, Any]

    @property
    def pin(self) -> str:
        """The SHA-256 of all of it. Source: RFC 8785."""
        return hashlib.sha256(rfc8785.dumps(self.as_json())).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "name": self.name,
            "description": self.description,
            "arguments": dict(self.arguments),
            "result": dict(self.result),
            "declared": dict(self.declared),
        }


@dataclass(frozen=True, slots=True)
class Lock:
    """Source's name -> tool's name there -> its definition."""

    sources: Mapping[str, Mapping[str, Definition]]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read an automation's lock; without a file nothing is accepted. Raises: BadConfiguration."""
        path = folder / NAME
        try:
            found = json.loads(path.read_text())
            return cls({source: {name: Definition(**one) for name, one in named.items()} for source, named in found.items()})
        except FileNotFoundError:
            return cls({})
        except (ValueError, TypeError, AttributeError) as error:
            raise BadConfiguration(f"{path} cannot be read ({error}): `starter.py tools pin {folder.name}` writes it anew") from None

    def of(self, source: str) -> Mapping[str, Definition]:
        """Return what was accepted of one source."""
        return self.sources.get(source, {})

    def accept(self, source: str, definitions: Sequence[Definition]) -> Self:
        """Return the lock with one source's tools replaced."""
        return type(self)({**self.sources, source: {one.name: one for one in definitions}})

    def write(self, folder: Path) -> None:
        """Write it, so that a reviewer sees in a diff what has changed."""
        found = {source: {name: one.as_json() for name, one in sorted(named.items())} for source, named in sorted(self.sources.items())}
        path = folder / NAME
        unready = path.with_suffix(".json.part")
        unready.write_text(json.dumps(found, indent=2, ensure_ascii=True, sort_keys=True) + "\n")
        unready.replace(path)
