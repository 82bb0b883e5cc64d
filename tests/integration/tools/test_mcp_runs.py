"""Whole runs whose steps are MCP tools: what they write is written once."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from database import Database
from tests.house import House, opened, plan, statuses, step
from tests.mcp_servers import installed, moody
from tests.probes import copied
from tools import manifest
from tools.executors.executor import Access
from tools.lock import Lock

READ: dict[str, Any] = {"effect": "read", "guarantee": "pure"}
WRITE: dict[str, Any] = {"effect": "write", "guarantee": "guarded", "irreversible": True, "seconds": 5}


@asynccontextmanager
async def house(database: Database, temporal_address: str, folder: Path, source: dict[str, Any], **changes: Any) -> AsyncGenerator[House]:
    """Open a house whose automation has the tools of an MCP server, accepted by a person and allowed by a rule."""
    names = sorted(source["tools"])
    allow = {"id": "served", "when": f"tool in {json.dumps(names)}", "outcome": "allow", "irreversible": names, "because": "a test"}
    (folder / "automations").mkdir()
    automations = copied(folder / "automations", rules=[allow], agents={"planner": {"tools": [*names, "probe.write"]}})
    probe = automations / "probe"
    (probe / manifest.NAME).write_text(yaml.safe_dump({"mcp": {"server": source}}))
    lock = Lock({})
    for name, (_, found, place) in manifest.sources(probe, lock).items():
        lock = lock.accept(name, await found.discover(place, Access({}, lambda name: None)))
    lock.write(probe)
    async with opened(database, temporal_address, folder / "state", folder=automations, **changes) as made, made.worker():
        yield made


async def test_a_run_writes_a_file_through_a_foreign_server_once(database: Database, temporal_address: str, tmp_path: Path) -> None:
    packages = await installed()
    command = ["node", str(packages / "server-filesystem" / "dist" / "index.js"), "{folder}"]
    source = {
        "command": command,
        "tools": {
            "files.write": {"tool": "write_file", **WRITE},
            "files.read": {"tool": "read_text_file", **READ},
        },
    }
    path = tmp_path / "state" / "files" / "default" / "probe" / "note.txt"
    async with house(database, temporal_address, tmp_path, source) as made:
        found = await made.run(
            plan(
                step("w1", "files.write", path=str(path), content="once"),
                step("w2", "files.read", "w1", path=str(path)),
            )
        )
        assert statuses(found) == {"w1": "done", "w2": "done"}
        assert path.read_text() == "once"
        (effect,) = await made.effects(made.handles[0])
        assert (effect.tool, effect.state, effect.n) == ("files.write", "done", 1)


async def test_a_write_whose_answer_was_lost_is_looked_up_and_not_done_again(
    database: Database, temporal_address: str, tmp_path: Path
) -> None:
    look_up = {"tool": "find", "key_argument": "reference", "happened": "call", "output": "call"}
    listed = {"tool": "act", "key_argument": "reference", "lookup": look_up, **WRITE}
    async with house(database, temporal_address, tmp_path, {"command": moody(tmp_path), "tools": {"do.write": listed}}) as made:
        found = await made.run(plan(step("w1", "do.write", what="die")))
        assert statuses(found) == {"w1": "done"}
        (effect,) = await made.effects(made.handles[0])
        assert (effect.state, effect.output) == ("done", {"said": "die"})
    (call,) = (json.loads(line) for line in (tmp_path / "calls").read_text().splitlines())
    assert call["arguments"] == {"what": "die", "reference": effect.key}
    assert call["meta"]["perdure/effect-key"] == effect.key


async def test_a_changed_tool_stops_the_step_and_the_ledger_says_what_a_person_does(
    database: Database, temporal_address: str, tmp_path: Path
) -> None:
    source = {"command": moody(tmp_path), "tools": {"do.write": {"tool": "act", **WRITE}}}
    async with house(database, temporal_address, tmp_path, source) as made:
        (tmp_path / "mood").write_text(json.dumps({"description": "Do it, and tell me."}))
        found = await made.run(plan(step("w1", "do.write", what="hi")), plan())
        assert statuses(found) == {"w1": "failed"}
        (row,) = found.steps
        assert "is in quarantine" in row.detail and "`starter.py tools pin probe --source server`" in row.detail
    assert not (tmp_path / "calls").exists()


@pytest.fixture(autouse=True)
def _no_process_stays(tmp_path: Path) -> Any:
    yield
    left = [one for one in psutil.process_iter(["cmdline"]) if any(str(tmp_path) in part for part in one.info["cmdline"] or ())]
    for process in left:
        process.kill()
    assert not left
