"""The automation `probe` with other limits, other rules, or other tools."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.house import AUTOMATIONS

IMPATIENT: dict[str, Any] = {"limits": {"act_seconds": 2, "propose_seconds": 2, "patience_seconds": 1}}
"""Activities that are given up after about 3 seconds."""


def copied(folder: Path, *, tools: Mapping[str, str] | None = None, rules: Sequence[dict[str, Any]] = (), **changes: Any) -> Path:
    """Copy the probe below ``folder`` and return that, for `tests.house.opened`.

    tools: text of its `tools.py` -> what stands there instead. rules: added to its own. changes: merged into `automation.yaml`.
    """
    probe = shutil.copytree(AUTOMATIONS / "probe", folder / "probe", ignore=shutil.ignore_patterns("__pycache__"))
    _rewrite(probe / "automation.yaml", lambda found: _merged(found, changes))
    _rewrite(probe / "rules.yaml", lambda found: {"rules": [*found["rules"], *rules]})
    code = (probe / "tools.py").read_text()
    for old, new in (tools or {}).items():
        assert old in code, f"the probe's tools have no {old!r}"
        code = code.replace(old, new)
    (probe / "tools.py").write_text(code)
    return folder


def _rewrite(path: Path, change: Any) -> None:
    path.write_text(yaml.safe_dump(change(yaml.safe_load(path.read_text())), sort_keys=False))


def _merged(into: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        name: _merged(into[name], value) for name, value in changes.items() if isinstance(value, dict) and isinstance(into.get(name), dict)
    }
    return {**into, **changes, **both}
