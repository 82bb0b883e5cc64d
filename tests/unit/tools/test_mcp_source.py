"""What an operator writes of an MCP server: one way to reach it, declared tools, and arguments that are there."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from contracts.errors import BadConfiguration, BadInput
from tools import manifest
from tools.executors.executor import Place
from tools.executors.mcp import McpSource
from tools.lock import Definition, Lock

READ: dict[str, Any] = {"tool": "find", "effect": "read", "guarantee": "pure"}
WRITE: dict[str, Any] = {"tool": "add", "effect": "write", "guarantee": "guarded", "irreversible": True}
TEXT: dict[str, Any] = {"type": "string"}


def definition(name: str, **arguments: Any) -> Definition:
    return Definition(name, f"To {name}.", {"type": "object", "properties": arguments, "required": list(arguments)}, {"type": "object"}, {})


def place(folder: Path) -> Place:
    return Place("shop", folder, Lock({}).accept("shop", [definition("add", thing=TEXT, ref=TEXT), definition("find", ref=TEXT)]))


def source(**given: Any) -> McpSource:
    return McpSource.model_validate({"command": ["shop"], "tools": {"shop.add": WRITE}, **given})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"url": "https://shop.example/mcp"}, "write either `command` or `url`"),
        ({"command": []}, "write either `command` or `url`"),
        ({"command": [], "url": "shop", "secrets": ["TOKEN"]}, "are for a `command`"),
        ({"auth": {"bearer": "TOKEN"}}, "`auth` is for a `url`"),
        ({"secrets": ["token"]}, "should match pattern"),
        ({"tools": {}}, "at least 1 item"),
        ({"tools": {"shop.add": {**WRITE, "annotations": {}}}}, "Extra inputs are not permitted"),
        ({"tools": {"shop.add": {"tool": "add"}}}, "Field required"),
    ],
)
def test_a_source_that_contradicts_itself_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        source(**given)


def test_a_listed_tool_is_what_was_accepted_with_the_operators_declaration(tmp_path: Path) -> None:
    look_up = {"tool": "find", "key_argument": "ref", "happened": "order"}
    made = source(secrets=["TOKEN"], tools={"shop.add": {**WRITE, "key_argument": "ref", "lookup": look_up, "seconds": 5}})
    assert made.allowed == {"add", "find"}
    tools = made.tools(place(tmp_path), made.executor(place(tmp_path)))
    (tool,) = tools.values()
    assert (tool.name, tool.description, tool.secrets, tool.seconds) == ("shop.add", "To add.", ("TOKEN",), 5)
    assert tool.lookup is not None
    assert tool.arguments.model_json_schema() == {"type": "object", "properties": {"thing": TEXT}, "required": ["thing"]}


def test_another_declaration_is_another_version(tmp_path: Path) -> None:
    def version(**more: Any) -> str:
        made = source(tools={"shop.add": {**WRITE, **more}})
        return made.tools(place(tmp_path), made.executor(place(tmp_path)))["shop.add"].version

    assert version() == version()
    assert len({version(), version(key_argument="ref"), version(seconds=7), version(description="Add it.")}) == 4


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        ({"shop.go": {**READ, "tool": "go"}}, "shop.go: nobody has accepted 'go' of this server yet: `starter.py tools pin"),
        ({"shop.add": {**WRITE, "lookup": {"tool": "seek", "key_argument": "ref", "happened": "id"}}}, "nobody has accepted 'seek'"),
        ({"shop.add": {**WRITE, "key_argument": "key"}}, "`key_argument` names 'key', and its arguments are ref, thing"),
        ({"shop.add": {**WRITE, "guarantee": "pure"}}, "a tool that writes is `idempotent` or `guarded`, not `pure`"),
    ],
)
def test_a_tool_that_cannot_be_declared_so_is_refused_by_its_name(tmp_path: Path, tools: dict[str, Any], said: str) -> None:
    made = source(tools=tools)
    with pytest.raises(BadInput) as caught:
        made.tools(place(tmp_path), made.executor(place(tmp_path)))
    assert said in str(caught.value)


def test_sources_are_known_before_anybody_has_accepted_their_tools(tmp_path: Path) -> None:
    (tmp_path / "tools.yaml").write_text(
        "mcp:\n  shop:\n    command: [shop]\n    tools:\n      shop.add: {tool: add, effect: read, guarantee: pure}\n"
    )
    ((name, (kind, _, found)),) = manifest.sources(tmp_path, Lock({})).items()
    assert (name, kind, found.name, found.accepted) == ("shop", "mcp", "shop", {})
    with pytest.raises(BadConfiguration, match=r"tools\.yaml:2: mcp\.shop: shop\.add: nobody has accepted 'add'"):
        manifest.load(tmp_path)
