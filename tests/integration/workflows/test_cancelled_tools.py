"""A cancel and a tool that runs: it hears of it soon, and what it did is never silently lost."""

import time

import pytest

from ledger import breakers
from tests.house import House, plan, statuses, step
from tests.integration.workflows.conftest import HouseOf
from tests.probes import IMPATIENT
from tests.servers import until

SLEEP = "    await asyncio.sleep(arguments.seconds)\n"
NOTED = """    try:
        await asyncio.sleep(arguments.seconds)
    except asyncio.CancelledError:
        await _count(context, "cancelled")
        {then}
"""
QUICK_SLOW = {'"probe.slow", effect="write"': '"probe.slow", quick=True, effect="write"', "seconds=20)": "seconds=9)"}
LONG = step("a", "probe.slow", note="one", seconds=18)


def noted(then: str) -> dict[str, str]:
    """Return the change of the probe's tools that notes when a call is cancelled. then: what it does after it."""
    return {SLEEP: NOTED.format(then=then)}


async def claimed(house: House) -> None:
    async def holds() -> bool:
        return len(await house.effects(house.handles[-1])) == 1

    await until(holds)


async def test_a_cancel_reaches_a_running_tool_and_its_effect_is_unknown_with_the_reason(house_of: HouseOf) -> None:
    async with house_of(tools=noted("raise"), on_failure="keep") as house:
        handle = await house.start(plan(LONG))
        await claimed(house)
        begun = time.monotonic()
        await handle.cancel()
        assert await house.ended(handle) == "CANCELED"
        # It takes about two seconds; the bound is for a loaded machine, and far from the tool's own end.
        assert time.monotonic() - begun < 10
        assert list((await house.calls("cancelled")).values()) == [1] and await house.notes() == []
        [effect] = await house.effects(handle)
        assert (effect.state, effect.detail) == ("unknown", "probe.slow was cancelled while it ran; it may have acted")
        [line] = [moment.text for moment in (await house.explained(handle)).timeline if moment.body.get("event") == "unknown"]
        assert line.startswith("probe.slow unknown: probe.slow was cancelled while it ran; it may have acted")


@pytest.mark.parametrize(
    ("then", "state"),
    [("pass", "done"), ('raise ToolFailed("stopped before anything was done")', "failed"), ('raise ValueError("in a panic")', "unknown")],
)
async def test_what_a_cancelled_tool_says_of_its_end_is_its_effects_end(house_of: HouseOf, then: str, state: str) -> None:
    async with house_of(tools=noted(then), on_failure="keep") as house:
        handle = await house.start(plan(LONG))
        await claimed(house)
        await handle.cancel()
        assert await house.ended(handle) == "CANCELED"
        assert [effect.state for effect in await house.effects(handle)] == [state]
        assert await house.notes() == (["one"] if state == "done" else [])


@pytest.mark.parametrize("seconds", [1, 8])
async def test_a_cancel_of_a_quick_tool_leaves_its_effect_done_or_unknown(house_of: HouseOf, seconds: int) -> None:
    async with house_of(tools=QUICK_SLOW, on_failure="keep") as house:
        handle = await house.start(plan(step("a", "probe.slow", note="one", seconds=seconds)))
        await claimed(house)
        await handle.cancel()
        assert await house.ended(handle) == "CANCELED"
        [effect] = await house.effects(handle)
        # A call that is cut off just as it has acted is unknown too; what has not acted is never done.
        assert effect.state in (("done", "unknown") if await house.notes() else ("unknown",)) and effect.ended_at is not None


async def test_a_cancelled_probe_lets_the_next_one_begin_at_once(house_of: HouseOf) -> None:
    async with house_of(tools=noted("raise"), on_failure="keep") as house:
        row = "('default', 'tool', 'probe', 'probe.slow', 'open', 2, 1, now(), 'down')"
        async with house.database.transaction("default") as tx:
            await tx.execute(
                f"INSERT INTO breaker (tenant, kind, automation, name, state, failures, openings, opened_until, detail) VALUES {row}"  # noqa: S608
            )
        handle = await house.start(plan(LONG))
        await claimed(house)
        await handle.cancel()
        await house.ended(handle)
        async with house.database.transaction("default") as tx:
            [breaker] = await breakers.of_tenant(tx)
        assert (breaker.state, breaker.wait) == ("half_open", 0)


HANG = {"    return await _done(arguments, context)\n": "    await asyncio.sleep(9)\n    return await _done(arguments, context)\n"}
BLOCK = {"    return await _done(arguments, context)\n": "    __import__('time').sleep(4)\n    return await _done(arguments, context)\n"}
SHORT = {"seconds=2)": "seconds=0.5)"}


@pytest.mark.parametrize(
    ("tools", "worker", "said"),
    [
        ({**SHORT, **HANG}, {}, "did not end within"),
        (BLOCK, {}, "nobody knows whether probe.write happened"),
        (BLOCK, {"heartbeat_seconds": 1}, "nobody knows whether probe.write happened"),
    ],
    ids=["the tool's own time", "start to close", "heartbeat"],
)
async def test_a_write_that_times_out_may_have_taken_effect_and_is_unknown(
    house_of: HouseOf, tools: dict[str, str], worker: dict[str, float], said: str
) -> None:
    async with house_of(tools=tools, worker=worker, on_failure="keep", **IMPATIENT) as house:
        found = await house.run(plan(step("a", note="one")))
        assert found.run.status == "failed" and statuses(found) == {"a": "unknown"} and said in found.steps[0].detail
        assert [effect.state for effect in await house.effects(house.handles[0])] == ["unknown"]


async def test_a_read_that_times_out_has_failed(house_of: HouseOf) -> None:
    hangs = {
        '    await _count(context, "reads")\n': "    await asyncio.sleep(9)\n",
        'guarantee="pure", seconds=5)': 'guarantee="pure", seconds=0.3)',
    }
    async with house_of(tools=hangs, limits={**IMPATIENT["limits"], "replans": 0}) as house:
        found = await house.run(plan(step("a", "probe.read", what="x")))
        assert statuses(found) == {"a": "failed"} and "probe.read did not end within 0 s" in found.steps[0].detail


async def test_an_undo_that_only_hears_busy_does_not_clear_the_doubt_either(house_of: HouseOf) -> None:
    async with house_of(tools={**SHORT, **LOST_THEN_BUSY}, **IMPATIENT) as house:
        found = await house.run(plan(step("a", note="one", fail="transient")))
        assert found.run.status == "failed" and f"not undone: {found.run.lineage}/a/1" in found.run.summary
        assert [effect.state for effect in await house.effects(house.handles[0])] == ["unknown"]


LOST_THEN_BUSY = {
    '            raise TransientError("told to be busy", retry_after=0.1)\n': """            if await _count(context, "doubt") == 1:
                raise ToolUnknown("told to lose its answer")
            raise TransientError("told to be busy", retry_after=0.1)
"""
}


async def test_an_attempt_that_surely_did_nothing_does_not_clear_the_doubt_about_one_before_it(house_of: HouseOf) -> None:
    async with house_of(tools={**SHORT, **LOST_THEN_BUSY}, on_failure="keep", **IMPATIENT) as house:
        found = await house.run(plan(step("a", note="one", fail="transient")))
        assert statuses(found) == {"a": "unknown"} and sum((await house.calls("doubt")).values()) > 1
        assert [effect.state for effect in await house.effects(house.handles[0])] == ["unknown"]
