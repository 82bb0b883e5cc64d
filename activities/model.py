"""The model: one call of any OpenAI-compatible endpoint, its faults told apart, its retries left to Temporal."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import openai
from openai import AsyncOpenAI

from contracts.errors import BadInput, PermanentError, TransientError
from contracts.waits import date, retry_after
from policies.automation import Route
from policies.prices import Tokens

AGAIN = frozenset({408, 409, 425, 429})
LONGEST = 600.0
"""Seconds of a call whose client says nothing simpler."""
LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})


class ModelFault(TransientError):
    """A model call failed and may be tried again; ``billed`` says whether it may have been paid for.

    busy: the endpoint is well and has too much to do, which its breaker does not count.
    """

    def __init__(self, message: str, *, billed: bool, retry_after: float | None = None, busy: bool = False) -> None:
        super().__init__(message, retry_after=retry_after)
        self.billed = billed
        self.busy = busy or retry_after is not None


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

    async def complete(self, route: Route, model: str, messages: Sequence[dict[str, Any]], schema: dict[str, Any]) -> Reply:
        """Ask once for an answer that fits ``schema``. Raises: ModelFault, PermanentError."""
        try:
            reply = await self._client.chat.completions.create(
                model=model,
                messages=list(messages),  # pyright: ignore[reportArgumentType]
                max_tokens=route.max_tokens,
                temperature=route.temperature,
                # As it is: the client would walk through the whole schema once more.
                extra_body={"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}},
            )
        except openai.OpenAIError as error:
            raise translated(error) from None
        except ValueError as error:
            # A reply that broke off in the middle of its JSON.
            raise ModelFault(f"the model's reply cannot be read ({type(error).__name__})", billed=True) from None
        if not reply.choices:
            raise ModelFault("the model's reply has no choice", billed=True)
        usage = reply.usage
        tokens = Tokens(usage.prompt_tokens, usage.completion_tokens) if usage else None
        return Reply(reply.choices[0].message.content or "", reply.model or model, tokens)


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
    return PermanentError(f"the model's client refused: {error}")
