"""The scripted model's answers in the form of OpenAI's API: whole, as the events of a stream, or broken as the script says."""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from devstack import web_server
from devstack.script import Entry, Request

MODEL = "scripted"
PIECE = 24  # characters in one chunk of a stream
ENDS: dict[str | None, bytes] = {
    "cut": b"",
    "unfinished": b"",
    "error_chunk": b'data: {"error": {"message": "scripted fault in the middle", "type": "scripted", "code": null}}\n\n',
    "broken_chunk": b'data: {"choices": [\n\n',
}
"""How streams break in the middle."""


@dataclass
class Completion:
    """One answer in the API's form."""

    entry: Entry
    request: Request
    number: int
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self) -> dict[str, Any]:
        """The answer in one piece."""
        message: dict[str, Any] = {"role": "assistant", "content": self.entry.text, "refusal": None}
        if self.entry.calls:
            message |= {"content": self.entry.text or None, "tool_calls": self._tool_calls()}
        usage = None if self.entry.fault == "uncounted" else self._usage()
        return self._envelope("chat.completion", message=message, finish_reason=self._finish(), usage=usage)

    def events(self) -> Iterable[tuple[bytes, int]]:
        """The answer as the events of a stream, with the fault in them, and how many characters each says."""
        chunks = list(self._chunks())
        half = chunks[: max(1, len(chunks) // 2)]
        broken = self.entry.fault in ENDS
        for chunk in half if broken else chunks:
            yield _event(chunk), len("".join(choice["delta"].get("content") or "" for choice in chunk["choices"]))
        if end := ENDS[self.entry.fault] if broken else b"data: [DONE]\n\n":
            yield end, 0

    def _chunks(self) -> Iterable[dict[str, Any]]:
        """The answer in pieces; the last chunk has no choice and carries the usage, where that was asked for."""
        text = self.entry.text
        yield self._chunk({"role": "assistant", "content": ""})
        for place in range(0, len(text), PIECE):
            yield self._chunk({"content": text[place : place + PIECE]})
        if self.entry.calls:
            yield self._chunk({"tool_calls": [{"index": index, **call} for index, call in enumerate(self._tool_calls())]})
        yield self._chunk({}, self._finish())
        if (self.request.get("stream_options") or {}).get("include_usage") and self.entry.fault != "uncounted":
            yield {**self._chunk({}), "choices": [], "usage": self._usage()}

    def cut(self) -> web_server.CutReply:
        """The first half of the answer."""
        body = json.dumps(self.whole()).encode()
        return web_server.CutReply(body[: len(body) // 2])

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return self._envelope("chat.completion.chunk", delta=delta, finish_reason=finish)

    def _envelope(self, kind: str, *, finish_reason: str | None, usage: dict[str, int] | None = None, **content: Any) -> dict[str, Any]:
        return {
            "id": f"scripted-{self.number}",
            "object": kind,
            "created": self.created,
            "model": self.request.get("model", MODEL),
            "choices": [{"index": 0, **content, "logprobs": None, "finish_reason": finish_reason}],
            "usage": usage,
        }

    def _finish(self) -> str:
        return "tool_calls" if self.entry.calls else "stop"

    def _tool_calls(self) -> list[dict[str, Any]]:
        return [
            {
                "id": f"call-{self.number}-{index}",
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
            }
            for index, call in enumerate(self.entry.calls)
        ]

    def _usage(self) -> dict[str, int]:
        if usage := self.entry.usage:
            prompt, answer = usage.prompt_tokens, usage.completion_tokens
        else:
            asked = sum(len(str(message.get("content") or "")) for message in self.request.get("messages", []))
            prompt, answer = max(1, asked // 4), max(1, len(self.entry.text) // 4)
        return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"
