"""Temporal is the only owner of retries: no client of ours tries again by itself, and what is asked of us becomes Temporal's delay."""

import ast
import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from temporalio import activity
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from activities.interceptor import Boundary
from activities.model import Model, ModelFault
from contracts.errors import PermanentError, TransientError
from devstack.scripted_model import serving
from policies.agents import Route
from settings import ROOT, Settings
from worker import model_of

OURS = [path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".") and path.name not in ("tests", "bench")]
CODE = [*ROOT.glob("*.py"), *(path for folder in OURS for path in folder.rglob("*.py") if not path.name.endswith(("_pb2.py", "_grpc.py")))]
CLIENTS = ("Client", "Transport", "OpenAI", "Session", "SMTP", "connect", "create_pool", "send")
LIBRARIES = {"tenacity", "backoff", "stamina", "retrying", "urllib3"}


def calls(path: Path) -> Iterator[ast.Call]:
    yield from (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))


def name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def test_every_model_client_has_its_own_retries_off() -> None:
    made = [call for path in CODE for call in calls(path) if name(call) in ("AsyncOpenAI", "OpenAI")]
    assert made
    for call in made:
        assert [ast.literal_eval(word.value) for word in call.keywords if word.arg == "max_retries"] == [0]


def test_no_client_is_told_to_try_again() -> None:
    for path in CODE:
        clients = [call for call in calls(path) if name(call).endswith(CLIENTS)]
        told = [word for call in clients for word in call.keywords if word.arg in ("retries", "max_retries", "retry")]
        assert all(isinstance(word.value, ast.Constant) and not word.value.value for word in told), path


def test_no_library_that_tries_again_is_imported() -> None:
    for path in CODE:
        nodes = list(ast.walk(ast.parse(path.read_text())))
        names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
        assert not LIBRARIES & {name.partition(".")[0] for name in names}, path


def test_every_grpc_channel_has_its_own_retries_off() -> None:
    for path in CODE:
        if any(name(call) in ("insecure_channel", "secure_channel") for call in calls(path)):
            assert '("grpc.enable_retries", 0)' in path.read_text(), path


@pytest.mark.parametrize("fault", [{"fault": "500"}, {"fault": "429", "retry_after": 9}, {"fault": "cut", "answer": {}}])
async def test_a_model_that_fails_is_asked_once_for_each_attempt(fault: dict[str, Any]) -> None:
    async with serving() as server:
        server.set_script([{**fault, "times": 9}])
        settings = Settings(openai_base_url=server.base_url, openai_api_key="none", model="scripted")  # pyright: ignore[reportArgumentType]
        async with model_of(settings) as model:
            with pytest.raises(ModelFault) as failed:
                await model.complete(Route(temperature=0), "scripted", [{"role": "user", "content": "hello"}], {"type": "object"})
        assert server.count == 1 and failed.value.retry_after == fault.get("retry_after")


@pytest.mark.parametrize(
    ("status", "headers", "retry_after", "busy"),
    [
        (429, {"retry-after": "7"}, 7.0, True),
        (429, {}, None, True),
        (503, {"date": "Mon, 04 May 2026 11:00:00 GMT", "retry-after": "Mon, 04 May 2026 11:00:05 GMT"}, 5.0, True),
        (503, {"retry-after": "1000000"}, 3600.0, True),
        (503, {}, None, False),
        (408, {}, None, True),
        (409, {}, None, True),
        (400, {"retry-after": "7"}, None, None),
        (401, {}, None, None),
        (404, {}, None, None),
    ],
)
async def test_only_what_may_pass_is_tried_again_and_when_it_asks_to_be(
    status: int, headers: dict[str, str], retry_after: float | None, busy: bool | None
) -> None:
    async def answers(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, headers=headers, json={"error": {"message": "no"}})

    http = httpx2.AsyncClient(transport=httpx2.MockTransport(answers))
    async with openai.AsyncOpenAI(base_url="http://model.test/v1", api_key="none", max_retries=0, http_client=http) as client:
        with pytest.raises(PermanentError if busy is None else ModelFault) as failed:
            await Model(client, None).complete(Route(temperature=0), "m", [], {"type": "object"})
    if isinstance(failed.value, ModelFault):
        assert (failed.value.retry_after, failed.value.busy) == (retry_after, busy)


class _Last(ActivityInboundInterceptor):
    def __init__(self, run: Any) -> None:
        self._run = run

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        return await self._run()


async def through(run: Any, environment: ActivityEnvironment | None = None) -> Any:
    """Run something as an activity behind the boundary."""
    made = Boundary().intercept_activity(_Last(run))
    return await (environment or ActivityEnvironment()).run(made.execute_activity, ExecuteActivityInput(run, (), None, {}))


@pytest.mark.parametrize(("asked", "delay"), [(None, None), (2.0, 2.0), (1e9, 3600.0), (float("nan"), None), (-3.0, 0.0), ("soon", None)])
async def test_the_wait_that_is_asked_for_becomes_temporals_delay(asked: Any, delay: float | None) -> None:
    async def busy() -> None:
        raise TransientError("busy", retry_after=asked)

    with pytest.raises(ApplicationError) as failed:
        await through(busy)
    assert failed.value.next_retry_delay == (None if delay is None else timedelta(seconds=delay)) and not failed.value.non_retryable


async def test_what_no_retry_can_mend_is_not_tried_again() -> None:
    async def wrong() -> None:
        raise PermanentError("wrong")

    with pytest.raises(ApplicationError) as failed:
        await through(wrong)
    assert failed.value.non_retryable


async def test_a_running_activity_beats_every_second_so_that_a_cancel_comes_back_soon() -> None:
    environment, beaten = ActivityEnvironment(), asyncio.Event()
    environment.on_heartbeat = lambda *_: beaten.set()

    async def works() -> None:
        assert activity.info().heartbeat_timeout == timedelta(seconds=15)
        async with asyncio.timeout(4):
            await beaten.wait()

    environment.info = replace(environment.info, heartbeat_timeout=timedelta(seconds=15))
    await through(works, environment)


async def test_what_nobody_expected_is_kept_by_its_type_only() -> None:
    async def broke() -> None:
        try:
            raise LookupError("hunter2")
        except LookupError as error:
            raise ValueError("no such row: s3cret-t0ken") from error

    with pytest.raises(ApplicationError) as failed:
        await through(broke)
    error = failed.value
    assert (error.type, error.message, error.details) == ("ValueError", "unknown broke (ValueError); the worker's log says more", ())
    assert error.__cause__ is None and not error.non_retryable


@pytest.mark.parametrize("kind", [asyncio.CancelledError, CancelledError])
async def test_a_cancel_stays_a_cancel(kind: type[BaseException]) -> None:
    async def stopped() -> None:
        raise kind("cancelled")

    with pytest.raises(kind):
        await through(stopped)
