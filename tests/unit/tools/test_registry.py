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
