"""Agents, as an automation's YAML has them: a prompt, a model's route, what is read beforehand, and what may be planned."""

from typing import Any, Self

from pydantic import Field, model_validator

from contracts.message import Strict

NAME = r"^[a-z0-9][a-z0-9_.-]{0,79}$"


class Price(Strict):
    """A model's price where no public table knows it."""

    input_micros_per_million: int = Field(ge=0)
    output_micros_per_million: int = Field(ge=0)


class Route(Strict):
    """Which model answers, and how. ``auto`` is the model the installation offers."""

    model: str = "auto"
    max_tokens: int = Field(default=1024, ge=1, le=100_000)
    temperature: float = Field(0.2, ge=0, le=2)
    price: Price | None = None
    quick: bool = False
    """It answers within seconds: decisions are made beside the workflow task first, and through the server where that takes longer."""
    stream: bool | None = None
    """Ask for the answer in pieces, so that who watches the run sees it come; without a word, where the route is not ``quick``."""

    @model_validator(mode="after")
    def _quick_or_streamed(self) -> Self:
        if self.quick and self.stream:
            raise ValueError("`quick` and `stream: true` do not go together: what answers at once needs no watching")
        return self

    @property
    def streams(self) -> bool:
        """Whether answers are asked for in pieces."""
        return not self.quick if self.stream is None else self.stream


class LookUp(Strict):
    """One read that a decision always makes before it asks the model."""

    tool: str = Field(pattern=NAME)
    arguments: dict[str, Any] = {}
    """A string here is a template over the run's ``input``: ``"{{ input.sources }}"``."""
    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """The name under which the prompt sees the result."""


class Recall(Strict):
    """What a decision remembers before it asks the model: the nearest of what was kept, by words and by meaning."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """The name under which the prompt sees it: ``known.hits[].body``."""
    query: str = Field(min_length=1)
    """A template over the run's ``input`` and ``settings``."""
    scopes: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    k: int = Field(default=8, ge=1, le=50)
    tokens: int = Field(default=1000, ge=50, le=100_000)
    """The most that the prompt may carry of it; what does not fit is left out, the least fitting first."""


class Agent(Strict):
    """One agent: its prompt, its model, what it may read by itself and what it may plan."""

    prompt: str
    route: str
    context: tuple[LookUp, ...] = ()
    recall: tuple[Recall, ...] = ()
    look_ups: tuple[str, ...] = ()
    """Read tools the model itself may ask for, between its calls."""
    tools: tuple[str, ...] = Field(min_length=1)
    """Tools and recipes its plans may use."""
    max_look_ups: int = Field(default=8, ge=0, le=50)
    repairs: int = Field(default=2, ge=0, le=5)
    """How often a useless answer is sent back with what is wrong with it."""
    max_steps: int = Field(default=20, ge=1, le=500)
    terse: bool = False
    """Ask for tool, arguments and reason only: for small models."""
    turns: int = Field(default=20, ge=0, le=200)
    """How many of the session's last turns the prompt carries."""
    choices: dict[str, str] = {}
    """Argument name -> where its allowed values stand in the look-ups (``sources.notes[].id``): a small model
    that can only pick cannot invent."""
    distinct: tuple[str, ...] = ()
    """Arguments that no two steps of one plan may give the same value."""
