"""Arguments that stand for outputs of earlier steps: ``{"$output": "step/path"}``."""

from collections.abc import Iterable, Mapping
from typing import Any

from contracts.errors import BadInput


def is_reference(value: Any) -> bool:
    """Return whether a value stands for the output of an earlier step: ``{"$output": "step/path"}``."""
    return isinstance(value, dict) and set(value) == {"$output"} and isinstance(value["$output"], str)


def is_argument(value: Any) -> bool:
    """Return whether a value of a recipe stands for one of its arguments: ``{"$argument": "name"}``."""
    return isinstance(value, dict) and set(value) == {"$argument"} and isinstance(value["$argument"], str)


def argument_names(value: Any) -> list[str]:
    """Return the recipe's arguments that a value stands for, in order, each once."""
    if is_argument(value):
        return [value["$argument"]]
    return list(dict.fromkeys(name for child in _children(value) for name in argument_names(child)))


def references(value: Any) -> list[str]:
    """Return the steps whose outputs a value refers to, in order, each once."""
    if is_reference(value):
        return [value["$output"].split("/", 1)[0]]
    return list(dict.fromkeys(name for child in _children(value) for name in references(child)))


def resolve(value: Any, outputs: Mapping[str, Any]) -> Any:
    """Replace every reference by the output it names. Raises: BadInput where the path does not exist."""
    if is_reference(value):
        step, _, path = value["$output"].partition("/")
        if step not in outputs:
            raise BadInput(f"step {step} has no output; there are outputs of {', '.join(sorted(outputs)) or 'no step'}")
        found = outputs[step]
        for part in path.split("/") if path else ():
            if isinstance(found, list) and part.isdecimal() and int(part) < len(found):
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
    """Replace every ``{"$argument": "name"}`` by the recipe's argument of that name; a field whose argument is not given is left out."""
    if is_argument(value):
        return arguments.get(value["$argument"])
    if isinstance(value, dict):
        given = {name: child for name, child in value.items() if not is_argument(child) or child["$argument"] in arguments}
        return {name: filled(child, arguments) for name, child in given.items()}
    return [filled(child, arguments) for child in value] if isinstance(value, list) else value


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Point every reference at the new name of its step."""
    if is_reference(value):
        step, slash, path = value["$output"].partition("/")
        return {"$output": f"{names.get(step, step)}{slash}{path}"}
    if isinstance(value, dict):
        return {name: renamed(child, names) for name, child in value.items()}
    return [renamed(child, names) for child in value] if isinstance(value, list) else value


def _children(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()


def pick(values: Any, path: str) -> list[Any]:
    """Return what stands at a path like ``sources.notes[].id``, in order; ``[]`` goes through a list. A missing part gives nothing."""
    found = [values]
    for part in path.split("."):
        name = part.removesuffix("[]")
        found = [value[name] for value in found if isinstance(value, Mapping) and name in value]
        if part.endswith("[]"):
            found = [item for value in found if isinstance(value, list) for item in value]
    return found
