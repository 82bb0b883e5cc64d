"""Models made of a stranger's schema: a hostile one is refused or told, and never breaks or stops the worker."""

from functools import reduce
from typing import Any

import pytest
from pydantic import ValidationError

from contracts.errors import BadInput
from tools.shapes import shape


def nested(depth: int) -> dict[str, Any]:
    start: dict[str, Any] = {}
    return reduce(lambda inner, _: {"properties": {"a": inner}}, range(depth), start)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (nested(3000), "thing: its schema nests deeper than 100"),
        ({"type": "array"}, "thing: its schema is of a array, and must be of an object"),
        ({"properties": {"a": {"$ref": "https://elsewhere.example/"}}}, "refers to 'https://elsewhere.example/': only what is within it"),
        ({"properties": {"a": {"$ref": "#anchor"}}, "$defs": {"b": {"$anchor": "anchor"}}}, "refers to '#anchor'"),
        ({"properties": {"a": {"type": "thing"}}}, "thing: its schema is wrong at properties.a.type: "),
        ({"required": [{}] * 20_000}, "thing: its schema is too large, or nests too deep, to be checked"),
        ({"description": "x" * 100_001}, "has more than 100000 bytes"),
    ],
)
def test_a_schema_that_could_do_harm_is_refused(schema: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput) as refused:
        shape("thing", schema)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("schema", "value", "said"),
    [
        ({"$ref": "#"}, {}, "nests too deep"),
        ({"anyOf": [{"type": "array"}] * 1000}, {"a": "x" * 1_000_000}, "too many steps"),
        ({"properties": {"a": {"pattern": "^(a+)+$"}}}, {"a": "a" * 200 + "!"}, "does not match|breaks `pattern"),
        ({"required": ["b"]}, {"a": 1}, "'b' is a required property"),
    ],
)
def test_a_value_that_does_not_fit_or_cannot_be_checked_is_told(schema: dict[str, Any], value: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        shape("thing", schema).model_validate(value)


def test_a_recursive_shape_takes_what_fits_unchanged() -> None:
    node = {"type": "object", "properties": {"below": {"type": "array", "items": {"$ref": "#/$defs/node"}}}}
    made = shape("thing", {**node, "$defs": {"node": node}, "$schema": "http://json-schema.org/draft-07/schema#"})
    value = {"below": [{"below": []}, {"own": 1}]}
    assert made.model_validate(value).model_dump() == value
    with pytest.raises(ValidationError, match=r"below\.0\.below: 1 is not of type 'array'"):
        made.model_validate({"below": [{"below": 1}]})
