"""What Slack refuses of messages and views: it cuts nothing, so neither may who writes them.

Source: the reference of Block Kit at docs.slack.dev, and for the whole of a message what the service was seen to refuse.
"""

import json
from collections.abc import Iterator
from typing import Any

MESSAGE_BLOCKS, VIEW_BLOCKS = 50, 100
MESSAGE_TEXT, VIEW_BYTES = 13_200, 250_000
BLOCKS = {"actions", "context", "divider", "header", "input", "rich_text", "section"}
RICH = {"rich_text_section", "rich_text_preformatted", "rich_text_quote", "rich_text_list"}
RICH_LEAVES = {"text", "emoji", "user", "channel", "link", "date", "broadcast"}
MOST = {
    ("header", "text"): 150, ("section", "text"): 3000, ("section", "fields"): 2000, ("context", "elements"): 3000,
    ("input", "label"): 2000, ("input", "hint"): 2000, ("button", "text"): 75, ("option", "text"): 75, ("confirm", "title"): 100,
    ("confirm", "text"): 300, ("confirm", "confirm"): 30, ("confirm", "deny"): 30, ("view", "title"): 24, ("view", "submit"): 24,
    ("view", "close"): 24, ("plain_text_input", "placeholder"): 150,
}  # fmt: skip

MOST_OPTIONS = {"static_select": 100, "checkboxes": 10}


def message_problem(text: str, blocks: list[dict[str, Any]]) -> str | None:
    """Return Slack's error for a message, or None."""
    if not text and not blocks:
        return "no_text"
    if len(text) > 40_000:
        return "msg_too_long"
    if len(blocks) > MESSAGE_BLOCKS or any(problem for problem in _blocks(blocks)):
        return f"invalid_blocks: {'; '.join(_blocks(blocks)) or 'too many'}"
    return "msg_blocks_too_long" if sum(map(len, texts(blocks))) > MESSAGE_TEXT else None


def view_problem(view: dict[str, Any]) -> str | None:
    """Return what is wrong with a modal or a home tab, or None."""
    found = list(_blocks(view.get("blocks", [])))
    found += [problem for name in ("title", "submit", "close") if name in view for problem in _text("view", name, view[name])]
    if len(view.get("blocks", [])) > VIEW_BLOCKS:
        found.append(f"more than {VIEW_BLOCKS} blocks")
    if len(view.get("private_metadata", "")) > 3000:
        found.append("private_metadata is longer than 3000")
    if len(json.dumps(view)) > VIEW_BYTES:
        return "view_too_large"
    return f"invalid_arguments: {'; '.join(found)}" if found else None


def texts(value: Any) -> Iterator[str]:
    """Yield every text that a reader sees."""
    match value:
        case {"type": "plain_text" | "mrkdwn" | "text", "text": str(text)}:
            yield text
        case dict():
            for child in value.values():
                yield from texts(child)
        case list():
            for child in value:
                yield from texts(child)
        case _:
            pass


def _blocks(blocks: list[dict[str, Any]]) -> Iterator[str]:
    ids = [block["block_id"] for block in blocks if "block_id" in block]
    if len(ids) != len(set(ids)) or any(len(id) > 255 for id in ids):
        yield "block_id twice or too long"
    for block in blocks:
        yield from _block(block)


def _block(block: dict[str, Any]) -> Iterator[str]:
    kind = block.get("type")
    if kind not in BLOCKS:
        yield f"unknown block {kind}"
    for name in ("text", "label", "hint"):
        if name in block:
            yield from _text(str(kind), name, block[name])
    for text in block.get("fields", []):
        yield from _text("section", "fields", text)
    elements = block.get("elements", []) + [part for part in (block.get("element"), block.get("accessory")) if part]
    if kind in ("actions", "context") and not 1 <= len(elements) <= (25 if kind == "actions" else 10):
        yield f"{len(elements)} elements in {kind}"
    actions = [element["action_id"] for element in elements if "action_id" in element]
    if len(actions) != len(set(actions)):
        yield "action_id twice in a block"
    for element in elements:
        yield from _rich(element) if kind == "rich_text" else _element(str(kind), element)


def _rich(element: dict[str, Any]) -> Iterator[str]:
    if element.get("type") not in RICH:
        yield f"unknown rich text {element.get('type')}"
    for leaf in element.get("elements", []):
        if leaf.get("type") in RICH:
            yield from _rich(leaf)
        elif leaf.get("type") not in RICH_LEAVES:
            yield f"unknown rich text {leaf.get('type')}"
        elif leaf["type"] == "text" and not leaf.get("text"):
            yield "an empty rich text"


def _element(within: str, element: dict[str, Any]) -> Iterator[str]:
    kind = element.get("type", "")
    if within == "context":
        yield from _text("context", "elements", element)
        return
    for name in ("text", "placeholder"):
        if name in element:
            yield from _text(kind, name, element[name])
    if len(element.get("value", "")) > 2000 or len(element.get("action_id", "")) > 255:
        yield f"value or action_id of a {kind} is too long"
    for name, text in element.get("confirm", {}).items():
        if isinstance(text, dict):
            yield from _text("confirm", name, text)
    if kind == "plain_text_input" and len(element.get("initial_value", "")) > min(element.get("max_length", 3000), 3000):
        yield "initial_value is longer than max_length"
    if kind in MOST_OPTIONS:
        if not 1 <= len(element.get("options", [])) <= MOST_OPTIONS[kind]:
            yield f"a {kind} needs 1 to {MOST_OPTIONS[kind]} options"
        if "initial_option" in element and element["initial_option"] not in element.get("options", []):
            yield "initial_option is none of the options"
        for option in element.get("options", []):
            yield from _text("option", "text", option.get("text", {}))


def _text(within: str, name: str, text: dict[str, Any]) -> Iterator[str]:
    if text.get("type") not in ("plain_text", "mrkdwn"):
        yield f"{within}.{name} is no text"
    elif not 1 <= len(text.get("text", "")) <= MOST.get((within, name), 3000):
        yield f"{within}.{name} has {len(text.get('text', ''))} characters, not 1 to {MOST.get((within, name), 3000)}"
