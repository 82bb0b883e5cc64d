"""A stand-in for a social network that takes posts once for each idempotency key.

`python -m devstack.receiver --port N --folder DIR`. `POST /posts` (header Idempotency-Key), `DELETE /posts/{id}`,
`GET /posts[?key=K]`, `GET /deliveries`; `PUT /faults` with `{"status": 503, "times": 2, "retry_after": 1}` or `{"drop_reply": 1}`.
"""

import argparse
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from devstack import web_server
from devstack.journal import Journal


class Faults(BaseModel):
    """What goes wrong with the next posts."""

    model_config = ConfigDict(extra="forbid")

    status: int = Field(503, ge=400, le=599)
    times: int = Field(0, ge=0)
    """How many posts are refused with that status."""
    retry_after: float | None = None
    drop_reply: int = Field(0, ge=0)
    """How many posts are stored while their reply is cut."""


class Receiver:
    """The posts, one for each key, and a log of every delivery."""

    def __init__(self, folder: Path) -> None:
        self.posts_journal = Journal(folder / "posts.jsonl")
        self.deliveries = Journal(folder / "deliveries.jsonl")
        self.posts: dict[str, dict[str, Any]] = {}
        self.deleted: set[str] = set()
        self.faults = Faults.model_validate({})
        self.base_url = ""
        for event in self.posts_journal.read():
            if event["event"] == "posted":
                self.posts[event["key"]] = event["post"]
            else:
                self.deleted.add(event["id"])

    @property
    def app(self) -> Starlette:
        """The routes."""
        return Starlette(
            routes=[
                Route("/posts", self.create, methods=["POST"]),
                Route("/posts", self.list, methods=["GET"]),
                Route("/posts/{id}", self.delete, methods=["DELETE"]),
                Route("/deliveries", self.list_deliveries, methods=["GET"]),
                Route("/faults", self.set_faults, methods=["PUT"]),
            ]
        )

    async def create(self, request: Request) -> Any:
        """Store a post, or answer as before if its key was used: 201 the first time, 200 after."""
        body, key = await request.body(), request.headers.get("idempotency-key", "")
        digest = sha256(body).hexdigest()
        response = self._refusal(key) or self._stored(key, digest, await _json(request))
        self.deliveries.add(key=key, sha256=digest, status=response.status_code)
        if response.status_code < 300 and self.faults.drop_reply:
            self.faults.drop_reply -= 1
            return web_server.CutReply(b'{"id": ')
        return response

    async def list(self, request: Request) -> Response:
        """Return the posts that are up; ``?key=`` asks for the one of an idempotency key, deleted or not."""
        if key := request.query_params.get("key"):
            return JSONResponse([self._shown(post) for known, post in self.posts.items() if known == key])
        return JSONResponse([self._shown(post) for post in self.posts.values() if post["id"] not in self.deleted])

    async def delete(self, request: Request) -> Response:
        """Take a post down; doing it again changes nothing."""
        wanted = request.path_params["id"]
        if all(post["id"] != wanted for post in self.posts.values()):
            return JSONResponse({"error": f"there is no post {wanted}"}, 404)
        if wanted not in self.deleted:
            self.deleted.add(wanted)
            self.posts_journal.add(event="deleted", id=wanted)
        return Response(status_code=204)

    async def list_deliveries(self, request: Request) -> Response:
        """Return every delivery, refused and repeated ones too."""
        return JSONResponse(self.deliveries.read())

    async def set_faults(self, request: Request) -> Response:
        """Set what goes wrong from now on; an empty object ends all faults."""
        try:
            self.faults = Faults.model_validate_json(await request.body())
        except ValidationError as error:
            return JSONResponse({"error": str(error)}, 422)
        return JSONResponse({})

    def _refusal(self, key: str) -> JSONResponse | None:
        if not key:
            return JSONResponse({"error": "the header Idempotency-Key is missing"}, 400)
        if not self.faults.times:
            return None
        self.faults.times -= 1
        headers = {"retry-after": f"{self.faults.retry_after:g}"} if self.faults.retry_after is not None else {}
        return JSONResponse({"error": "fault on demand"}, self.faults.status, headers)

    def _stored(self, key: str, digest: str, content: Any) -> JSONResponse:
        if known := self.posts.get(key):
            if known["sha256"] != digest:
                return JSONResponse({"error": f"the key {key} was used for another post"}, 422)
            return JSONResponse(self._shown(known), 200)
        # The id comes from the key, so that it is the same on a receiver whose folder was lost.
        post = {"id": sha256(key.encode()).hexdigest()[:16], "sha256": digest, "content": content}
        self.posts[key] = post
        self.posts_journal.add(event="posted", key=key, post=post)
        return JSONResponse(self._shown(post), 201)

    def _shown(self, post: dict[str, Any]) -> dict[str, Any]:
        return {"id": post["id"], "url": f"{self.base_url}/posts/{post['id']}", "content": post["content"]}


@asynccontextmanager
async def receiving(folder: Path, port: int = 0) -> AsyncGenerator[Receiver]:
    """Serve a receiver in this process."""
    receiver = Receiver(folder)
    async with web_server.listening(receiver.app, port) as receiver.base_url:
        yield receiver


async def _json(request: Request) -> Any:
    try:
        return await request.json()
    except ValueError:
        return (await request.body()).decode(errors="replace")


def main() -> None:
    """Serve a receiver on a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    given = parser.parse_args()
    receiver = Receiver(given.folder)
    receiver.base_url = f"http://127.0.0.1:{given.port}"
    web_server.serve(receiver.app, given.port)


if __name__ == "__main__":
    main()
