"""Real functions of Semantic Kernel as tools. It needs another `mcp` than Perdure, so this runs by itself: `make test-semantic-kernel`."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import pytest
from semantic_kernel import Kernel
from semantic_kernel.functions import KernelFunction, kernel_function

from contracts.errors import ToolFailed, ToolRetry, ToolUnknown
from tests.contexts import context
from tests.servers import free_port
from tests.tool_servers import SERVER, running
from tools import Tool
from tools.adapters import semantic_kernel
from tools.calls import call, parsed
from tools.executors import python
from tools.executors.executor import Access, Place
from tools.executors.grpc import GrpcSource
from tools.lock import Lock

READ: dict[str, Any] = {"effect": "read", "guarantee": "pure"}
WRITE: dict[str, Any] = {"effect": "write", "guarantee": "idempotent", "key_ttl": timedelta(days=1), "irreversible": True}


class Shop:
    """A plugin."""

    @kernel_function(name="price", description="The price of a thing.")
    async def price(self, name: Annotated[str, "what it is called"], pieces: int = 1) -> dict[str, Any]:
        if name == "broken":
            raise ValueError("no such thing")
        return {"name": name, "cents": 3 * pieces}

    @kernel_function(name="order", description="Order a thing.")
    def order(self, thing: str, reference: str) -> str:
        return f"{thing} as {reference}"


@pytest.fixture
def kernel() -> Kernel:
    kernel = Kernel()
    kernel.add_plugin(Shop(), "shop")
    return kernel


def function(kernel: Kernel, name: str) -> KernelFunction:
    return kernel.get_function("shop", name)


async def run(made: Any, folder: Path, **arguments: Any) -> dict[str, Any]:
    found: Tool = made.__perdure_tool__
    return await call(found, parsed(found, arguments), context(folder))


async def test_a_kernel_function_has_its_own_name_text_and_shape_and_our_declaration(kernel: Kernel, tmp_path: Path) -> None:
    made = semantic_kernel(function(kernel, "price"), kernel, **READ)
    found: Tool = made.__perdure_tool__  # pyright: ignore
    assert (found.name, found.description, found.effect, found.problems()) == ("shop.price", "The price of a thing.", "read", [])
    schema = found.arguments.model_json_schema()
    assert schema["properties"]["name"] == {"type": "string", "description": "what it is called"} and schema["required"] == ["name"]
    assert await run(made, tmp_path, name="nail", pieces=2) == {"output": {"name": "nail", "cents": 6}}


async def test_each_end_of_a_kernel_function_is_told_apart(kernel: Kernel, tmp_path: Path) -> None:
    with pytest.raises(ToolRetry, match="'name' is a required property"):
        await run(semantic_kernel(function(kernel, "price"), kernel, **READ), tmp_path, pieces=2)
    with pytest.raises(ToolFailed, match="no such thing"):
        await run(semantic_kernel(function(kernel, "price"), kernel, **READ), tmp_path, name="broken")
    with pytest.raises(ToolUnknown, match="it may have acted"):
        await run(semantic_kernel(function(kernel, "price"), kernel, **WRITE), tmp_path, name="broken")


async def test_the_key_goes_along_where_the_model_cannot_see_it(kernel: Kernel, tmp_path: Path) -> None:
    made = semantic_kernel(function(kernel, "order"), kernel, key_argument="reference", **WRITE)
    assert list(made.__perdure_tool__.arguments.model_json_schema()["properties"]) == ["thing"]  # pyright: ignore
    assert await run(made, tmp_path, thing="nail") == {"output": "nail as lineage/step/1"}


CODE = """
from semantic_kernel import Kernel
from semantic_kernel.core_plugins import MathPlugin
from tools.adapters import semantic_kernel

kernel = Kernel()
plugin = kernel.add_plugin(MathPlugin(), "math")
add = semantic_kernel(plugin["Add"], kernel, name="math.add", effect="read", guarantee="pure")
"""


def test_it_is_found_in_an_automations_tools(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text(CODE)
    assert sorted(python.load(tmp_path / "tools.py")) == ["math.add"]


async def test_a_tool_server_of_this_environment_serves_it_to_workers_of_any_other(tmp_path: Path) -> None:
    (tmp_path / "probe").mkdir()
    (tmp_path / "probe" / "tools.py").write_text(CODE)
    address = f"127.0.0.1:{free_port()}"
    source = GrpcSource.model_validate({"server": address, "tools": ["math.add"]})
    place = Place("sums", tmp_path / "probe", Lock({}))
    async with running((*SERVER, "--address", address, "--automations", tmp_path), address):
        place = Place("sums", place.folder, Lock({}).accept("sums", await source.discover(place, Access({}, lambda name: None))))
        executor = source.executor(place)
        try:
            (tool,) = source.tools(place, executor).values()
            assert await call(tool, parsed(tool, {"input": 2, "amount": 3}), context(tmp_path)) == {"output": 5}
        finally:
            await executor.close()
