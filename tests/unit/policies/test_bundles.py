"""Loading a folder: each mistake is one clear message with file and line, and every byte counts in the hash."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import BadConfiguration
from policies.approvals import Approvals
from policies.automation import Automation
from policies.bundles import Bundle, load
from settings import ROOT

TOOLS = {name: name in ("sources.read", "note.read") for name in (
    "sources.read", "note.read", "brief.write", "brief.delete", "draft.write", "draft.delete", "calendar.place", "calendar.remove",
    "blog.publish",
    "blog.unpublish", "newsletter.send", "newsletter.correct", "social.post", "social.delete",
)}  # fmt: skip
MAIN, RULES, PLAN = "automation.yaml", "rules.yaml", "prompts/plan.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(ROOT / "automations" / "content-ops", tmp_path / "automations" / "content-ops")


def edit(folder: Path, file: str, old: str, new: str) -> None:
    text = (folder / file).read_text()
    assert text.count(old) >= 1
    (folder / file).write_text(text.replace(old, new, 1))


def line_of(folder: Path, file: str, text: str) -> int:
    return (folder / file).read_text().split(text)[0].count("\n") + 1


def refusal(folder: Path) -> str:
    with pytest.raises(BadConfiguration) as caught:
        load(folder, TOOLS)
    return str(caught.value)


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (MAIN, "tool: sources.read", "tool: sources.reed", "'sources.reed' is not a tool that only reads; there are note.read, "),
        (MAIN, "tool: sources.read", "tool: brief.write", "'brief.write' is not a tool that only reads"),
        (MAIN, "tools: [blog, newsletter, social]", "tools: [blog, newsleter]", "'newsleter' is not a tool or recipe of this"),
        (MAIN, "tool: newsletter.send\n", "tool: newsletter.sent\n", "'newsletter.sent' is not a tool of this automation"),
        (MAIN, "tool: newsletter.send\n", "tool: blog\n", "'blog' is not a tool of this automation; there are blog.publish"),
        (MAIN, "route: planner", "route: cheap", "'cheap' is not one of the models; there are editor, planner"),
        (MAIN, "planner: planner\nagents", "planner: boss\nagents", "planner: 'boss' is not one of the agents ['editor', 'planner']"),
        (MAIN, 'choices: {source: "sources', 'choices: {source: "sorces', "'sorces' is not the id of a look-up in `context`"),
        (MAIN, "pattern: orchestrator", "pattern: boss", "pattern: input should be 'orchestrator'"),
        (MAIN, "on_failure: undo", "on_failur: undo", "on_failur: extra inputs are not permitted"),
        (MAIN, "  max_steps: 3", "  max_steps: none", "agents.planner.max_steps: input should be a valid integer"),
        (MAIN, "budget: {run_micros: 200000}", "budget: {run_micros: -1}", "budget.run_micros: input should be greater than or"),
        (MAIN, "remind: [PT1H", "remind: [PT25H", "approvals: `deadline` is more than 0, and every `remind`"),
        (MAIN, "minLength: 1, description", "minLength: many, description", "input is not a JSON schema: 'many' is not of type"),
        (MAIN, "parameters: &piece\n", "parameters: &piece\n      minProperties: x\n", "recipes.blog.parameters is not a JSON schema"),
        (MAIN, "{$output: brief/brief}", "{$output: breif/brief}", "recipes.blog: step draft needs ['breif'], which are"),
        (MAIN, "{source: {$argument: source}", "{source: {$argument: src}", "recipes.blog: step brief uses the arguments ['src']"),
        (MAIN, "{id: draft, tool", "{id: brief, tool", "recipes.blog: two steps have the id 'brief'"),
        (MAIN, "{id: draft, tool", "{id: The Draft, tool", "recipes.blog.steps.1.id: string should match pattern"),
        (MAIN, '"{{ input.sources }}"', '"{{ input.sources "', "folder: unexpected end of template"),
        (MAIN, "prompt: prompts/plan.md", "prompt: prompts/gone.md", "prompt 'prompts/gone.md' is not a file of this folder"),
        (MAIN, "prompt: prompts/plan.md", "prompt: ../../../secret.md", "prompt '../../../secret.md' is not a file of this"),
        (MAIN, "prompt: prompts/plan.md", "prompt: /etc/passwd", "prompt '/etc/passwd' is not a file of this folder"),
        (MAIN, "grace_seconds: 900", "grace_seconds: .inf", "settings.grace_seconds: numbers must be between"),
        (MAIN, "grace_seconds: 900", "grace_seconds: 9007199254740992", "settings.grace_seconds: numbers must be between"),
        (MAIN, "grace_seconds: 900", "grace_seconds: !!binary aGk=", "settings.grace_seconds: only text, numbers"),
        (MAIN, "on_failure: undo", "on_failure: undo\nrules: []", "rules stand in rules.yaml"),
        (MAIN, "on_failure: undo", "on_failure: undo\ngoal: again", "'goal' stands here twice"),
        (RULES, 'when: effect == "read"', 'when: efect == "read"', "rule reads: 1:1: undeclared reference to 'efect'"),
        (RULES, 'when: effect == "read"', "when: effect", "rule reads: 'effect' is not a truth value"),
        (RULES, "outcome: allow", "outcome: alow", "rules.0.outcome: input should be 'allow', 'require_approval' or 'deny'"),
        (RULES, "irreversible: [brief.delete", "irreversible: [breif.delete", "'breif.delete' is not a tool of this automation"),
        (RULES, "id: own-papers", "id: reads", "rules: rules share the ids ['reads']"),
        (RULES, "rules:", "ruless:", "`rules:` with a list of rules is all that stands here"),
        (PLAN, "{% endfor %}", "{% endfro %}", "Encountered unknown tag 'endfro'"),
        (PLAN, "tojson", "tojsn", "No filter named 'tojsn'."),
    ],
)  # fmt: skip
def test_a_mistake_is_one_message_with_file_and_line(folder: Path, file: str, old: str, new: str, said: str) -> None:
    edit(folder, file, old, new)
    message = refusal(folder)
    assert re.match(re.escape(str(folder.resolve() / file)) + r":\d+: ", message), message
    assert said in message and "\n" not in message, message


@pytest.mark.parametrize(
    ("file", "old", "new", "at"),
    [
        (MAIN, "tool: newsletter.send\n", "tool: newsletter.sent\n", "tool: newsletter.sent"),
        (MAIN, "  max_steps: 3", "  max_steps: none", "max_steps: none"),
        (MAIN, "route: planner", "route: cheap", "route: cheap"),
        (MAIN, "planner: planner\nagents", "planner: boss\nagents", "planner: boss"),
        (MAIN, '"{{ input.sources }}"', '"{{ input.sources "', "arguments: {folder"),
        (MAIN, "grace_seconds: 900", "grace_seconds: .nan", "grace_seconds: .nan"),
        (RULES, 'tool == "newsletter.send" && type', 'tol == "newsletter.send" && type', "when: tol"),
        (RULES, "irreversible: [brief.delete", "irreversible: [breif.delete", "irreversible: [breif"),
        (PLAN, "truncate(60)", "truncat(60)", "truncat(60)"),
    ],
)
def test_the_line_is_the_one_to_mend(folder: Path, file: str, old: str, new: str, at: str) -> None:
    edit(folder, file, old, new)
    assert refusal(folder).startswith(f"{folder.resolve() / file}:{line_of(folder, file, at)}: ")


def test_a_prompt_that_is_a_link_out_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("secret")
    (folder / "prompts" / "plan.md").unlink()
    (folder / "prompts" / "plan.md").symlink_to(tmp_path / "secret.md")
    assert "'prompts/plan.md' is not a file of this folder" in refusal(folder)


def test_a_prompt_that_is_not_text_is_refused_by_line(folder: Path) -> None:
    (folder / "prompts" / "plan.md").write_bytes(b"hello\n\xff")
    assert refusal(folder).endswith("prompts/plan.md:2: this is not UTF-8 text")


def test_missing_rules_are_named(folder: Path) -> None:
    (folder / "rules.yaml").unlink()
    assert refusal(folder) == f"{folder / 'rules.yaml'} is missing"


def test_an_unknown_automation_lists_those_there_are(folder: Path) -> None:
    shutil.copytree(folder, folder.parent / "another")
    assert refusal(folder.parent / "content-op").endswith("there is no automation 'content-op' in "
                                                          f"{folder.parent}; there are: another, content-ops")  # fmt: skip


def test_a_name_of_both_a_tool_and_a_recipe_is_refused(folder: Path) -> None:
    with pytest.raises(BadConfiguration, match=r"\['blog'\] are names of tools and of recipes"):
        load(folder, {**TOOLS, "blog": False})


@pytest.mark.parametrize(
    "given", [{"deadline": "PT0S"}, {"deadline": "PT1H", "escalate": "PT1H"}, {"deadline": "PT1H", "remind": ["PT2H"]}]
)
def test_what_silence_means_comes_last(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="comes before it"):
        Approvals.model_validate(given)


def turned(value: Any) -> Any:
    """Return the same value with the keys of every mapping in the opposite order."""
    if isinstance(value, dict):
        return {key: turned(child) for key, child in reversed(value.items())}
    return [turned(child) for child in value] if isinstance(value, list) else value


def test_the_hash_is_the_same_whatever_the_order_of_keys(folder: Path) -> None:
    bundle = load(folder, TOOLS)
    assert bundle.hash == Bundle(bundle.automation, turned(bundle.body)).hash == load(folder, TOOLS).hash
    text = (folder / "automation.yaml").read_text()
    head, _, tail = text.partition("\n")
    (folder / "automation.yaml").write_text(f"{tail}\n{head}\n")
    assert load(folder, TOOLS).hash == bundle.hash


@pytest.mark.parametrize(("old", "new"), [("\n", "\r\n"), ("Notes", "notes"), (" ", "\u00a0"), ("as JSON:\n\n", "as JSON:\n")])
def test_the_hash_changes_with_every_byte_of_a_prompt(folder: Path, old: str, new: str) -> None:
    before = load(folder, TOOLS)
    path = folder / "prompts" / "plan.md"
    path.write_bytes(path.read_bytes()[::-1].replace(old.encode()[::-1], new.encode()[::-1], 1)[::-1])
    after = load(folder, TOOLS)
    assert after.hash != before.hash and after.prompt("planner")[1] != before.prompt("planner")[1]
    assert after.prompt("planner")[0].encode() == path.read_bytes()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [(MAIN, "run_micros: 200000", "run_micros: 200001"), (RULES, "outcome: deny", "outcome: allow")],
)
def test_the_hash_changes_with_the_configuration(folder: Path, file: str, old: str, new: str) -> None:
    before = load(folder, TOOLS).hash
    edit(folder, file, old, new)
    assert load(folder, TOOLS).hash != before


def test_a_comment_changes_nothing(folder: Path) -> None:
    before = load(folder, TOOLS).hash
    edit(folder, "rules.yaml", "rules:", "rules:  # a comment")
    assert load(folder, TOOLS).hash == before


def test_a_copied_folder_has_another_hash(folder: Path) -> None:
    copy = shutil.copytree(folder, folder.parent / "copy")
    assert load(copy, TOOLS).hash != load(folder, TOOLS).hash


def test_what_was_stored_is_read_as_it_was_loaded(folder: Path) -> None:
    bundle = load(folder, TOOLS)
    assert Automation.model_validate(bundle.body["automation"]).model_dump(mode="json") == bundle.body["automation"]
