"""Merges of plain values: the order of arrival decides nothing that a stamp or a version should, and no side goes unnamed."""

import itertools
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from memory.shared.clocks import Stamp
from memory.shared.edits import Add, Change, Edit, Put
from memory.shared.merges import Clash, Merged, Since, Standing, plain

NOW = 1_700_000_000_000
EMPTY: dict[str, Any] = {"crdt:counter": 0, "crdt:set": []}


class Place:
    """One field, and all that was ever lost in it."""

    def __init__(self, merge: str) -> None:
        self.standing = Standing(merge, 0, EMPTY.get(merge))
        self.clashes: list[Clash] = []
        self.taken_out: list[Since] = []

    def take(self, edit: Edit) -> Merged:
        since = [one for one in self.taken_out if one.version > edit.base]
        merged = plain(self.standing, edit, NOW, since)
        version = self.standing.version + merged.applied
        self.standing = replace(
            self.standing, version=version, value=merged.value, tally=merged.tally, clock=merged.clock, writer=merged.writer
        )
        if merged.touched:
            self.taken_out.append(Since(version, edit.writer, merged.touched))
        self.clashes += merged.clashes
        return merged


WRITES = st.lists(
    st.builds(
        lambda writer, value, millis, tie: Edit("d", "f", writer, Put(value, Stamp(millis, tie))),
        st.sampled_from("abc"), st.integers(0, 5), st.integers(1, 3), st.integers(0, 1),
    ),
    min_size=1, max_size=4,
)  # fmt: skip


@given(WRITES)
def test_the_last_writer_is_the_same_in_whatever_order_they_come(edits: list[Edit]) -> None:
    ends: set[tuple[Any, int, str]] = set()
    for order in itertools.permutations(edits):
        place = Place("lww")
        for edit in order:
            place.take(edit)
        ends.add((place.standing.value, place.standing.clock, place.standing.writer))
    assert len(ends) == 1


@given(WRITES)
def test_every_value_that_nobody_had_seen_and_that_does_not_stand_is_named(edits: list[Edit]) -> None:
    place = Place("lww")
    for edit in edits:
        place.take(edit)
    written = {edit.operation.value for edit in edits if isinstance(edit.operation, Put)}
    assert written - {place.standing.value} <= {clash.lost for clash in place.clashes}


SET_EDITS = st.lists(
    st.tuples(st.sampled_from("abc"), st.booleans(), st.sampled_from("xyz"), st.floats(0, 1)), max_size=30
)  # fmt: skip


@given(SET_EDITS)
def test_a_set_keeps_what_a_removal_had_not_seen_and_names_every_side_that_lost(script: list[tuple[str, bool, str, float]]) -> None:
    place = Place("crdt:set")
    # What is known of every element: the versions at which it was added and removed, and by whom.
    added: dict[str, dict[str, int]] = {}
    removed: dict[str, list[tuple[int, str]]] = {}
    for writer, adds, element, seen in script:
        base = int(seen * place.standing.version)
        standing = added.get(element, {})
        edit = Edit("d", "f", writer, Change(add=(element,)) if adds else Change(remove=(element,)), base)
        merged = place.take(edit)
        if adds:
            undone = not standing and any(version > base and by != writer for version, by in removed.get(element, []))
            assert [clash.lost for clash in merged.clashes] == [{"removed": element}] * undone and element in merged.value
            added.setdefault(element, {})[writer] = place.standing.version
            added[element] = {by: at for by, at in added[element].items() if at > base}
            continue
        left = {by: at for by, at in standing.items() if at > base and by != writer}
        assert (element in merged.value) == bool(left) and len(merged.clashes) == bool(left)
        if standing and not left:
            removed.setdefault(element, []).append((place.standing.version, writer))
        added[element] = left


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-100, 100)), max_size=20))
def test_a_counter_is_the_sum_and_knows_whose_it_is(script: list[tuple[str, int]]) -> None:
    place = Place("crdt:counter")
    for writer, amount in script:
        place.take(Edit("d", "f", writer, Add(amount)))
    assert place.standing.value == sum(amount for _, amount in script) and not place.clashes
    for writer, (up, down) in place.standing.tally.items():
        assert up - down == sum(amount for by, amount in script if by == writer)
