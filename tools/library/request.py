"""`http.request`: any HTTP request, to hosts that the automation names."""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from contracts.errors import ToolRetry
from tools.contract import ToolContext, tool
from tools.fetch import FETCHER, Request
from tools.library.options import Called, options
from tools.replies import settled

MOST_TEXT = 20_000
READING = ("GET", "HEAD")


class RequestOptions(Called):
    """methods: those that may be used."""

    methods: frozenset[str] = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"))


class HttpRequest(BaseModel):
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
    url: Annotated[str, Field(max_length=4000)]
    headers: dict[str, str] = {}
    json_body: Any = Field(default=None, description="sent as JSON")
    text_body: str | None = Field(default=None, description="sent as plain text, where there is no json_body")


class HttpResponse(BaseModel):
    status: int
    content_type: str
    text: str
    """At most 20,000 characters."""
    cut: bool


@tool("http.request", effect="egress", guarantee="guarded", irreversible=True, seconds=30)
async def request(arguments: HttpRequest, context: ToolContext) -> HttpResponse:
    """Send an HTTP request to one of the hosts that the automation allows, and return the answer's text."""
    chosen = options(RequestOptions, "http.request", context)
    if arguments.method not in chosen.methods:
        raise ToolRetry(f"`method`: only {', '.join(sorted(chosen.methods))} may be used")
    body, kind = _body(arguments)
    given = {name: value for name, value in arguments.headers.items() if name.lower() != "idempotency-key"}
    acts = arguments.method not in READING
    answer = await FETCHER.fetch(
        Request(
            method=arguments.method,
            url=arguments.url,
            deadline=context.deadline,
            reach=chosen.reach,
            # A server that knows the header does it once. It is not counted on: nobody knows which server does.
            headers={**kind, **given, **({"Idempotency-Key": context.key} if acts else {})},
            body=body,
            acts=acts,
        )
    )
    settled(answer, "the server", acts=acts, secrets=context.secrets)
    text = answer.text
    return HttpResponse(
        status=answer.status, content_type=answer.headers.get("content-type", ""), text=text[:MOST_TEXT], cut=len(text) > MOST_TEXT
    )


def _body(arguments: HttpRequest) -> tuple[bytes | None, dict[str, str]]:
    try:
        if arguments.json_body is not None:
            text = json.dumps(arguments.json_body, ensure_ascii=False, sort_keys=True, allow_nan=False)
            return text.encode(), {"Content-Type": "application/json"}
        if arguments.text_body is not None:
            return arguments.text_body.encode(), {"Content-Type": "text/plain; charset=utf-8"}
    except ValueError:
        raise ToolRetry("the body holds what cannot be sent: half of a character, or a number that is none") from None
    return None, {}
