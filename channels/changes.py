"""What differs between two bundles of an automation: changed keys of its YAML and changed prompts, in short."""

import difflib
import json
from collections.abc import Iterator
from typing import Any

from policies.bundles import Bundle

SHOWN = 60  # characters of one value


def changes(before: Bundle | None, after: Bundle) -> list[str]:
    """Return one line for each changed key or prompt; all of it is new where there was no bundle before."""
    if before is None:
        return ["first bundle of this automation"]
    old, new = (dict(_leaves(bundle.body["automation"], "")) for bundle in (before, after))
    keys = [said for key in sorted({*old, *new}) if (said := _changed(key, old, new))]
    return keys + list(_prompts(before.body["prompts"], after.body["prompts"]))


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Go down to single values; what has an id (a rule, a step) is named by it, so that moving it is no change."""
    if isinstance(value, dict) and value:
        for name, child in value.items():
            yield from _leaves(child, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value and all(isinstance(item, dict) and "id" in item for item in value):
        for item in value:
            yield from _leaves({name: child for name, child in item.items() if name != "id"}, f"{path}[{item['id']}]")
    else:
        yield path, value


def _changed(key: str, old: dict[str, Any], new: dict[str, Any]) -> str | None:
    if key not in old:
        return f"+ {key}: {_short(new[key])}"
    if key not in new:
        return f"- {key}: {_short(old[key])}"
    return None if old[key] == new[key] else f"~ {key}: {_short(old[key])} → {_short(new[key])}"


def _prompts(old: dict[str, str], new: dict[str, str]) -> Iterator[str]:
    for name in sorted({*old, *new}):
        if name not in old or name not in new:
            yield f"{'+' if name in new else '-'} {name}"
        elif old[name] != new[name]:
            lines = list(difflib.ndiff(old[name].splitlines(), new[name].splitlines()))
            added, removed = (sum(line.startswith(sign) for line in lines) for sign in ("+ ", "- "))
            yield f"~ {name}: {added} lines added, {removed} removed"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
