"""Adapters: LangChain's own tools, and what looks like a function of Semantic Kernel, become tools that the gate knows."""

import json
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolArg, StructuredTool, ToolException, tool
from pydantic import BaseModel

from contracts.errors import BadInput
from tests.contexts import context
from tools import Tool, ToolFailed, ToolRetry, ToolUnknown
from tools.adapters import langchain, semantic_kernel
from tools.calls import call, parsed
from tools.executors import python

READ: dict[str, Any] = {"effect": "read", "guarantee": "pure"}
WRITE: dict[str, Any] = {"effect": "write", "guarantee": "idempotent", "key_ttl": timedelta(days=1), "irreversible": True}


class Price(BaseModel):
    cents: int


@tool
def price(name: str, pieces: int = 1, shop: Annotated[str, InjectedToolArg] = "ours") -> dict[str, int]:
    """The price of a thing."""
    match name:
        case "gone":
            raise ToolException("there is none left")
        case "broken":
            raise KeyError(name)
        case "odd":
            return {"cents": object()}  # pyright: ignore
        case _:
            return {"cents": 3 * pieces}


def declared(made: Any) -> Tool:
    return made.__perdure_tool__


async def run(made: Any, tmp_path: Path, **arguments: Any) -> dict[str, Any]:
    found = declared(made)
    return await call(found, parsed(found, arguments), context(tmp_path))


async def test_a_langchain_tool_has_its_own_name_text_and_shape_and_our_declaration(tmp_path: Path) -> None:
    made = langchain(price, **READ)
    found = declared(made)
    assert (found.name, found.description, found.effect, found.problems()) == ("price", "The price of a thing.", "read", [])
    schema = found.arguments.model_json_schema()
    assert sorted(schema["properties"]) == ["name", "pieces"] and schema["required"] == ["name"]
    assert await run(made, tmp_path, name="nail", pieces=2) == {"output": {"cents": 6}}


async def test_a_model_of_the_result_makes_its_fields_those_of_the_output(tmp_path: Path) -> None:
    made = langchain(price, **READ, result=Price)
    assert await run(made, tmp_path, name="nail") == {"cents": 3}
    with pytest.raises(ToolFailed, match="answered what is not the Odd it declares"):
        await run(langchain(price, **READ, result=Odd), tmp_path, name="nail")


class Odd(BaseModel):
    euros: int


async def test_each_end_of_a_langchain_tool_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ToolRetry, match="pieces"):
        await run(langchain(price, **READ), tmp_path, name="nail", pieces="two")
    with pytest.raises(ToolFailed, match="there is none left"):
        await run(langchain(price, **WRITE), tmp_path, name="gone")
    with pytest.raises(ToolFailed, match="broke"):
        await run(langchain(price, **READ), tmp_path, name="broken")
    with pytest.raises(ToolUnknown, match="it may have acted"):
        await run(langchain(price, **WRITE), tmp_path, name="broken")
    with pytest.raises(ToolUnknown, match="answered what is not the Output it declares"):
        await run(langchain(price, **WRITE), tmp_path, name="odd")


class Ordered(BaseModel):
    thing: str
    reference: str


class Order(BaseTool):
    args_schema: Any = Ordered
    name: str = "Order"
    description: str = "Order a thing.\U000e0041\U000e0042"

    def _run(self, thing: str, reference: str, config: RunnableConfig) -> str:
        return f"{thing} as {reference} of {config['configurable']['perdure'].automation}"


async def test_a_tool_of_ones_own_class_gets_the_key_and_our_context(tmp_path: Path) -> None:
    made = langchain(Order(), name="shop.order", key_argument="reference", **WRITE)
    assert declared(made).description == "Order a thing."
    assert list(declared(made).arguments.model_json_schema()["properties"]) == ["thing"]
    assert await run(made, tmp_path, thing="nail") == {"output": "nail as lineage/step/1 of probe"}


async def test_a_tool_with_a_json_schema_is_checked_by_it(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"], "additionalProperties": False}

    async def search(q: str) -> list[str]:
        return [q]

    made = langchain(StructuredTool.from_function(coroutine=search, name="search", description="Search.", args_schema=schema), **READ)
    assert await run(made, tmp_path, q="nails") == {"output": ["nails"]}
    with pytest.raises(ToolRetry, match="Additional properties"):
        await run(made, tmp_path, q="nails", w=1)


def test_they_are_found_in_an_automations_tools(tmp_path: Path) -> None:
    code = """
from langchain_core.tools import tool
from tools.adapters import langchain

@tool
def add(a: int, b: int) -> int:
    "Add."
    return a + b

sum = langchain(add, effect="read", guarantee="pure")
"""
    (tmp_path / "tools.py").write_text(code)
    assert sorted(python.load(tmp_path / "tools.py")) == ["add"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: langchain(len, **READ), "langchain() takes a LangChain tool, with `args_schema` and `ainvoke`, and this is a builtin"),
        (lambda: semantic_kernel(len, None, **READ), "semantic_kernel() takes a kernel function"),
        (lambda: langchain(Order(), **WRITE), "its name is not 1 to 80 of a-z"),
        (lambda: langchain(price, effect="write", guarantee="guarded"), "a tool that writes names `compensate_with`"),
        (lambda: langchain(price, **WRITE, key_argument="ref"), "`key_argument` names 'ref', and its arguments are name, pieces"),
        (lambda: semantic_kernel(Function(parameters=[Parameter("kernel")]), None, **READ), "has an argument 'kernel'"),
    ],
)
def test_what_cannot_be_a_tool_is_refused_with_what_is_right(make: Any, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        make()
    assert said in str(caught.value)


@dataclass
class Parameter:
    name: str
    is_required: bool = True
    description: str = ""
    schema_data: dict[str, Any] | None = None
    include_in_function_choices: bool = True


@dataclass
class Function:
    """Looks like a `KernelFunction`, as far as we look."""

    name: str = "price"
    plugin_name: str | None = "shop"
    description: str = "The price of a thing."
    parameters: list[Parameter] = field(default_factory=list[Parameter])

    @property
    def metadata(self) -> Any:
        return self

    async def invoke(self, kernel: Any, arguments: Any = None, metadata: Any = None, **given: Any) -> Any:
        assert kernel == "the kernel" and arguments is None
        return Answer(given)


@dataclass
class Answer:
    value: Any


async def test_what_looks_like_a_kernel_function_becomes_a_tool(tmp_path: Path) -> None:
    parameters = [
        Parameter("name", schema_data={"type": "string"}),
        Parameter("pieces", is_required=False, schema_data={"type": "integer"}),
        Parameter("secret", include_in_function_choices=False),
    ]
    made = semantic_kernel(Function(parameters=parameters), "the kernel", **READ)
    assert declared(made).name == "shop.price"
    assert json.loads(json.dumps(declared(made).arguments.model_json_schema())) == {
        "type": "object",
        "properties": {"name": {"type": "string"}, "pieces": {"type": "integer"}},
        "required": ["name"],
    }
    assert await run(made, tmp_path, name="nail", pieces=2) == {"output": {"name": "nail", "pieces": 2}}
