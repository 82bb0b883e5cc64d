"""What a plan under way makes of a step that is opened again; only what needs no event loop of a workflow."""

from contracts.plans import StepRef
from workflows.plan import PlanRun


async def never(step: StepRef) -> str | None:
    raise AssertionError


def plan(**statuses: str) -> PlanRun:
    needs = {"a": (), "b": ("a",), "c": ("b",), "d": (), "e": ("d",)}
    return PlanRun([StepRef(id=id, tool="t", needs=of) for id, of in needs.items()], statuses, never)


def test_a_step_that_is_opened_again_takes_what_was_skipped_because_of_it_along() -> None:
    made = plan(a="failed", b="skipped", c="skipped", d="failed", e="skipped")
    made.reopen("a")
    assert made.statuses == {"d": "failed", "e": "skipped"}


def test_a_done_step_and_one_of_another_plan_stay_as_they_are() -> None:
    made = plan(a="done", b="failed")
    for id in ("a", "elsewhere"):
        made.reopen(id)
    assert made.statuses == {"a": "done", "b": "failed"}
