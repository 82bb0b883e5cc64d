"""Filters: what they accept, what they render, and that they come back from JSON as they were."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import BadInput
from database import kept
from memory.filters import Filter, read

NAMES = st.lists(st.text(max_size=8).map(kept), max_size=3).map(tuple)
MOMENTS = st.none() | st.datetimes(timezones=st.just(UTC))
FILTERS = st.builds(
    Filter, scopes=NAMES, kinds=NAMES, subjects=NAMES, sessions=NAMES, speakers=NAMES, since=MOMENTS, until=MOMENTS, as_of=MOMENTS
)


@given(FILTERS)
def test_a_filter_comes_back_from_json_as_it_was(filter: Filter) -> None:
    assert read(filter.told()) == filter


@given(FILTERS)
def test_no_value_is_ever_part_of_the_sql(filter: Filter) -> None:
    text, values = filter.sql(3)
    assert text == Filter(**{name: ("x",) * bool(value) for name, value in _lists(filter).items()}, **_times(filter)).sql(3)[0]
    assert all(f"${3 + nth}::" in text for nth in range(len(values))) and f"${3 + len(values)}" not in text


def _lists(filter: Filter) -> dict[str, Any]:
    return {name: getattr(filter, name) for name in ("scopes", "kinds", "subjects", "sessions", "speakers")}


def _times(filter: Filter) -> dict[str, Any]:
    return {name: getattr(filter, name) for name in ("since", "until", "as_of")}


def test_a_single_text_is_a_list_of_one() -> None:
    assert read({"speakers": "ann", "since": "2026-01-31T12:00:00Z"}) == Filter(
        speakers=("ann",), since=datetime(2026, 1, 31, 12, tzinfo=UTC)
    )


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"speaker": "ann"}, "no field 'speaker'; there are scopes, kinds"),
        ({"kinds": 3}, "kinds is a list of texts"),
        ({"kinds": ["a", None]}, "kinds is a list of texts"),
        ({"sessions": []}, "sessions lists nothing"),
        ({"kinds": ["a"] * 1_001}, "lists 1001 values"),
        ({"since": "yesterday"}, "since is 'yesterday'"),
        ({"since": 5}, "since is 5"),
        ({"as_of": "2026-01-31T12:00:00"}, "names no time zone"),
        ({"since": "0001-01-01T00:00:00+14:00"}, "filter: since 0001-01-01T00:00:00.14:00 lies outside the years 1 to 9999"),
    ],
)
def test_a_filter_that_cannot_be_read_names_the_field(given: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        read(given)


def test_what_no_row_can_hold_is_asked_for_as_what_stands_in_its_place() -> None:
    assert read({"subjects": ["a\0b", "\ud800"]}) == Filter(subjects=("a\ufffdb", "?"))


@pytest.mark.parametrize(
    ("filter", "facets"),
    [
        (Filter(), {}),
        (Filter(kinds=("a", "b")), {"kind": 0}),
        (Filter(kinds=("a",), as_of=datetime(2026, 1, 1, tzinfo=UTC)), {"kind": 0}),
        (Filter(speakers=("b",), scopes=("a",)), {"scope": 0, "speaker": 1}),
        (Filter(kinds=("a",), since=datetime(2026, 1, 1, tzinfo=UTC)), {}),
        (Filter(kinds=("a",), sessions=("", "s")), {}),
    ],
)
def test_a_filter_says_which_fields_of_a_vector_answer_it(filter: Filter, facets: dict[str, int]) -> None:
    assert filter.facets == facets
    assert [filter.columns(1)[1][place] for place in facets.values()] == [list(getattr(filter, f"{column}s")) for column in facets]
