"""The script of the scripted model: which entry answers a request."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter

Fault = Literal[
    "429", "500", "timeout", "cut", "malformed", "wrong_tool", "error_chunk", "broken_chunk", "unfinished", "uncounted", "whole"
]  # fmt: skip
"""`error_chunk`, `broken_chunk` and `unfinished` are what only a stream can do in its middle: an error, half an event, a clean end.
`uncounted` gives no usage, and `whole` answers in one piece though a stream was asked for."""
NO_SUCH_TOOL = "no_such_tool"


class Usage(BaseModel):
    """Tokens that an answer claims to have cost."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(ge=0)


class ToolCall(BaseModel):
    """A call in the API's own form of tool use."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    arguments: dict[str, JsonValue] = {}


class Entry(BaseModel):
    """One line of a script: what is answered, to whom, how often, and what goes wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    match: str | None = None
    """Answers requests whose last user message contains this; without it entries answer in their order."""
    answer: JsonValue = ""
    """A text as it is; anything else as JSON."""
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage | None = None
    """Without it about four characters count as a token."""
    fault: Fault | None = None
    retry_after: float | None = Field(None, ge=0)
    """Seconds, in the reply of a 429 or 500."""
    delay: float = Field(0, ge=0)
    """Seconds before the reply."""
    pace: float = Field(0, ge=0)
    """Seconds before each piece of a stream."""
    hold: int | None = Field(None, ge=0)
    """After so many characters a stream stands still, until `POST /go-on`."""
    times: int | None = Field(None, ge=1)
    """How many requests it answers: by default one in order, and any number by match."""

    @property
    def text(self) -> str:
        """The answer as the model would write it, with the fault in it."""
        answer = _misnamed(self.answer) if self.fault == "wrong_tool" else self.answer
        text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        return text[: len(text) // 2] if self.fault == "malformed" else text

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The tool calls, with the fault in them."""
        if self.fault != "wrong_tool":
            return self.tool_calls
        return tuple(call.model_copy(update={"name": NO_SUCH_TOOL}) for call in self.tool_calls)


Request = Mapping[str, Any]
Author = Callable[[Request], Entry]
ENTRIES = TypeAdapter(list[Entry])


@dataclass
class Script:
    """The entries that are left."""

    entries: Sequence[Entry]
    _used: dict[int, int] = field(default_factory=dict[int, int])

    def __call__(self, request: Request) -> Entry | None:
        """Take the entry for this request: by match first, else the next in order, of which the last repeats."""
        message = last_user_message(request)
        ordered: int | None = None
        for place, entry in enumerate(self.entries):
            if entry.match is not None and entry.match in message and self._left(place, entry.times):
                return self._take(place)
            if entry.match is None and (ordered is None or not self._left(ordered, self.entries[ordered].times or 1)):
                ordered = place
        return None if ordered is None else self._take(ordered)

    def _left(self, place: int, times: int | None) -> bool:
        return times is None or self._used.get(place, 0) < times

    def _take(self, place: int) -> Entry:
        self._used[place] = self._used.get(place, 0) + 1
        return self.entries[place]


def last_user_message(request: Request) -> str:
    """Return the text of the last message that the user wrote."""
    for message in reversed(request.get("messages", [])):
        if message.get("role") == "user":
            content = message.get("content") or ""
            return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    return ""


def read(path: Path) -> list[Entry]:
    """Read a script from a JSON file."""
    return ENTRIES.validate_json(path.read_bytes())


def _misnamed(value: JsonValue) -> JsonValue:
    """Put a tool that does not exist wherever the answer names one."""
    if isinstance(value, dict):
        return {key: NO_SUCH_TOOL if key == "tool" else _misnamed(item) for key, item in value.items()}
    return [_misnamed(item) for item in value] if isinstance(value, list) else value
