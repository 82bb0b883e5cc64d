"""A file of JSON lines that is only added to."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


class Journal:
    """What happened, one JSON object a line, in order."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        if path.exists() and not path.read_bytes().endswith(b"\n"):
            # A crash cut the last line: what comes next must not be glued to it.
            with path.open("a") as file:
                file.write("\n")

    def add(self, **event: Any) -> dict[str, Any]:
        """Append one event with its time and return it."""
        line = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), **event}
        with self.path.open("a") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
        return line

    def read(self) -> list[dict[str, Any]]:
        """Return all events, oldest first, without a line that a crash cut."""
        if not self.path.exists():
            return []
        # Not splitlines(), which also splits at characters that a text in an event may hold, as U+2028.
        return [event for line in self.path.read_text().split("\n") if (event := _event(line))]


def _event(line: str) -> dict[str, Any] | None:
    with suppress(json.JSONDecodeError):
        return json.loads(line)
    return None
