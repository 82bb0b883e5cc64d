"""Bad plans and bad tools: each is told in words, to the model where it can mend it and in `why` for people, and nothing is done twice."""

import json
from typing import Any

import pytest

from channels.explain import Explained
from tests.house import House, plan, statuses, step
from tests.integration.workflows.conftest import HouseOf
from tests.probes import IMPATIENT
from tests.servers import free_port

GOOD = plan(step("z", note="mended"))
ONCE: dict[str, Any] = {"limits": {"replans": 0}}
SHORT = {"seconds=2)": "seconds=0.5)"}
ANSWER = "    return Kept(id=context.key, note=arguments.note)\n"
READ = '    return Found(text=f"{arguments.what}!")\n'


def why(found: Explained) -> str:
    """Return all that `why` prints of a run."""
    return "\n".join(line for moment in found.timeline for line in (moment.text, *moment.notes))


def told(house: House, call: int = -1) -> str:
    """Return the last thing that the model was told."""
    return house.model.calls[call]["messages"][-1]["content"]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (step("a", note=5), "step a: `note`: 5 is not of type 'string'"),
        (step("a", nothing="x"), "step a: `nothing` is not an argument; there are note, ask, fail"),
        (step("a", "probe.nope"), "step a: there is no tool 'probe.nope'; use one of probe.final, "),
        (step("a", "probe.erase"), "step a: there is no tool 'probe.erase'; use one of probe.final, "),
    ],
    ids=["wrong type", "unknown argument", "unknown tool", "tool outside the agent's list"],
)
async def test_a_step_that_cannot_run_goes_back_to_the_model_with_what_is_wrong_and_why_tells_it(
    house: House, bad: dict[str, Any], said: str
) -> None:
    found = await house.run(plan(bad), GOOD)
    assert found.run.status == "completed" and await house.notes() == ["mended"]
    assert said in told(house) and house.model.count == 2
    assert f"an answer was sent back: {said}" in why(found) and "1 of them to mend an answer" in why(found)


async def test_a_model_that_does_not_mend_its_arguments_is_stopped_with_the_field_named(house: House) -> None:
    found = await house.run({**plan(step("a", note=5)), "times": 9})
    assert found.run.status == "failed" and house.model.count == 2 and await house.calls() == {}
    assert "failed: the model's answer could not be used, after 1 repairs: step a: `note`: 5 is not of type 'string'" in why(found)


WRONG = plan(step("a", note="one"), step("b", "probe.write", "a", note={"$output": "a"}))


async def test_a_reference_that_turns_out_to_be_of_the_wrong_type_goes_back_to_the_model(house: House) -> None:
    found = await house.run(WRONG, GOOD)
    assert statuses(found) == {"a": "done", "b": "failed", "d2.z": "done"}
    said = "the arguments do not fit probe.write: `note`: Input should be a valid string"
    assert said in found.steps[1].detail and f"failed: b {said}" in told(house) and f"probe.write failed: {said}" in why(found)


async def test_references_that_stay_wrong_are_replanned_as_often_as_the_bundle_says(house_of: HouseOf) -> None:
    async with house_of(limits={"replans": 2}) as house:
        again = [plan(step("b", note={"$output": "a"})) for _ in range(3)]
        found = await house.run(WRONG, *again)
        assert found.run.status == "failed" and house.model.count == 3
        assert statuses(found) == {"a": "done", "b": "failed", "d2.b": "failed", "d3.b": "failed"}


async def test_a_reference_to_what_an_output_has_not_goes_back_to_the_model(house: House) -> None:
    found = await house.run(plan(step("a", note="one"), step("b", "probe.write", "a", note={"$output": "a/nothing"})), GOOD)
    assert statuses(found)["b"] == "failed" and "step a has no output 'nothing'" in why(found)


async def test_an_output_of_a_megabyte_is_referred_to_and_history_stays_small(house_of: HouseOf) -> None:
    large = {READ: '    return Found(text="x" * 1_000_000)\n'}
    async with house_of(tools=large) as house:
        found = await house.run(plan(step("a", "probe.read"), step("b", "probe.write", "a", note={"$output": "a/text"})))
        assert found.run.status == "completed" and [len(note) for note in await house.notes()] == [1_000_000]
        history = await house.handles[0].fetch_history()
        assert sum(event.ByteSize() for event in history.events) < 20_000


async def test_a_read_of_more_than_can_be_kept_fails_and_says_how_much_it_was(house_of: HouseOf) -> None:
    async with house_of(tools={READ: '    return Found(text="x" * 9_000_000)\n'}) as house:
        found = await house.run(plan(step("a", "probe.read")), GOOD)
        assert statuses(found) == {"a": "failed", "d2.z": "done"}
        assert "probe.read failed: its output has 8.6 MB, and 8 MB is the most: ask for less of it" in why(found)


