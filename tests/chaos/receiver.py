"""The outside world of the errands: a process of its own that keeps every effect that reached it, with its key and its body.

`python -m tests.chaos.receiver --port N --folder DIR`. `POST /kept` takes a key once, `POST /plain` acts each time it is asked,
`GET /effects?key=K` tells whether a key acted, `POST /tries/{id}` counts.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from devstack import web_server
from devstack.journal import Journal

FILE = "effects.jsonl"


class Receiver:
    """Every effect that reached it, read again from its file when it is started anew."""

    def __init__(self, folder: Path) -> None:
        self._journal = Journal(folder / FILE)
        lines = self._journal.read()
        self._keys = {line["key"] for line in lines if line["event"] == "acted"}
        self._tries = Counter(line["id"] for line in lines if line["event"] == "tried")

    @property
    def app(self) -> Starlette:
        """The routes."""
        return Starlette(
            routes=[
                Route("/kept", self.kept, methods=["POST"]),
                Route("/plain", self.plain, methods=["POST"]),
                Route("/effects", self.effects, methods=["GET"]),
                Route("/tries/{id:path}", self.tries, methods=["POST"]),
            ]
        )

    async def kept(self, request: Request) -> JSONResponse:
        """Act once for each key."""
        if (key := request.headers["idempotency-key"]) not in self._keys:
            self._act(key, await request.body())
        else:
            self._journal.add(event="again", key=key)
        return JSONResponse({"id": key})

    async def plain(self, request: Request) -> JSONResponse:
        """Act, however often the key came before."""
        key = request.headers["idempotency-key"]
        self._act(key, await request.body())
        return JSONResponse({"id": key})

    def _act(self, key: str, body: bytes) -> None:
        # Written before the answer is: who is killed in between has acted, and nobody has heard of it.
        self._journal.add(event="acted", key=key, body=json.loads(body))
        self._keys.add(key)

    async def effects(self, request: Request) -> JSONResponse:
        """Tell whether a key acted."""
        return JSONResponse({"happened": request.query_params["key"] in self._keys})

    async def tries(self, request: Request) -> JSONResponse:
        """Count one try of an id, and say which it is."""
        self._tries[id := request.path_params["id"]] += 1
        self._journal.add(event="tried", id=id)
        return JSONResponse({"nth": self._tries[id]})


def main() -> None:
    """Receive."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    given = parser.parse_args()
    web_server.serve(Receiver(given.folder).app, given.port)


if __name__ == "__main__":
    main()
