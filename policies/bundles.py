"""Bundles: an automation's folder as one immutable value named by its hash, and the alias that says which one is live."""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import rfc8785
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from contracts.errors import BadConfiguration, BadInput
from contracts.message import unkept
from database import Database, Tx
from policies.automation import Automation
from policies.prompts import check_template, template_problem
from policies.rules import Rules
from yaml_files import YamlFile, read_text

INSERT = """
INSERT INTO bundle (tenant, hash, automation, body, created_by, parent) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant, hash) DO NOTHING
"""
READ = "SELECT automation, body FROM bundle WHERE tenant = $1 AND hash = $2"
LIVE = "SELECT bundle, version FROM alias WHERE tenant = $1 AND automation = $2 AND name = 'live'"
# Compare-and-swap: two people who apply at once cannot both believe they did.
POINT = """
INSERT INTO alias (tenant, automation, bundle) VALUES ($1, $2, $3)
ON CONFLICT (tenant, automation, name) DO UPDATE SET bundle = excluded.bundle, version = alias.version + 1
 WHERE alias.version = $4
RETURNING version
"""
NAMED = "SELECT hash FROM bundle WHERE tenant = $1 AND automation = $2 AND starts_with(hash, $3) ORDER BY created_at DESC LIMIT 2"
AUTOMATIONS = "SELECT automation FROM alias WHERE tenant = $1 AND name = 'live' ORDER BY automation"
RECORD = """
INSERT INTO record (tenant, id, kind, body) VALUES ($1, $2, 'configuration', $3) ON CONFLICT (tenant, id) DO NOTHING
"""
SEEN = 8  # characters of a hash that name a bundle
HELD = 64  # parsed bundles a process keeps


@dataclass(frozen=True)
class Bundle:
    """One version of an automation. ``body`` holds its configuration and the text of its prompts."""

    automation: str
    body: dict[str, Any]

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON, the automation's name with it: a copied folder is another bundle. Source: RFC 8785."""
        return hashlib.sha256(rfc8785.dumps({**self.body, "name": self.automation})).hexdigest()

    @cached_property
    def settings(self) -> Automation:
        """The configuration, parsed."""
        return Automation.model_validate(self.body["automation"])

    @cached_property
    def rules(self) -> Rules:
        """The rules, compiled."""
        return Rules(self.settings.rules)

    def check_input(self, given: Mapping[str, Any]) -> None:
        """Raise BadInput where a start's input does not fit the automation's schema."""
        errors = list(Draft202012Validator(self.settings.input).iter_errors(dict(given)))
        if errors:
            said = "; ".join(f"input{''.join(f'.{part}' for part in error.path)}: {error.message[-200:]}" for error in errors[:5])
            raise BadInput(f"the input does not fit {self.automation}: {said}")

    def prompt(self, agent: str) -> tuple[str, str]:
        """Return an agent's prompt template and its version: the first 12 characters of its SHA-256."""
        text: str = self.body["prompts"][self.settings.agents[agent].prompt]
        return text, hashlib.sha256(text.encode()).hexdigest()[:12]


def load(folder: Path, tools: Mapping[str, bool]) -> Bundle:
    """Read ``automations/<name>/`` and check all that can be checked before it runs.

    tools: every tool of the automation -> whether it only reads.
    Raises: BadConfiguration naming file, line and what would be right.
    """
    if not (folder / "automation.yaml").is_file():
        known = sorted(path.parent.name for path in folder.parent.glob("*/automation.yaml"))
        raise BadConfiguration(f"there is no automation {folder.name!r} in {folder.parent}; there are: {', '.join(known) or 'none'}")
    main, rules = YamlFile(folder / "automation.yaml"), YamlFile(folder / "rules.yaml")
    if set(rules.value) != {"rules"}:
        raise BadConfiguration(f"{rules.path}:1: `rules:` with a list of rules is all that stands here")
    if "rules" in main.value:
        raise BadConfiguration(f"{main.path}:{main.line(['rules'])}: rules stand in {rules.path.name}")
    for file in (main, rules):
        _check_values(file)
    main.read(Automation, {**main.value, "rules": []})
    parsed = rules.read(Automation, {**main.value, "rules": rules.value["rules"]})
    prompts = {agent.prompt: _prompt(folder, agent.prompt, main, name) for name, agent in parsed.agents.items()}
    _check_names(parsed, tools, main, rules)
    _check_schemas(parsed, main)
    _check_context(parsed, main)
    try:
        Rules(parsed.rules)
    except BadInput as error:
        at = next((i for i, rule in enumerate(parsed.rules) if str(error).startswith(f"rule {rule.id}:")), 0)
        raise BadConfiguration(f"{rules.path}:{rules.line(['rules', at, 'when'])}: {error}") from None
    return Bundle(folder.name, {"automation": parsed.model_dump(mode="json"), "prompts": prompts})


