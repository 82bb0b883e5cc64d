"""Names as they are compared, taken out of texts, and hidden under a key."""

import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import BadInput
from memory import tombstones
from memory.tombstones import MARK, checked, digest, normal, secret, spellings, without


@pytest.mark.parametrize("name", ["Ann Lee", "ann  LEE", " ann-lee ", "Ann\nLee", "ANN.LEE", "\uff21nn Lee", "ann_lee", "A\u200bnn Lee"])
def test_one_name_has_one_normal_form(name: str) -> None:
    assert normal(name) == "ann lee"


def test_letters_that_differ_make_other_names() -> None:
    assert len({normal(name) for name in ("ann", "anna", "\u00e4nn", "an n")}) == 4


def test_accents_are_the_same_however_they_are_typed() -> None:
    assert normal("Jos\u00e9") == normal("Jose\u0301") != normal("Jose")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ann Lee came", f"{MARK} came"),
        ("ask ANN-LEE, ann lee and Ann", f"ask {MARK}, {MARK} and Ann"),
        ("Joann Lee and Ann Leer", "Joann Lee and Ann Leer"),
        ("annlee", "annlee"),
        ("annlee@x.org or AnnLee", f"{MARK}@x.org or {MARK}"),
        ("JoAnnLee and AnnLeer", "JoAnnLee and AnnLeer"),
        ("id_ann_lee_7", f"id_{MARK}_7"),
        ("A\u200bnn L\u00adee came", f"{MARK} came"),
        ("", ""),
    ],
)
def test_whole_names_are_taken_out_and_nothing_else(text: str, expected: str) -> None:
    assert without(text, ["ann lee"]) == expected


def test_a_whole_name_goes_and_not_its_half() -> None:
    assert without("Ann Lee and Lee", ["lee", "ann lee"]) == f"{MARK} and {MARK}"


@given(st.text(max_size=60), st.text(alphabet="abcdefgh ", min_size=2, max_size=12).filter(lambda name: len(normal(name)) > 1))
def test_no_text_has_the_name_afterwards_and_others_stay_as_they_are(text: str, name: str) -> None:
    assert without(text, [normal(name)]) == text or normal(name) in normal(text)
    left = without(f"{text} {name} {text}", [normal(name)])
    assert f" {normal(name)} " not in f" {normal(left.replace(MARK, ' | '))} " or normal(name) in normal(MARK)


def test_a_database_finds_a_name_by_its_spellings() -> None:
    assert spellings("Ann-Lee") == ["ann lee"]
    assert set(spellings("Gr\u00f6\u00dfe")) == {"gr\u00f6\u00dfe", "gr\u00f6sse", "gro\u0308\u00dfe", "gro\u0308sse"}


def test_marks_that_are_vowels_belong_to_their_word() -> None:
    ram, romi = "\u0930\u093e\u092e", "\u0930\u094b\u092e\u0940"
    assert normal(ram) == ram != normal(romi)
    assert without(f"{ram} {romi}", [normal(ram)]) == f"{MARK} {romi}"
    assert spellings(ram) == [ram]
    assert normal("Ann \u2764\ufe0f Lee") == "ann lee"


@pytest.mark.parametrize("name", ["", "x", "-", "___", "a_", "default", "Import", "x" * 201])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="no name to forget"):
        checked(name)


def test_a_hash_is_another_in_each_tenant_and_under_each_key() -> None:
    hashes = {digest(tenant, name, key) for tenant in ("a", "b") for name in ("ann", "bob") for key in (b"k", b"l")}
    assert len(hashes) == 8 and {len(one) for one in hashes} == {32}


def test_the_secret_comes_from_the_environment_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_SECRET_MEMORY_KEY", "given")
    assert secret() == b"given"


def test_elsewhere_than_on_one_machine_the_secret_must_be_set() -> None:
    with pytest.raises(BadInput, match="set PERDURE_SECRET_MEMORY_KEY"):
        secret()


def test_one_machine_makes_a_key_once_and_for_its_owner_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_STATE", str(tmp_path))
    monkeypatch.setenv("PERDURE_ONE_MACHINE", "true")
    keys: list[bytes] = []
    threads = [threading.Thread(target=lambda: keys.append(secret())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8 and len(set(keys)) == 1 and len(keys[0]) == 32
    assert [path.name for path in tmp_path.iterdir()] == ["memory.key"]
    assert stat.S_IMODE((tmp_path / "memory.key").stat().st_mode) == 0o600
    assert secret() == keys[0] == bytes.fromhex((tmp_path / "memory.key").read_text())


def test_a_mark_is_no_name() -> None:
    with pytest.raises(BadInput):
        checked(tombstones.MARK)
