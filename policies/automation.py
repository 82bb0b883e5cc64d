"""The shape of an automation's folder: what a person may write in its YAML."""

from datetime import timedelta
from typing import Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from contracts.message import Strict
from policies.agents import NAME, Agent, Route
from policies.approvals import Approvals, Stage
from policies.references import argument_names, references

Pattern = Literal["orchestrator"]


class RecipeStep(Strict):
    """One step of a recipe; ids and needs are local to it and get the planned step's id as a prefix."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,19}$")
    tool: str
    arguments: dict[str, Any] = {}
    """A value ``{"$argument": "name"}`` is the recipe's argument, ``{"$output": "step/path"}`` an earlier step's output."""
    needs: tuple[str, ...] = ()
    approval: bool = False


class Recipe(Strict):
    """A named piece of plan: the model plans one step, the run does several."""

    description: str
    parameters: dict[str, Any]
    """JSON schema of its arguments."""
    steps: tuple[RecipeStep, ...] = Field(min_length=1, max_length=40)

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        before: list[str] = []
        given = sorted(self.parameters.get("properties", {}))
        for step in self.steps:
            if step.id in before:
                raise ValueError(f"two steps have the id {step.id!r}")
            if unknown := sorted({*step.needs, *references(step.arguments)} - set(before)):
                raise ValueError(f"step {step.id} needs {unknown}, which are not steps before it; there are {before}")
            if unknown := sorted(set(argument_names(step.arguments)) - set(given)):
                raise ValueError(f"step {step.id} uses the arguments {unknown}, which are not among its parameters {given}")
            before.append(step.id)
        return self


class Rule(Strict):
    """If ``when`` (CEL) holds, the action gets ``outcome``, because of ``because``."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,79}$")
    when: str
    outcome: Literal["allow", "require_approval", "deny"]
    because: str = Field(min_length=3, max_length=500)
    irreversible: tuple[str, ...] = ()
    """Irreversible tools that this rule, if it allows, lets run without a person."""
    stages: tuple[Stage, ...] = Field(default=(), max_length=5)
    """With `require_approval`: who must agree where this rule matches; none leaves that to `approvals`."""
    above: bool = False
    """What this rule matches is above the threshold: who edited it, or started its run, never approves it alone."""

    @model_validator(mode="after")
    def _asks(self) -> Self:
        if (self.stages or self.above) and self.outcome != "require_approval":
            raise ValueError("`stages` and `above` go with the outcome `require_approval`")
        return self


class Bounds(Strict):
    """Limits of a run; see contracts.runs.Limits."""

    windows: int = Field(default=50, ge=1, le=1_000_000)
    replans: int = Field(default=2, ge=0, le=20)
    parallel: int = Field(default=8, ge=1, le=100)
    history_events: int = Field(default=4000, ge=50, le=20_000)
    act_seconds: int = Field(default=300, ge=1, le=86_400)
    propose_seconds: int = Field(default=300, ge=1, le=3600)
    patience_seconds: int = Field(default=900, ge=1, le=7 * 86_400)


class Budget(Strict):
    """The most a run may spend on models and tools, reserved before each call."""

    run_micros: int = Field(ge=0)


class Breakers(Strict):
    """When a tool or a model is left alone for a while; see docs/failures.md."""

    failures: int = Field(default=5, ge=1, le=1000)
    """So many failures with no success between them open it,"""
    within: timedelta = Field(default=timedelta(minutes=1), gt=timedelta(0), le=timedelta(days=1))
    """where they fall into this time."""
    open: timedelta = Field(default=timedelta(seconds=30), gt=timedelta(0), le=timedelta(days=1))
    """How long nothing is called; twice as long each time that the probe after it fails too,"""
    longest: timedelta = Field(default=timedelta(minutes=10), gt=timedelta(0), le=timedelta(days=1))
    """and this long at most."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.longest < self.open:
            raise ValueError("`longest` is not shorter than `open`")
        return self


class Remember(Strict):
    """What is kept of a tool's work when a run ends: one fact for each of its steps that was done and stands."""

    tool: str = Field(pattern=NAME)
    body: str = Field(min_length=1)
    """A template over ``input``, ``settings``, the step's ``arguments`` and ``output``, and ``siblings``: the steps of the same
    recipe by their ids there, each with ``arguments`` and ``output``."""
    subject: str = ""
    """A template too: who or what it is about, so that it can be forgotten by that name."""
    scope: str = Field(default="default", pattern=NAME)
    kind: str = Field(default="note", pattern=NAME)


class Memory(Strict):
    """What the automation keeps beyond its runs, and how well it must be found again."""

    remember: tuple[Remember, ...] = ()
    recall_target: float = Field(default=0.99, ge=0.5, le=1)
    """The share of the true nearest that searches must find; the search is widened where the lower bound falls under it."""


class Automation(Strict):
    """All of `automation.yaml`, with the rules of `rules.yaml`."""

    goal: str
    pattern: Pattern = "orchestrator"
    input: dict[str, Any] = {"type": "object"}
    """JSON schema of a start's ``input``."""
    agents: dict[str, Agent] = Field(min_length=1)
    planner: str
    models: dict[str, Route] = Field(min_length=1)
    recipes: dict[str, Recipe] = {}
    rules: tuple[Rule, ...]
    approvals: Approvals = Approvals()
    budget: Budget
    limits: Bounds = Bounds()
    breakers: Breakers = Breakers()
    memory: Memory = Memory()
    on_failure: Literal["undo", "keep"] = "undo"
    settings: dict[str, Any] = {}
    """Values for the automation's own templates and tools."""
    settings_schema: dict[str, Any] = {"type": "object"}
    """JSON schema of ``settings``, so that a wrong value is found when it is applied and not when a tool trips over it."""

    @field_validator("planner")
    @classmethod
    def _is_an_agent(cls, planner: str, info: ValidationInfo) -> str:
        # Where the agents themselves are wrong, that is what is said.
        if planner not in (agents := info.data.get("agents", {planner: None})):
            raise ValueError(f"{planner!r} is not one of the agents {sorted(agents)}")
        return planner

    @field_validator("rules")
    @classmethod
    def _have_own_ids(cls, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        ids = [rule.id for rule in rules]
        if twice := sorted({id for id in ids if ids.count(id) > 1}):
            raise ValueError(f"rules share the ids {twice}")
        return rules
