"""The registry: tools by file, versioned by its text, refused as a whole where one is wrong."""

import hashlib
import os
import sys
from pathlib import Path

import pytest

from contracts.errors import BadConfiguration, ToolFailed
from tools.registry import Registry, load

HEAD = '''
from datetime import timedelta
from pydantic import BaseModel
from tools import ToolContext, tool

class Id(BaseModel):
    id: str
    note: str = ""

class Post(BaseModel):
    title: str

def write(name, result=Id, arguments=Post, **given):
    async def call(arguments, context: ToolContext):
        """Do it."""
    call.__annotations__ |= {"arguments": arguments, "return": result}
    return tool(name, effect="write", guarantee="idempotent", key_ttl=timedelta(days=1), **given)(call)
'''
DELETE = 'delete = write("post.delete", arguments=Id, irreversible=True)\n'
POST = 'post = write("post", compensate_with="post.delete")\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "shop-ops").mkdir()
    return tmp_path / "shop-ops" / "tools.py"


def refusal(path: Path, text: str) -> str:
    path.write_text(text)
    with pytest.raises(BadConfiguration) as caught:
        load(path.parent)
    assert "perdure_automation_shop_ops" not in sys.modules or "broken" not in text
    return str(caught.value)


def test_a_files_tools_have_the_hash_of_its_text_as_version(path: Path) -> None:
    path.write_text(HEAD + POST + DELETE)
    tools = load(path.parent).tools
    assert sorted(tools) == ["post", "post.delete"]
    assert {tool.version for tool in tools.values()} == {hashlib.sha256(path.read_bytes()).hexdigest()}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def broken(:\n", "cannot be loaded: SyntaxError: invalid syntax"),
        ("import broken_nowhere\n", "cannot be loaded: ModuleNotFoundError: No module named 'broken_nowhere'"),
        ("broken = 1 / 0\n", "cannot be loaded: ZeroDivisionError"),
        (HEAD + 'broken = write("post")\n', "tool post cannot be registered: a tool that writes names `compensate_with`"),
        (HEAD + 'broken = write("post", irreversible=True, colour="red")\n', "unexpected keyword argument 'colour'"),
        (
            HEAD + DELETE + 'again = write("post.delete", irreversible=True)\n',
            "two tools share a name; names are ['post.delete', 'post.delete']",
        ),
        (HEAD + POST, "post is compensated with post.delete, which is not a tool here"),
        (
            HEAD + DELETE + 'post = write("post", result=Post, compensate_with="post.delete")\n',
            "post.delete wants ['id'], which the output of post does not have",
        ),
    ],
)
def test_a_file_with_a_mistake_is_refused_by_its_path(path: Path, text: str, said: str) -> None:
    message = refusal(path, text)
    assert message.startswith(str(path)) and said in message


def test_a_missing_file_is_named(path: Path) -> None:
    with pytest.raises(BadConfiguration, match=r"tools\.py is missing: an automation's tools are declared there"):
        load(path.parent)


def test_a_tool_under_two_names_of_the_module_is_one_tool(path: Path) -> None:
    path.write_text(HEAD + DELETE + "alias = delete\n")
    assert sorted(load(path.parent).tools) == ["post.delete"]


def test_loading_leaves_no_file_behind(path: Path) -> None:
    path.write_text(HEAD + DELETE)
    load(path.parent)
    assert list(path.parent.iterdir()) == [path]


def test_the_registry_reads_a_file_again_when_it_has_changed(path: Path) -> None:
    registry = Registry(path.parent.parent)
    path.write_text(HEAD + DELETE)
    first = registry.tools("shop-ops")
    assert registry.tools("shop-ops") is first
    path.write_text(HEAD + DELETE.replace("post.delete", "post.remove"))
    os.utime(path, (1, 1))
    assert sorted(registry.tools("shop-ops")) == ["post.remove"]


def test_an_unknown_tool_lists_those_there_are(path: Path) -> None:
    path.write_text(HEAD + POST + DELETE)
    registry = Registry(path.parent.parent)
    assert registry.tool("shop-ops", "post").name == "post"
    with pytest.raises(ToolFailed, match=r"shop-ops has no tool 'psot'; it has post, post\.delete"):
        registry.tool("shop-ops", "psot")


