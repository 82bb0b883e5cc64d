"""To be written."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from contracts.errors import BadInput
from tools.contract import Tool
from tools.executors.executor import Access, Executor, Place
from tools.lock import Definition


class HttpSource(BaseModel):
    """One source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def executor(self, place: Place) -> Executor:
        raise BadInput("not yet")

    def tools(self, place: Place, executor: Executor) -> dict[str, Tool]:
        return {}

    async def discover(self, place: Place, access: Access) -> Sequence[Definition]:
        return ()
