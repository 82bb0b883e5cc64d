"""From the model's plan to steps that may run: recipes, names, and every check that needs no world."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from contracts.errors import BadInput
from contracts.plans import MAX_STEPS, Plan, PlanStep
from contracts.schemas import Checker
from policies.agents import Agent
from policies.answers import Shape
from policies.automation import Automation, Recipe
from policies.references import filled, is_reference, references, renamed

MAX_ID = 40  # of a step, as contracts.plans.STEP_ID has it


class PlanCheck:
    """Check a plan against its agent, its tools and the steps the run already has, and expand its recipes."""

    def __init__(self, automation: Automation, agent: Agent, shapes: Mapping[str, Shape], earlier: Iterable[str] = ()) -> None:
        self._automation = automation
        self._agent = agent
        self._shapes = shapes
        self._earlier = set(earlier)

    def steps(self, plan: Plan, prefix: str = "") -> list[PlanStep]:
        """Return the plan's steps in order, recipes expanded, ids prefixed.

        Raises: BadInput naming every step that is wrong and what would be right.
        """
        _refuse(self._problems(plan))
        _refuse(self._misnamed(plan, prefix))
        expanded: list[PlanStep] = []
        last: dict[str, str] = {}
        for step in plan.steps:
            parts = self._expand(step)
            last[step.id] = parts[-1].id
            expanded += parts
        final = [self._placed(step, prefix, last, {part.id for part in expanded}) for step in expanded]
        if cycle := find_cycle({step.id: step.needs for step in final}):
            raise BadInput(f"the plan has a cycle: {' needs '.join(cycle)}; a step may only need steps that can end before it")
        return final

    def _problems(self, plan: Plan) -> Iterator[str]:
        ids = [step.id for step in plan.steps]
        if len(ids) > self._agent.max_steps:
            yield f"the plan has {len(ids)} steps; {self._agent.max_steps} is the most"
        for twice in sorted({id for id in ids if ids.count(id) > 1}):
            yield f"two steps have the id {twice!r}"
        for name in self._agent.distinct:
            given = [str(step.arguments[name]) for step in plan.steps if name in step.arguments]
            for twice in sorted({value for value in given if given.count(value) > 1}):
                yield f"two steps have the {name} {twice!r}: give each another one"
        for step in plan.steps:
            if step.tool not in self._agent.tools:
                yield f"step {step.id}: there is no tool {step.tool!r}; use one of {', '.join(sorted(self._agent.tools))}"
                continue
            for need in sorted({*step.needs, *references(step.arguments)} - set(ids) - self._earlier):
                yield f"step {step.id} needs {need!r}, which is no step of this plan"
            yield from (f"step {step.id}: {problem}" for problem in argument_problems(step.arguments, self._shapes[step.tool].parameters))

    def _misnamed(self, plan: Plan, prefix: str) -> Iterator[str]:
        """Check the ids that the run will know: the plan's, its recipes' parts too, each with the prefix."""
        ids = [f"{prefix}{id}" for step in plan.steps for id in self._ids(step)]
        if len(ids) > MAX_STEPS:
            yield f"the plan comes to {len(ids)} steps; {MAX_STEPS} is the most: plan less and say `done` false"
        yield from (f"{id!r} has {len(id)} characters; {MAX_ID} is the most: give the step a shorter id" for id in ids if len(id) > MAX_ID)
        for twice in sorted({id for id in ids if ids.count(id) > 1} | self._earlier & set(ids)):
            yield f"{twice!r} is already a step of this run: give the step another id"

    def _ids(self, step: PlanStep) -> list[str]:
        recipe = self._automation.recipes.get(step.tool)
        return [f"{step.id}.{part.id}" for part in recipe.steps] if recipe else [step.id]

    def _expand(self, step: PlanStep) -> list[PlanStep]:
        recipe: Recipe | None = self._automation.recipes.get(step.tool)
        if recipe is None:
            return [step]
        names = {part.id: f"{step.id}.{part.id}" for part in recipe.steps}
        parts: list[PlanStep] = []
        for part in recipe.steps:
            needs = [names[need] for need in (*part.needs, *references(part.arguments))]
            # The first step of a recipe waits for whatever the planned step waits for.
            needs += [need for need in (*step.needs, *references(step.arguments)) if not part.needs]
            parts.append(
                PlanStep(
                    id=names[part.id],
                    tool=part.tool,
                    # Renamed before they are filled: what the plan fills in refers to its own steps, even where a part has the same name.
                    arguments=filled(renamed(part.arguments, names), step.arguments),
                    needs=tuple(dict.fromkeys(needs)),
                    why=step.why,
                    approval=step.approval or part.approval,
                )
            )
        return parts

    def _placed(self, step: PlanStep, prefix: str, last: Mapping[str, str], own: set[str]) -> PlanStep:
        """Give a step its final id, and point what it needs at final ids; references imply needs."""
        names = {name: f"{prefix}{last.get(name, name)}" for name in {*own, *last}}
        arguments = renamed(step.arguments, names)
        needs = [names.get(need, need) for need in step.needs] + references(arguments)
        return step.model_copy(update={"id": f"{prefix}{step.id}", "arguments": arguments, "needs": tuple(dict.fromkeys(needs))})


def _refuse(problems: Iterable[str]) -> None:
    if found := list(problems):
        raise BadInput("; ".join(found[:8]))


def argument_problems(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """Say which arguments break the schema; a value that is a reference is judged when it is known."""
    known = {name: value for name, value in arguments.items() if not is_reference(value)}
    required = [name for name in schema.get("required", ()) if name not in arguments]
    found = [f"`{name}` is missing" for name in required]
    found += [f"`{name}` is not an argument; there are {', '.join(schema.get('properties', {}))}" for name in _unknown(arguments, schema)]
    try:
        errors = _lenient(json.dumps(schema, sort_keys=True)).errors(known)
    except BadInput as error:
        return [*found, str(error)]
    return found + [f"`{'.'.join(map(str, error.path))}`: {error.message[:200]}" for error in errors]


@lru_cache(maxsize=256)
def _lenient(schema: str) -> Checker:
    """Return what checks the values that are there: compiling a schema takes longer than using it."""
    return Checker({**json.loads(schema), "required": [], "additionalProperties": True})


def _unknown(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    return sorted(set(arguments) - set(schema.get("properties", {})))


def find_cycle(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the steps of one cycle, first and last the same, or nothing. Steps outside the mapping end a path."""
    done: set[str] = set()
    for start in needs:
        path: list[str] = []
        stack: list[tuple[str, Iterator[str]]] = [(start, iter(needs[start]))] if start not in done else []
        path += [start] if stack else []
        while stack:
            step, rest = stack[-1]
            following = next((need for need in rest if need in needs and need not in done), None)
            if following is None:
                done.add(step)
                stack.pop()
                path.pop()
            elif following in path:
                return [*path[path.index(following) :], following]
            else:
                stack.append((following, iter(needs[following])))
                path.append(following)
    return []
