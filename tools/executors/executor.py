"""The protocol of executors: whoever runs tools that are not Python functions of the automation."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Protocol

import rfc8785
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.errors import BadInput, ToolFailed, ToolUnknown
from tools.contract import Effect, Guarantee, Lookup, Tool, ToolContext
from tools.lock import Definition, Lock
from tools.shapes import shape

Object = dict[str, Any]


class Executor(Protocol):
    """Runs tools somewhere else. It connects when it is first called, and again when a connection was lost.

    Its calls raise what a Python tool may raise: ToolRetry, ToolFailed, ToolUnknown where it may have acted, TransientError where
    it surely did not. It starts nothing after `context.deadline`, hands on `context.key`, and hands on a cancel.
    """

    async def invoke(self, tool: str, arguments: Object, context: ToolContext) -> Object:
        """Call a tool, by the name that it has there, and return its output."""
        ...

    async def lookup(self, tool: str, key: str, context: ToolContext) -> Lookup | None:
        """Tell what became of the call with this key; None where nobody can tell."""
        ...

    async def close(self) -> None:
        """Give back what it holds open."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a source stands: its name in the manifest, the automation's folder, and what a person accepted of its tools."""

    name: str
    folder: Path
    lock: Lock

    @property
    def accepted(self) -> Mapping[str, Definition]:
        """The tools of this source that a person accepted."""
        return self.lock.of(self.name)


@dataclass(frozen=True, slots=True)
class Access:
    """What a person who looks at a source may use: the installation's endpoints, and its secrets by name (None: not set)."""

    endpoints: Mapping[str, str]
    secret: Callable[[str], str | None]


class Source(Protocol):
    """One source of a manifest: where its tools run, and what is declared of them."""

    def executor(self, place: Place) -> Executor:
        """Return who runs its tools; nothing is opened yet."""
        ...

    def tools(self, place: Place, executor: Executor) -> dict[str, Tool]:
        """Return its tools by name, and call nobody. Raises: BadInput."""
        ...

    async def discover(self, place: Place, access: Access) -> Sequence[Definition]:
        """Ask the source what it has now. Raises: BadInput where it has no list, or cannot be asked."""
        ...


class Declaration(BaseModel):
    """What a manifest says of one tool: what its own description cannot be trusted with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    effect: Effect
    guarantee: Guarantee
    description: str | None = None
    """Instead of the tool's own."""
    key_ttl: timedelta | None = None
    compensate_with: str | None = None
    irreversible: bool = False
    seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0
    cost_micros: Annotated[int, Field(ge=0)] = 0


def bound(
    name: str,
    declared: Declaration,
    defined: Definition,
    executor: Executor,
    *,
    lookup: bool = False,
    secrets: tuple[str, ...] = (),
) -> Tool:
    """Return what an executor runs under its own name as the tool ``name`` of an automation.

    lookup: whether the executor can tell what became of a call.
    Raises: BadInput where the declaration contradicts itself, or a schema cannot be used.
    """
    result = shape(f"{name} result", defined.result)

    async def call(arguments: Any, context: ToolContext) -> BaseModel:
        output = await executor.invoke(defined.name, arguments.model_dump(mode="json"), context)
        try:
            return result.model_validate(output)
        except ValidationError as error:
            message = f"{name} answered what does not fit its schema ({error.errors()[0]['msg'][:200]})"
            raise ToolFailed(message) if declared.effect == "read" else ToolUnknown(f"{message}; it may have acted") from None

    async def look_up(key: str, context: ToolContext) -> Lookup | None:
        return await executor.lookup(defined.name, key, context)

    bond = {"declared": declared.model_dump(mode="json"), "pin": defined.pin, "lookup": lookup}
    made = Tool(
        name=name,
        description=declared.description or defined.description,
        effect=declared.effect,
        guarantee=declared.guarantee,
        call=call,
        arguments=shape(f"{name} arguments", defined.arguments),
        result=result,
        key_ttl=declared.key_ttl,
        compensate_with=declared.compensate_with,
        irreversible=declared.irreversible,
        lookup=look_up if lookup else None,
        seconds=declared.seconds,
        cost_micros=declared.cost_micros,
        secrets=secrets,
        version=hashlib.sha256(rfc8785.dumps(bond)).hexdigest(),
    )
    if problems := made.problems():
        raise BadInput(f"tool {name} cannot be registered: {'; '.join(problems)}")
    return made
