"""A file of JSON lines that is only added to."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


class Journal:
    """What happened, one JSON object a line, in order."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path

    def add(self, **event: Any) -> dict[str, Any]:
        """Append one event with its time and return it."""
        line = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), **event}
        with self.path.open("a") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
        return line

    def read(self) -> list[dict[str, Any]]:
        """Return all events, oldest first."""
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text().splitlines()]
