"""Maps and texts: replicas converge, every loser is named, and an update from outside is read before it is believed."""

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycrdt import Doc, Map, Text

from contracts.errors import BadInput
from memory.shared import joins, updates
from memory.shared.edits import Edit, Operation, Rewrite, Splice, Update, Write
from memory.shared.joins import Joined
from memory.shared.merges import Since
from memory.shared.replicas import Replica

NOBODY = (Since(1, "other", ()),)


def join(merge: str, operation: Operation, base: bytes = b"", current: bytes | None = None, writer: str = "ann") -> Joined:
    return joins.join(merge, Edit("d", "f", writer, operation), base, current, () if current is None else NOBODY)


def state(merge: str, *operations: Operation) -> bytes:
    made = b""
    for nth, operation in enumerate(operations):
        made = join(merge, operation, made, writer=f"w{nth}").state
    return made


def varint(number: int) -> bytes:
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def setting(value: bytes, key: str = "k") -> bytes:
    """A hand-made update that sets one key of a map to one encoded value."""
    return b"\x01\x01\x05\x00\x28\x01\x05value" + varint(len(key)) + key.encode() + b"\x01" + value + b"\x00"


def inserting(info: int, before: bytes = b"", text: bytes = b"x", deleted: bytes = b"\x00") -> bytes:
    """A hand-made update that inserts a text, with the neighbours that ``before`` names."""
    return b"\x01\x01\x05\x00" + bytes([info | 4]) + (before or b"\x01\x05value") + varint(len(text)) + text + deleted


SIDE = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([None, 1, "x", [1, {"y": 2}]]), st.booleans()), max_size=4)


def written(side: Sequence[tuple[str, Any, bool]]) -> list[Write]:
    return [Write(drop=(key,)) if drops else Write(((key, value),)) for key, value, drops in side]


@settings(deadline=None)
@given(SIDE, SIDE, SIDE, st.booleans())
def test_a_map_joins_the_same_from_either_side_and_names_what_was_lost(
    first: list[tuple[str, Any, bool]], one: list[tuple[str, Any, bool]], other: list[tuple[str, Any, bool]], swapped: bool
) -> None:
    base = state("crdt:map", *written(first))
    sides = [base, base]
    for nth, side in enumerate((one, other)):
        for write in written(side):
            sides[nth] = join("crdt:map", write, sides[nth], writer="ab"[nth]).state
    mine, theirs = reversed(sides) if swapped else sides
    before, seen = Replica("crdt:map", theirs).value(), Replica("crdt:map", base)
    own = Replica("crdt:map", mine)
    joined = join("crdt:map", Update(own.since(seen.encoded_vector())), base, theirs, writer="m")
    mirrored = Replica("crdt:map", mine)
    mirrored.apply(theirs or b"\0\0")
    assert joined.value == mirrored.value()
    named = {(clash.part, repr(clash.lost)) for clash in joined.clashes}
    for side in (before, own.value()):
        for key, value in side.items():
            gone = joined.value.get(key, "gone") != value and (key not in seen.value() or seen.value()[key] != value)
            assert not gone or (key, repr(value)) in named


@settings(deadline=None)
@given(st.text(max_size=20), st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5), st.text(max_size=5)), max_size=4), st.randoms())
def test_a_text_is_spliced_by_characters_whatever_they_are(text: str, script: list[tuple[int, int, str]], chance: random.Random) -> None:
    text = text.replace("\0", "")
    made = state("crdt:text", Rewrite((Splice(0, insert=text),)))
    for at, delete, insert in script:
        at, insert = min(at, len(text)), insert.replace("\0", "")
        delete = min(delete, len(text) - at)
        made = join("crdt:text", Rewrite((Splice(at, delete, insert),)), made, writer=chance.choice("ab")).state
        text = text[:at] + insert + text[at + delete :]
        assert Replica("crdt:text", made).value() == text


