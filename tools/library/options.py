"""What an automation's settings say of one of Perdure's own tools."""

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tools.calls import Incapable
from tools.contract import ToolContext
from tools.reach import Reach

Hosts = Annotated[
    frozenset[Annotated[str, Field(pattern=r"^(\*\.)?(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+)(:[0-9]{1,5})?$")]], Field(min_length=1)
]


class Options(BaseModel):
    """Base of all: a name that nobody knows is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Called(Options):
    """Whom a tool may call. private: hosts that may lie in a private network; nobody else may."""

    hosts: Hosts
    private: Hosts = Field(default=frozenset(), validate_default=False)

    @property
    def reach(self) -> Reach:
        """Whom a fetch may call."""
        return Reach(only=self.hosts | self.private, private=self.private)


O = TypeVar("O", bound=Options)  # noqa: E741


def options(model: type[O], tool: str, context: ToolContext) -> O:
    """Return the options of a tool. Raises: Incapable naming what the automation's settings lack."""
    try:
        return model.model_validate(dict(context.options))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, ("settings", "tools", tool, *first["loc"])))
        raise Incapable(f"{where} in automation.yaml: {first['msg'][:200]}") from None
