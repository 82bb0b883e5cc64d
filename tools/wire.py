"""What travels between a worker and a tool server: JSON as bytes, tools as they declare themselves, and who calls."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from google.protobuf.duration_pb2 import Duration

from contracts.errors import BadInput
from tools.contract import Tool, ToolContext
from tools.invisible import hidden, visible, visible_in
from tools.lock import Definition
from tools.proto import tool_executor_pb2 as pb

MOST_JSON = 16 * 2**20
"""Bytes of the JSON in one message."""
MOST_FOREIGN = 4 * 2**20 - 2**16
"""Of what goes to a server that is not ours: in every language gRPC takes messages of 4 MiB without being told otherwise."""
MOST_BYTES = MOST_JSON + 2**20
"""Of one message."""
MOST_TOOLS, MOST_NAME, MOST_DESCRIPTION = 500, 200, 4000
HIDES = "invisible characters that were left out"
LONGEST_WAIT = 3600.0
"""Seconds that a server may ask a caller to wait."""


def dumped(value: Mapping[str, Any]) -> bytes:
    """Return an object as JSON. Raises: ValueError for what JSON cannot say."""
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair is no UTF-8, and can be escaped only.
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def loaded(data: bytes) -> dict[str, Any]:
    """Return an object from JSON; nothing at all is an empty one. Raises: ValueError for anything else."""
    try:
        found = json.loads(data, parse_constant=_refuse) if data else {}
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError(f"a JSON object is expected, and it is a {type(found).__name__}")
    return found


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


def listed(tool: Tool) -> pb.Tool:
    """Return a tool as `List` names it."""
    return pb.Tool(
        name=tool.name,
        description=tool.description,
        arguments=dumped(tool.arguments.model_json_schema()),
        result=dumped(tool.result.model_json_schema()),
        effect=tool.effect,
        guarantee=tool.guarantee,
        key_ttl=duration(tool.key_ttl) if tool.key_ttl else None,
        compensate_with=tool.compensate_with or "",
        irreversible=tool.irreversible,
        lookup=tool.lookup is not None,
        time_limit=duration(timedelta(seconds=tool.seconds)),
        cost_micros=tool.cost_micros,
        secrets=tool.secrets,
        version=tool.version,
    )


def definition(tool: pb.Tool) -> Definition:
    """Return what a server says of a tool, as a person accepts it. Raises: BadInput."""
    name = tool.name[:MOST_NAME]
    if tool.name != name or len(tool.description) > MOST_DESCRIPTION:
        raise BadInput(f"the tool {name!r} has a longer name or description than {MOST_NAME} and {MOST_DESCRIPTION} characters")
    try:
        arguments, result = loaded(tool.arguments), loaded(tool.result)
    except ValueError as error:
        raise BadInput(f"the tool {name!r} has a schema that cannot be read: {error}") from None
    declared: dict[str, Any] = {
        "effect": tool.effect,
        "guarantee": tool.guarantee,
        "irreversible": tool.irreversible,
        "lookup": tool.lookup,
        "cost_micros": tool.cost_micros,
        "secrets": sorted(tool.secrets),
    }
    if concealed := hidden([tool.description, arguments, result]):
        declared[HIDES] = concealed
    if tool.HasField("key_ttl"):
        declared["key_ttl"] = seconds(tool.key_ttl)
    if tool.HasField("time_limit"):
        declared["seconds"] = seconds(tool.time_limit)
    if tool.compensate_with:
        declared["compensate_with"] = tool.compensate_with
    return Definition(name, visible(tool.description), visible_in(arguments), visible_in(result), declared)


def caller(context: ToolContext, *, ours: bool) -> pb.Caller:
    """Return who calls. ours: whether the server belongs to the installation and may know the run's input and the settings."""
    named = pb.Caller(
        tenant=context.tenant,
        automation=context.automation,
        lineage=context.lineage,
        step=context.step,
        options=dumped(context.options),
        input=dumped(context.input) if ours else b"",
        settings=dumped(context.settings) if ours else b"",
    )
    named.deadline.FromDatetime(context.deadline)
    return named


def deadline(caller: pb.Caller, remaining: float | None) -> datetime:
    """Return when a call must have ended: by its message or by its RPC, whichever is earlier. Raises: ValueError where neither says."""
    ends = [datetime.now(UTC) + timedelta(seconds=remaining)] if remaining is not None else []
    if caller.HasField("deadline"):
        ends.append(caller.deadline.ToDatetime(UTC))
    return min(ends)


def duration(time: timedelta) -> Duration:
    """Return a time as a message."""
    made = Duration()
    made.FromTimedelta(time)
    return made


def seconds(duration: Duration) -> float:
    """Return a message's time in seconds."""
    return duration.seconds + duration.nanos / 1e9
