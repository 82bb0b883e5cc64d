"""The model: one call of any OpenAI-compatible endpoint, its faults told apart, its retries left to Temporal."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai
from openai import AsyncOpenAI, AsyncStream
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.completion_usage import CompletionUsage

from activities.model_faults import ModelFault
from contracts.errors import BadInput, PermanentError
from contracts.waits import date, retry_after
from policies.agents import Route
from policies.prices import Tokens

AGAIN = frozenset({408, 409, 425, 429})
LONGEST = 600.0
"""Seconds of a call whose client says nothing simpler."""
MOST = 4_000_000
"""Characters of an answer that comes in pieces: one without an end is not kept."""
LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model said. ``tokens`` is None where the endpoint did not count."""

    text: str
    model: str
    tokens: Tokens | None


class Model:
    """The endpoint of this installation."""

    def __init__(self, client: AsyncOpenAI, default: str | None) -> None:
        self._client = client
        self._default = default
        self.seconds = client.timeout if isinstance(client.timeout, int | float) else LONGEST
        """How long one call may take."""
        self.free = urlsplit(str(client.base_url)).hostname in LOCAL

    async def name(self, route: Route) -> str:
        """Return the model a route means. Raises: BadInput where `auto` could be any of several."""
        if route.model != "auto":
            return route.model
        if self._default is None:
            try:
                names = [model.id async for model in self._client.models.list()]
            except openai.OpenAIError as error:
                raise translated(error) from None
            if len(names) != 1:
                raise BadInput(f"the endpoint has {len(names)} models: name one in the route, or set PERDURE_MODEL")
            self._default = names[0]
        return self._default

    async def complete(
        self,
        route: Route,
        model: str,
        messages: Sequence[dict[str, Any]],
        schema: dict[str, Any],
        hear: Callable[[str], None] | None = None,
    ) -> Reply:
        """Ask once for an answer that fits ``schema``. Raises: ModelFault, PermanentError.

        hear: is told each piece of the answer as it comes; without it the answer is asked for in one piece.
        """
        asked: dict[str, Any] = {
            "model": model,
            "messages": list(messages),
            "max_tokens": route.max_tokens,
            "temperature": route.temperature,
            # As it is: the client would walk through the whole schema once more.
            "extra_body": {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}},
        }
        try:
            if hear is None:
                return _whole(await self._client.chat.completions.create(**asked), model)
            # The client's own time is for one piece.
            async with asyncio.timeout(self.seconds):
                return await self._in_pieces(asked, hear)
        except openai.OpenAIError as error:
            raise translated(error) from None
        except TimeoutError:
            raise ModelFault("the model did not answer in time", billed=True) from None
        except ValueError as error:
            # A reply that broke off in the middle of its JSON.
            raise ModelFault(f"the model's reply cannot be read ({type(error).__name__})", billed=True) from None

    async def _in_pieces(self, asked: dict[str, Any], hear: Callable[[str], None]) -> Reply:
        asked = {**asked, "stream": True, "stream_options": {"include_usage": True}}
        stream: AsyncStream[ChatCompletionChunk]
        async with await self._client.chat.completions.create(**asked) as stream:
            if "json" in stream.response.headers.get("content-type", ""):
                return _whole(await _read(stream.response), asked["model"])
            answer = _Answer(asked["model"])
            async for chunk in stream:
                try:
                    piece = answer.add(chunk)
                except (TypeError, AttributeError, LookupError) as error:
                    # The client does not look whether a chunk has the form of the API.
                    raise ValueError from error
                if piece:
                    hear(piece)
        return answer.reply()


@dataclass
class _Answer:
    """An answer that comes in pieces."""

    model: str
    pieces: list[str] = field(default_factory=list[str])
    tokens: Tokens | None = None
    begun: bool = False
    ended: bool = False
    size: int = 0

    def add(self, chunk: ChatCompletionChunk) -> str:
        """Take one chunk and return what it says. Raises: ModelFault where there is no end to it."""
        self.model, self.tokens = chunk.model or self.model, _tokens(chunk.usage) or self.tokens
        # The last chunk has the usage and no choice.
        choice = next((choice for choice in chunk.choices or () if choice.index == 0), None)
        if choice is None:
            return ""
        # Joined, because only a text can be: the client lets anything through.
        piece = "".join([choice.delta.content or ""])
        self.begun, self.ended, self.size = True, self.ended or choice.finish_reason is not None, self.size + len(piece)
        if self.size > MOST:
            raise ModelFault(f"the model's answer is longer than {MOST} characters", billed=True)
        self.pieces.append(piece)
        return piece

    def reply(self) -> Reply:
        """Return the whole. Raises: ModelFault where it is none."""
        if not self.begun:
            raise ModelFault("the model's reply has no choice", billed=True)
        if not self.ended:
            raise ModelFault("the model's reply broke off", billed=True)
        return Reply("".join(self.pieces), self.model, self.tokens)


def _whole(reply: ChatCompletion, model: str) -> Reply:
    if not reply.choices:
        raise ModelFault("the model's reply has no choice", billed=True)
    return Reply(reply.choices[0].message.content or "", reply.model or model, _tokens(reply.usage))


def _tokens(usage: CompletionUsage | None) -> Tokens | None:
    return Tokens(usage.prompt_tokens, usage.completion_tokens) if usage else None


async def _read(response: httpx2.Response) -> ChatCompletion:
    """Read the reply of an endpoint that does not stream. Raises: OpenAIError, ValueError."""
    try:
        return ChatCompletion.model_validate(json.loads(await response.aread()))
    except httpx2.TimeoutException as error:
        raise openai.APITimeoutError(request=response.request) from error
    except httpx2.HTTPError as error:
        raise openai.APIConnectionError(request=response.request) from error


def translated(error: openai.OpenAIError) -> Exception:
    """Return the fault that an error of the client means: one that may pass, or one that will not."""
    if isinstance(error, openai.APIStatusError):
        status = error.status_code
        message = f"the model's endpoint said {status}: {error.message[:300]}"
        if status in AGAIN or status >= 500:
            headers = error.response.headers
            wait = retry_after(headers.get("retry-after"), date(headers.get("date")))
            return ModelFault(message, billed=False, retry_after=wait, busy=status < 500)
        return PermanentError(message)
    if isinstance(error, openai.APITimeoutError):
        return ModelFault("the model did not answer in time", billed=True)
    if isinstance(error, openai.APIConnectionError):
        # Refused at the door it costs nothing; broken off later it may.
        refused = "connect" in type(error.__cause__).__name__.lower()
        return ModelFault(f"the model cannot be reached ({type(error.__cause__ or error).__name__})", billed=not refused)
    if isinstance(error, openai.APIResponseValidationError):
        return ModelFault("the model's reply has not the form of the API", billed=True)
    if type(error) is openai.APIError:
        # Said in the middle of a stream: the call had been let in.
        return ModelFault(f"the model broke off: {error.message[:300]}", billed=True)
    return PermanentError(f"the model's client refused: {error}")
