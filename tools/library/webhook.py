"""`webhook.post`: a signed message to a receiver that the automation names."""

import base64
import binascii
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, Field

from contracts.errors import ToolRetry
from tools.calls import Incapable
from tools.contract import ToolContext, tool
from tools.fetch import FETCHER, Request
from tools.library.options import Hosts, Options, options
from tools.reach import Reach, parsed, port
from tools.replies import settled

SECRET = "WEBHOOK_SECRET"
REMEMBERED = timedelta(hours=24)


class WebhookOptions(Options):
    """urls: name -> where it is posted. private: hosts that may lie in a private network."""

    urls: Annotated[dict[str, str], Field(min_length=1)]
    private: Hosts = Field(default=frozenset(), validate_default=False)


class PostWebhook(BaseModel):
    to: str = Field(description="the receiver's name")
    type: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.-]{1,100}$")] = Field(description="what happened, like `invoice.paid`")
    data: dict[str, Any]


class PostedWebhook(BaseModel):
    id: str
    status: int


@tool("webhook.post", effect="egress", guarantee="idempotent", key_ttl=REMEMBERED, irreversible=True, seconds=20, secrets=(SECRET,))
async def post(arguments: PostWebhook, context: ToolContext) -> PostedWebhook:
    """Post a signed message to one of the receivers that the automation names."""
    chosen = options(WebhookOptions, "webhook.post", context)
    if arguments.to not in chosen.urls:
        raise ToolRetry(f"`to`: there is no receiver {arguments.to[:80]!r}; there are {', '.join(sorted(chosen.urls))}")
    url = parsed(chosen.urls[arguments.to])
    host = f"[{url.host}]" if ":" in url.host else url.raw_host.decode()
    id = f"msg_{hashlib.sha256(context.key.encode()).hexdigest()[:32]}"
    body = _body(arguments)
    answer = await FETCHER.fetch(
        Request(
            method="POST",
            url=str(url),
            deadline=context.deadline,
            reach=Reach(only=frozenset({f"{host}:{port(url)}"}), private=chosen.private),
            headers={"Content-Type": "application/json", "Idempotency-Key": context.key},
            secret=signed(id, datetime.now(UTC), body, context.secrets[SECRET]),
            body=body,
            acts=True,
        )
    )
    settled(answer, arguments.to, acts=True, secrets=context.secrets, credential=SECRET)
    return PostedWebhook(id=id, status=answer.status)


def signed(id: str, at: datetime, body: bytes, secret: str) -> dict[str, str]:
    """Return the headers that prove who sent a message. Source: Standard Webhooks 1.0.0, "Signature scheme".

    secret: any text, or `whsec_` and base64, as that specification writes it. Raises: Incapable where it is neither.
    """
    key = secret.encode()
    if secret.startswith("whsec_"):
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            raise Incapable(f"the secret {SECRET} begins with `whsec_`, but what follows is not base64") from None
    moment = str(int(at.timestamp()))
    proof = hmac.new(key, f"{id}.{moment}.".encode() + body, hashlib.sha256).digest()
    return {"Webhook-Id": id, "Webhook-Timestamp": moment, "Webhook-Signature": f"v1,{base64.b64encode(proof).decode()}"}


def _body(arguments: PostWebhook) -> bytes:
    try:
        return json.dumps({"type": arguments.type, "data": arguments.data}, ensure_ascii=False, sort_keys=True, allow_nan=False).encode()
    except ValueError:
        raise ToolRetry("`data`: it holds what cannot be sent: half of a character, or a number that is none") from None
