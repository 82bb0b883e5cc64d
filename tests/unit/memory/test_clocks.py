"""Hybrid logical clocks: later is later wherever it was seen, and the time of day is never far."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import BadInput
from memory.shared.clocks import DRIFT_MILLIS, MOST_TIE, Clock, Stamp, after, bounded

MILLIS = st.integers(0, 2**46)
STAMPS = st.builds(Stamp, MILLIS, st.integers(0, MOST_TIE))


@given(MILLIS, st.lists(STAMPS, max_size=5))
def test_a_stamp_is_behind_everything_seen_and_not_before_now(now: int, seen: list[Stamp]) -> None:
    stamp = after(now, *seen)
    assert all(stamp > other for other in seen) and stamp.millis >= now and 0 <= stamp.tie <= MOST_TIE
    assert stamp.millis <= max([now, *(other.millis + 1 for other in seen)])


@given(STAMPS, STAMPS)
def test_a_packed_stamp_orders_and_comes_back(one: Stamp, other: Stamp) -> None:
    assert Stamp.of(one.packed) == one and (one < other) == (one.packed < other.packed) and one.packed < 2**63


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(-50, 50)), max_size=60))
def test_what_was_caused_is_later_than_its_cause_whatever_the_clocks_of_day_say(script: list[tuple[int, int, int]]) -> None:
    """Each step: one of three writers sends to another, after a clock of day jumped."""
    times = [1000, 1000, 1000]
    clocks = [Clock(lambda nth=nth: times[nth]) for nth in range(3)]
    for sender, receiver, jump in script:
        times[sender] = max(0, times[sender] + jump)
        before = clocks[sender].last
        sent = clocks[sender].tick()
        taken = clocks[receiver].receive(sent)
        assert before < sent < taken


def test_a_full_count_goes_on_in_the_next_millisecond() -> None:
    assert after(5, Stamp(7, MOST_TIE)) == Stamp(8)


@pytest.mark.parametrize("stamp", [Stamp(-1), Stamp(2**47), Stamp(1, -1), Stamp(1, MOST_TIE + 1)])
def test_what_is_no_stamp_is_refused(stamp: Stamp) -> None:
    with pytest.raises(BadInput, match="is none"):
        bounded(stamp, 2**46)


def test_a_clock_may_be_ahead_a_little() -> None:
    assert bounded(Stamp(1000 + DRIFT_MILLIS), 1000).millis == 1000 + DRIFT_MILLIS
    with pytest.raises(BadInput, match="is 61 s ahead of the database's clock; at most 60 are taken"):
        bounded(Stamp(1000 + DRIFT_MILLIS + 1000), 1000)
