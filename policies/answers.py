"""What a model may answer: the schema that constrains it, and how its text is read."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, ValidationError

from contracts.errors import BadInput
from contracts.message import Strict
from contracts.plans import Plan
from policies.agents import Agent

MAX_ANSWER = 200_000
FORM = '{"steps": [{"tool": "<one of the tools>", "arguments": {}, "why": "<one sentence>"}]}'


class Asked(Strict):
    """One look-up that the model asks for."""

    tool: str
    arguments: dict[str, Any] = {}


class Answer(Plan):
    """What a model may say: look-ups it wants first, or the plan."""

    look_ups: tuple[Asked, ...] = Field((), max_length=20)


class Shape(Strict):
    """What a planner must know of a tool or a recipe."""

    name: str
    description: str
    parameters: dict[str, Any]


def answer_schema(agent: Agent, shapes: Mapping[str, Shape], choices: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the JSON schema that constrains the model's answer.

    choices: argument name -> the only values it may take, whatever the tool.
    Raises: BadInput where there is nothing to choose from: no grammar can be made of that.
    """
    if empty := [name for name, values in choices.items() if not values]:
        raise BadInput(f"there is nothing to choose from for {', '.join(empty)}: look at the look-ups' results and `choices`")
    plan: dict[str, Any] = {"steps": _steps_schema(agent, shapes, choices)}
    if not agent.terse:
        plan |= {"steps": {**plan["steps"], "minItems": 0}, "done": {"type": "boolean"}, "summary": {"type": "string", "maxLength": 200}}
    forms = [_object(plan, ["steps"])]
    if agent.look_ups:
        asked = [
            _object({"tool": {"const": name}, "arguments": _inlined(shapes[name].parameters)}, ["tool", "arguments"])
            for name in agent.look_ups
        ]
        forms.append(_object({"look_ups": {"type": "array", "minItems": 1, "maxItems": 20, "items": _one_of(asked)}}, ["look_ups"]))
    return _one_of(forms)


def _steps_schema(agent: Agent, shapes: Mapping[str, Shape], choices: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    def one(own: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        return _one_of([_step_schema(shapes[name], own, terse=agent.terse) for name in agent.tools])

    shared = [name for name in agent.distinct if name in choices]
    if not agent.terse or not shared:
        return {"type": "array", "minItems": 1, "maxItems": agent.max_steps, "items": one(choices)}
    # A small model takes the first value every time: each place gets choices of its own, dealt out like cards.
    places = min(agent.max_steps, *(len(choices[name]) for name in shared))
    dealt = [{name: values[place::places] if name in shared else values for name, values in choices.items()} for place in range(places)]
    return {"type": "array", "prefixItems": [one(own) for own in dealt], "minItems": places, "maxItems": places}


def _step_schema(shape: Shape, choices: Mapping[str, Sequence[str]], *, terse: bool) -> dict[str, Any]:
    parameters = _inlined(shape.parameters)
    allowed = {name: {"enum": list(choices[name])} if name in choices else rest for name, rest in parameters.get("properties", {}).items()}
    # A small model is asked for what is required only; what it leaves out has a default.
    required = parameters.get("required", [])
    arguments = _object({name: rest for name, rest in allowed.items() if not terse or name in required}, required)
    step: dict[str, Any] = {"tool": {"const": shape.name}, "arguments": arguments, "why": {"type": "string", "maxLength": 120}}
    if terse:
        return _object(step, list(step))
    # Any argument may instead be a reference to an earlier output; the real check comes after parsing.
    step["arguments"] = {"type": "object"}
    extra = {"id": {"type": "string"}, "needs": {"type": "array", "items": {"type": "string"}}, "approval": {"type": "boolean"}}
    return _object({**extra, **step}, ["id", "tool", "arguments"])


def _object(properties: dict[str, Any], required: Sequence[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _one_of(forms: list[dict[str, Any]]) -> dict[str, Any]:
    return forms[0] if len(forms) == 1 else {"anyOf": forms}


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """Put pydantic's definitions where they are used: grammars of small servers do not follow references."""
    definitions = schema.get("$defs", {})

    def walk(node: Any, within: tuple[str, ...] = (), *, names: bool = False) -> Any:
        if isinstance(node, list):
            return [walk(item, within) for item in node]
        if not isinstance(node, dict):
            return node
        if not names and isinstance(reference := node.get("$ref"), str):
            name = reference.rsplit("/", 1)[-1]
            # A type within itself has no end to inline: below its first use anything may stand.
            return {} if name in within else walk(definitions[name], (*within, name))
        # Below `properties` the keys are an author's names, and one of them may well be `title`.
        kept = node if names else {key: value for key, value in node.items() if key not in ("$defs", "title", "default")}
        return {key: walk(value, within, names=not names and key == "properties") for key, value in kept.items()}

    return walk(schema)


def parse(text: str) -> Answer:
    """Read the model's answer. Raises: BadInput telling the model what to write instead."""
    if len(text) > MAX_ANSWER:
        raise BadInput(f"the answer has {len(text)} characters; {MAX_ANSWER} is the most")
    # Models wrap JSON in prose and fences; the outermost object is what was meant.
    start, end = text.find("{"), text.rfind("}")
    try:
        # An answer that was cut off has no end; what there is of it says where.
        value = json.loads(text[start : end + 1 if end > start else None]) if start >= 0 else None
        if not isinstance(value, dict):
            raise BadInput(f"answer with one JSON object and nothing else: {FORM}")
        if not {"steps", "look_ups"} & set(value):
            raise BadInput(f"the answer has neither steps nor look-ups; write {FORM}")
        if isinstance(steps := value.get("steps"), list):
            value["steps"] = [_with_id(step, position) for position, step in enumerate(steps, 1)]
        answer = Answer.model_validate(value)
    except json.JSONDecodeError as error:
        raise BadInput(f"the answer is not JSON: {error.msg} at character {start + error.pos}; write {FORM}") from None
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors(include_url=False)[:5])
        raise BadInput(f"the answer has the wrong form: {said}; write {FORM}") from None
    except (ValueError, RecursionError):
        raise BadInput(f"the answer has a number too long, or is nested too deeply, to be read; write {FORM}") from None
    if answer.look_ups and answer.steps:
        raise BadInput("ask for look-ups or give steps, not both in one answer")
    return answer


def _with_id(step: Any, position: int) -> Any:
    return {"id": f"s{position}", **step} if isinstance(step, dict) else step