async def test_a_write_whose_output_is_too_large_is_done_all_the_same_and_can_be_undone(house_of: HouseOf) -> None:
    large = {ANSWER: '    return Kept(id=context.key, note="x" * 9_000_000)\n'}
    async with house_of(tools=large, **ONCE) as house:
        found = await house.run(plan(step("a", note="one"), step("b", "probe.write", "a", note={"$output": "a/note"})))
        assert statuses(found) == {"a": "done", "b": "failed"} and found.steps[0].output == {"id": f"{found.run.lineage}/a/1"}
        assert "probe.write done: its output has 8.6 MB, and 8 MB is the most: without note" in why(found)
        assert "step a has no output 'note'" in found.steps[1].detail
        assert await house.calls() == {f"{found.run.lineage}/a/1": 1} and await house.notes() == [], "what is left of it names what to undo"


HANGS = {'    await _count(context, "calls")\n': '    await _count(context, "calls")\n    await asyncio.sleep(9)\n'}
GARBAGE = {ANSWER: '    return "garbage"\n'}
DOWN = "    await asyncio.open_connection('127.0.0.1', {port})\n"


def down() -> dict[str, str]:
    """Return tools that call a service which is not there."""
    call = DOWN.format(port=free_port())
    return {ANSWER: call + ANSWER, READ: call + READ}


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        (HANGS, "probe.write did not end within"),
        (GARBAGE, "probe.write broke (TypeError: it answered a str and not the Kept it declares); it may have acted"),
        (down(), "probe.write broke (ConnectionRefusedError: "),
    ],
    ids=["hangs", "garbage", "down"],
)
async def test_a_writing_tool_that_hangs_talks_rubbish_or_is_down_leaves_its_step_unknown_with_the_reason(
    house_of: HouseOf, tools: dict[str, str], said: str
) -> None:
    async with house_of(tools={**SHORT, **tools}, on_failure="keep", **IMPATIENT) as house:
        found = await house.run(plan(step("a", note="one")))
        assert found.run.status == "failed" and statuses(found) == {"a": "unknown"} and house.model.count == 1
        assert f"probe.write unknown: {said}" in why(found)
        assert "nobody knows whether probe.write happened" in why(found) or said in found.steps[0].detail


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        (
            {READ: "    await asyncio.sleep(9)\n" + READ, 'guarantee="pure", seconds=5)': 'guarantee="pure", seconds=0.3)'},
            "did not end within",
        ),
        ({READ: '    return "garbage"\n'}, "broke (TypeError: it answered a str and not the Found it declares)"),
        (down(), "broke (ConnectionRefusedError: "),
    ],
    ids=["hangs", "garbage", "down"],
)
async def test_a_reading_tool_that_hangs_talks_rubbish_or_is_down_fails_its_step_and_another_plan_is_made(
    house_of: HouseOf, tools: dict[str, str], said: str
) -> None:
    async with house_of(tools=tools, **IMPATIENT) as house:
        found = await house.run(plan(step("a", "probe.read")), plan())
        assert found.run.status == "completed" and statuses(found) == {"a": "failed"}
        assert f"probe.read failed: probe.read {said}" in why(found) and f"failed: a probe.read {said}" in told(house)


@pytest.mark.parametrize(("how", "status"), [({"ask": True}, "failed"), ({"fail": "unknown"}, "unknown")])
async def test_a_tool_that_is_gone_when_its_step_runs_fails_it_unless_it_may_have_acted_before(
    house_of: HouseOf, how: dict[str, Any], status: str
) -> None:
    async with house_of(tools=SHORT, on_failure="keep", **ONCE) as house:
        handle = await house.start(plan(step("a", "probe.guarded", note="one", **how)))
        request = (await house.waiting(handle)).waiting[0].id
        code = house.settings.automations / "probe" / "tools.py"
        code.write_text(code.read_text().replace('"probe.guarded"', '"probe.another"'))
        await house.decide(handle, request)
        assert await house.ended(handle) == "FAILED"
        found = await house.explained(handle)
        assert statuses(found) == {"a": status} and "probe has no tool 'probe.guarded'; it has probe.another, " in why(found)


async def test_what_why_prints_of_a_large_output_is_short(house_of: HouseOf) -> None:
    async with house_of(tools={ANSWER: '    raise ToolFailed("x" * 1_000_000)\n'}, **ONCE) as house:
        found = await house.run(plan(step("a", note="one")))
        assert len(why(found)) < 5000 and len(json.dumps([moment.body for moment in found.timeline])) < 20_000
