"""Tools on files: written once, and taken back to what was there before."""

from pathlib import Path
from typing import Any

import pytest

from contracts.errors import ToolFailed, ToolRetry, TransientError
from tests.fakes import MemoryDocuments
from tests.tool_calls import called, context
from tools.executors.python import offered


@pytest.fixture
def documents() -> MemoryDocuments:
    return MemoryDocuments()


class Desk:
    """Calls the tools of one automation's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.documents = MemoryDocuments()

    async def use(self, name: str, key: str = "k/s/1", *, seconds: float = 20, root: str = "", **arguments: Any) -> dict[str, Any]:
        options = {"root": root} if root else {}
        known = context(self.folder, key=key, documents=self.documents, options=options, seconds=seconds)
        return await called(offered(f"files.{name}"), arguments, known)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "files")


async def test_a_file_is_written_read_and_listed(desk: Desk) -> None:
    written = await desk.use("write", path="a/b.txt", text="hällo")
    assert (await desk.use("read", path="a/b.txt")) == {"path": "a/b.txt", "text": "hällo", "sha256": written["sha256"]}
    assert (await desk.use("list")) == {"files": [{"path": "a/b.txt", "bytes": 6}], "more": False}


async def test_a_second_attempt_does_not_write_over_what_came_after_the_first(desk: Desk) -> None:
    first = await desk.use("write", "k1", path="a", text="one")
    await desk.use("write", "k2", path="a", text="two")
    assert await desk.use("write", "k1", path="a", text="one") == first
    assert (await desk.use("read", path="a"))["text"] == "two"


async def test_an_undo_puts_back_what_was_there_even_after_an_attempt_that_was_cut(desk: Desk) -> None:
    await desk.use("write", "k1", path="a", text="old")
    written = await desk.use("write", "k2", path="a", text="new")
    # As if the first attempt had died between writing and saying so.
    del desk.documents.kept["file-after", "k2"]
    assert await desk.use("write", "k2", path="a", text="new") == written
    undo = offered("files.write").compensate_with
    assert undo == "files.restore" and set(offered(undo).undo_arguments(written)) == {"path", "change"}
    for _ in range(2):
        assert await desk.use("restore", "k2/undo", path="a", change="k2") == {"path": "a", "exists": True}
    assert (await desk.use("read", path="a"))["text"] == "old"


async def test_an_undo_of_a_new_file_removes_it(desk: Desk) -> None:
    await desk.use("write", "k1", path="a", text="new")
    for _ in range(2):
        assert await desk.use("restore", path="a", change="k1") == {"path": "a", "exists": False}
    assert (await desk.use("list"))["files"] == []


async def test_an_undo_of_a_deletion_brings_the_file_back(desk: Desk) -> None:
    (desk.folder / "a").parent.mkdir(parents=True)
    (desk.folder / "a").write_bytes(b"\xff\x00 any bytes")
    assert (await desk.use("delete", "k1", path="a"))["sha256"] == ""
    assert await desk.use("delete", "k1", path="a") == await desk.use("delete", "k1", path="a")
    assert not (desk.folder / "a").exists()
    await desk.use("restore", path="a", change="k1")
    assert (desk.folder / "a").read_bytes() == b"\xff\x00 any bytes"


async def test_an_undo_leaves_what_others_have_written_since(desk: Desk) -> None:
    await desk.use("write", "k1", path="a", text="one")
    (desk.folder / "a").write_text("by hand")
    with pytest.raises(ToolFailed, match="'a' was changed again since: it is left as it is"):
        await desk.use("restore", path="a", change="k1")
    assert (desk.folder / "a").read_text() == "by hand"
    with pytest.raises(ToolFailed, match="no change 'k9' of 'a' is known"):
        await desk.use("restore", path="a", change="k9")
    with pytest.raises(ToolFailed, match="no change 'k1' of 'b' is known"):
        await desk.use("restore", path="b", change="k1")


async def test_the_root_of_the_options_is_the_whole_world(desk: Desk) -> None:
    await desk.use("write", path="top", text="x")
    await desk.use("write", "k2", root="in/here", path="a", text="y")
    assert (desk.folder / "in/here/a").read_text() == "y"
    assert [one["path"] for one in (await desk.use("list", root="in/here"))["files"]] == ["a"]
    with pytest.raises(ToolRetry, match="is not a path like"):
        await desk.use("read", root="in/here", path="../../top")


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("read", {"path": "gone"}, "there is no file 'gone'"),
        ("delete", {"path": "gone"}, "there is no file 'gone'"),
        ("list", {"folder": "gone"}, "there is no folder 'gone'"),
        ("read", {"path": "bytes"}, "is not UTF-8 text"),
        ("write", {"path": "folder", "text": ""}, "is not a file"),
        ("write", {"path": "bytes/x", "text": ""}, "over what is not a folder"),
    ],
)
async def test_what_cannot_be_done_is_said(desk: Desk, name: str, arguments: dict[str, str], said: str) -> None:
    (desk.folder / "folder").mkdir(parents=True)
    (desk.folder / "bytes").write_bytes(b"\xff")
    with pytest.raises(ToolFailed, match=said):
        await desk.use(name, **arguments)


async def test_an_attempt_whose_time_is_over_changes_nothing(desk: Desk) -> None:
    with pytest.raises(TransientError):
        await desk.use("write", seconds=-1, path="a", text="late")
    assert not (desk.folder / "a").exists()


async def test_an_unknown_option_is_named(desk: Desk) -> None:
    with pytest.raises(ToolFailed, match=r"settings\.tools\.files\.list\.colour in automation\.yaml: Extra inputs"):
        await called(offered("files.list"), {}, context(desk.folder, options={"colour": "red"}))
