"""Blocks as a person reads them: plain text, or HTML in which nothing is markup."""

from html import escape
from typing import Any

Block = dict[str, Any]


def plain(blocks: list[Block]) -> str:
    """Return what blocks say, a line for each part."""
    return "\n".join(line for block in blocks for line in _lines(block) if line.strip())


def _lines(block: Block) -> list[str]:
    match block.get("type"):
        case "rich_text":
            return [line for element in block["elements"] for line in _rich(element)]
        case "context":
            return [" ".join(_said(element) for element in block["elements"])]
        case "header" | "section":
            return [_said(block), *map(_said, block.get("fields", ()))]
        case _:
            return []


def _rich(element: Block) -> list[str]:
    if element["type"] == "rich_text_list":
        return [f"- {line}" for item in element["elements"] for line in _rich(item)]
    return ["".join(str(leaf.get("text", "")) for leaf in element["elements"])]


def _said(block: Block) -> str:
    text = block.get("text", "")
    return str(text.get("text", "")) if isinstance(text, dict) else str(text)


def buttons(blocks: list[Block]) -> list[Block]:
    """Return the buttons of all rows, in order."""
    return [element for block in blocks if block["type"] == "actions" for element in block["elements"]]


def field(block: Block) -> str:
    """Return an input of a form as HTML, under the block's id."""
    element, name = block["element"], escape(block["block_id"])
    label = escape(block["label"]["text"])
    if element["type"] == "static_select":
        chosen = (element.get("initial_option") or {}).get("value")
        options = "".join(
            f"<option value='{escape(one['value'])}'{' selected' * (one['value'] == chosen)}>{escape(one['text']['text'])}</option>"
            for one in element["options"]
        )
        return f"<label>{label}<select name='{name}'>{options}</select></label>"
    if element["type"] == "checkboxes":
        boxes = ((escape(one["value"]), escape(one["text"]["text"])) for one in element["options"])
        ticks = (f"<label><input type='checkbox' name='{name}' value='{value}'> {text}</label>" for value, text in boxes)
        return f"<p>{label}</p>{''.join(ticks)}"
    return f"<label>{label}<textarea name='{name}' rows='3'>\n{escape(element.get('initial_value') or '')}</textarea></label>"
