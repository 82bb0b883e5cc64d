"""What a tool declares before it may be registered: its shape, its guarantee and its way back."""

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from pydantic import BaseModel

from contracts.errors import BadInput
from tools.documents import Documents

Effect = Literal["read", "write", "egress"]
Guarantee = Literal["pure", "idempotent", "guarded"]
NAME = r"[a-z0-9][a-z0-9_.-]{0,79}"
SECRET = r"[A-Z][A-Z0-9_]{0,63}"
ZONE = r"[a-z][a-z0-9-]{0,39}"
WORKER = "worker"
"""The trust zone of the worker's own process."""


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What one call of a tool may know and use; nothing else reaches it.

    ancestors: in a fork, the lineages it comes from: what those made before its point is its own to work on.
    key: the effect's key, the same for every attempt; hand it to whoever can dedupe.
    deadline: when this attempt must have ended, UTC.
    input: the run's input; settings: the bundle's `settings`; options: what these say below `tools` of this very tool.
    endpoints: name -> URL, as the operator configured them.
    secrets: name -> value of the secrets that the tool declares, and of no others. They are for the call alone: what a tool
    answers or raises is kept, and a secret found in it is struck out.
    folder: where tools of this automation may write files.
    """

    tenant: str
    automation: str
    lineage: str
    step: str
    key: str
    deadline: datetime
    input: Mapping[str, Any]
    settings: Mapping[str, Any]
    documents: Documents
    endpoints: Mapping[str, str]
    folder: Path
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    secrets: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    ancestors: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Due:
    """When an action may start, UTC, and what becomes of it where that time is long past."""

    at: datetime
    missed: Literal["run", "skip", "ask"] = "run"
    grace: timedelta = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a look-up found of an effect: that it happened (with its output), or that it surely did not."""

    happened: bool
    output: dict[str, Any] = field(default_factory=dict)


ToolCall = Callable[[Any, ToolContext], Awaitable[BaseModel]]


@dataclass(frozen=True, slots=True)
class Tool:
    """A declared tool. ``arguments`` and ``result`` are pydantic models; their JSON schemas are the tool's shape."""

    name: str
    description: str
    effect: Effect
    guarantee: Guarantee
    call: ToolCall
    arguments: type[BaseModel]
    result: type[BaseModel]
    key_ttl: timedelta | None = None
    compensate_with: str | None = None
    irreversible: bool = False
    lookup: Callable[[str, ToolContext], Awaitable[Lookup | None]] | None = None
    due: Callable[[Any, ToolContext], Awaitable[Due | None]] | None = None
    seconds: float = 60.0
    quick: bool = False
    """It ends within 10 s whatever happens, so that its step runs beside the workflow task instead of over the server."""
    cost_micros: int = 0
    secrets: tuple[str, ...] = ()
    zone: str = WORKER
    version: str = ""

    @property
    def reversible(self) -> bool:
        """Whether what it does can be undone, or changes nothing."""
        return self.effect == "read" or self.compensate_with is not None

    def undo_arguments(self, output: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments with which this tool takes back what gave ``output``: the fields that both have."""
        return {name: output[name] for name in fields(self.arguments) if name in output}

    def problems(self) -> list[str]:
        """Say what is missing or contradicts itself in the declaration; empty where all is well."""
        rules = (
            (not re.fullmatch(NAME, self.name), f"its name is not 1 to 80 of a-z, 0-9, `_`, `.` and `-`: {self.name!r}"),
            (self.effect not in get_args(Effect), f"`effect` is one of {', '.join(get_args(Effect))}"),
            (self.guarantee not in get_args(Guarantee), f"`guarantee` is one of {', '.join(get_args(Guarantee))}"),
            (self.effect == "read" and self.guarantee != "pure", "a tool of effect `read` is `pure`"),
            (self.effect != "read" and self.guarantee == "pure", "a tool that writes is `idempotent` or `guarded`, not `pure`"),
            (self.guarantee == "idempotent" and self.key_ttl is None, "an `idempotent` tool names its `key_ttl`"),
            (self.guarantee != "idempotent" and self.key_ttl is not None, "only an `idempotent` tool has a `key_ttl`"),
            (self.key_ttl is not None and self.key_ttl <= timedelta(0), "`key_ttl` is more than 0"),
            (self.guarantee == "pure" and self.lookup is not None, "a `pure` tool needs no `lookup`"),
            (
                self.effect == "read" and (self.compensate_with is not None or self.irreversible),
                "a tool of effect `read` has nothing to undo",
            ),
            (
                self.effect != "read" and self.compensate_with is None and not self.irreversible,
                "a tool that writes names `compensate_with` or says `irreversible=True`",
            ),
            (self.compensate_with is not None and self.irreversible, "`compensate_with` and `irreversible` exclude each other"),
            (self.compensate_with == self.name, "a tool cannot compensate itself"),
            (not self.description, "it has no description (write a docstring)"),
            (self.seconds <= 0, "`seconds` is more than 0"),
            (
                self.quick and (self.seconds > 10 or self.guarantee == "guarded"),
                "a `quick` tool has `seconds` of at most 10 and is not `guarded`",
            ),
            (self.cost_micros < 0, "`cost_micros` is not negative"),
            (
                bool(wrong := [name for name in self.secrets if not re.fullmatch(SECRET, name)]),
                f"`secrets` are names of A-Z, 0-9 and `_`, never values: {len(wrong)} of them is none",
            ),
            (not re.fullmatch(ZONE, self.zone), "`zone` is a name of a-z, 0-9 and `-`"),
            (self.due is not None and self.zone != WORKER, "a tool with `due` runs in the zone `worker`, which asks it for its slot"),
            (self.quick and self.zone != WORKER, "a `quick` tool runs in the zone `worker`: a call over the network is not quick"),
        )
        return [message for wrong, message in rules if wrong]


def fields(model: type[BaseModel]) -> list[str]:
    """Return the names of a model's fields, as its JSON schema has them."""
    return list(model.model_json_schema().get("properties", {}))


def tool(name: str, *, effect: Effect, guarantee: Guarantee, **declared: Any) -> Callable[[ToolCall], ToolCall]:
    """Declare an async function ``(arguments: Model, context: ToolContext) -> Model`` as a tool.

    declared: the other fields of `Tool`. The function's docstring is the description the model reads.
    Raises: BadInput where the function's hints are not of that form or the declaration contradicts itself.
    """

    def declare(call: ToolCall) -> ToolCall:
        hints = get_type_hints(call)
        parameters = list(inspect.signature(call).parameters)
        models = [hints.get(parameters[0] if parameters else ""), hints.get("return")]
        if (
            not inspect.iscoroutinefunction(call)
            or len(parameters) != 2
            or not all(isinstance(model, type) and issubclass(model, BaseModel) for model in models)
        ):
            raise BadInput(f"tool {name}: write `async def {call.__name__}(arguments: Model, context: ToolContext) -> Model`")
        made = Tool(
            name=name,
            description=inspect.cleandoc(call.__doc__ or "").split("\n\n")[0],
            effect=effect,
            guarantee=guarantee,
            call=call,
            arguments=models[0],  # pyright: ignore[reportArgumentType]
            result=models[1],  # pyright: ignore[reportArgumentType]
            **declared,
        )
        if problems := made.problems():
            raise BadInput(f"tool {name} cannot be registered: {'; '.join(problems)}")
        call.__perdure_tool__ = made  # pyright: ignore[reportFunctionMemberAccess]
        return call

    return declare
