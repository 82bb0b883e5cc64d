"""YAML files: every mistake has its file and line."""

import re
from pathlib import Path

import pytest

from contracts.errors import BadConfiguration
from contracts.message import Strict
from yaml_files import MAX_BYTES, YamlFile


class Inner(Strict):
    name: str
    numbers: list[int] = []


class Outer(Strict):
    inner: Inner
    count: int = 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "automation.yaml"


def refused(path: Path, content: bytes | str) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BadConfiguration) as caught:
        YamlFile(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        ("a: 1\nb: [1, 2\n", 3, "expected ',' or ']'"),
        ("a: 1\n b: 2\n", 2, "mapping values are not allowed here"),
        ("a: 1\nb: &x 2\nc: *y\n", 3, "undefined alias 'y'"),
        ("a: 1\n---\nb: 2\n", 2, "but found another document"),
        ("a: 1\nb: !!python/object:os.system x\n", 2, "could not determine a constructor"),
        ("a: 1\n? [x, y]\n: 2\n", 2, "found unhashable key"),
        ("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n", 5, "'c' stands here twice"),
        ("a: 1\nb:\n- {c: 1, c: 2}\n", 3, "'c' stands here twice"),
        ("a: 1\n1: x\n'1': y\n", 3, "'1' stands here twice"),
        ("- a\n- b\n", 1, "a mapping of names to values is expected here"),
        ("", 1, "a mapping of names to values is expected here"),
        ("just text", 1, "a mapping of names to values is expected here"),
        (b"a: 1\nb: \xff\n", 2, "this is not UTF-8 text"),
        (b"a: 1\nb: x\0\n", 2, "a NUL character cannot stand here"),
        (b"a: 1\nb: x\x07\n", 2, "the character U+0007 cannot stand here"),
        ("a: 1\nb: 2024-13-45\n", 1, "month must be in 1..12"),
        ("x: 1\na: &a\n  b: *a\n", 2, "its aliases make more than"),
        ("a: 1\nb: " + "[" * 5000, 1, "nested too deeply"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_its_line(path: Path, content: bytes | str, line: int, said: str) -> None:
    message = refused(path, content)
    assert message.startswith(f"{path}:{line}: ") and said in message and "\n" not in message


def test_aliases_cannot_make_much_out_of_little(path: Path) -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
    assert "its aliases make more than" in refused(path, bomb)


def test_a_file_that_is_too_big_is_refused_before_it_is_parsed(path: Path) -> None:
    assert refused(path, f"a: {'x' * MAX_BYTES}") == f"{path} has {MAX_BYTES + 3} bytes; {MAX_BYTES} is the most"


def test_a_missing_file_and_a_folder_are_named(path: Path) -> None:
    with pytest.raises(BadConfiguration, match=re.escape(f"{path} is missing")):
        YamlFile(path)
    path.mkdir()
    with pytest.raises(BadConfiguration, match=re.escape(f"{path} cannot be read: Is a directory")):
        YamlFile(path)


def test_every_mistake_is_named_with_its_own_line(path: Path) -> None:
    path.write_text("count: three\n\ninner:\n  # a comment\n  numbers:\n  - 1\n  - two\n  more: 1\n")
    with pytest.raises(BadConfiguration) as caught:
        YamlFile(path).read(Outer)
    assert [line.removeprefix(f"{path}:").split(": ")[:2] for line in str(caught.value).splitlines()] == [
        ["3", "inner.name"],
        ["7", "inner.numbers.1"],
        ["8", "inner.more"],
        ["1", "count"],
    ]


def test_a_part_that_is_not_there_has_the_line_around_it(path: Path) -> None:
    path.write_text("a: 1\nb:\n  c: [1, 2]\n")
    file = YamlFile(path)
    assert [file.line(where) for where in ([], ["b"], ["b", "c", 1], ["b", "c", 9], ["b", "d"], ["e", "f"])] == [1, 2, 3, 3, 2, 1]


def test_a_good_file_is_read(path: Path) -> None:
    path.write_text("inner: &i {name: ü, numbers: [1]}\ncount: 2\n", encoding="utf-8")
    assert YamlFile(path).read(Outer) == Outer(inner=Inner(name="ü", numbers=[1]), count=2)
