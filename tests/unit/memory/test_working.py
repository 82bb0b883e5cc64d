"""The working tier: bounded in number, size and time, and nobody's session in another's place."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from memory.working import Working

KEYS = st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["s", "t", "u"]), st.integers(0, 3))


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_was_put_is_returned_for_its_tenant_session_and_version_only() -> None:
    working = Working()
    working.put("a", "s", 1, "mine", 4)
    assert working.get("a", "s", 1) == "mine"
    assert [working.get(*key) for key in (("b", "s", 1), ("a", "t", 1), ("a", "s", 2), ("a", "s", 0))] == [None] * 4


def test_what_was_used_longest_ago_makes_room() -> None:
    working = Working(entries=2)
    working.put("a", "s", 1, "one", 1)
    working.put("a", "t", 1, "two", 1)
    working.get("a", "s", 1)
    working.put("a", "u", 1, "three", 1)
    assert (working.get("a", "s", 1), working.get("a", "t", 1), working.get("a", "u", 1)) == ("one", None, "three")


def test_a_newer_version_takes_the_place_of_older_ones() -> None:
    working = Working()
    working.put("a", "s", 1, "old", 1)
    working.put("a", "s", 2, "new", 1)
    assert (len(working), working.get("a", "s", 1), working.get("a", "s", 2)) == (1, None, "new")


def test_what_is_larger_than_everything_is_not_kept() -> None:
    working = Working(size=10)
    working.put("a", "s", 1, "small", 5)
    working.put("a", "s", 2, "large", 11)
    assert (len(working), working.size) == (0, 0)


def test_nothing_outlives_its_time() -> None:
    clock = Clock()
    working = Working(seconds=10, clock=clock)
    working.put("a", "s", 1, "x", 1)
    clock.now = 9.9
    assert working.get("a", "s", 1) == "x"
    clock.now = 10.0
    assert working.get("a", "s", 1) is None
    assert working.size == 0


def test_a_tenant_or_one_session_of_it_is_forgotten() -> None:
    working = Working()
    for tenant in ("a", "b"):
        for session in ("s", "t"):
            working.put(tenant, session, 1, "x", 1)
    assert working.forget("a", "s") == 1
    assert working.forget("b") == 2
    assert [working.get(*key, 1) for key in (("a", "s"), ("a", "t"), ("b", "s"))] == [None, "x", None]


@given(st.lists(st.tuples(KEYS, st.integers(0, 30)), max_size=60))
def test_it_never_holds_more_than_its_bounds_and_never_a_wrong_value(puts: list[tuple[tuple[str, str, int], int]]) -> None:
    working = Working(entries=4, size=50)
    last: dict[Any, Any] = {}
    for key, size in puts:
        working.put(*key, (key, size), size)
        last[key] = (key, size)
        assert len(working) <= 4
        assert 0 <= working.size <= 50
        assert all(working.get(*known) in (None, value) for known, value in last.items())
