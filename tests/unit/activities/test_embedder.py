"""The embedding model of an endpoint, over a real connection."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from activities.embedder import embedders_of
from activities.model import ModelFault
from contracts.errors import BadInput, PermanentError
from devstack import web_server
from memory.embedding import BATCH, PACKAGED, Embedder
from settings import Settings

Answer = Callable[[list[str]], Response]


def replied(vectors: list[list[float]], *, backwards: bool = False) -> Response:
    data: list[dict[str, Any]] = [{"object": "embedding", "index": nth, "embedding": vector} for nth, vector in enumerate(vectors)]
    return JSONResponse(
        {"object": "list", "model": "m", "data": data[::-1] if backwards else data, "usage": {"prompt_tokens": 1, "total_tokens": 1}}
    )


@asynccontextmanager
async def endpoint(answer: Answer) -> AsyncGenerator[tuple[Embedder, list[dict[str, Any]]]]:
    asked: list[dict[str, Any]] = []

    async def embeddings(request: Request) -> Response:
        body = await request.json()
        asked.append(body | {"authorization": request.headers.get("authorization")})
        return answer(body["input"])

    app = Starlette(routes=[Route("/v1/embeddings", embeddings, methods=["POST"])])
    async with web_server.listening(app) as url:
        settings = Settings(embedding_base_url=f"{url}/v1", embedding_model="m", embedding_api_key=SecretStr("k"))
        async with embedders_of(settings) as embedders:
            assert [embedder.name for embedder in embedders] == ["m", PACKAGED]
            yield embedders[0], asked


async def test_texts_go_out_in_batches_and_vectors_come_back_in_order() -> None:
    texts = [f"text {nth}" for nth in range(BATCH + 3)]
    async with endpoint(lambda given: replied([[float(text.split()[1]), 1.0] for text in given], backwards=True)) as (embedder, asked):
        vectors = await embedder.embed(texts)
    assert vectors == [[float(nth), 1.0] for nth in range(BATCH + 3)]
    assert [len(request["input"]) for request in asked] == [BATCH, 3]
    assert asked[0]["model"] == "m" and asked[0]["authorization"] == "Bearer k" and embedder.dims == 2


async def test_what_was_embedded_lately_is_not_asked_for_again() -> None:
    async with endpoint(lambda given: replied([[1.0]] * len(given))) as (embedder, asked):
        await embedder.embed(["a", "b"])
        await embedder.embed(["b", "a", "c"])
    assert [request["input"] for request in asked] == [["a", "b"], ["c"]]


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (lambda given: replied([[1.0]]), PermanentError, "1 vectors for 2 texts"),
        (lambda given: replied([[1.0], [1.0, 2.0]]), PermanentError, "gave 2 vectors for 2 texts, of"),
        (lambda given: Response("busy", 503), ModelFault, "said 503"),
        (lambda given: Response("no such model", 404), PermanentError, "said 404"),
        (lambda given: JSONResponse({"data": [{"index": 0}, {"index": 1}]}), PermanentError, "cannot be read"),
        (lambda given: JSONResponse({}), PermanentError, "cannot be read"),
        (lambda given: Response("{", media_type="application/json"), PermanentError, "cannot be read"),
    ],
)
async def test_a_bad_reply_is_one_clear_error(answer: Answer, error: Any, says: str) -> None:
    async with endpoint(answer) as (embedder, _):
        with pytest.raises(error, match=says):
            await embedder.embed(["a", "b"])


async def test_an_endpoint_without_a_model_is_refused_and_without_an_endpoint_the_packaged_model_serves() -> None:
    with pytest.raises(BadInput, match="PERDURE_EMBEDDING_MODEL"):
        async with embedders_of(Settings(embedding_base_url="http://127.0.0.1:1/v1")):
            pass
    async with embedders_of(Settings()) as embedders:
        assert [embedder.name for embedder in embedders] == [PACKAGED]


async def test_a_model_that_costs_is_opened_only_where_an_allowance_pays_for_it() -> None:
    costs = Settings(
        embedding_base_url="http://127.0.0.1:1/v1", embedding_model="m", embedding_micros_per_million=20_000, embedding_day_micros=10**6
    )
    with pytest.raises(BadInput, match="no database that has the allowance"):
        async with embedders_of(costs):
            pass
    with pytest.raises(BadInput, match="PERDURE_EMBEDDING_DAY_MICROS is not"):
        async with embedders_of(costs.model_copy(update={"embedding_day_micros": None})):
            pass
