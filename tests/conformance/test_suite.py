"""What every executor promises, whatever stands behind it: the same tools, called the same way, end the same way."""

import asyncio
from datetime import timedelta
from secrets import token_hex
from typing import Any

import pytest

from activities.calls import call, parsed
from contracts.errors import ToolFailed, ToolRetry, ToolUnknown, TransientError
from tests.conformance.kinds import NAMES, SECRETS, Served
from tests.servers import until

TEXT = "grüße \u202e\n\U0001f600"


async def run(served: Served, tool: str, arguments: dict[str, Any], key: str = "", seconds: float | None = None) -> dict[str, Any]:
    made = served.tools[tool]
    return await call(made, parsed(made, arguments), served.context(tool, key, seconds))


async def counts(served: Served, key: str) -> dict[str, int]:
    return await run(served, "note.counts", {"key": key})


@pytest.fixture
def key() -> str:
    return f"lineage/{token_hex(4)}/1"


def test_every_tool_says_the_same_of_itself(served: Served) -> None:
    assert set(served.tools) == set(NAMES)
    said = {name: (tool.effect, tool.guarantee, tool.compensate_with, tool.irreversible) for name, tool in served.tools.items()}
    assert said == {
        "note.write": ("write", "idempotent", "note.erase", False),
        "note.guarded": ("write", "guarded", "note.erase", False),
        "note.erase": ("write", "idempotent", None, True),
        "note.slow": ("write", "guarded", None, True),
        "note.read": ("read", "pure", None, False),
        "note.counts": ("read", "pure", None, False),
    }
    assert served.tools["note.write"].key_ttl == timedelta(days=1) and served.tools["note.guarded"].lookup
    assert all(tool.description and tool.version for tool in served.tools.values())


async def test_what_was_written_is_read(served: Served, key: str) -> None:
    written = await run(served, "note.write", {"note": TEXT, "number": 2**53 + 1}, key)
    assert written == {"id": key, "note": TEXT, "number": 2**53 + 1, "count": 1}
    assert await run(served, "note.read", {"id": key}) == {"text": TEXT}


async def test_the_same_key_writes_once(served: Served, key: str) -> None:
    answers = [await run(served, "note.write", {"note": "once"}, key) for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    found = await counts(served, key)
    assert (found["calls"], found["bodies"]) == (3, 1)


async def test_two_keys_write_twice(served: Served) -> None:
    first, second = await run(served, "note.write", {"note": "same"}), await run(served, "note.write", {"note": "same"})
    assert first["id"] != second["id"] and first["count"] == second["count"] == 1


async def test_an_undo_takes_what_the_tool_answered(served: Served, key: str) -> None:
    tool = served.tools["note.write"]
    written = await run(served, "note.write", {"note": "gone soon"}, key)
    undo = served.tools[tool.compensate_with or ""]
    assert await run(served, undo.name, undo.undo_arguments(written), f"{key}/undo") == {"erased": True}
    assert await run(served, "note.read", {"id": key}) == {"text": ""}


async def test_arguments_that_do_not_fit_never_reach_the_tool(served: Served, key: str) -> None:
    for wrong in ({}, {"note": 7}, {"note": "x", "number": "many"}):
        with pytest.raises(ToolRetry, match=r"the arguments do not fit note\.write"):
            await run(served, "note.write", wrong, key)
    assert (await counts(served, key))["calls"] == 0


@pytest.mark.parametrize("tool", ["note.write", "note.guarded"])
@pytest.mark.parametrize(("how", "error"), [("retry", ToolRetry), ("failed", ToolFailed), ("transient", TransientError)])
async def test_a_tool_that_did_nothing_says_so(served: Served, key: str, tool: str, how: str, error: type[Exception]) -> None:
    # HTTP may say it by its status alone.
    with pytest.raises(error, match=r"told to|429") as caught:
        await run(served, tool, {"note": "x", "how": how}, key)
    assert type(caught.value) is error
    assert getattr(caught.value, "retry_after", 7.0) == 7.0
    found = await counts(served, key)
    assert (found["calls"], found["bodies"]) == (1, 0)


@pytest.mark.parametrize("tool", ["note.write", "note.guarded"])
@pytest.mark.parametrize("how", ["unknown", "cut", "garbage"])
async def test_a_write_whose_end_nobody_heard_is_unknown(served: Served, key: str, tool: str, how: str) -> None:
    with pytest.raises(ToolUnknown):
        await run(served, tool, {"note": "x", "how": how}, key)
    found = await counts(served, key)
    assert (found["calls"], found["bodies"]) == (1, 1)


@pytest.mark.parametrize("how", ["failed", "transient", "cut", "garbage"])
async def test_a_read_never_is_unknown(served: Served, how: str) -> None:
    with pytest.raises((ToolFailed, TransientError)) as caught:
        await run(served, "note.read", {"id": "x", "how": how})
    assert isinstance(caught.value, TransientError) or how != "transient"
    assert isinstance(caught.value, ToolFailed) or how not in {"failed", "garbage"}


async def test_a_lost_write_is_made_good_with_the_same_key(served: Served, key: str) -> None:
    with pytest.raises(ToolUnknown):
        await run(served, "note.write", {"note": "once", "how": "unknown"}, key)
    assert (await run(served, "note.write", {"note": "once"}, key))["count"] == 1
    assert (await counts(served, key))["bodies"] == 1


async def test_a_look_up_tells_what_happened(served: Served, key: str) -> None:
    look_up = served.tools["note.guarded"].lookup
    assert look_up is not None
    context = served.context("note.guarded", key)
    before = await look_up(key, context)
    assert before is not None and not before.happened
    with pytest.raises(ToolUnknown):
        await run(served, "note.guarded", {"note": "found again", "how": "unknown"}, key)
    after = await look_up(key, context)
    assert after is not None and after.happened
    assert after.output == {"id": key, "note": "found again", "number": 0, "count": 1}


async def test_nothing_starts_after_its_deadline(served: Served, key: str) -> None:
    with pytest.raises(TransientError, match="its time was over"):
        await run(served, "note.write", {"note": "late"}, key, seconds=-1)
    assert (await counts(served, key))["calls"] == 0


async def test_a_call_that_outlives_its_deadline_is_unknown_and_stopped(served: Served, key: str) -> None:
    with pytest.raises(ToolUnknown, match="it may have acted"):
        await run(served, "note.slow", {"seconds": 30}, key, seconds=0.5)
    await _stopped(served, key)


async def test_a_cancel_reaches_the_tool(served: Served, key: str) -> None:
    task = asyncio.create_task(run(served, "note.slow", {"seconds": 30}, key))

    async def started() -> bool:
        return (await counts(served, key))["started"] == 1

    await until(started)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await _stopped(served, key)


async def _stopped(served: Served, key: str) -> None:
    async def stopped() -> bool:
        return (await counts(served, key))["cancelled"] == 1

    await until(stopped, 10)
    assert (await counts(served, key))["ended"] == 0


async def test_a_secret_never_comes_back(served: Served) -> None:
    answer = await run(served, "note.read", {"how": "secret"})
    assert answer == {"text": "the token is [NOTE_TOKEN]"}
    assert SECRETS["NOTE_TOKEN"] not in str(answer)


async def test_many_calls_at_once_do_not_mix(served: Served) -> None:
    notes = [f"note {number}" for number in range(20)]
    answers = await asyncio.gather(*(run(served, "note.write", {"note": note}) for note in notes))
    assert [answer["note"] for answer in answers] == notes
    assert len({answer["id"] for answer in answers}) == 20