def _prompt(folder: Path, name: str, main: YamlFile, agent: str) -> str:
    path = (folder / name).resolve()
    line = main.line(["agents", agent, "prompt"])
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise BadConfiguration(f"{main.path}:{line}: prompt {name!r} is not a file of this folder")
    text = read_text(path)
    check_template(text, path)
    return text


def _check_values(file: YamlFile) -> None:
    # Found here, by line, and not when the bundle is hashed and stored.
    if found := unkept(file.value):
        where, why = found
        raise BadConfiguration(f"{file.path}:{file.line(where)}: {'.'.join(map(str, where))}: {why}")


def _check_names(parsed: Automation, tools: Mapping[str, bool], main: YamlFile, rules: YamlFile) -> None:
    own, reads = (set(tools), "a tool of this automation"), ({name for name, only in tools.items() if only}, "a tool that only reads")
    known, models = ({*tools, *parsed.recipes}, "a tool or recipe of this automation"), (set(parsed.models), "one of the models")
    for name, agent in parsed.agents.items():
        at = ["agents", name]
        _check_name(main, [*at, "route"], agent.route, models)
        for i, tool in enumerate(agent.tools):
            _check_name(main, [*at, "tools", i], tool, known)
        for i, tool in enumerate(agent.look_ups):
            _check_name(main, [*at, "look_ups", i], tool, reads)
        for i, look_up in enumerate(agent.context):
            _check_name(main, [*at, "context", i, "tool"], look_up.tool, reads)
        for argument, source in agent.choices.items():
            results = ({look_up.id for look_up in agent.context}, "the id of a look-up in `context`")
            _check_name(main, [*at, "choices", argument], source.split(".")[0].removesuffix("[]"), results)
    for name, recipe in parsed.recipes.items():
        for i, step in enumerate(recipe.steps):
            _check_name(main, ["recipes", name, "steps", i, "tool"], step.tool, own)
    for i, kept in enumerate(parsed.memory.remember):
        _check_name(main, ["memory", "remember", i, "tool"], kept.tool, own)
    for i, rule in enumerate(parsed.rules):
        for j, tool in enumerate(rule.irreversible):
            _check_name(rules, ["rules", i, "irreversible", j], tool, own)
    if both := set(tools) & set(parsed.recipes):
        raise BadConfiguration(f"{main.path}:{main.line(['recipes', min(both)])}: {sorted(both)} are names of tools and of recipes")


def _check_name(file: YamlFile, where: list[str | int], name: str, known: tuple[set[str], str]) -> None:
    names, what = known
    if name not in names:
        raise BadConfiguration(f"{file.path}:{file.line(where)}: {name!r} is not {what}; there are {', '.join(sorted(names)) or 'none'}")


def _check_context(parsed: Automation, main: YamlFile) -> None:
    for name, agent in parsed.agents.items():
        for i, look_up in enumerate(agent.context):
            for argument, value in look_up.arguments.items():
                if isinstance(value, str):
                    _check_text(main, ["agents", name, "context", i, "arguments", argument], value)
        for i, recall in enumerate(agent.recall):
            _check_text(main, ["agents", name, "recall", i, "query"], recall.query)
        ids = [part.id for part in (*agent.context, *agent.recall)]
        if twice := sorted({id for id in ids if ids.count(id) > 1}):
            raise BadConfiguration(f"{main.path}:{main.line(['agents', name])}: `context` and `recall` of {name} share the ids {twice}")
    for i, kept in enumerate(parsed.memory.remember):
        for field in ("body", "subject"):
            _check_text(main, ["memory", "remember", i, field], getattr(kept, field))


