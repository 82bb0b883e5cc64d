"""Plans as drawings."""

from channels.console.graph import MOST, Graph, graph
from ledger.steps import StepRow


def step(name: str, *needs: str, status: str = "planned") -> StepRow:
    return StepRow(name, "d1", "tool", {}, list(needs), "", False, status, 1, "", None, None)


def drawn(*steps: StepRow) -> Graph:
    found = graph(steps)
    assert found is not None
    return found


def test_a_step_stands_right_of_all_it_needs_and_beside_nobody_else() -> None:
    found = drawn(step("a"), step("b"), step("c", "a", "b"), step("d", "c", "a"))
    at = {box.step.step: (box.x, box.y) for box in found.boxes}
    assert at["a"][0] == at["b"][0] < at["c"][0] < at["d"][0] and len(set(at.values())) == 4 and len(found.lines) == 4
    assert all(box.x < found.width and box.y < found.height for box in found.boxes)


def test_a_plan_that_goes_in_a_circle_or_names_nobody_is_drawn_all_the_same() -> None:
    assert len(drawn(step("a", "b"), step("b", "a")).boxes) == 2
    assert drawn(step("a", "gone")).lines == ()


def test_a_need_that_is_met_is_drawn_as_done() -> None:
    assert [line.done for line in drawn(step("a", status="done"), step("b", "a"), step("c", "b")).lines] == [True, False]


def test_nothing_and_too_much_are_not_drawn() -> None:
    assert graph([]) is None and graph([step(f"s{nth}") for nth in range(MOST + 1)]) is None
