"""The scripted model as the real openai client sees it."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from devstack.script import NO_SUCH_TOOL, Entry, Request, ToolCall, Usage
from devstack.scripted_model import ScriptedModel, serving


@pytest.fixture
async def model() -> AsyncGenerator[ScriptedModel]:
    async with serving() as served:
        yield served


@pytest.fixture
async def client(model: ScriptedModel) -> AsyncGenerator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=model.base_url, api_key="none", max_retries=0, timeout=5) as opened:
        yield opened


async def ask(client: openai.AsyncOpenAI, text: str = "hello") -> ChatCompletion:
    return await client.chat.completions.create(model="scripted", messages=[{"role": "user", "content": text}])


async def stream(client: openai.AsyncOpenAI) -> list[ChatCompletionChunk]:
    chunks = await client.chat.completions.create(
        model="scripted", messages=[{"role": "user", "content": "hello"}], stream=True, stream_options={"include_usage": True}
    )
    return [chunk async for chunk in chunks]


async def test_an_answer_comes_with_its_usage(model: ScriptedModel, client: openai.AsyncOpenAI) -> None:
    model.set_script([Entry(answer="hi", usage=Usage(prompt_tokens=11, completion_tokens=3))])
    completion = await ask(client)
    assert completion.choices[0].message.content == "hi"
    assert completion.usage
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens, completion.usage.total_tokens) == (11, 3, 14)


async def test_tool_calls_come_in_the_apis_form(model: ScriptedModel, client: openai.AsyncOpenAI) -> None:
    model.set_script([Entry(tool_calls=(ToolCall(name="refund", arguments={"order": "7"}),))])
    choice = (await ask(client)).choices[0]
    calls: Any = choice.message.tool_calls
    assert choice.finish_reason == "tool_calls"
    assert [(call.function.name, json.loads(call.function.arguments)) for call in calls] == [("refund", {"order": "7"})]


async def test_a_stream_is_the_same_answer_in_pieces(model: ScriptedModel, client: openai.AsyncOpenAI) -> None:
    model.set_script([Entry(answer="a long answer " * 10)])
    chunks = await stream(client)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "a long answer " * 10
    assert chunks[-1].usage
    assert chunks[-1].usage.completion_tokens == 35


async def test_429_names_when_to_come_back(model: ScriptedModel, client: openai.AsyncOpenAI) -> None:
    model.set_script([Entry(fault="429", retry_after=2.5)])
    with pytest.raises(openai.RateLimitError) as caught:
        await ask(client)
    assert caught.value.response.headers["retry-after"] == "2.5"


async def test_500_is_a_server_error(model: ScriptedModel, client: openai.AsyncOpenAI) -> None:
    model.set_script([Entry(fault="500")])
    with pytest.raises(openai.InternalServerError):
        await ask(client)


async def test_after_a_fault_the_script_goes_on(model: ScriptedModel, client: openai.AsyncOpenAI) -> None:
    model.set_script([Entry(fault="500"), Entry(answer="better")])
    with pytest.raises(openai.InternalServerError):
        await ask(client)
    assert (await ask(client)).choices[0].message.content == "better"


async def test_a_timeout_never_answers(model: ScriptedModel, client: openai.AsyncOpenAI) -> None:
    model.set_script([Entry(fault="timeout")])
    with pytest.raises(openai.APITimeoutError):
        await ask(client.with_options(timeout=0.3))


async def test_a_delay_comes_before_the_answer(model: ScriptedModel, client: openai.AsyncOpenAI) -> None:
    model.set_script([Entry(answer="late", delay=0.2)])
    begun = asyncio.get_running_loop().time()
    await ask(client)
    assert asyncio.get_running_loop().time() - begun >= 0.2


async def test_a_cut_answer_is_a_connection_error(model: ScriptedModel, client: openai.AsyncOpenAI) -> None:
    model.set_script([Entry(answer="a long answer", fault="cut")])
    with pytest.raises(openai.APIConnectionError):
        await ask(client)


async def test_a_cut_stream_breaks_after_its_first_pieces(model: ScriptedModel, client: openai.AsyncOpenAI) -> None:
    model.set_script([Entry(answer="a long answer " * 10, fault="cut")])
    got: list[str] = []
    with pytest.raises(openai.APIConnectionError):
        async with await client.chat.completions.create(
            model="scripted", messages=[{"role": "user", "content": "hello"}], stream=True
        ) as chunks:
            async for chunk in chunks:
                got.append(chunk.choices[0].delta.content or "")
    assert 0 < len("".join(got)) < 140


@pytest.mark.parametrize("fault", ["error_chunk", "broken_chunk", "unfinished"])
async def test_a_stream_can_go_wrong_in_its_middle(model: ScriptedModel, client: openai.AsyncOpenAI, fault: Any) -> None:
    model.set_script([Entry(answer="a long answer " * 10, fault=fault)])
    if fault == "unfinished":
        chunks = await stream(client)
        assert all(choice.finish_reason is None for chunk in chunks for choice in chunk.choices)
        return
    with pytest.raises(openai.APIError if fault == "error_chunk" else ValueError):
        await stream(client)


async def test_an_endpoint_may_count_nothing_or_not_know_streams(model: ScriptedModel, client: openai.AsyncOpenAI) -> None:
    model.set_script([Entry(answer="hi", fault="uncounted"), Entry(answer="hi", fault="uncounted"), Entry(answer="hi", fault="whole")])
    assert (await ask(client)).usage is None
    assert [chunk.usage for chunk in await stream(client) if chunk.usage] == []
    assert await stream(client) == []


async def test_a_held_stream_stands_still_until_it_may_go_on(model: ScriptedModel, client: openai.AsyncOpenAI) -> None:
    model.set_script([Entry(answer="a long answer " * 10, hold=48)])
    got = ""
    async with await client.chat.completions.create(
        model="scripted", messages=[{"role": "user", "content": "hello"}], stream=True
    ) as chunks, httpx2.AsyncClient(base_url=model.base_url.removesuffix("/v1"), trust_env=False) as http:  # fmt: skip
        async for chunk in chunks:
            got += chunk.choices[0].delta.content or ""
            if len(got) == 48:
                await http.post("/go-on")
    assert got == "a long answer " * 10


async def test_a_malformed_answer_is_no_json(model: ScriptedModel, client: openai.AsyncOpenAI) -> None:
    model.set_script([Entry(answer={"title": "x"}, fault="malformed")])
    content = (await ask(client)).choices[0].message.content
    assert content
    with pytest.raises(json.JSONDecodeError):
        json.loads(content)


async def test_a_wrong_tool_is_one_that_does_not_exist(model: ScriptedModel, client: openai.AsyncOpenAI) -> None:
    model.set_script([Entry(answer={"tool": "refund"}, fault="wrong_tool")])
    assert json.loads((await ask(client)).choices[0].message.content or "") == {"tool": NO_SUCH_TOOL}


async def test_a_request_outside_the_script_says_what_was_asked(model: ScriptedModel, client: openai.AsyncOpenAI) -> None:
    model.set_script([Entry(match="refund")])
    with pytest.raises(openai.BadRequestError, match="no entry for 'hello'"):
        await ask(client)


async def test_a_function_may_answer_instead_of_a_script(model: ScriptedModel, client: openai.AsyncOpenAI) -> None:
    def echo(request: Request) -> Entry:
        return Entry(answer=request["messages"][-1]["content"].upper())

    model.set_script(echo)
    assert (await ask(client, "hello")).choices[0].message.content == "HELLO"


async def test_the_calls_can_be_read_and_forgotten(model: ScriptedModel, client: openai.AsyncOpenAI) -> None:
    model.set_script([Entry(answer="1"), Entry(answer="2")])
    await ask(client, "first")
    async with httpx2.AsyncClient(base_url=model.base_url.removesuffix("/v1"), trust_env=False) as http:
        calls = (await http.get("/calls")).json()
        assert (calls["count"], calls["calls"][0]["messages"][0]["content"]) == (1, "first")
        await http.post("/reset")
    assert (await ask(client)).choices[0].message.content == "1"


async def test_a_script_can_be_put_and_a_wrong_one_is_refused(model: ScriptedModel, client: openai.AsyncOpenAI) -> None:
    async with httpx2.AsyncClient(base_url=model.base_url.removesuffix("/v1"), trust_env=False) as http:
        assert (await http.put("/script", json=[{"answer": "put"}])).status_code == 200
        assert (await http.put("/script", json=[{"anwser": "put"}])).status_code == 422
    assert (await ask(client)).choices[0].message.content == "put"


async def test_a_client_that_lists_models_finds_it(client: openai.AsyncOpenAI) -> None:
    assert [each.id async for each in client.models.list()] == ["scripted"]
