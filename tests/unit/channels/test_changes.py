from typing import Any

from channels.changes import changes
from policies.bundles import Bundle


def bundle(prompts: dict[str, str] | None = None, **automation: Any) -> Bundle:
    return Bundle("any", {"automation": automation, "prompts": prompts or {}})


def test_a_first_bundle_is_called_so() -> None:
    assert changes(None, bundle()) == ["first bundle of this automation"]


def test_changed_added_and_removed_keys_are_named_by_their_path() -> None:
    before, after = bundle(settings={"a": 1, "b": 2}, goal="x"), bundle(settings={"a": 3, "c": {"d": [1]}}, goal="x")
    assert changes(before, after) == ["~ settings.a: 1 → 3", "- settings.b: 2", "+ settings.c.d: [1]"]


def test_rules_are_known_by_their_id_so_that_another_order_is_no_change() -> None:
    first, second = {"id": "one", "when": "true"}, {"id": "two", "when": "false"}
    assert changes(bundle(rules=[first, second]), bundle(rules=[second, first])) == []
    assert changes(bundle(rules=[first]), bundle(rules=[{**first, "when": "false"}])) == ['~ rules[one].when: "true" → "false"']


def test_prompts_are_counted_in_lines() -> None:
    before, after = {"a.md": "one\ntwo\n", "b.md": ""}, {"a.md": "one\n2\n3\n", "c.md": ""}
    assert changes(bundle(before), bundle(after)) == ["~ a.md: 2 lines added, 1 removed", "- b.md", "+ c.md"]


def test_a_long_value_is_cut() -> None:
    (line,) = changes(bundle(goal="short"), bundle(goal="x" * 500))
    assert len(line) < 100
