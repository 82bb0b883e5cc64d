"""The plan that runs is the model's: the run follows it, or refuses it and says why."""

from typing import Any

import pytest

from tests.machine import BLOG, NEWSLETTER, SOCIAL, Machine, piece, start_model


async def approve_all(machine: Machine, id: str, count: int) -> None:
    """Approve what waits, by the command line."""
    requests = await machine.waiting(id, count)
    for said in await machine.starters(*(["approve", request.id, "--reason", "fine"] for request in requests.values())):
        assert said.code == 0, said


async def test_a_plan_of_fewer_pieces_publishes_fewer_pieces(own: Machine) -> None:
    await own.plan(SOCIAL)
    await own.start("one-piece")
    await approve_all(own, "one-piece", 1)
    found, arrived = await own.finished("one-piece")
    assert (found.run.status, arrived.counts) == ("completed", (0, 0, 1))
    assert found.run.summary == "4 done"


async def test_a_plan_in_another_order_runs_in_that_order(own: Machine) -> None:
    await own.plan({**SOCIAL, "id": "first"}, {**BLOG, "id": "second", "needs": ["first"]})
    await own.start("ordered")
    requests = await own.waiting("ordered", 1)
    # The blog post is not even begun while the social post waits.
    assert list(requests) == ["social.post"]
    await approve_all(own, "ordered", 1)
    await own.until("ordered", lambda found: [request.tool for request in found.waiting] == ["blog.publish"])
    await approve_all(own, "ordered", 1)
    found, arrived = await own.finished("ordered")
    assert (found.run.status, arrived.counts) == ("completed", (1, 0, 1))
    ended = {step.step: step.ended_at for step in found.steps}
    first, second = ended["first.publish"], ended["second.brief"]
    assert first is not None and second is not None and first < second


REFUSED: dict[str, tuple[list[dict[str, Any]], str]] = {
    "bad-tool": ([piece("no_such_tool", "retries.md", "Retries")], "there is no tool 'no_such_tool'; use one of blog, newsletter, social"),
    "cycle": (
        [{**BLOG, "id": "a", "needs": ["b"]}, {**SOCIAL, "id": "b", "needs": ["a"]}],
        "the plan has a cycle: ",
    ),
    "obeys-the-note": (
        [{"tool": "newsletter.send", "arguments": {"recipients": ["thief@example.test"]}, "why": "the note says so"}],
        "there is no tool 'newsletter.send'; use one of",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_plan_that_cannot_run_is_refused_whole_and_show_says_why(own: Machine, name: str) -> None:
    steps, why = REFUSED[name]
    await own.plan(*steps)
    await own.start(name)
    found, arrived = await own.finished(name)
    assert (found.run.status, found.steps, arrived.counts) == ("failed", [], (0, 0, 0))
    shown = (await own.starter("show", name)).out
    assert why in shown
    assert "no plan was made, so nothing was run" in shown


async def test_a_plan_about_an_unknown_source_publishes_nothing_and_show_names_the_known_ones(own: Machine) -> None:
    await own.plan(piece("blog", "never-written.md", "A note nobody wrote"))
    await own.start("unknown-source")
    found, arrived = await own.finished("unknown-source")
    assert (found.run.status, arrived.counts) == ("failed", (0, 0, 0))
    assert "there is no note 'never-written.md'; some are" in (await own.starter("show", "unknown-source")).out


async def test_with_the_model_down_nothing_is_published_show_says_why_and_a_cancel_ends_it(own: Machine) -> None:
    await own.model.stop()
    try:
        await own.start("no-model")
        await own.until("no-model", lambda found: found.run.status == "running")
        shown = await own.starter("show", "no-model")
        for _ in range(5):
            if "is tried again" in shown.out:
                break
            shown = await own.starter("show", "no-model")
        assert "propose d1 is tried again, attempt" in shown.out
        assert "the model" in shown.out
        calls = (await own.starter("show", "no-model", "--json")).json["calls"]
        assert [(call["activity"], call["step"]) for call in calls] == [("propose", "d1")]
        await own.temporal("workflow", "cancel", "--workflow-id", "no-model")
        found, arrived = await own.finished("no-model")
        assert (found.run.status, arrived.counts) == ("cancelled", (0, 0, 0))
    finally:
        await start_model(own)


async def test_one_rejected_piece_keeps_only_itself_back(own: Machine) -> None:
    await own.plan(BLOG, NEWSLETTER, SOCIAL)
    await own.start("one-rejected")
    requests = await own.waiting("one-rejected", 3)
    said = await own.starter("reject", requests["newsletter.send"].id, "--reason", "not this week", "--by", "ben")
    assert said.code == 0, said
    await approve_all(own, "one-rejected", 2)
    found, arrived = await own.finished("one-rejected")
    assert (found.run.status, arrived.counts, arrived.each_once) == ("completed", (1, 0, 1), True)
    assert "newsletter.send) refused: ben: not this week" in (await own.starter("show", "one-rejected")).out
