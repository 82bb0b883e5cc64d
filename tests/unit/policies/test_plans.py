"""Plans: every mistake is told to the model, and what passes can run in order."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import BadInput
from contracts.plans import MAX_STEPS, Plan, PlanStep
from policies.answers import Shape
from policies.automation import Automation
from policies.plans import MAX_ID, PlanCheck, argument_problems, find_cycle

RECIPE: dict[str, Any] = {
    "description": "a post",
    "parameters": {"type": "object", "required": ["source"], "properties": {"source": {"type": "string"}, "title": {"type": "string"}}},
    "steps": [
        {"id": "draft", "tool": "draft.write", "arguments": {"source": {"$argument": "source"}, "title": {"$argument": "title"}}},
        {"id": "publish", "tool": "blog.publish", "arguments": {"text": {"$output": "draft/text"}}, "approval": True},
    ],
}
SHAPES = {
    "blog": RECIPE["parameters"],
    "draft.write": {"type": "object", "required": ["source"], "properties": {"source": {"type": "string"}, "title": {"type": "string"}}},
    "blog.publish": {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "maxLength": 5}, "tags": {}}},
}
NAMES = [f"s{n}" for n in range(6)]
GRAPHS = st.fixed_dictionaries({name: st.lists(st.sampled_from(NAMES), max_size=3, unique=True) for name in NAMES})


def check(*steps: dict[str, Any], prefix: str = "", earlier: Sequence[str] = (), **agent: Any) -> dict[str, PlanStep]:
    automation = Automation.model_validate(
        {
            "goal": "g", "agents": {"p": {"prompt": "p.md", "route": "r", "tools": list(SHAPES), **agent}}, "planner": "p",
            "models": {"r": {}}, "rules": [], "budget": {"run_micros": 1}, "recipes": {"blog": RECIPE},
        }
    )  # fmt: skip
    shapes = {name: Shape(name=name, description="d", parameters=parameters) for name, parameters in SHAPES.items()}
    made = PlanCheck(automation, automation.agents["p"], shapes, earlier).steps(Plan.model_validate({"steps": steps}), prefix)
    assert len({step.id for step in made}) == len(made)
    return {step.id: step for step in made}


def draft(id: str, **given: Any) -> dict[str, Any]:
    return {"id": id, "tool": "draft.write", "arguments": {"source": "a.md"}, **given}


def publish(id: str, text: Any = "x", **given: Any) -> dict[str, Any]:
    return {"id": id, "tool": "blog.publish", "arguments": {"text": text}, **given}


def blog(id: str, source: Any = "a.md", **given: Any) -> dict[str, Any]:
    return {"id": id, "tool": "blog", "arguments": {"source": source}, **given}


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([draft("a"), draft("a")], "two steps have the id 'a'"),
        ([{"id": "a", "tool": "rm"}], "step a: there is no tool 'rm'; use one of blog, blog.publish, draft.write"),
        ([draft("a", needs=["z"])], "step a needs 'z', which is no step of this plan"),
        ([publish("a", {"$output": "z/text"})], "step a needs 'z', which is no step of this plan"),
        ([publish("a", {"$output": "b/text"}), draft("b", needs=["a"])], "the plan has a cycle: a needs b needs a"),
        ([draft("a", needs=["a"])], "the plan has a cycle: a needs a"),
        ([blog("a", needs=["b"]), blog("b", needs=["a"])], "the plan has a cycle: "),
        ([draft("a", arguments={})], "step a: `source` is missing"),
        ([draft("a", arguments={"source": "x", "colour": 1})], "step a: `colour` is not an argument; there are source, title"),
        ([publish("a", "xxxxxx")], "step a: `text`: 'xxxxxx' is too long"),
        ([publish("a", 7)], "step a: `text`: 7 is not of type 'string'"),
        ([blog("a"), draft("a.draft")], "'a.draft' is already a step of this run"),
        ([blog("a" * 35)], f"'{'a' * 35}.publish' has 43 characters; {MAX_ID} is the most"),
    ],
)
def test_a_plan_that_cannot_run_is_refused_with_what_would_be_right(steps: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(BadInput) as caught:
        check(*steps)
    assert said in str(caught.value)


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(BadInput) as caught:
        check(draft("a", needs=["z"]), publish("b", 7), {"id": "c", "tool": "rm"})
    assert all(f"step {step}" in str(caught.value) for step in "abc")


@pytest.mark.parametrize(("count", "fits"), [(3, True), (4, False)])
def test_a_plan_has_at_most_as_many_steps_as_its_agent_may(count: int, fits: bool) -> None:
    steps = [draft(f"s{n}") for n in range(count)]
    if fits:
        assert len(check(*steps, max_steps=3)) == 3
    else:
        with pytest.raises(BadInput, match="the plan has 4 steps; 3 is the most"):
            check(*steps, max_steps=3)


def test_recipes_cannot_make_a_plan_too_long_for_history() -> None:
    with pytest.raises(BadInput, match=f"the plan comes to {MAX_STEPS + 2} steps; {MAX_STEPS} is the most"):
        check(*(blog(f"s{n}") for n in range(MAX_STEPS // 2 + 1)), max_steps=MAX_STEPS)


def test_a_recipe_becomes_its_steps() -> None:
    made = check(blog("a", why="because", approval=False))
    assert list(made) == ["a.draft", "a.publish"]
    # An argument that was not given is left to the tool's own default.
    assert made["a.draft"].arguments == {"source": "a.md"} and made["a.publish"].arguments == {"text": {"$output": "a.draft/text"}}
    assert made["a.publish"].needs == ("a.draft",)
    assert [(step.tool, step.why, step.approval) for step in made.values()] == [
        ("draft.write", "because", False),
        ("blog.publish", "because", True),
    ]


def test_a_plan_can_tighten_every_step_of_a_recipe() -> None:
    assert all(step.approval for step in check(blog("a", approval=True)).values())


def test_a_reference_implies_a_need() -> None:
    made = check(draft("a"), publish("b", {"$output": "a/text"}, needs=["a"]), publish("c", {"$output": "a/text"}))
    assert made["b"].needs == made["c"].needs == ("a",)


def test_what_needs_a_recipe_needs_its_last_step() -> None:
    made = check(blog("a"), draft("b", needs=["a"]), publish("c", {"$output": "a/url"}))
    assert made["b"].needs == ("a.publish",) and made["c"].arguments == {"text": {"$output": "a.publish/url"}}


def test_a_recipe_waits_for_what_its_planned_step_needs() -> None:
    made = check(draft("b"), draft("c"), blog("a", source={"$output": "b/id"}, needs=["c"]))
    assert set(made["a.draft"].needs) == {"b", "c"} and made["a.draft"].arguments == {"source": {"$output": "b/id"}}


def test_a_planned_step_with_the_name_of_a_recipes_part_is_not_mistaken_for_it() -> None:
    made = check(draft("draft"), blog("a", source={"$output": "draft/id"}))
    assert made["a.draft"].arguments == {"source": {"$output": "draft/id"}} and made["a.draft"].needs == ("draft",)
    assert made["a.publish"].arguments == {"text": {"$output": "a.draft/text"}}


def test_a_prefix_names_the_plans_own_steps_only() -> None:
    made = check(draft("a", needs=["old"]), publish("b", {"$output": "a/text"}), blog("c", needs=["a"]), prefix="w2-", earlier=["old", "a"])
    assert list(made) == ["w2-a", "w2-b", "w2-c.draft", "w2-c.publish"]
    assert made["w2-a"].needs == ("old",) and made["w2-b"].needs == ("w2-a",) and made["w2-b"].arguments["text"] == {"$output": "w2-a/text"}
    assert "w2-a" in made["w2-c.draft"].needs and "w2-c.draft" in made["w2-c.publish"].needs


def test_a_step_that_the_run_has_already_is_never_planned_again() -> None:
    with pytest.raises(BadInput, match="'w2-a' is already a step of this run"):
        check(draft("a"), prefix="w2-", earlier=["w2-a"])


@given(GRAPHS)
def test_a_cycle_is_found_exactly_where_there_is_one(needs: Mapping[str, list[str]]) -> None:
    left = dict(needs)
    while ready := [step for step, of in left.items() if not set(of) & set(left)]:
        for step in ready:
            del left[step]
    cycle = find_cycle(needs)
    assert bool(cycle) == bool(left)
    assert all(after in needs[before] for before, after in pairwise(cycle)) and cycle[:1] == cycle[-1:]


def test_a_long_chain_has_no_cycle() -> None:
    assert find_cycle({f"s{n}": [f"s{n + 1}"] for n in range(5000)}) == []


@given(GRAPHS)
def test_a_plan_that_passes_can_be_run_to_its_end(needs: dict[str, list[str]]) -> None:
    try:
        left = check(*(draft(name, needs=of) for name, of in needs.items()))
    except BadInput:
        assert find_cycle(needs)
        return
    while left:
        ready = [id for id, step in left.items() if not set(step.needs) & set(left)]
        assert ready
        for id in ready:
            del left[id]


def test_a_schema_that_would_stop_the_worker_is_a_problem_of_the_step_and_no_more() -> None:
    evil: dict[str, Any] = {"properties": {"a": {"pattern": "^(a+)+$"}}}
    assert argument_problems({"a": "a" * 200}, evil) == []
    assert argument_problems({"a": "a" * 200 + "!"}, evil)[0].startswith("`a`: ")
    branches = {"properties": {"a": {"anyOf": [{"type": "array"}] * 5000}}}
    assert "too many steps" in argument_problems({"a": "x" * 1_000_000}, branches)[0]
