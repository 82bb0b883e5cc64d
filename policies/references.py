"""Arguments that stand for outputs of earlier steps: ``{"$output": "step/path"}``."""

from collections.abc import Iterable, Mapping
from typing import Any

from contracts.errors import BadInput


def is_reference(value: Any) -> bool:
    """Return whether a value stands for the output of an earlier step: ``{"$output": "step/path"}``."""
    return isinstance(value, dict) and set(value) == {"$output"} and isinstance(value["$output"], str)


def references(value: Any) -> list[str]:
    """Return the steps whose outputs a value refers to, in order, each once."""
    if is_reference(value):
        return [value["$output"].split("/", 1)[0]]
    children: Iterable[Any] = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return list(dict.fromkeys(name for child in children for name in references(child)))


def resolve(value: Any, outputs: Mapping[str, Any]) -> Any:
    """Replace every reference by the output it names. Raises: BadInput where the path does not exist."""
    if is_reference(value):
        step, _, path = value["$output"].partition("/")
        found = outputs.get(step)
        for part in path.split("/") if path else ():
            if isinstance(found, list) and part.isdigit() and int(part) < len(found):
                found = found[int(part)]
            elif isinstance(found, Mapping) and part in found:
                found = found[part]
            else:
                raise BadInput(f"step {step} has no output {path!r}")
        return found
    if isinstance(value, Mapping):
        return {name: resolve(child, outputs) for name, child in value.items()}
    return [resolve(child, outputs) for child in value] if isinstance(value, list) else value


def filled(value: Any, arguments: Mapping[str, Any]) -> Any:
    """Replace every ``{"$argument": "name"}`` by the recipe's argument of that name."""
    if isinstance(value, dict) and set(value) == {"$argument"}:
        return arguments.get(value["$argument"])
    if isinstance(value, dict):
        return {name: filled(child, arguments) for name, child in value.items()}
    return [filled(child, arguments) for child in value] if isinstance(value, list) else value


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Point every reference at the new name of its step."""
    if is_reference(value):
        step, slash, path = value["$output"].partition("/")
        return {"$output": f"{names.get(step, step)}{slash}{path}"}
    if isinstance(value, dict):
        return {name: renamed(child, names) for name, child in value.items()}
    return [renamed(child, names) for child in value] if isinstance(value, list) else value
