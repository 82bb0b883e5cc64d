"""References: where they point, what they name, what takes their place."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import BadInput
from policies.references import argument_names, filled, references, renamed, resolve

OUTPUTS = {"a": {"id": 7, "list": [{"x": 1}, {"x": 2}], "empty": None}, "b": {}}
PLAIN: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5).filter(lambda name: name[:1] != "$"), inner, max_size=3)
    ),
    max_leaves=12,
)
NAMES = st.sampled_from(["a", "b", "c.d"])
REFERENCES = st.builds(lambda step, path: {"$output": f"{step}{path}"}, NAMES, st.sampled_from(["", "/x", "/x/0/y"]))
VALUES: Any = st.recursive(
    REFERENCES | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
)


@pytest.mark.parametrize(
    ("reference", "value"),
    [("a/id", 7), ("a/list/1/x", 2), ("a/list", [{"x": 1}, {"x": 2}]), ("a/empty", None), ("b", {}), ("a/list/\u0660/x", 1)],
)
def test_a_reference_becomes_the_output_it_names(reference: str, value: Any) -> None:
    assert resolve({"deep": [{"$output": reference}]}, OUTPUTS) == {"deep": [value]}


@pytest.mark.parametrize("reference", ["a/none", "a/list/2/x", "a/list/x", "a/list/²", "a/list/-1", "a/id/x", "a/empty/x", "c", "c/id", ""])
def test_a_reference_to_nothing_is_refused(reference: str) -> None:
    with pytest.raises(BadInput, match="has no output"):
        resolve({"$output": reference}, OUTPUTS)


@pytest.mark.parametrize("value", [{"$output": 5}, {"$output": "a", "more": 1}, {"output": "a"}, "$output", {"$output": None}])
def test_what_only_looks_like_a_reference_is_a_value(value: Any) -> None:
    assert references(value) == [] and resolve(value, {}) == value


@given(PLAIN)
def test_a_value_without_references_stays_as_it_is(value: Any) -> None:
    assert references(value) == [] and argument_names(value) == []
    assert resolve(value, {}) == filled(value, {}) == renamed(value, {}) == value


@given(VALUES)
def test_renaming_moves_every_reference_and_back(value: Any) -> None:
    there, back = {"a": "w2-a", "b": "w2-b", "c.d": "w2-c.d"}, {"w2-a": "a", "w2-b": "b", "w2-c.d": "c.d"}
    moved = renamed(value, there)
    assert references(moved) == [there[name] for name in references(value)] and renamed(moved, back) == value


def test_a_recipe_is_filled_with_what_was_given() -> None:
    recipe = {"title": {"$argument": "title"}, "tags": [{"$argument": "tag"}, "x"], "subtitle": {"$argument": "subtitle"}}
    assert argument_names(recipe) == ["title", "tag", "subtitle"]
    assert filled(recipe, {"title": {"$output": "a/id"}, "tag": "t"}) == {"title": {"$output": "a/id"}, "tags": ["t", "x"]}
