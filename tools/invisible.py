"""Text without what a reader cannot see: hidden characters carry orders to a model that no person reads."""

import re
from typing import Any

# Tags, zero-width characters, bidirectional controls, fillers that show nothing, annotations, and controls but tab and newline.
HIDDEN = (
    "\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# A single selector of presentation after a sign is how emoji are written; two side by side, and the rarer ones, are not.
SELECTORS = "[\ufe00-\ufe0f]{2,}|[\ufe00-\ufe0d]"
INVISIBLE = re.compile(f"[{HIDDEN}]|{SELECTORS}")


def visible(text: str) -> str:
    """Return a text without what it hides."""
    return INVISIBLE.sub("", text)


def hidden(value: Any) -> int:
    """Count what the texts of JSON hide."""
    match value:
        case str():
            return sum(len(found) for found in INVISIBLE.findall(value))
        case dict():
            return sum(hidden(key) + hidden(child) for key, child in value.items())
        case list():
            return sum(map(hidden, value))
        case _:
            return 0


def visible_in(value: Any) -> Any:
    """Return JSON with all of its texts, keys too, without what they hide."""
    match value:
        case str():
            return visible(value)
        case dict():
            return {visible_in(key): visible_in(child) for key, child in value.items()}
        case list():
            return [visible_in(child) for child in value]
        case _:
            return value
