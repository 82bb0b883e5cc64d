"""Answers: the schema that constrains the model, and what is said of an answer that cannot be used."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field

from contracts.errors import BadInput
from policies.agents import Agent
from policies.answers import FORM, MAX_ANSWER, Answer, Shape, answer_schema, parse

JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["steps", "look_ups", "tool", "id", "arguments", "x"]), inner)
    ),
    max_leaves=15,
)
STEP = {"tool": "blog", "arguments": {"title": "x"}, "why": "w"}


class Part(BaseModel):
    title: str
    default: int = 3
    parts: list["Part"] = []


class Post(BaseModel):
    title: str = Field(max_length=9)
    parts: list[Part]
    mood: str = "calm"


SHAPES = {name: Shape(name=name, description="d", parameters=Post.model_json_schema()) for name in ("post", "read")}


def agent(**given: Any) -> Agent:
    return Agent.model_validate({"prompt": "p.md", "route": "r", "tools": ["post"], **given})


def errors(schema: dict[str, Any], answer: dict[str, Any]) -> list[str]:
    Draft202012Validator.check_schema(schema)
    return [error.message for error in Draft202012Validator(schema).iter_errors(answer)]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"steps": [STEP]}),
        "```json\n" + json.dumps({"steps": [STEP]}, indent=2) + "\n```",
        "Here is the plan:\n" + json.dumps({"steps": [STEP]}) + "\nI hope it helps!",
    ],
)
def test_a_plan_is_found_in_fences_and_prose(text: str) -> None:
    (step,) = parse(text).steps
    assert (step.id, step.tool, step.arguments, step.why) == ("s1", "blog", {"title": "x"}, "w")


def test_steps_without_an_id_get_one_by_their_place() -> None:
    assert [step.id for step in parse(json.dumps({"steps": [STEP, {**STEP, "id": "mine"}, STEP]})).steps] == ["s1", "mine", "s3"]


def test_look_ups_are_read() -> None:
    assert parse('{"look_ups": [{"tool": "read", "arguments": {"x": 1}}]}').look_ups[0].arguments == {"x": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "answer with one JSON object"),
        ("I cannot do that.", "answer with one JSON object"),
        ("[1, 2]", "answer with one JSON object"),
        ("{}", "neither steps nor look-ups"),
        ('{"plan": []}', "neither steps nor look-ups"),
        ('Sure: {"steps": [}', "is not JSON: Expecting value at character 17"),
        ('{"steps": [{"tool": "blog", "argu', "is not JSON: Unterminated string"),
        ('{"steps": "none"}', "steps: Input should be a valid tuple"),
        ('{"steps": ["blog"]}', "steps.0: Input should be a valid dictionary"),
        ('{"steps": [{"arguments": {}}]}', "steps.0.tool: Field required"),
        ('{"steps": [{"tool": "blog", "args": {}}]}', "steps.0.args: Extra inputs are not permitted"),
        ('{"steps": [{"tool": "blog", "id": "Step One"}]}', "steps.0.id: String should match pattern"),
        ('{"steps": [{"tool": "blog", "arguments": {"x": "a\\u0000"}}]}', "cannot be kept"),
        ('{"steps": [{"tool": "blog", "arguments": {"x": "\\ud800"}}]}', "cannot be kept"),
        ('{"steps": [{"tool": "blog", "arguments": {"x": NaN}}]}', "numbers must be between"),
        ('{"steps": [{"tool": "blog", "arguments": {"x": 1e999}}]}', "numbers must be between"),
        ('{"steps": [{"tool": "blog", "arguments": {"x": ' + "9" * 5000 + "}}]}", "a number too long"),
        ('{"steps": ' + "[" * 90_000 + "]" * 90_000 + "}", "nested too deeply"),
    ],
)
def test_an_answer_of_the_wrong_form_tells_the_model_what_to_write(text: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse(text)
    assert said in str(caught.value) and FORM in str(caught.value)


def test_look_ups_and_steps_exclude_each_other() -> None:
    with pytest.raises(BadInput, match="look-ups or give steps, not both"):
        parse(json.dumps({"steps": [STEP], "look_ups": [{"tool": "read"}]}))


def test_an_endless_answer_is_refused() -> None:
    with pytest.raises(BadInput, match=f"{MAX_ANSWER} is the most"):
        parse("x" * (MAX_ANSWER + 1))


def test_the_form_that_is_asked_for_is_read() -> None:
    assert parse(FORM).steps


@given(st.text() | JSON.map(json.dumps))
def test_whatever_a_model_says_is_an_answer_or_bad_input(text: str) -> None:
    try:
        assert isinstance(parse(text), Answer)
    except BadInput as error:
        assert str(error)


def test_a_terse_agent_is_asked_for_what_is_required_only() -> None:
    schema = answer_schema(agent(terse=True, max_steps=2), SHAPES, {"title": ["a", "b"]})
    step = {"tool": "post", "arguments": {"title": "a", "parts": []}, "why": "w"}
    assert not errors(schema, {"steps": [step]}) and not errors(schema, {"steps": [step, step]})
    for wrong in ([], [step] * 3, [{**step, "id": "x"}], [{**step, "arguments": {"title": "c", "parts": []}}], [{**step, "tool": "read"}]):
        assert errors(schema, {"steps": wrong})
    assert errors(schema, {"steps": [{**step, "arguments": {"title": "a", "parts": [], "mood": "x"}}]})


def test_definitions_are_inlined_and_fields_named_title_or_default_stay() -> None:
    schema = answer_schema(agent(terse=True), SHAPES, {})
    assert "$ref" not in json.dumps(schema) and "$defs" not in json.dumps(schema)
    part = schema["properties"]["steps"]["items"]["properties"]["arguments"]["properties"]["parts"]["items"]
    assert part["required"] == ["title"] and set(part["properties"]) == {"title", "default", "parts"}
    assert part["properties"]["title"] == {"type": "string"}


def test_an_agent_with_look_ups_may_ask_or_plan_but_not_both() -> None:
    schema = answer_schema(agent(look_ups=["read"]), SHAPES, {})
    asked, plan = {"look_ups": [{"tool": "read", "arguments": {"title": "x", "parts": []}}]}, {"steps": [], "done": True, "summary": "s"}
    assert not errors(schema, asked) and not errors(schema, plan)
    assert errors(schema, asked | plan) and errors(schema, {"look_ups": []})


def test_an_argument_may_be_a_reference_where_the_agent_is_not_terse() -> None:
    step = {"id": "b", "tool": "post", "arguments": {"title": {"$output": "a/title"}}, "needs": ["a"], "approval": True}
    assert not errors(answer_schema(agent(), SHAPES, {}), {"steps": [step]})


def test_nothing_to_choose_from_is_said_before_the_model_is_asked() -> None:
    with pytest.raises(BadInput, match="nothing to choose from for source"):
        answer_schema(agent(terse=True), SHAPES, {"title": ["a"], "source": []})
