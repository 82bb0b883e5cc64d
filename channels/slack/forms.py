"""The forms that a card opens: a rejection and its reason, other arguments, and all of the details."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from channels.card import TESTIMONIES, text
from channels.slack.markup import Block, actions, button, cut, leaf, line, paragraph, plain, verbatim, words
from contracts.errors import BadInput
from contracts.message import unkept
from contracts.schemas import Checker
from contracts.schemas import said as told
from ledger.approvals import Request

REASON, WHOLE, HAPPENED, OUTPUT = "reason", "whole", "happened", "output"
TYPED = 3000
"""Characters that a field of Slack takes; a longer argument is kept as it is."""
MOST_FIELDS, MOST_OPTIONS, OPTION = 80, 100, 75
BLOCK_TEXT, MOST_BLOCKS, DETAILS_TEXT, DETAILS_LINES = 2800, 90, 36_000, 400
"""Of one block, and of all: a form may have 250,000 bytes, and a character outside ASCII takes six."""
ERROR = 140


@dataclass(frozen=True, slots=True)
class Field:
    """One argument of an edit. block: its id in the form; options: what may be chosen, where it is not typed."""

    block: str
    name: str
    schema: Mapping[str, Any]
    shown: str
    options: tuple[str, ...] = ()

    @property
    def is_text(self) -> bool:
        """Whether what is typed is the value itself, and not JSON."""
        return self.schema.get("type") == "string" or (not self.schema.get("type") and "enum" not in self.schema)


def rejection(request: Request, channel: str) -> Block:
    """Return the form that asks why, and where that may be said, whether it did happen, or is undone already."""
    blocks = [_input(REASON, "Why? The run is told.", multiline=True, most=2000)]
    if said := TESTIMONIES.get(request.question):
        box: Block = {"type": "checkboxes", "action_id": "value", "options": [{"text": words(said), "value": HAPPENED}]}
        label = words("Did it happen?" if request.question == "again" else "Is it undone?")
        blocks.append({"type": "input", "block_id": HAPPENED, "label": label, "optional": True, "element": box})
    if request.question == "again":
        blocks.append(_input(OUTPUT, "If so: what it would have answered, as far as you know (JSON)", multiline=True, optional=True))
    return _form("reject", "Reject", request, channel, blocks)


def edit(request: Request, channel: str) -> Block:
    """Return the form with the arguments, each in a field of its own."""
    fields, kept = editable(request)
    blocks = [_field(field) for field in fields]
    blocks += [paragraph(leaf(f"{line(name, 80)}: ", bold=True), leaf("too long for a form; it stays as it is")) for name in kept[:10]]
    if len(kept) > 10:
        blocks.append(paragraph(leaf(f"{len(kept) - 10} more stay as they are")))
    return _form("edit", "Edit", request, channel, [*blocks, _input(REASON, "Why?", multiline=True, most=2000, optional=True)])


def details(request: Request) -> Block:
    """Return all that fits of the arguments, and a button that sends the whole as a file."""
    blocks = [_head(request)]
    left, is_all = DETAILS_TEXT, True
    for name, value in sorted(request.arguments.items()):
        shown, complete = cut(text(value), max(left, 0), DETAILS_LINES)
        is_all, left = is_all and complete, left - len(shown)
        parts = [shown[at : at + BLOCK_TEXT] for at in range(0, len(shown), BLOCK_TEXT)]
        blocks += [verbatim(f"{line(name, 80)}{f' ({nth + 1} of {len(parts)})' if nth else ''}", part) for nth, part in enumerate(parts)]
    if not is_all or len(blocks) > MOST_BLOCKS:
        blocks = blocks[:MOST_BLOCKS]
        blocks.append(paragraph(leaf("Not all of it is shown here.", bold=True)))
    blocks.append(actions(button("Send me the whole as a file", WHOLE, request.id), block="details"))
    return {"type": "modal", "title": words("Details"), "close": words("Close"), "blocks": blocks}


def whole(request: Request) -> str:
    """Return all arguments as a file has them."""
    return json.dumps({"request": request.id, "tool": request.tool, "digest": request.digest, "arguments": request.arguments}, indent=2)


def editable(request: Request) -> tuple[list[Field], list[str]]:
    """Return the arguments that a form can hold, and the names of those that are kept. The same request gives the same fields."""
    properties: Mapping[str, Any] = request.schema.get("properties") or {}
    fields, kept = list[Field](), list[str]()
    for nth, name in enumerate(sorted({*properties, *request.arguments})):
        schema = properties.get(name)
        field = _of(f"arg{nth}", name, schema if isinstance(schema, dict) else {}, request.arguments)
        if field is None or len(fields) >= MOST_FIELDS:
            kept.append(name)
        else:
            fields.append(field)
    return fields, kept


def edited(request: Request, state: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the arguments that a form says, and what is wrong with them, by the block that shows it.

    state: what Slack sends of the fields, by block.
    """
    fields, kept = editable(request)
    made, wrong = {name: request.arguments[name] for name in kept if name in request.arguments}, dict[str, str]()
    for field in fields:
        typed = _typed(state.get(field.block))
        if typed is None and (field.name not in request.arguments or field.name not in request.schema.get("required", ())):
            continue
        if typed == field.shown and field.name in request.arguments:
            # What nobody touched stays the value it was, to the last character that no field can show.
            made[field.name] = request.arguments[field.name]
            continue
        try:
            made[field.name] = (typed or "") if field.is_text else json.loads(typed or "null", parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            wrong[field.block] = line(f"this is not JSON: {error}", ERROR)
    return made, wrong or _schema_problems(request, fields, made)


def testimony(request: Request, state: Mapping[str, Any]) -> tuple[bool, dict[str, Any] | None, dict[str, str]]:
    """Return whether a form says that it did happen, with what output, and what is wrong with that, by the block that shows it."""
    happened, typed = _ticked(state.get(HAPPENED)), _typed(state.get(OUTPUT)) or ""
    if not typed.strip():
        return happened, None, {}
    if not happened:
        return False, None, {OUTPUT: "this goes with the box: tick that it did happen, or leave this empty"}
    try:
        output = json.loads(typed, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        return True, None, {OUTPUT: line(f"this is not JSON: {error}", ERROR)}
    if not isinstance(output, dict):
        return True, None, {OUTPUT: "this is no JSON object: write {…}, or leave it empty"}
    given: dict[str, Any] = output
    if found := unkept(given):
        return True, None, {OUTPUT: line(f"{'.'.join(map(str, found[0]))}: {found[1]}", ERROR)}
    try:
        error = next(iter(Checker(request.about.get("result", {})).errors(given)), None)
    except BadInput as problem:
        return True, None, {OUTPUT: line(f"it cannot be checked: {problem}", ERROR)}
    if error is None:
        return True, given, {}
    where = ".".join(map(str, error.path))
    return True, None, {OUTPUT: line(f"{where}: {told(error)}" if where else told(error), ERROR)}


def reason(state: Mapping[str, Any]) -> str:
    """Return the reason that a form gives."""
    return (_typed(state.get(REASON)) or "").strip()[:2000]


def _schema_problems(request: Request, fields: list[Field], made: dict[str, Any]) -> dict[str, str]:
    blocks = {field.name: field.block for field in fields}
    try:
        errors = Checker({"additionalProperties": False, **request.schema}).errors(made)
    except BadInput as error:
        return {REASON: line(f"the arguments cannot be checked: {error}", ERROR)}
    wrong = dict[str, str]()
    for error in errors:
        block = blocks.get(str(error.path[0]), REASON) if error.path else REASON
        where = ".".join(map(str, list(error.path)[1:]))
        wrong.setdefault(block, line(f"{where}: {told(error)}" if where else told(error), ERROR))
    return wrong


def _of(block: str, name: str, schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> Field | None:
    if schema.get("type") == "boolean":
        shown = json.dumps(arguments[name]) if name in arguments else ""
        return Field(block, name, schema, shown, ("true", "false"))
    choices = schema.get("enum")
    if isinstance(choices, list) and 0 < len(choices) <= MOST_OPTIONS and schema.get("type") == "string":
        options = tuple(str(choice) for choice in choices)
        if all(0 < len(option) <= OPTION and option == line(option, OPTION) for option in options) and len(set(options)) == len(options):
            return Field(block, name, schema, str(arguments.get(name, "")), options)
    if name not in arguments:
        return Field(block, name, schema, "")
    value = arguments[name]
    is_text = Field(block, name, schema, "").is_text
    if is_text and not isinstance(value, str):
        # Without a type there is no telling a text from JSON: as JSON it comes back as what it was.
        schema = {**schema, "type": "any"}
        is_text = False
    said = text(value)
    if len(said) > TYPED:
        return None
    shown = plain(said)
    return Field(block, name, schema, shown) if len(shown) <= TYPED else None


def _field(field: Field) -> Block:
    label = line(field.name, 200) + ("" if field.is_text or field.options else " (JSON)")
    if not field.options:
        return _input(field.block, label, multiline=len(field.shown) > 80 or "\n" in field.shown, initial=field.shown, optional=True)
    options = [{"text": words(option), "value": option} for option in field.options]
    element: Block = {"type": "static_select", "action_id": "value", "options": options}
    element |= {"initial_option": options[field.options.index(field.shown)]} if field.shown in field.options else {}
    return {"type": "input", "block_id": field.block, "label": words(label), "optional": True, "element": element}


def _input(block: str, label: str, *, multiline: bool, most: int = TYPED, initial: str = "", optional: bool = False) -> Block:
    element: Block = {"type": "plain_text_input", "action_id": "value", "multiline": multiline, "max_length": most}
    element |= {"initial_value": initial} if initial else {}
    return {"type": "input", "block_id": block, "label": words(label), "optional": optional, "element": element}


def _form(kind: str, title: str, request: Request, channel: str, blocks: list[Block]) -> Block:
    return {
        "type": "modal", "callback_id": kind, "title": words(title), "submit": words(title), "close": words("Not now"),
        "private_metadata": json.dumps({"request": request.id, "channel": channel}), "blocks": [_head(request), *blocks],
    }  # fmt: skip


def _head(request: Request) -> Block:
    name = leaf(f"{line(request.tool, 100)} — {line(request.step, 100)}", bold=True)
    return paragraph(name, leaf(f", digest {request.digest[:12]}"))


def _typed(block: Any) -> str | None:
    """Return what one field holds; None where it is empty."""
    for element in block.values() if isinstance(block, dict) else ():
        if isinstance(element, dict):
            chosen = element.get("selected_option") or {}
            found = element.get("value") or chosen.get("value")
            return found if isinstance(found, str) else None
    return None


def _ticked(block: Any) -> bool:
    """Return whether a box is ticked."""
    elements = block.values() if isinstance(block, dict) else ()
    return any(isinstance(element, dict) and bool(element.get("selected_options")) for element in elements)


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON value")
