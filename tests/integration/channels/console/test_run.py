"""The page of a run, on a real run: what it shows, what a person does to it there, and what it tells while it goes on."""

import json
from collections.abc import AsyncGenerator

import pytest

from tests.house import House, plan, step
from tests.integration.channels.console.conftest import Console, Served


@pytest.fixture
async def at_house(house: House, served: Served) -> AsyncGenerator[Console]:
    """A console of a whole house."""

    async def connect() -> object:
        return house.client

    async with served(connect, task_queue=house.settings.task_queue, automations=house.settings.automations) as made:
        yield made


async def test_a_run_shows_its_plan_its_requests_and_why(house: House, at_house: Console) -> None:
    handle = await house.start(plan(step("a", note="one", ask=True), step("b", "probe.write", "a", note="two")))
    found = await house.waiting(handle)
    async with at_house.visitor("otto") as otto:
        page = (await otto.load(f"/runs/{handle.id}")).text
    assert handle.id in page and page.count('class="box ') == 2 and page.count('class="need') == 1
    assert f"/requests/{found.waiting[0].id}" in page and "1 wait for a person" in page and "decided on 2 steps" in page
    assert found.run.lineage in page and 'data-verb="pause"' in page and 'data-verb="undo"' not in page


async def test_an_approval_on_the_page_lets_the_run_go_on(house: House, at_house: Console) -> None:
    handle = await house.start(plan(step("a", note="one", ask=True)))
    request = (await house.waiting(handle)).waiting[0]
    async with at_house.visitor("ada") as ada:
        answer = await ada.send(f"/requests/{request.id}/approve", digest=request.digest)
    assert answer.status_code == 200, answer.text
    assert await house.ended(handle) == "COMPLETED" and await house.notes() == ["one"]


async def test_an_edit_on_the_page_runs_what_was_written(house: House, at_house: Console) -> None:
    handle = await house.start(plan(step("a", note="one", ask=True)))
    request = (await house.waiting(handle)).waiting[0]
    async with at_house.visitor("ada") as ada:
        fields = {"digest": request.digest, "arg.note": "better", "arg.ask": "true"}
        answer = await ada.send(f"/requests/{request.id}/edit", **fields)
    assert answer.status_code == 200, answer.text
    assert await house.ended(handle) == "COMPLETED" and await house.notes() == ["better"]


async def test_an_edit_that_the_rules_deny_is_told_at_once(house: House, at_house: Console) -> None:
    handle = await house.start(plan(step("a", note="one", ask=True)))
    request = (await house.waiting(handle)).waiting[0]
    async with at_house.visitor("ada") as ada:
        fields = {"digest": request.digest, "arg.note": "forbidden", "arg.ask": "true"}
        answer = await ada.send(f"/requests/{request.id}/edit", **fields)
    assert answer.status_code == 409 and "this note is forbidden" in answer.text
    assert (await at_house.read(request.id)).state == "pending"


async def test_a_run_is_paused_resumed_and_cancelled_on_its_page(house: House, at_house: Console) -> None:
    handle = await house.start(plan(step("a", note="one", ask=True)))
    await house.waiting(handle)
    async with at_house.visitor("otto") as otto:
        paused = await otto.send(f"/runs/{handle.id}/pause", reason="lunch")
        assert paused.status_code == 200 and "is paused" in paused.text and "paused by otto" in paused.text
        resumed = await otto.send(f"/runs/{handle.id}/resume")
        assert resumed.status_code == 200 and "goes on" in resumed.text
        assert (await otto.send(f"/runs/{handle.id}/cancel", ending="keep")).status_code == 200
        assert await house.ended(handle) in ("CANCELED", "COMPLETED", "FAILED")
        assert (await otto.send(f"/runs/{handle.id}/pause")).status_code == 409
    found = await house.explained(handle)
    assert found.run.status == "cancelled" and found.run.cancelled_by == "otto"


async def test_an_ended_run_is_forked_and_undone_on_its_page(house: House, at_house: Console) -> None:
    handle = await house.start(plan(step("a", note="one")))
    assert await house.ended(handle) == "COMPLETED"
    async with at_house.visitor("otto") as otto:
        page = (await otto.load(f"/runs/{handle.id}")).text
        assert 'data-verb="fork"' in page and 'data-verb="undo"' in page
        undone = await otto.send(f"/runs/{handle.id}/undo", reason="a mistake")
        assert undone.status_code == 200 and "being undone" in undone.text
        await house.until(handle, lambda found: any(moment.body.get("event") == "undone" for moment in found.timeline))
        house.model.set_script([plan(step("a", note="two"))])
        forked = await otto.send(f"/runs/{handle.id}/fork", at="d1")
        assert forked.status_code == 200 and "forked as" in forked.text
        wrong = await otto.send(f"/runs/{handle.id}/fork", at="nowhere")
        assert wrong.status_code == 409 and "has no step" in wrong.text


async def test_the_stream_tells_what_happens_and_goes_on_after_a_break(house: House, at_house: Console) -> None:
    handle = await house.start(plan(step("a", note="one", ask=True)))
    request = (await house.waiting(handle)).waiting[0]
    async with at_house.visitor("ada") as ada:
        page = (await ada.load(f"/runs/{handle.id}")).text
        address = page.split('data-live="')[1].split('"')[0].replace("&amp;", "&")
        async with ada.client.stream("GET", address) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            await ada.send(f"/requests/{request.id}/approve", digest=request.digest)
            id = await _until(stream, "ruling")
        await house.ended(handle)
        async with ada.client.stream("GET", address, headers={"last-event-id": id}) as stream:
            await _until(stream, "effect")


async def _until(stream: object, kind: str) -> str:
    """Read a stream until a record of a kind comes, and return the event's id."""
    id = ""
    async for line in stream.aiter_lines():  # pyright: ignore[reportAttributeAccessIssue]
        if line.startswith("id: "):
            id = line.removeprefix("id: ")
        if line.startswith("data: ") and json.loads(line.removeprefix("data: ")).get("kind") == kind:
            return id
    raise AssertionError(f"the stream ended without a {kind}")


async def test_a_run_that_is_not_there_is_said_so(at_house: Console) -> None:
    async with at_house.visitor("vera") as vera:
        assert (await vera.client.get("/runs/nothing")).status_code == 404
        assert (await vera.client.get("/events?run=nothing&after=1")).status_code == 400
        assert (await vera.client.get("/events?after=x")).status_code == 400