def _check_text(main: YamlFile, at: list[str | int], text: str) -> None:
    if problem := template_problem(text):
        raise BadConfiguration(f"{main.path}:{main.line(at)}: {at[-1]}: {problem[1]}")


def _check_schemas(parsed: Automation, main: YamlFile) -> None:
    schemas = [(["input"], parsed.input), (["settings_schema"], parsed.settings_schema)]
    schemas += [(["recipes", name, "parameters"], recipe.parameters) for name, recipe in parsed.recipes.items()]
    for where, schema in schemas:
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            raise BadConfiguration(f"{main.path}:{main.line(where)}: {'.'.join(where)} is not a JSON schema: {error.message}") from None
    for error in Draft202012Validator(parsed.settings_schema).iter_errors(parsed.settings):
        at: list[str | int] = ["settings", *error.path]
        raise BadConfiguration(f"{main.path}:{main.line(at)}: {'.'.join(map(str, at))}: {error.message[:200]}")


async def apply(tx: Tx, bundle: Bundle, by: str) -> bool:
    """Store a bundle and make it live for new runs; return False where it was live already."""
    live = await tx.row(LIVE, tx.tenant, bundle.automation)
    if live and live["bundle"] == bundle.hash:
        return False
    await tx.execute("INSERT INTO tenant (tenant) VALUES ($1) ON CONFLICT DO NOTHING", tx.tenant)
    parent = live["bundle"] if live else None
    await tx.execute(INSERT, tx.tenant, bundle.hash, bundle.automation, bundle.body, by, parent)
    version = await tx.value(POINT, tx.tenant, bundle.automation, bundle.hash, live["version"] if live else 0)
    if version is None:
        raise BadInput(f"{bundle.automation} was changed by somebody else at this moment: look at it and apply again")
    body = {"event": "applied", "automation": bundle.automation, "bundle": bundle.hash, "before": parent, "by": by, "version": version}
    await tx.execute(RECORD, tx.tenant, f"alias/{bundle.automation}/live/{version}", body)
    return True


async def live(tx: Tx, automation: str) -> str | None:
    """Return the hash of the bundle that new runs of an automation get, or None."""
    row = await tx.row(LIVE, tx.tenant, automation)
    return row["bundle"] if row else None


async def named(tx: Tx, automation: str, hash: str) -> str:
    """Return the whole hash of one of an automation's bundles, given all of it or how it begins. Raises: BadInput."""
    found = [row["hash"] for row in await tx.fetch(NAMED, tx.tenant, automation, hash)] if len(hash) >= SEEN else []
    if len(found) != 1:
        why = f"{len(found)} bundles that begin" if found else "no bundle whose hash is, or begins"
        raise BadInput(f"{automation} has {why} {hash[:64]!r}: give at least {SEEN} characters; `starter.py list --json` has whole hashes")
    return found[0]


async def applied(tx: Tx) -> list[str]:
    """Return the automations that have a live bundle, by name."""
    return [row["automation"] for row in await tx.fetch(AUTOMATIONS, tx.tenant)]


class Bundles:
    """Bundles by hash. They never change, so what was read once is kept."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._held: OrderedDict[tuple[str, str], Bundle] = OrderedDict()

    async def get(self, tenant: str, hash: str) -> Bundle:
        """Return one bundle. Raises: BadInput where the tenant has none of that hash."""
        key = (tenant, hash)
        if key not in self._held:
            async with self._database.transaction(tenant) as tx:
                row = await tx.row(READ, tenant, hash)
            if row is None:
                raise BadInput(f"tenant {tenant} has no bundle {hash[:12]}")
            self._held[key] = Bundle(row["automation"], row["body"])
            if len(self._held) > HELD:
                self._held.popitem(last=False)
        self._held.move_to_end(key)
        return self._held[key]