def test_an_unknown_automation_is_refused(path: Path) -> None:
    with pytest.raises(BadConfiguration, match=r"another/tools\.py is missing"):
        Registry(path.parent.parent).tools("another")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An automation whose tools are two modules, one of which needs the other."""
    made = tmp_path / "shop-ops" / "tools"
    made.mkdir(parents=True)
    (made / "writing.py").write_text(HEAD)
    (made / "posts.py").write_text("from .writing import Id, write\n" + POST + DELETE)
    return made


def version(folder: Path) -> str:
    [found] = {tool.version for tool in load(folder.parent).tools.values()}
    return found


def test_a_folder_of_modules_is_one_set_of_tools_whose_version_covers_every_file(folder: Path) -> None:
    assert sorted(load(folder.parent).tools) == ["post", "post.delete"]
    first = version(folder)
    assert version(folder) == first
    for change in (
        lambda: (folder / "writing.py").write_text(HEAD + "# changed\n"),
        lambda: (folder / "unused.py").write_text("x = 1\n"),
        lambda: (folder / "unused.py").rename(folder / "renamed.py"),
        lambda: (folder / "words.txt").write_text("a word list that a tool reads\n"),
        lambda: ((folder / "deep").mkdir(), (folder / "deep" / "more.json").write_text("{}")),
    ):
        change()
        assert version(folder) != first
        first = version(folder)


def test_what_python_and_editors_leave_in_a_folder_changes_no_version(folder: Path) -> None:
    first = version(folder)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "posts.pyc").write_bytes(b"x")
    (folder / ".posts.py.swp").write_bytes(b"x")
    assert version(folder) == first
    load(folder.parent)
    assert sorted(path.name for path in folder.iterdir()) == [".posts.py.swp", "__pycache__", "posts.py", "writing.py"]


def test_the_registry_reads_a_folder_again_when_a_module_has_changed_or_is_new(folder: Path) -> None:
    registry = Registry(folder.parent.parent)
    first = registry.tools("shop-ops")
    assert registry.tools("shop-ops") is first
    (folder / "writing.py").write_text(HEAD + "LATER = 1\n")
    os.utime(folder / "writing.py", (1, 1))
    second = registry.tools("shop-ops")
    assert second["post"].version != first["post"].version
    (folder / "more.py").write_text("from .writing import LATER, Id, write\n" + DELETE.replace("post.delete", "post.remove"))
    os.utime(folder, (2, 2))
    assert sorted(registry.tools("shop-ops")) == ["post", "post.delete", "post.remove"]


def test_a_module_that_is_gone_is_not_found_in_what_was_loaded_before(folder: Path) -> None:
    load(folder.parent)
    (folder / "writing.py").unlink()
    with pytest.raises(BadConfiguration, match=r"shop-ops/tools cannot be loaded: ModuleNotFoundError: .*writing"):
        load(folder.parent)
    assert not [name for name in sys.modules if name.startswith("perdure_automation_shop_ops")]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("broken.py", "def broken(:\n", "cannot be loaded: SyntaxError: invalid syntax (broken.py"),
        ("broken.py", "from .nowhere import x\n", "cannot be loaded: ModuleNotFoundError: No module named"),
        ("two-words.py", "", "two-words.py is no name of a module"),
        ("script.py", "import sys\nsys.exit(3)\n", "cannot be loaded: SystemExit: 3"),
        ("again.py", "from .writing import Id, write\n" + DELETE, "two tools share a name"),
    ],
)
def test_a_folder_with_a_mistake_is_refused_by_its_path(folder: Path, name: str, text: str, said: str) -> None:
    (folder / name).write_text(text)
    with pytest.raises(BadConfiguration) as caught:
        load(folder.parent)
    assert str(caught.value).startswith(str(folder)) and said in str(caught.value)


def test_modules_of_folders_below_are_no_part_of_what_is_loaded(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "__init__.py").write_text("x = 1\n")
    (folder / "late.py").write_text("from .deep import x\n")
    with pytest.raises(BadConfiguration, match=r"ModuleNotFoundError: No module named '.*\.deep'"):
        load(folder.parent)
    assert not (folder / "deep" / "__pycache__").exists()


def test_what_is_no_file_is_refused_and_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(BadConfiguration, match=r"shop-ops/tools: pipe is no file: right are files and folders"):
        load(folder.parent)
    (folder / "pipe").unlink()
    (folder / "gone.py").symlink_to(folder / "nowhere.py")
    with pytest.raises(BadConfiguration, match=r"gone\.py is no file"):
        load(folder.parent)


def test_an_empty_folder_and_one_beside_a_file_are_refused(folder: Path) -> None:
    (folder.parent / "tools.py").write_text(HEAD + POST + DELETE)
    with pytest.raises(BadConfiguration, match="are both there: one of them has the tools"):
        load(folder.parent)
    (folder.parent / "tools.py").unlink()
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(BadConfiguration, match="there is no module in it"):
        load(folder.parent)


def test_no_module_of_a_folder_stands_in_for_one_of_ours(folder: Path) -> None:
    (folder / "contract.py").write_text("raise RuntimeError('mine')\n")
    with pytest.raises(BadConfiguration, match="RuntimeError: mine"):
        load(folder.parent)
    (folder / "contract.py").write_text("Tool = None\n")
    assert all(type(tool).__module__ == "tools.contract" for tool in load(folder.parent).tools.values())
