"""Random plans from a seed: shapes of graphs, tools, failures and approvals that nobody thought of."""

from typing import Any

from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st

from tests.chaos.shapes import Shape, errand, plan

TOOLS = ("kept", "plain", "found", "quick")
FAILURES = ("", "", "", "", "busy:1", "unknown:1", "broken:1", "failed")
MOST = 7


@st.composite
def graphs(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw a plan's steps: each may need any that come before it."""
    steps: list[dict[str, Any]] = []
    for nth in range(draw(st.integers(2, MOST))):
        before = [step["id"] for step in steps]
        needs = draw(st.lists(st.sampled_from(before), unique=True, max_size=3)) if before else []
        tool = draw(st.sampled_from(TOOLS))
        ask = draw(st.integers(0, 4)) == 0
        # What only a person could tell happens by kills alone: the same plan would end in two ways otherwise.
        fail = "" if tool == "plain" else draw(st.sampled_from(FAILURES))
        steps.append(errand(f"s{nth}", tool, *needs, ask=ask, fail=fail))
    return steps


def drawn(count: int, start: int) -> list[Shape]:
    """Return so many shapes with a random plan in one or two windows, the same for the same seed."""
    made: list[Shape] = []

    @seed(start)
    @settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate])
    @given(graphs(), st.one_of(st.none(), graphs()), st.booleans())
    def draw(first: list[dict[str, Any]], second: list[dict[str, Any]] | None, by_signal: bool) -> None:
        windows = [[plan(*first)]] if second is None else [[plan(*first, done=False)], [plan(*second)]]
        made.append(Shape(f"plan{len(made)}", windows=windows, by_signal=by_signal))

    draw()
    return made[:count]
