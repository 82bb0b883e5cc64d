"""The context assembler: never over its budget, the same for the same parts, and open about what it left out."""

import math

from hypothesis import given
from hypothesis import strategies as st

from memory.context import CUT, SEPARATOR, Context, Counter, Left, Part, assemble, bound

TEXTS = st.text(alphabet=st.characters(codec="utf-8"), max_size=80)
PARTS = st.lists(st.builds(Part, st.text(max_size=5), TEXTS, st.integers(0, 3), st.booleans()), max_size=8)


def words(text: str) -> int:
    return len(text.split())


def quarters(text: str) -> int:
    # Like a tokenizer, it makes of two texts together more or fewer than of each by itself.
    return math.ceil(len(text) / 4)


COUNTERS: st.SearchStrategy[Counter] = st.sampled_from([bound, len, quarters])


@given(PARTS, st.integers(0, 300), COUNTERS)
def test_the_budget_is_never_exceeded(parts: list[Part], budget: int, count: Counter) -> None:
    context = assemble(parts, budget, count=count)
    assert context.used == count(context.text) <= budget


@given(PARTS, st.integers(-5, 300))
def test_the_same_parts_and_budget_give_the_same_context(parts: list[Part], budget: int) -> None:
    assert assemble(parts, budget) == assemble(list(parts), budget)


@given(PARTS, st.integers(0, 300))
def test_every_part_is_there_whole_or_reported(parts: list[Part], budget: int) -> None:
    context = assemble(parts, budget)
    whole = [part for part in context.parts if not part.text.endswith(CUT) or part in parts]
    assert len(whole) + len(context.left_out) >= len([part for part in parts if part.text])
    assert all(left.tokens >= 0 for left in context.left_out)


@given(PARTS)
def test_a_budget_that_is_large_enough_leaves_nothing_out(parts: list[Part]) -> None:
    context = assemble(parts, 10_000)
    assert context.left_out == ()
    assert context.text == SEPARATOR.join(part.text for part in parts if part.text)


def test_the_most_important_parts_enter_first_and_the_order_stays() -> None:
    parts = [Part("old", "aaaa", rank=2), Part("task", "bbbb", rank=0), Part("facts", "cccc", rank=1)]
    assert assemble(parts, 10) == Context((parts[1], parts[2]), 10, (Left("old", 4),))


def test_a_smaller_part_behind_one_that_does_not_fit_still_enters() -> None:
    parts = [Part("long", "a" * 50), Part("short", "bb")]
    assert [part.name for part in assemble(parts, 10).parts] == ["short"]


def test_a_part_that_may_be_cut_is_cut_at_the_end_of_a_word_and_says_so() -> None:
    context = assemble([Part("notes", "alpha beta gamma delta", cut=True)], 18)
    assert context.text == "alpha beta" + CUT
    assert context.left_out == (Left("notes", 12, cut=True),)


def test_what_would_be_cut_to_nothing_is_left_out() -> None:
    assert assemble([Part("notes", "alphabet", cut=True)], 3).parts == ()


def test_no_budget_holds_nothing() -> None:
    assert assemble([Part("a", "x")], 0) == Context((), 0, (Left("a", 1),))


def test_the_bound_counts_what_no_tokenizer_exceeds() -> None:
    assert [bound(text) for text in ("", "ab", "ä", "\ud800", "😀")] == [0, 2, 2, 1, 4]


def test_a_counter_of_ones_own_is_asked() -> None:
    assert assemble([Part("a", "one two three"), Part("b", "four")], 3, count=words).parts == (Part("a", "one two three"),)