@settings(deadline=None)
@given(st.text("ab🦊é", max_size=8), st.text("ab🦊é", max_size=8), st.text("ab🦊é", max_size=8), st.integers(0, 8), st.integers(0, 8))
def test_no_inserted_text_is_ever_lost(first: str, one: str, other: str, at: int, to: int) -> None:
    base = state("crdt:text", Rewrite((Splice(0, insert=first),)))
    theirs = join("crdt:text", Rewrite((Splice(min(at, len(first)), 0, one),)), base, writer="b").state
    joined = join("crdt:text", Rewrite((Splice(min(to, len(first)), 0, other),)), base, theirs)
    assert sorted(joined.value) == sorted(first + one + other) and one in joined.value and other in joined.value
    assert bool(joined.clashes) == bool(one and other and min(at, len(first)) == min(to, len(first)))


def test_a_key_that_was_written_and_dropped_unseen_names_what_it_takes_with_it() -> None:
    theirs = join("crdt:map", Write((("a", 9),)), writer="b").state
    # The highest id wins among concurrent writes, and this one's last word on the key is that it is gone.
    peer: Doc[Any] = Doc(client_id=2**32 - 1)
    facts = peer.get("value", type=Map)
    facts["a"] = 1
    del facts["a"]
    joined = join("crdt:map", Update(peer.get_update()), b"", theirs)
    assert joined.value == {} and [(clash.part, clash.lost) for clash in joined.clashes] == [("a", 9)]


def test_whole_numbers_come_back_as_such() -> None:
    assert repr(join("crdt:map", Write((("a", {"n": [1, 2.5, True, None]}),))).value) == "{'a': {'n': [1, 2.5, True, None]}}"


DEEP = b"\x75\x01" * 100_000 + b"\x7e"
MAP_UPDATES = {
    "ends in the middle": [b"", b"\x01\x01\x05\x00\x28\x01\x05val", setting(b"\x77\x7fabc"), setting(b"\x7d")],
    "promises": [b"\x01", b"\xff\xff\xff\x7f", setting(b"\x75\xff\xff\xff\x7f"), setting(b"\x76\xff\xff\x7f")],
    "nests deeper than 32": [setting(DEEP[:30_000]), setting(b"\x76\x01\x01k" * 40 + b"\x7e")],
    "not JSON": [setting(b"\x7f"), setting(b"\x74\x01a"), setting(b"\x7a" + b"\0" * 8), setting(b"\x01")],
    "not between": [setting(b"\x7b\x7f\xf8" + b"\0" * 6), setting(b"\x7c\x7f\x80\0\0"), setting(b"\x7d\xbf" + b"\xff" * 7 + b"\x01")],
    "more than 64 bits": [b"\xff" * 12, setting(b"\x7d" + b"\xff" * 12)],
    "no UTF-8": [setting(b"\x77\x02\xff\xfe")],
    "NUL": [setting(b"\x77\x01\0")],
    "something follows": [setting(b"\x7e") + b"\0"],
    "of no or of more than 200": [setting(b"\x7e", ""), setting(b"\x7e", "k" * 201)],
    "several values at once": [b"\x01\x01\x05\x00\x28\x01\x05value\x01k\x02\x7e\x7e\x00"],
    "under the root name": [b"\x01\x01\x05\x00\x28\x01\x05other\x01k\x01\x7e\x00", b"\x01\x01\x05\x00\x28\x00\x05\x00\x01k\x01\x7e\x00"],
    "content of the kind 7": [b"\x01\x01\x05\x00\x27\x01\x05value\x01k\x01\x00"],
    "content of the kind 9": [b"\x01\x01\x05\x00\x29\x01\x05value\x01k\x01\x00"],
    "content of the kind 10": [b"\x01\x01\x05\x00\x2a\x01\x05value\x01k\x05\x00"],
    "a list or a text where a map": [b"\x01\x01\x05\x00\x08\x01\x05value\x01\x7e\x00"],
    "which its base version does not have": [b"\x01\x01\x05\x00\xa8\x07\x09\x01\x7e\x00", b"\x00\x01\x07\x01\x00\x01"],
    "nothing stands to the right": [b"\x01\x01\x05\x00\x68\x05\x00\x01\x7e\x00"],
    "goes on at 3": [b"\x01\x01\x05\x03\x28\x01\x05value\x01k\x01\x7e\x00"],
    "malformed at replica": [b"\x01\x00\x05\x00\x00", b"\x01\x01" + varint(2**60) + b"\x00\x28\x01\x05value\x01k\x01\x7e\x00"],
    "a run of": [b"\x01\x01\x05\x00\x00\x00\x00", b"\x01\x01\x05\x00\x00" + varint(2**40) + b"\x00"],
    "counts beyond": [b"\x01\x02\x05\x00" + (b"\x00" + varint(2**31 - 1)) * 2 + b"\x00"],
}  # fmt: skip


