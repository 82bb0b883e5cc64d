"""A stranger's schema and a stranger's value: whatever they are, holding one against the other ends soon, and says why."""

from functools import reduce
from typing import Any

import pytest

from contracts.errors import BadInput
from contracts.keywords import MATCHED_LENGTH, MOST_PATTERNS
from contracts.schemas import MOST_DEPTH, Checker, schema_errors

EVIL = "^(a+)+$"
MANY: dict[str, Any] = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)}
DRAFT = "http://json-schema.org/draft-07/schema#"


def nested(depth: int) -> dict[str, Any]:
    start: dict[str, Any] = {}
    return reduce(lambda inner, _: {"not": inner}, range(depth), start)


def of(**properties: Any) -> Checker:
    return Checker({"type": "object", "properties": properties})


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"$ref": "#/$defs/d0", "$defs": {**MANY, "d40": {}}}, {}),
        ({"anyOf": [{"type": "integer"}] * 5000}, "x" * 1_000_000),
        ({"anyOf": [False] * 5000}, "x" * 1_000_000),
        ({"items": {"enum": list(range(10_000))}}, ["a"] * 20_000),
        ({"allOf": [{"additionalProperties": {}}] * 3000}, {str(n): n for n in range(20_000)}),
    ],
)
def test_a_check_that_takes_too_many_steps_is_given_up(schema: dict[str, Any], value: Any) -> None:
    with pytest.raises(BadInput, match="too many steps"):
        Checker(schema).errors(value)


@pytest.mark.parametrize(
    ("schema", "value", "said"),
    [
        ({"$ref": "#"}, {}, "nests too deep"),
        ({"items": {"$ref": "#"}}, reduce(lambda inner, _: [inner], range(900), []), "nests too deep"),
        ({"$ref": "#/nowhere"}, {}, "cannot be held against its schema"),
        ({"$ref": "#/type", "type": "object"}, {}, "cannot be held against its schema"),
        ({"multipleOf": 0.5}, 10**400, "cannot be held against its schema"),
    ],
)
def test_what_cannot_be_checked_is_told_and_breaks_nothing(schema: dict[str, Any], value: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        Checker(schema).errors(value)


@pytest.mark.parametrize(
    "place", [{"pattern": EVIL}, {"$schema": DRAFT, "pattern": EVIL}, {"allOf": [{"$schema": DRAFT, "pattern": EVIL}]}]
)
def test_a_pattern_is_matched_in_linear_time_whatever_draft_a_part_names(place: dict[str, Any]) -> None:
    checker = of(a=place)
    assert checker.errors({"a": "a" * 100}) == []
    assert [error.validator for error in checker.errors({"a": "a" * 4000 + "!"})] == ["pattern"]


def test_the_names_of_properties_are_matched_in_linear_time_too() -> None:
    name = "a" * 100 + "!"
    made = {"patternProperties": {EVIL: {"type": "integer"}}, "propertyNames": {"pattern": EVIL}, "additionalProperties": False}
    assert sorted(str(error.validator) for error in Checker(made).errors({name: 1, "aa": "x"})) == [
        "additionalProperties",
        "pattern",
        "type",
    ]


@pytest.mark.parametrize("pattern", ["(?=b)a", r"(a)\1", r"[a-z]{1,999}b", "b" * 600, "("])
def test_a_pattern_that_the_linear_engine_does_not_take_is_left_to_the_tool(pattern: str) -> None:
    assert of(a={"pattern": pattern}).errors({"a": "zzz"}) == []
    assert Checker({"patternProperties": {pattern: False}, "additionalProperties": False}).errors({"zzz": 1}) == []


def test_a_long_text_is_not_held_against_patterns_and_neither_is_one_pattern_too_many() -> None:
    assert of(a={"pattern": "^b"}).errors({"a": "a" * MATCHED_LENGTH}) != []
    assert of(a={"pattern": "^b"}).errors({"a": "a" * (MATCHED_LENGTH + 1)}) == []
    checker = of(**{f"p{n}": {"pattern": f"^b{n}"} for n in range(MOST_PATTERNS + 1)})
    assert len(checker.errors({f"p{n}": "a" for n in range(MOST_PATTERNS + 1)})) == MOST_PATTERNS


@pytest.mark.parametrize(
    ("items", "unique"),
    [([1, 1.0], False), ([1, True], True), ([{"a": 1, "b": 2}, {"b": 2.0, "a": 1}], False), (["1", 1, None, [1], [[1]]], True)],
)
def test_unique_items_are_told_apart_as_json_does(items: list[Any], unique: bool) -> None:
    assert (of(a={"uniqueItems": True}).errors({"a": items}) == []) is unique
    assert of(a={"uniqueItems": False}).errors({"a": items}) == []


def test_thousands_of_unique_objects_are_checked() -> None:
    assert of(a={"uniqueItems": True}).errors({"a": [{"n": n} for n in range(20_000)]}) == []


def test_a_large_value_of_a_plain_schema_is_checked_to_its_end() -> None:
    row = {"type": "object", "properties": {name: {"type": "string", "minLength": 1} for name in "abcd"}, "required": list("abcd")}
    rows = [dict.fromkeys("abcd", "a word or two") for _ in range(8000)]
    assert of(rows={"items": row}).errors({"rows": rows}) == []
    rows[-1]["d"] = ""
    assert [list(error.absolute_path) for error in of(rows={"items": row}).errors({"rows": rows})] == [["rows", 7999, "d"]]


def test_a_complaint_holds_the_beginning_of_a_long_value_only() -> None:
    (error,) = of(a={"type": "integer"}).errors({"a": "x" * 100_000})
    assert len(error.message) < 300


def test_a_schema_that_nests_too_deep_is_refused() -> None:
    assert schema_errors(nested(20)) == [] and Checker(nested(20)).errors({}) == []
    for refused in (Checker, schema_errors):
        with pytest.raises(BadInput, match=f"nests deeper than {MOST_DEPTH}"):
            refused(nested(3000))


def test_a_schema_is_itself_checked_within_the_bound() -> None:
    assert [error.message for error in schema_errors({"type": "thing"})] == ["'thing' is not valid under any of the given schemas"]
    with pytest.raises(BadInput, match="too large, or nests too deep, to be checked"):
        schema_errors({"required": [{}] * 30_000})
