"""A run's tools, called one by one with real folders and documents in memory."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from policies import bundles
from policies.references import filled, resolve
from tools import Tool, ToolContext

FOLDER = Path(__file__).parents[3] / "automations" / "content-ops"
EXAMPLES = FOLDER / "examples"


@dataclass
class Run:
    """Calls tools as the runtime would: arguments validated, each step with a key of its own."""

    tools: dict[str, Tool]
    bundle: bundles.Bundle
    context: ToolContext
    outputs: dict[str, Any] = field(default_factory=dict)

    def at(self, step: str) -> ToolContext:
        return replace(self.context, step=step, key=f"{self.context.lineage}/{step}/1")

    def parsed(self, tool: str, arguments: dict[str, Any]) -> Any:
        return self.tools[tool].arguments.model_validate(arguments)

    async def call(self, tool: str, arguments: dict[str, Any], step: str = "step") -> dict[str, Any]:
        return (await self.tools[tool].call(self.parsed(tool, arguments), self.at(step))).model_dump()

    async def undo(self, tool: str, output: dict[str, Any], step: str = "step") -> dict[str, Any]:
        back = self.tools[tool].compensate_with
        assert back is not None
        return await self.call(back, output, f"{step}/undo")

    async def recipe(self, name: str, arguments: dict[str, Any], step: str = "s1", *, but: str = "publish") -> dict[str, Any]:
        """Run a recipe's steps up to ``but``, and return the arguments of that one."""
        for part in self.bundle.settings.recipes[name].steps:
            ready = resolve(filled(part.arguments, arguments), self.outputs)
            if part.id == but:
                return ready
            self.outputs[part.id] = await self.call(part.tool, ready, f"{step}.{part.id}")
        raise AssertionError(but)
