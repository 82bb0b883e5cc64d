"""Posts on the social network."""

import json
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import httpx2
from pydantic import BaseModel

from tools import ToolContext, ToolFailed, ToolUnknown, TransientError, tool

from .pieces import CALLS, KEPT, REMEMBERED, Nothing, endpoint, patience
from .publishing import Publish, Published, slot
from .text import one_line


class Posted(Published):
    post: str


class DeletePost(BaseModel):
    post: str


@tool("social.post", effect="egress", guarantee="idempotent", key_ttl=REMEMBERED, compensate_with="social.delete", due=slot, seconds=CALLS)
async def post_social(arguments: Publish, context: ToolContext) -> Posted:
    """Post a draft on the social network."""
    reply = await _call(context, "POST", "/posts", {"title": arguments.title, "text": arguments.text})
    try:
        post = reply.json()
        return Posted(channel="social", ref=str(post.get("url") or post["id"]), post=str(post["id"]))
    except (ValueError, AttributeError, LookupError, TypeError):
        raise ToolUnknown(f"the social network answered {reply.status_code} but did not name the post") from None


@tool("social.delete", effect="egress", guarantee="idempotent", key_ttl=KEPT, irreversible=True, seconds=CALLS)
async def delete_social(arguments: DeletePost, context: ToolContext) -> Nothing:
    """Delete a post from the social network; one that is gone already is fine."""
    await _call(context, "DELETE", f"/posts/{quote(arguments.post, safe='')}", fine=(404, 410))
    return Nothing()


async def _call(context: ToolContext, method: str, path: str, body: Any = None, *, fine: Sequence[int] = ()) -> httpx2.Response:
    """Call the social network once.

    Raises: TransientError where it surely did nothing yet, ToolFailed where it refused, ToolUnknown where nobody saw the answer.
    """
    content = None if body is None else json.dumps(body, ensure_ascii=False, sort_keys=True).encode()
    headers = {"Idempotency-Key": context.key, "Content-Type": "application/json"}
    try:
        async with httpx2.AsyncClient(timeout=httpx2.Timeout(patience(context), connect=5.0)) as client:
            reply = await client.request(method, endpoint(context, "social") + path, content=content, headers=headers)
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
        raise TransientError(f"the social network cannot be reached ({type(error).__name__})") from None
    except httpx2.TransportError as error:
        raise ToolUnknown(f"the social network did not answer ({type(error).__name__})") from None
    if reply.is_success or reply.status_code in fine:
        return reply
    if reply.status_code in (408, 409, 429) or reply.status_code >= 500:
        raise TransientError(f"the social network said {reply.status_code}", retry_after=_retry_after(reply))
    raise ToolFailed(f"the social network refused with {reply.status_code}: {one_line(reply.text)[:200]}")


def _retry_after(reply: httpx2.Response) -> float | None:
    said = reply.headers.get("retry-after", "")
    return float(said) if re.fullmatch(r"\d{1,5}(\.\d+)?", said) else None
