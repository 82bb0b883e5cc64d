"""The folder as configuration: it loads, its example plan expands, its rules say who must be asked."""

import json
from typing import Any

import pytest

from contracts.errors import BadInput
from policies.answers import Shape, answer_schema, parse
from policies.bundles import Bundle
from policies.plans import PlanCheck
from policies.prompts import render
from tools import Tool

READERS = ["readers@example.test"]


def shapes(bundle: Bundle, tools: dict[str, Tool]) -> dict[str, Shape]:
    made = {
        name: Shape(name=name, description=tool.description, parameters=tool.arguments.model_json_schema()) for name, tool in tools.items()
    }
    recipes = bundle.settings.recipes.items()
    return made | {name: Shape(name=name, description=recipe.description, parameters=recipe.parameters) for name, recipe in recipes}


def test_the_example_plan_expands_to_its_steps(bundle: Bundle, tools: dict[str, Tool], plan: dict[str, Any]) -> None:
    for agent in bundle.settings.agents.values():
        steps = PlanCheck(bundle.settings, agent, shapes(bundle, tools)).steps(parse(json.dumps(plan)))
        assert [step.id for step in steps[:4]] == ["s1.brief", "s1.draft", "s1.slot", "s1.publish"]
        assert [step.tool for step in steps[3::4]] == ["blog.publish", "newsletter.send", "social.post"]
        assert set(steps[3].needs) == {"s1.draft", "s1.slot"} and not steps[4].needs


def test_the_small_model_can_only_pick_and_takes_another_note_each_time(bundle: Bundle, tools: dict[str, Tool]) -> None:
    planner = bundle.settings.agents["planner"]
    schema = answer_schema(planner, shapes(bundle, tools), {"source": ["a.md", "b.md", "c.md", "d.md"]})
    steps = schema["properties"]["steps"]
    assert (steps["minItems"], steps["maxItems"]) == (3, 3)
    for place, picks in zip(steps["prefixItems"], (["a.md", "d.md"], ["b.md"], ["c.md"]), strict=True):
        assert [form["properties"]["tool"]["const"] for form in place["anyOf"]] == ["blog", "newsletter", "social"]
        assert all(form["properties"]["arguments"]["properties"]["source"] == {"enum": picks} for form in place["anyOf"])


def test_with_fewer_notes_there_are_fewer_pieces(bundle: Bundle, tools: dict[str, Tool]) -> None:
    schema = answer_schema(bundle.settings.agents["planner"], shapes(bundle, tools), {"source": ["a.md"]})
    assert schema["properties"]["steps"]["maxItems"] == 1


def test_two_pieces_of_one_note_go_back_to_the_planner(bundle: Bundle, tools: dict[str, Tool], plan: dict[str, Any]) -> None:
    for step in plan["steps"]:
        step["arguments"]["source"] = "retries.md"
    check = PlanCheck(bundle.settings, bundle.settings.agents["planner"], shapes(bundle, tools))
    with pytest.raises(BadInput, match=r"two steps have the source 'retries\.md': give each another one"):
        check.steps(parse(json.dumps(plan)))


def test_prompts_stay_short_with_eight_long_notes(bundle: Bundle, tools: dict[str, Tool]) -> None:
    notes = [{"id": f"folder/note-{i}.md", "title": "long " * 24, "excerpt": "words " * 33, "sha256": "0" * 64} for i in range(8)]
    failed = [{"step": "s1.publish", "tool": "blog.publish", "detail": "the site is read-only"}]
    offered = [shape.model_dump() for name, shape in shapes(bundle, tools).items() if name in bundle.settings.agents["editor"].tools]
    values = {
        "goal": bundle.settings.goal,
        "input": {"theme": "t"},
        "sources": {"notes": notes},
        "published": {"hits": []},
        "tools": offered,
        "failed": failed,
    }
    for agent, most in (("planner", 3400), ("editor", 8000)):
        prompt = render(bundle.prompt(agent)[0], values)
        assert len(prompt) < most and "the site is read-only" in prompt


@pytest.mark.parametrize(
    ("tool", "effect", "arguments", "outcome"),
    [
        ("sources.read", "read", {}, "allow"),
        ("brief.write", "write", {}, "allow"),
        ("calendar.place", "write", {}, "allow"),
        ("blog.publish", "egress", {"text": {"$output": "s1.draft/text"}}, "require_approval"),
        ("social.post", "egress", {}, "require_approval"),
        ("newsletter.send", "egress", {"recipients": READERS, "text": "x"}, "require_approval"),
        ("newsletter.send", "egress", {"recipients": READERS, "text": {"$output": "s1.draft/text"}}, "require_approval"),
        ("newsletter.send", "egress", {"recipients": [*READERS, "eve@evil.test"], "text": "x"}, "deny"),
        ("newsletter.send", "egress", {"text": "x"}, "deny"),
        ("newsletter.send", "egress", {"recipients": READERS, "text": "x" * 8001}, "deny"),
        ("something.else", "write", {}, "deny"),
    ],
)
def test_rules(bundle: Bundle, tool: str, effect: str, arguments: dict[str, Any], outcome: str) -> None:
    assert bundle.rules.judge(facts(tool, effect, arguments, reversible=True)).outcome == outcome


def test_undo_waits_for_nobody(bundle: Bundle, tools: dict[str, Tool]) -> None:
    for tool in tools.values():
        if tool.compensate_with:
            back = tools[tool.compensate_with]
            assert bundle.rules.judge(facts(back.name, back.effect, {}, reversible=back.reversible)).outcome == "allow"


def test_no_agent_may_plan_an_undo(bundle: Bundle, tools: dict[str, Tool]) -> None:
    backs = {tool.compensate_with for tool in tools.values()}
    assert all(not backs & set(agent.tools) for agent in bundle.settings.agents.values())


def facts(tool: str, effect: str, arguments: dict[str, Any], *, reversible: bool) -> dict[str, Any]:
    run = {"automation": "content-ops", "tenant": "default", "taint": ["notes"], "input": {}}
    return run | {
        "tool": tool,
        "effect": effect,
        "guarantee": "idempotent",
        "reversible": reversible,
        "arguments": arguments,
        "cost_micros": 0,
        "budget_left_micros": 100,
    }
