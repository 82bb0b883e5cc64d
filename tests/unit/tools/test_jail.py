"""The jail: no path and no link leads out of it, also not one that is laid while we look."""

import os
import threading
from pathlib import Path

import pytest

from contracts.errors import ToolFailed, ToolRetry
from tools.library.jail import MOST_LISTED, Jail

OUT = ["..", "../x", "a/../../x", "/etc/passwd", "", ".", "./x", "a//b", "a/", "a\\..\\x", "a\0b", "a\nb", "x" * 300, "/".join("a" * 20)]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "outside.txt").write_text("outside")
    (tmp_path / "jail").mkdir()
    return tmp_path / "jail"


@pytest.mark.parametrize("path", OUT)
def test_no_path_leads_out(base: Path, path: str) -> None:
    jail = Jail(base)
    for use in (lambda: jail.read(path, 100), lambda: jail.write(path, b"x"), lambda: jail.delete(path)):
        with pytest.raises(ToolRetry, match="is not a path like"):
            use()
    if path not in ("", "."):
        with pytest.raises(ToolRetry):
            jail.list(path)
    assert (base.parent / "outside.txt").read_text() == "outside" and list(base.iterdir()) == []


def test_no_root_leads_out(base: Path) -> None:
    with pytest.raises(ToolRetry):
        Jail(base, "..").read("outside.txt", 100)
    (base / "link").symlink_to(base.parent)
    with pytest.raises(ToolFailed, match="leads over a link"):
        Jail(base, "link").read("outside.txt", 100)


def test_what_is_written_is_read_and_listed_and_deleted(base: Path) -> None:
    jail = Jail(base, "root/of")
    assert jail.read("a/b.txt", 100) is None
    jail.write("a/b.txt", b"one")
    jail.write("a/b.txt", b"two")
    jail.write("c.txt", b"")
    assert jail.read("a/b.txt", 100) == b"two" and (base / "root/of/a/b.txt").read_bytes() == b"two"
    found, more = jail.list("")
    assert [(one.path, one.bytes) for one in found] == [("a/b.txt", 3), ("c.txt", 0)] and not more
    assert [one.path for one in jail.list("a")[0]] == ["a/b.txt"]
    jail.delete("a/b.txt")
    jail.delete("a/b.txt")
    jail.delete("nowhere/x")
    assert jail.read("a/b.txt", 100) is None


@pytest.mark.parametrize("target", ["../outside.txt", "/etc/hostname", "nowhere"])
def test_a_link_is_not_followed_whatever_it_leads_to(base: Path, target: str) -> None:
    (base / "link").symlink_to(target)
    jail = Jail(base)
    with pytest.raises(ToolFailed, match="leads over a link"):
        jail.read("link", 10_000)
    with pytest.raises(ToolFailed):
        jail.write("link", b"x")
    jail.delete("link")
    assert (base.parent / "outside.txt").read_text() == "outside" and not (base.parent / "nowhere").exists()


def test_a_folder_that_is_a_link_is_not_entered(base: Path) -> None:
    (base / "link").symlink_to(base.parent)
    jail = Jail(base)
    for use in (lambda: jail.read("link/outside.txt", 100), lambda: jail.write("link/x", b"x"), lambda: jail.delete("link/outside.txt")):
        with pytest.raises(ToolFailed, match="leads over a link"):
            use()
    assert jail.list("") == ([], False)
    assert (base.parent / "outside.txt").exists() and not (base.parent / "x").exists()


def test_what_is_no_file_is_not_read_and_not_written_over(base: Path) -> None:
    os.mkfifo(base / "pipe")
    (base / "folder").mkdir()
    jail = Jail(base)
    for name in ("pipe", "folder"):
        with pytest.raises(ToolFailed, match="is not a file"):
            jail.read(name, 100)
        with pytest.raises(ToolFailed, match="is not a file"):
            jail.write(name, b"x")
    assert jail.list("") == ([], False)


def test_a_file_that_is_too_long_is_not_read(base: Path) -> None:
    (base / "long").write_bytes(b"x" * 101)
    with pytest.raises(ToolFailed, match="has 101 bytes; 100 is the most"):
        Jail(base).read("long", 100)


def test_a_list_ends(base: Path) -> None:
    for n in range(MOST_LISTED + 5):
        (base / f"{n:04}").touch()
    found, more = Jail(base).list("")
    assert len(found) == MOST_LISTED and more


def test_nothing_half_written_is_left_or_shown(base: Path) -> None:
    (base / ".perdure-part-dead").write_text("half")
    jail = Jail(base)
    jail.write("a", b"x")
    assert [one.path for one in jail.list("")[0]] == ["a"]
    with pytest.raises(ToolRetry):
        jail.read(".perdure-part-dead", 100)


def test_a_folder_that_is_swapped_for_a_link_again_and_again_leads_out_no_time(base: Path) -> None:
    secret = base.parent / "secret"
    secret.mkdir()
    (secret / "file").write_text("outside")
    jail, ended = Jail(base), threading.Event()

    def swap() -> None:
        while not ended.is_set():
            (base / "real").mkdir(exist_ok=True)
            (base / "real" / "file").write_text("inside")
            (base / "real").rename(base / "folder")
            (base / "folder").rename(base / "real")
            (base / "folder").symlink_to(secret)
            (base / "folder").unlink()

    thread = threading.Thread(target=swap)
    thread.start()
    read: set[bytes | None] = set()
    try:
        for _ in range(1000):
            for use in (lambda: read.add(jail.read("folder/file", 100)), lambda: jail.delete("folder/nothing")):
                try:
                    use()
                except ToolFailed:
                    continue
    finally:
        ended.set()
        thread.join()
    assert b"outside" not in read and (secret / "file").read_text() == "outside" and [path.name for path in secret.iterdir()] == ["file"]