@pytest.mark.parametrize(("message", "update"), [(message, update) for message, found in MAP_UPDATES.items() for update in found])
def test_a_hostile_update_of_a_map_is_refused_before_the_library_reads_it(message: str, update: bytes) -> None:
    with pytest.raises(BadInput, match=message):
        join("crdt:map", Update(update))


FOX = state("crdt:text", Rewrite((Splice(0, insert="🦊é"),)))
(FOX_REPLICA,) = updates.vector(Replica("crdt:text", FOX).encoded_vector())
AT_FOX = varint(FOX_REPLICA)
CROSSED = (
    b"\x01\x02" + AT_FOX + b"\x03\xc1" + (AT_FOX + b"\x02") * 2 + b"\x03\xc4" + AT_FOX + b"\x04" + AT_FOX + b"\x02" + b"\x03\xc3\xa9x\x00"
)
"""Inserts behind what stands to the right of what it inserts before."""


@pytest.mark.parametrize(
    ("message", "update"),
    [
        ("takes a character apart", inserting(0x80, AT_FOX + b"\x00")),
        ("takes a character apart", inserting(0x40, AT_FOX + b"\x01")),
        ("takes a character apart", b"\x00\x01" + AT_FOX + b"\x01\x01\x01"),
        ("takes a character apart", b"\x00\x01" + AT_FOX + b"\x01\x00\x01"),
        ("would not agree about the order", CROSSED),
        ("content of the kind 6", b"\x01\x01\x05\x00\x06\x01\x05value\x01b\x04true\x00"),
        ("a map where a text is", b"\x01\x01\x05\x00\x24\x01\x05value\x01k\x01x\x00"),
        ("a run of 0", inserting(0, text=b"")),
    ],
)
def test_a_hostile_update_of_a_text_is_refused(message: str, update: bytes) -> None:
    with pytest.raises(BadInput, match=message):
        join("crdt:text", Update(update), FOX)


def test_a_plain_update_of_a_text_is_taken() -> None:
    assert join("crdt:text", Update(inserting(0x80, AT_FOX + b"\x01")), FOX).value == "🦊xé"


def test_parts_that_build_on_each_other_in_a_circle_are_refused() -> None:
    circle = b"\x02\x01\x06\x00\x84\x05\x00\x01x\x01\x05\x00\x84\x06\x00\x01x\x00"
    with pytest.raises(BadInput, match="in a circle"):
        join("crdt:text", Update(circle))


@settings(deadline=None)
@given(st.binary(max_size=60), st.randoms())
def test_no_bytes_do_anything_but_join_or_be_refused(noise: bytes, chance: random.Random) -> None:
    peer: Doc[Any] = Doc(client_id=9)
    text = peer.get("value", type=Text)
    text.insert(0, "ab🦊")
    honest = bytearray(peer.get_update())
    for byte in noise[:6]:
        honest[chance.randrange(len(honest))] = byte
    for merge in ("crdt:map", "crdt:text"):
        for update in (noise, bytes(honest)):
            try:
                joined = join(merge, Update(update))
            except BadInput:
                continue
            assert Replica(merge, joined.state).value() == joined.value
