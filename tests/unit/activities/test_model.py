"""Answers that come in pieces: the same answers, the same faults and the same bill as those that come whole."""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import openai
import pytest
from pydantic import ValidationError

from activities.model import Model, ModelFault, Reply
from contracts.errors import PermanentError
from devstack.scripted_model import ScriptedModel, serving
from policies.agents import Route
from policies.prices import Tokens
from settings import Settings
from worker import model_of

SCHEMA = {"type": "object"}
TEXT = "a long answer " * 10


async def ask(model: Model, hear: Callable[[str], None] | None) -> Reply:
    return await model.complete(Route(), "scripted", [{"role": "user", "content": "hello"}], SCHEMA, hear)


@asynccontextmanager
async def scripted(*entries: dict[str, Any], **settings: Any) -> AsyncGenerator[tuple[ScriptedModel, Model]]:
    async with serving(entries) as server:
        given = Settings(openai_base_url=server.base_url, openai_api_key="none", model="scripted", **settings)  # pyright: ignore[reportArgumentType]
        async with model_of(given) as model:
            yield server, model


@asynccontextmanager
async def streaming(body: str, content_type: str = "text/event-stream") -> AsyncGenerator[Model]:
    """Give a model whose every reply is this body."""

    async def answers(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": content_type}, content=body.encode())

    http = httpx2.AsyncClient(transport=httpx2.MockTransport(answers))
    async with openai.AsyncOpenAI(base_url="http://model.test/v1", api_key="none", max_retries=0, http_client=http) as client:
        yield Model(client, None)


def events(*chunks: Any) -> str:
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"


async def test_an_answer_in_pieces_is_heard_piece_by_piece_and_is_the_same_answer() -> None:
    async with scripted({"answer": TEXT, "usage": {"prompt_tokens": 7, "completion_tokens": 35}, "times": 2}) as (server, model):
        heard: list[str] = []
        streamed, whole = await ask(model, heard.append), await ask(model, None)
        assert streamed == whole == Reply(TEXT, "scripted", Tokens(7, 35))
        assert "".join(heard) == TEXT and len(heard) > 3
        first, second = server.calls
        assert first["stream"] and first["stream_options"] == {"include_usage": True} and "stream" not in second
        assert {key: first[key] for key in second} == second


@pytest.mark.parametrize("fault", ["cut", "unfinished", "error_chunk", "broken_chunk"])
async def test_a_stream_that_breaks_in_its_middle_may_have_cost_money_and_is_asked_again(fault: str) -> None:
    async with scripted({"answer": TEXT, "fault": fault}) as (_, model):
        heard: list[str] = []
        with pytest.raises(ModelFault) as failed:
            await ask(model, heard.append)
        assert failed.value.billed and not failed.value.busy and TEXT.startswith("".join(heard)) and heard


@pytest.mark.parametrize(
    "fault", [{"fault": "429", "retry_after": 9.0}, {"fault": "500"}, {"fault": "timeout"}], ids=lambda one: one["fault"]
)
async def test_a_fault_before_the_first_piece_is_what_it_is_for_a_whole_answer(fault: dict[str, Any]) -> None:
    async with scripted({**fault, "times": 2}, model_timeout=0.5) as (_, model):
        faults: list[ModelFault] = []
        for hear in (None, lambda _: None):
            with pytest.raises(ModelFault) as failed:
                await ask(model, hear)
            faults.append(failed.value)
        told = [(str(each), each.billed, each.busy, each.retry_after) for each in faults]
        assert told[0] == told[1]


async def test_a_stream_that_drips_has_no_more_time_than_a_whole_answer() -> None:
    async with scripted({"answer": TEXT * 100, "pace": 0.05}, model_timeout=1.0) as (_, model):
        with pytest.raises(ModelFault, match="did not answer in time") as failed:
            await ask(model, lambda _: None)
        assert failed.value.billed


async def test_an_endpoint_that_counts_nothing_or_knows_no_streams_is_understood() -> None:
    async with scripted({"answer": TEXT, "fault": "uncounted"}, {"answer": TEXT, "fault": "whole"}) as (_, model):
        assert await ask(model, lambda _: None) == Reply(TEXT, "scripted", None)
        reply = await ask(model, lambda _: None)
        assert reply.text == TEXT and reply.tokens is not None


CHOICE = {"index": 0, "delta": {"content": "x"}, "finish_reason": None}


@pytest.mark.parametrize(
    "body",
    [
        "", "data: [DONE]\n\n", "nothing of the kind", "data: {\n\n", events(7), events([]), events(None), events("text"),
        events({"choices": 5}), events({"choices": [5]}), events({"choices": [{}]}), events({"choices": [{"index": 0}]}),
        events({"choices": [{"index": 0, "delta": 5}]}), events({"choices": [{"index": 0, "delta": {"content": 5}}]}),
        events({"choices": [{**CHOICE, "delta": {"content": ["x"]}, "finish_reason": "stop"}]}), events({"usage": 5, "choices": [CHOICE]}),
        events({"usage": {}, "choices": [CHOICE]}), events({"choices": [CHOICE]}), events({"choices": [], "usage": None}),
        events({"error": "out of order"}), events({"error": {"message": {"not": "text"}}}), events({"choices": [{**CHOICE, "index": 1}]}),
        "data: {}\n\n" * 3, "\ud800".encode("utf-8", "replace").decode() * 9, "event: error\ndata: {}\n\n",
    ],
)  # fmt: skip
async def test_what_is_no_stream_of_the_api_is_a_fault_that_may_have_cost_money(body: str) -> None:
    async with streaming(body) as model:
        with pytest.raises(ModelFault) as failed:
            await ask(model, lambda _: None)
        assert failed.value.billed


@pytest.mark.parametrize("body", ["", "{", "[]", "7", "{}", '{"choices": []}', '{"choices": 5}', '{"error": {"message": "no"}}'])
async def test_what_is_no_answer_in_one_piece_either_is_one_too(body: str) -> None:
    async with streaming(body, "application/json") as model:
        with pytest.raises(ModelFault) as failed:
            await ask(model, lambda _: None)
        assert failed.value.billed


async def test_an_endpoint_that_refuses_streams_says_so_once_and_for_good() -> None:
    async with scripted({"match": "x"}) as (server, model):
        with pytest.raises(PermanentError, match="400"):
            await ask(model, lambda _: None)
        assert server.count == 1


def test_a_route_streams_unless_it_is_quick_or_says_no() -> None:
    assert Route().streams and not Route(quick=True).streams and not Route(stream=False).streams
    with pytest.raises(ValidationError, match="do not go together"):
        Route(quick=True, stream=True)
